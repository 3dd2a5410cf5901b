"""Who we are to a server: made once, kept, renewed when a person says so."""

from __future__ import annotations

import asyncio
import os
import stat
from datetime import UTC, datetime

import pytest
from cryptography import x509

from gatewayd.device.opcua.certificate import weaknesses
from gatewayd.device.opcua.identity import own_identities, own_identity, renew
from gatewayd.errors import DeviceNotTrusted

NOW_NS = 1_790_000_000_000_000_000


def test_our_own_certificate_is_made_once_with_a_private_key_file(tmp_path):
    first = own_identity(tmp_path, "urn:acme:gateway-1", NOW_NS)
    assert own_identity(tmp_path, "urn:acme:gateway-1", NOW_NS) == first
    (pem,) = tmp_path.glob("*.pem")
    assert stat.S_IMODE(os.stat(pem).st_mode) == 0o600
    assert (tmp_path / first.path).read_bytes() == first.certificate.der


def test_it_is_what_the_standard_asks_of_an_applications_certificate(tmp_path):
    made = own_identity(tmp_path, "urn:acme:gateway-1", NOW_NS).certificate
    assert made.application_uris == ("urn:acme:gateway-1",)
    assert list(weaknesses(made)) == []
    assert made.valid_from < datetime.fromtimestamp(NOW_NS / 1e9, UTC) < made.expires
    assert x509.load_der_x509_certificate(made.der).public_key().key_size == 2048


async def test_two_devices_that_start_at_once_end_with_one_identity(tmp_path):
    made = await asyncio.gather(*(asyncio.to_thread(own_identity, tmp_path, "urn:x", NOW_NS) for _ in range(4)))
    assert len({pair.certificate.der for pair in made}) == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_a_clock_that_starts_in_1970_makes_a_certificate_that_is_valid_today(tmp_path):
    made = own_identity(tmp_path, "urn:x", 0).certificate
    assert made.valid_from.year == 2025
    assert made.expires.year >= 2044


def test_a_damaged_identity_file_is_named_and_not_replaced(tmp_path):
    own_identity(tmp_path, "urn:x", NOW_NS)
    (pem,) = tmp_path.glob("*.pem")
    pem.write_bytes(pem.read_bytes()[:100])
    with pytest.raises(DeviceNotTrusted, match=pem.name):
        own_identity(tmp_path, "urn:x", NOW_NS)
    assert own_identities(tmp_path) == ()


def test_a_renewed_certificate_is_new_and_the_old_pair_is_kept(tmp_path):
    before = own_identity(tmp_path, "urn:x", NOW_NS)
    (pem,) = tmp_path.glob("*.pem")
    old = pem.read_bytes()
    after = renew(tmp_path, "urn:x", NOW_NS)
    assert after.certificate.fingerprint != before.certificate.fingerprint
    assert own_identity(tmp_path, "urn:x", NOW_NS) == after
    assert own_identities(tmp_path) == (after,)
    assert pem.with_name(f"{pem.name}.old").read_bytes() == old
    assert (tmp_path / after.path).read_bytes() == after.certificate.der


def test_a_first_certificate_can_be_made_before_the_daemon_ever_ran(tmp_path):
    made = renew(tmp_path / "identity", "urn:x", NOW_NS)
    assert own_identity(tmp_path / "identity", "urn:x", NOW_NS) == made
