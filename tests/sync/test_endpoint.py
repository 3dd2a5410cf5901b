"""How the connection to the broker is protected (P-AUTH: defaults are closed)."""

from __future__ import annotations

import ssl

import pytest

from gatewayd.errors import ConfigError
from gatewayd.model.config import Cloud
from gatewayd.sync.endpoint import endpoint_of
from tests.sync.certificates import write_certificates


@pytest.mark.parametrize("insecure", [None, "", "yes", "accepted-by=", "accepted-by= "])
def test_plain_mqtt_needs_somebodys_name(insecure):
    with pytest.raises(ConfigError) as refusal:
        endpoint_of(Cloud(host="broker", tls=False, insecure=insecure))
    assert "accepted-by=NAME" in refusal.value.remedy


def test_accepted_plain_mqtt_has_no_tls():
    assert endpoint_of(Cloud(host="broker", port=1883, tls=False, insecure="accepted-by=ana")).tls is None


def test_tls_is_1_3_with_host_name_and_certificate_checked(tmp_path):
    write_certificates(tmp_path)
    context = endpoint_of(
        Cloud(
            host="broker",
            ca_file=str(tmp_path / "ca.pem"),
            certificate_file=str(tmp_path / "client.pem"),
            key_file=str(tmp_path / "client.key"),
        )
    ).tls
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_missing_file_is_named_with_a_remedy(tmp_path):
    missing = str(tmp_path / "nowhere.pem")
    with pytest.raises(ConfigError, match=r"nowhere\.pem"):
        endpoint_of(Cloud(host="broker", ca_file=missing))
