"""Certificates as files: what is read of them, and what is no certificate."""

from __future__ import annotations

import pytest

from gatewayd.device.opcua.certificate import (
    CERTIFICATE_BYTES_MAX,
    fingerprint,
    first_certificate,
    parse_certificate,
    read_certificate,
    read_key_pair,
    weaknesses,
)
from gatewayd.errors import DeviceNotTrusted
from tests.device.opcua.certificates import SERVER_URI, Certificate


def test_what_a_person_compares_is_read_alike_from_der_and_pem(server_certificate):
    read = parse_certificate(server_certificate.der_path.read_bytes())
    assert read == parse_certificate(server_certificate.pem_path.read_bytes())
    assert (read.subject, read.application_uris, read.hosts) == ("CN=plc", (SERVER_URI,), ("localhost",))
    assert (read.fingerprint, read.expires) == (fingerprint(server_certificate.der), server_certificate.expires)


def test_the_first_certificate_of_a_chain_is_the_servers(server_certificate, other_certificate):
    assert first_certificate(server_certificate.der + other_certificate.der) == server_certificate.der
    assert first_certificate(b"") == b""
    assert first_certificate(b"0\x03abc") == b"0\x03abc"


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                bytes(CERTIFICATE_BYTES_MAX + 1)],
)  # fmt: skip
def test_a_file_that_is_no_certificate_is_named(tmp_path, content):
    path = tmp_path / "pin.der"
    path.write_bytes(content)
    with pytest.raises(DeviceNotTrusted, match=r"pin\.der"):
        read_certificate("plant", path)


def test_a_key_of_another_certificate_makes_no_pair(server_certificate, other_certificate):
    pair = read_key_pair("plant", server_certificate.der_path, server_certificate.key_path)
    assert pair.certificate.der == server_certificate.der
    with pytest.raises(DeviceNotTrusted, match="is not the key of"):
        read_key_pair("plant", server_certificate.der_path, other_certificate.key_path)


def test_a_certificate_that_servers_may_refuse_says_why(tmp_path, server_certificate):
    assert list(weaknesses(parse_certificate(server_certificate.der))) == []
    poor = Certificate(tmp_path, "poor", uri="", usage=("digital_signature",))
    said = " ".join(weaknesses(parse_certificate(poor.der)))
    assert "0 application URIs" in said
    assert "key_encipherment" in said
