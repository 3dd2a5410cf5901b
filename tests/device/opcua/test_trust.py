"""Whom the OPC UA link trusts, shown with real servers; and who it says it is."""

from __future__ import annotations

import asyncio
import os
import stat
from datetime import UTC, datetime

import pytest
from cryptography import x509

from gatewayd.device.opcua.trust import fingerprint, first_certificate, load_pin, own_identity
from gatewayd.errors import DeviceError, DeviceNotTrusted
from tests.device.opcua.rig import device, link_to, scan, tag, values

NOW_NS = 1_790_000_000_000_000_000
DEFAULTS = {"security": "Aes256_Sha256_RsaPss", "mode": "SignAndEncrypt", "insecure": None}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """asyncua's server answers a stranger with silence; a second of it is enough for a test."""
    monkeypatch.setattr("gatewayd.device.opcua.session.HANDSHAKE_S_MIN", 1.0)


@pytest.fixture
def secured(secure_server, server_certificate, tmp_path):
    """Make links to the secure server; settings replace those of a device that connects."""

    def link(*tags, server=secure_server, **settings):
        pinned = {"server_certificate": str(server_certificate.der_path)}
        return link_to(device(server.endpoint, **{**DEFAULTS, **pinned, **settings}), tags or [tag("d7")], tmp_path)

    return link


@pytest.mark.parametrize(
    ("policy", "mode"),
    [
        ("Aes256_Sha256_RsaPss", "SignAndEncrypt"),
        ("Basic256Sha256", "SignAndEncrypt"),
        ("Basic256Sha256", "Sign"),
    ],
)
async def test_the_pinned_server_is_read_and_written_under_each_policy(secured, policy, mode):
    link = secured(tag("d7"), tag("float64.set", access="rw"), security=policy, mode=mode)
    await link.connect()
    await link.write(1, 4.25)
    (block,) = await scan(link)
    assert values(block.payload, 2) == [7.0, 4.25]
    assert (await link.read_back(1)).value == 4.25
    await link.close()


async def test_the_pin_alone_decides_and_the_server_is_not_asked_who_it_is(secured, monkeypatch):
    """Without a pin asyncua would take the certificate from an unauthenticated GetEndpoints."""

    async def asked(_):
        raise AssertionError("GetEndpoints before the session")

    monkeypatch.setattr("asyncua.client.client.Client.get_endpoints", asked)
    link = secured()
    await link.connect()
    await link.close()


async def test_large_answers_arrive_whole_through_encryption(secured):
    link = secured(*(tag(f"d{number}") for number in range(1000)), max_nodes_per_read=5000)
    await link.connect()
    (block,) = await scan(link)
    assert values(block.payload, 1000) == [float(number) for number in range(1000)]
    await link.close()


async def test_a_pin_in_pem_form_is_the_same_pin(secured, server_certificate):
    link = secured(server_certificate=str(server_certificate.pem_path))
    await link.connect()
    assert link.server_certificate_expires_ns == int(server_certificate.expires.timestamp()) * 1_000_000_000
    await link.close()


async def test_another_certificate_than_the_pinned_one_is_not_trusted(
    secured, other_certificate, server_certificate, tmp_path
):
    """The message shows both fingerprints, and what the server showed is kept for a person to compare."""
    link = secured(server_certificate=str(other_certificate.der_path), timeout_ms=1000)
    with pytest.raises(DeviceNotTrusted) as refused:
        await link.connect()
    assert fingerprint(server_certificate.der) in refused.value.message
    assert fingerprint(other_certificate.der) in refused.value.message
    kept = tmp_path / "identity" / "rejected" / "plant.der"
    assert kept.read_bytes() == server_certificate.der
    assert str(kept) in refused.value.remedy
    with pytest.raises(DeviceError, match="no session"):
        await scan(link)


async def test_an_impostor_that_shows_the_pinned_certificate_without_its_key_gets_no_session(
    start, secured, server_certificate, other_certificate
):
    impostor = start("--certificate", str(server_certificate.der_path), "--key", str(other_certificate.key_path))
    with pytest.raises(DeviceError):
        await secured(server=impostor, timeout_ms=1000).connect()


async def test_an_expired_pin_still_connects_and_its_expiry_is_reported(start, secured, other_certificate):
    server = start(*other_certificate.options)
    link = secured(server=server, server_certificate=str(other_certificate.der_path))
    await link.connect()
    assert link.server_certificate_expires_ns is not None
    assert link.server_certificate_expires_ns < datetime.now(UTC).timestamp() * 1e9
    await link.close()


async def test_a_server_that_does_not_trust_us_is_told_apart_with_our_certificates_path(
    start, secured, server_certificate, tmp_path
):
    server = start(*server_certificate.options, "--distrust")
    with pytest.raises(DeviceNotTrusted, match="does show the pinned certificate") as refused:
        await secured(server=server).connect()
    (ours,) = (tmp_path / "identity").glob("opcua-*.der")
    assert str(ours) in refused.value.remedy


