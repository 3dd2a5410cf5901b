"""Whom the OPC UA link trusts, shown with real servers; and who it says it is."""

from __future__ import annotations

import pytest

from gatewayd.device.opcua.certificate import fingerprint
from gatewayd.errors import DeviceError, DeviceNotTrusted
from tests.device.opcua.certificates import Certificate
from tests.device.opcua.rig import device, link_to, scan, tag, values

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
        (policy, mode)
        for policy in ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
        for mode in ("Sign", "SignAndEncrypt")
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
    (kept,) = (tmp_path / "identity" / "rejected").iterdir()
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


async def test_an_expired_pin_still_connects(start, secured, other_certificate):
    """It is this very certificate that a person pinned; the watch over certificates warned long before."""
    server = start(*other_certificate.options)
    link = secured(server=server, server_certificate=str(other_certificate.der_path))
    await link.connect()
    await link.close()


async def test_a_server_that_does_not_trust_us_is_told_apart_with_our_certificates_path(
    start, secured, server_certificate, tmp_path
):
    server = start(*server_certificate.options, "--distrust")
    with pytest.raises(DeviceNotTrusted, match="does show the trusted certificate") as refused:
        await secured(server=server).connect()
    (ours,) = (tmp_path / "identity").glob("opcua-*.der")
    assert str(ours) in refused.value.remedy


async def test_a_policy_that_the_server_lacks_is_no_reason_to_fall_back(start, secured, server_certificate):
    server = start(*server_certificate.options, "--policy", "Aes256Sha256RsaPss")
    with pytest.raises(DeviceNotTrusted, match="does not offer Aes128_Sha256_RsaOaep") as refused:
        await secured(server=server, security="Aes128_Sha256_RsaOaep", timeout_ms=1000).connect()
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
        ({"mode": "None"}, "contradicts"),
        ({"server_certificate": "no-such-file.der"}, "cannot read"),
        ({"certificate": "mine.der"}, "only one of"),
        ({"user": "operator", "password_file": "no-such-file"}, "cannot read"),
        ({"user_certificate": "user.der"}, "only one of user_certificate"),
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


async def test_a_user_certificate_and_its_key_open_a_session_and_another_pair_does_not(
    start, secured, server_certificate, other_certificate, tmp_path
):
    holder = Certificate(tmp_path, "holder")
    server = start(*server_certificate.options, "--user-certificate", str(holder.der_path))
    link = secured(server=server, user_certificate="holder.der", user_private_key="holder.key.pem")
    await link.connect()
    assert values((await scan(link))[0].payload, 1) == [7.0]
    await link.close()
    with pytest.raises(DeviceNotTrusted, match=r"UserAccessDenied|IdentityToken"):
        await secured(
            server=server,
            user_certificate=str(other_certificate.der_path),
            user_private_key=str(other_certificate.key_path),
        ).connect()
    with pytest.raises(DeviceNotTrusted, match=r"UserAccessDenied|IdentityToken"):
        await secured(server=server).connect()


async def test_a_user_certificate_never_travels_without_security(plant_server, tmp_path):
    link = link_to(device(plant_server.endpoint, user_certificate="a", user_private_key="b"), [tag("d1")], tmp_path)
    with pytest.raises(DeviceNotTrusted, match="user certificate would be sent"):
        await link.connect()


async def test_we_call_ourselves_what_our_own_certificate_says(secured, tmp_path):
    """A server compares the application URI of the session with the certificate's, and refuses a difference."""
    Certificate(tmp_path, "mine", uri="urn:acme:gateway-7")
    link = secured(certificate="mine.der", private_key="mine.key.pem", application_uri="urn:something:else")
    await link.connect()
    assert link._session._client.application_uri == "urn:acme:gateway-7"
    await link.close()
