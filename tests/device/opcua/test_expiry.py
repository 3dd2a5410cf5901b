"""Certificates that end are said so in time, and not over and over."""

from __future__ import annotations

import pytest

from gatewayd.device.opcua.certificate import parse_certificate
from gatewayd.device.opcua.expiry import DAY_NS, CertificateWatch, certificate_warnings
from gatewayd.device.opcua.identity import own_identity
from gatewayd.device.opcua.trust_list import TrustList
from tests.clock import ManualClock
from tests.device.opcua.certificates import Certificate
from tests.device.opcua.rig import device

SECURED = {"security": "Aes256_Sha256_RsaPss", "mode": "SignAndEncrypt", "insecure": None}
YEAR_NS = 365 * DAY_NS


@pytest.fixture
def now_ns(tmp_path) -> int:
    """The day of our own certificate's making."""
    certificate = own_identity(tmp_path, "urn:gatewayd", 1_790_000_000_000_000_000).certificate
    return int(certificate.valid_from.timestamp() * 1e9) + DAY_NS


def secured(name="plant", **settings):
    return device("opc.tcp://127.0.0.1:1/x", **{**SECURED, "name": name, **settings})


def test_nothing_is_said_of_certificates_that_last(tmp_path, now_ns):
    assert certificate_warnings([secured()], tmp_path, tmp_path, now_ns) == ()


def test_our_own_is_warned_of_once_for_all_devices_sixty_days_ahead(tmp_path, now_ns):
    devices = [secured("a"), secured("b")]
    end_ns = own_identity(tmp_path, "urn:gatewayd", 0).certificate.expires_ns
    assert certificate_warnings(devices, tmp_path, tmp_path, end_ns - 60 * DAY_NS) == ()
    (warning,) = certificate_warnings(devices, tmp_path, tmp_path, end_ns - 60 * DAY_NS + 1)
    assert "expires in 59 days" in warning.text
    assert "gatewayd trust renew" in warning.remedy


def test_an_expired_one_is_called_expired(tmp_path, now_ns):
    end_ns = own_identity(tmp_path, "urn:gatewayd", 0).certificate.expires_ns
    (warning,) = certificate_warnings([secured()], tmp_path, tmp_path, end_ns)
    assert "expired on 20" in warning.text


def test_a_pinned_servers_end_is_told_with_the_device(tmp_path, now_ns):
    pin = Certificate(tmp_path, "plc", days=30)
    now_ns = int(pin.expires.timestamp()) * 10**9 - 10 * DAY_NS
    (warning,) = certificate_warnings([secured(server_certificate="plc.der")], tmp_path, tmp_path, now_ns)
    assert warning.text.startswith("device plant: the server's certificate expires in 10 days")


def test_of_the_trusted_ones_that_which_lasts_longest_counts(tmp_path, now_ns):
    """The old one may stay in the list for a while after its successor was added."""
    trust_list = TrustList(tmp_path)
    short, long = Certificate(tmp_path, "short", days=30), Certificate(tmp_path, "long", days=3650)
    now_ns = int(short.expires.timestamp()) * 10**9 - DAY_NS
    trust_list.trust(parse_certificate(short.der), "plant")
    assert len(certificate_warnings([secured()], tmp_path, tmp_path, now_ns)) == 1
    trust_list.trust(parse_certificate(long.der), "plant")
    assert certificate_warnings([secured()], tmp_path, tmp_path, now_ns) == ()


def test_a_user_certificate_is_watched_too(tmp_path, now_ns):
    Certificate(tmp_path, "user", expired=True)
    configured = secured(user_certificate="user.der", user_private_key="user.key.pem")
    now_ns = int(Certificate(tmp_path, "clock").expires.timestamp()) * 10**9
    (warning,) = certificate_warnings([configured], tmp_path, tmp_path, now_ns)
    assert "user certificate user.der expired" in warning.text


def test_a_brought_certificate_is_checked_for_what_servers_ask(tmp_path, now_ns):
    mine = Certificate(tmp_path, "mine", days=3650, uri="urn:acme:gateway", usage=("digital_signature",))
    assert mine.expires
    configured = secured(certificate="mine.der", private_key="mine.key.pem")
    weak, other_uri = certificate_warnings([configured], tmp_path, tmp_path, now_ns)
    assert "lacks the key usage" in weak.text
    assert "urn:acme:gateway" in other_uri.text
    assert 'application_uri = "urn:acme:gateway"' in other_uri.remedy


def test_a_file_that_is_gone_is_a_warning_not_a_crash(tmp_path, now_ns):
    (warning,) = certificate_warnings([secured(server_certificate="gone.der")], tmp_path, tmp_path, now_ns)
    assert "cannot read" in warning.text


def test_devices_without_security_have_no_certificates(tmp_path, now_ns):
    plain = device("opc.tcp://127.0.0.1:1/x")
    assert certificate_warnings([plain], tmp_path / "never", tmp_path / "never", now_ns) == ()
    assert not (tmp_path / "never").exists()


async def test_a_warning_stands_in_the_status_and_is_logged_once_a_day(tmp_path, now_ns):
    end_ns = own_identity(tmp_path, "urn:gatewayd", 0).certificate.expires_ns
    clock = ManualClock(end_ns - 30 * DAY_NS)
    shown, told = [], []
    watch = CertificateWatch([secured()], tmp_path, tmp_path, clock=clock, show=shown.append, tell=told.append)
    for _ in range(3):
        await watch.look()
        await clock.advance(DAY_NS // 4)
    assert [len(each) for each in shown] == [1, 1, 1]
    assert len(told) == 1
    await clock.advance(DAY_NS)
    await watch.look()
    assert len(told) == 2