async def test_a_policy_that_the_server_lacks_is_no_reason_to_fall_back(secured):
    with pytest.raises(DeviceNotTrusted, match="does not offer Aes128_Sha256_RsaOaep") as refused:
        await secured(security="Aes128_Sha256_RsaOaep", timeout_ms=1000).connect()
    assert "Aes256_Sha256_RsaPss SignAndEncrypt" in refused.value.remedy


@pytest.mark.parametrize("insecure", [None, "", "yes", "accepted-by=", "accepted-by= "])
async def test_no_security_without_a_name_that_accepts_it_is_refused(plant_server, tmp_path, insecure):
    link = link_to(device(plant_server.endpoint, insecure=insecure), [tag("d1")], tmp_path)
    with pytest.raises(DeviceNotTrusted, match="accepted by nobody") as refused:
        await link.connect()
    assert "accepted-by=NAME" in refused.value.remedy


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"server_certificate": None}, "no server_certificate is pinned"),
        ({"mode": "None"}, "contradicts"),
        ({"server_certificate": "no-such-file.der"}, "cannot read"),
        ({"certificate": "mine.der"}, "only one of"),
        ({"user": "operator", "password_file": "no-such-file"}, "cannot read"),
    ],
)
async def test_settings_that_leave_trust_open_are_refused(secured, settings, message):
    with pytest.raises(DeviceNotTrusted, match=message) as refused:
        await secured(**settings).connect()
    assert refused.value.remedy


async def test_a_password_never_travels_without_security(plant_server, tmp_path):
    (tmp_path / "password").write_text("secret\n")
    link = link_to(device(plant_server.endpoint, user="operator", password_file="password"), [tag("d1")], tmp_path)
    with pytest.raises(DeviceNotTrusted, match="password would be sent"):
        await link.connect()


async def test_user_and_password_from_a_file_open_a_session_and_a_wrong_one_does_not(
    start, secured, server_certificate, tmp_path
):
    server = start(*server_certificate.options, "--password", "right horse")
    password = tmp_path / "password"
    password.write_text("right horse\n")
    settings = {"server": server, "user": "operator", "password_file": "password"}
    link = secured(**settings)
    await link.connect()
    assert values((await scan(link))[0].payload, 1) == [7.0]
    await link.close()
    password.write_text("wrong horse\n")
    with pytest.raises(DeviceNotTrusted, match=r"UserAccessDenied|IdentityToken"):
        await secured(**settings).connect()


async def test_our_own_certificate_is_made_once_with_a_private_key_file(tmp_path):
    first = own_identity(tmp_path, "urn:acme:gateway-1", NOW_NS)
    assert own_identity(tmp_path, "urn:acme:gateway-1", NOW_NS) == first
    (pem,) = tmp_path.glob("*.pem")
    assert stat.S_IMODE(os.stat(pem).st_mode) == 0o600
    certificate = x509.load_der_x509_certificate(first.certificate_der)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:acme:gateway-1"]
    assert certificate.public_key().key_size == 2048
    assert (
        certificate.not_valid_before_utc < datetime.fromtimestamp(NOW_NS / 1e9, UTC) < certificate.not_valid_after_utc
    )
    assert (tmp_path / first.path).read_bytes() == first.certificate_der


async def test_two_devices_that_start_at_once_end_with_one_identity(tmp_path):
    made = await asyncio.gather(*(asyncio.to_thread(own_identity, tmp_path, "urn:x", NOW_NS) for _ in range(4)))
    assert len(set(made)) == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_a_clock_that_starts_in_1970_makes_a_certificate_that_is_valid_today(tmp_path):
    certificate = x509.load_der_x509_certificate(own_identity(tmp_path, "urn:x", 0).certificate_der)
    assert certificate.not_valid_before_utc.year == 2025
    assert certificate.not_valid_after_utc.year >= 2044


def test_a_damaged_identity_file_is_named_and_not_replaced(tmp_path):
    own_identity(tmp_path, "urn:x", NOW_NS)
    (pem,) = tmp_path.glob("*.pem")
    pem.write_bytes(pem.read_bytes()[:100])
    with pytest.raises(DeviceNotTrusted, match=pem.name):
        own_identity(tmp_path, "urn:x", NOW_NS)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", bytes(70_000)]
)
def test_a_pin_that_is_no_certificate_is_refused(tmp_path, content):
    path = tmp_path / "pin.der"
    path.write_bytes(content)
    with pytest.raises(DeviceNotTrusted, match=r"pin\.der"):
        load_pin("plant", path)


def test_the_first_certificate_of_a_chain_is_the_servers(server_certificate, other_certificate):
    assert first_certificate(server_certificate.der + other_certificate.der) == server_certificate.der
    assert first_certificate(b"") == b""
    assert first_certificate(b"0\x03abc") == b"0\x03abc"
