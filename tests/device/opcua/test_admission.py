"""Whom a connection trusts by the gateway's trust list, shown with real servers."""

from __future__ import annotations

import pytest

from gatewayd.device.opcua.certificate import fingerprint, parse_certificate
from gatewayd.device.opcua.identity import own_identity
from gatewayd.device.opcua.trust_list import TrustList
from gatewayd.errors import DeviceError, DeviceNotTrusted, DeviceUnreachable
from tests.clock import ManualClock
from tests.device.opcua.certificates import Certificate
from tests.device.opcua.rig import device, link_to, scan, tag, values

SECURED = {"security": "Aes256_Sha256_RsaPss", "mode": "SignAndEncrypt", "insecure": None}
YEAR_NS = 365 * 86_400 * 10**9


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr("gatewayd.device.opcua.session.HANDSHAKE_S_MIN", 1.0)


@pytest.fixture
def trust_list(tmp_path) -> TrustList:
    return TrustList(tmp_path / "identity")


@pytest.fixture
def noted():
    return []


@pytest.fixture
def unpinned(secure_server, tmp_path, noted):
    """Make links to the secure server of which no certificate is pinned."""

    def link(*tags, server=secure_server, clock=None, **settings):
        configured = device(server.endpoint, **{**SECURED, **settings})
        return link_to(configured, tags or [tag("d7")], tmp_path, clock, note=noted.append)

    return link


async def test_an_unknown_server_is_not_trusted_and_the_error_says_the_command(
    unpinned, server_certificate, trust_list, tmp_path
):
    with pytest.raises(DeviceNotTrusted) as refused:
        await unpinned().connect()
    digits = fingerprint(server_certificate.der)
    assert f"shows certificate {digits}, which is not in the trust list" in refused.value.message
    assert f"gatewayd trust add {digits[:16]} --storage {tmp_path}" in refused.value.remedy
    assert [(entry.device, entry.certificate.der) for entry in trust_list.rejected()] == [
        ("plant", server_certificate.der)
    ]


async def test_a_rejected_server_is_read_once_a_person_trusts_it(unpinned, trust_list):
    link = unpinned()
    with pytest.raises(DeviceNotTrusted):
        await link.connect()
    (entry,) = trust_list.rejected()
    trust_list.trust(entry.certificate, entry.device)
    await link.connect()
    assert values((await scan(link))[0].payload, 1) == [7.0]
    await link.close()


async def test_a_certificate_that_is_trusted_for_another_device_does_not_count(
    unpinned, trust_list, server_certificate
):
    trust_list.trust(parse_certificate(server_certificate.der), "other")
    with pytest.raises(DeviceNotTrusted, match="not in the trust list"):
        await unpinned().connect()


async def test_an_impostor_that_shows_a_trusted_certificate_without_its_key_gets_no_session(
    start, unpinned, trust_list, server_certificate, other_certificate
):
    trust_list.trust(parse_certificate(server_certificate.der), "plant")
    impostor = start("--certificate", str(server_certificate.der_path), "--key", str(other_certificate.key_path))
    with pytest.raises(DeviceError):
        await unpinned(server=impostor, timeout_ms=1000).connect()


async def test_a_certificate_taken_off_the_list_ends_the_session(unpinned, trust_list, server_certificate):
    trust_list.trust(parse_certificate(server_certificate.der), "plant")
    link = unpinned()
    await link.connect()
    session = link._session
    await link.connect()
    assert link._session is session
    trust_list.forget(trust_list.trusted())
    with pytest.raises(DeviceNotTrusted):
        await link.connect()
    assert not session.is_open


async def test_another_entry_more_or_less_leaves_the_session_alone(
    unpinned, trust_list, server_certificate, other_certificate
):
    trust_list.trust(parse_certificate(server_certificate.der), "plant")
    link = unpinned()
    await link.connect()
    session = link._session
    trust_list.trust(parse_certificate(other_certificate.der), "plant")
    await link.connect()
    assert link._session is session
    await link.close()


async def test_what_is_trusted_is_noted_at_the_first_session_and_at_each_change_only(
    unpinned, trust_list, server_certificate, other_certificate, noted
):
    trust_list.trust(parse_certificate(server_certificate.der), "plant")
    link = unpinned()
    for _ in range(2):
        await link.connect()
        await link.close()
    (first,) = noted
    assert (first.device, first.by) == ("plant", "trust list")
    assert first.server.hex() == fingerprint(server_certificate.der)
    assert first.trusted == trust_list.digest("plant")
    await link.connect()
    trust_list.trust(parse_certificate(other_certificate.der), "plant")
    await link.connect()
    assert [used.trusted for used in noted] == [first.trusted, trust_list.digest("plant")]
    await link.close()


async def test_a_pinned_server_is_noted_as_such(unpinned, server_certificate, noted):
    link = unpinned(server_certificate=str(server_certificate.der_path))
    await link.connect()
    await link.close()
    assert [(used.by, used.trusted) for used in noted] == [("pinned", b"")]


async def test_an_expired_certificate_of_ours_is_said_so_when_the_server_refuses_it(
    start, unpinned, server_certificate, tmp_path
):
    clock = ManualClock()
    own_identity(tmp_path / "identity", "urn:gatewayd", clock.wall_ns())
    clock.jump_wall(21 * YEAR_NS)
    server = start(*server_certificate.options, "--distrust")
    link = unpinned(server=server, clock=clock, server_certificate=str(server_certificate.der_path))
    with pytest.raises(DeviceNotTrusted, match=r"our own certificate expired on 20") as refused:
        await link.connect()
    assert "gatewayd trust renew" in refused.value.remedy


async def test_a_server_that_shows_no_certificate_cannot_be_trusted(unpinned, plant_server):
    with pytest.raises(DeviceNotTrusted, match="shows no certificate"):
        await unpinned(server=plant_server).connect()


async def test_a_server_that_is_away_is_unreachable_not_untrusted(tmp_path):
    link = link_to(device("opc.tcp://127.0.0.1:1/x", **SECURED), [tag("d1")], tmp_path)
    with pytest.raises(DeviceUnreachable):
        await link.connect()


async def test_a_new_certificate_can_be_trusted_before_the_server_gets_it(start, unpinned, trust_list, tmp_path):
    old, new = Certificate(tmp_path, "old"), Certificate(tmp_path, "new")
    for certificate in (old, new):
        trust_list.trust(parse_certificate(certificate.der), "plant")
    server = start(*old.options)
    link = unpinned(server=server)
    await link.connect()
    await link.close()
    server.stop()
    start(*new.options, port=server.port)
    await link.connect()
    assert values((await scan(link))[0].payload, 1) == [7.0]
    await link.close()
