"""`device scan opc.tcp://...` against a server with a certificate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.device.opcua.conftest import Certificate, ServerProcess


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("server"), "plc")


@pytest.fixture(scope="module")
def server(certificate: Certificate) -> Iterator[ServerProcess]:
    running = ServerProcess(*certificate.options)
    yield running
    running.stop()


def test_a_person_sees_policies_and_the_fingerprint_to_compare(gatewayd, server, certificate, tmp_path: Path):
    saved = tmp_path / "server.der"
    said = gatewayd("device", "scan", server.endpoint, "--save-certificate", str(saved))
    assert (said.code, said.err) == (0, "")
    assert hashlib.sha256(certificate.der).hexdigest() in said.out
    assert ["Aes256_Sha256_RsaPss", "SignAndEncrypt"] in [line.split()[:2] for line in said.out.splitlines()]
    assert "Compare the fingerprint" in said.out or "compare the fingerprint" in said.out
    assert saved.read_bytes() == certificate.der


def test_programs_get_json(gatewayd, server, certificate):
    found = json.loads(gatewayd("device", "scan", server.endpoint, "--json").out)
    assert found["certificates"][0]["der"] == certificate.der.hex()
    assert {each["policy"] for each in found["endpoints"]} >= {"None", "Basic256Sha256"}


def test_a_certificate_that_cannot_be_saved_is_told(gatewayd, server, tmp_path):
    said = gatewayd("device", "scan", server.endpoint, "--save-certificate", str(tmp_path / "no" / "such"))
    assert said.code == 1
    assert "cannot be written" in said.err
