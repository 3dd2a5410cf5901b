"""The trust list as files: who is trusted for what, and what is bounded (P-BOUND)."""

from __future__ import annotations

import hashlib
import os
import stat

import pytest

from gatewayd.device.opcua import trust_list as module
from gatewayd.device.opcua.certificate import parse_certificate
from gatewayd.device.opcua.trust_list import REJECTED_PER_DEVICE_MAX, TrustList, matching
from gatewayd.errors import RequestRefused
from tests.device.opcua.certificates import Certificate


@pytest.fixture(scope="module")
def several(tmp_path_factory) -> list[Certificate]:
    folder = tmp_path_factory.mktemp("several")
    return [Certificate(folder, f"plc_{number}") for number in range(6)]


@pytest.fixture
def trust_list(tmp_path) -> TrustList:
    return TrustList(tmp_path / "identity")


def test_an_empty_list_trusts_nobody(trust_list):
    assert trust_list.trusted("plc") == ()
    assert trust_list.rejected() == ()


def test_a_rejected_certificate_moves_to_the_trusted_of_its_device_alone(trust_list, several):
    trust_list.reject("plc", several[0].der)
    (entry,) = trust_list.rejected()
    trust_list.trust(entry.certificate, entry.device)
    assert [each.certificate.der for each in trust_list.trusted("plc")] == [several[0].der]
    assert trust_list.trusted("other") == ()
    assert trust_list.rejected() == ()


def test_a_certificate_may_be_trusted_for_every_device(trust_list, several):
    trust_list.trust(parse_certificate(several[0].der), "")
    assert len(trust_list.trusted("plc")) == len(trust_list.trusted("other")) == 1


def test_a_file_put_there_by_hand_counts_for_every_device(trust_list, several):
    folder = trust_list.folder / "trusted"
    folder.mkdir(parents=True)
    (folder / "from the integrator.crt").write_bytes(several[0].pem_path.read_bytes())
    assert [entry.device for entry in trust_list.trusted("plc")] == [""]


def test_what_is_not_the_certificate_its_name_says_is_passed_over(trust_list, several):
    trust_list.trust(parse_certificate(several[0].der), "plc")
    (path,) = (trust_list.folder / "trusted").iterdir()
    path.write_bytes(several[1].der)
    (path.parent / "junk.der").write_bytes(b"junk")
    (path.parent / "notes.txt").write_bytes(several[1].der)
    assert trust_list.trusted("plc") == ()


def test_a_server_that_shows_ever_new_certificates_pushes_out_its_own_only(trust_list, several):
    trust_list.reject("quiet", several[0].der)
    for certificate in several:
        trust_list.reject("loud", certificate.der)
    kept = [entry.device for entry in trust_list.rejected()]
    assert kept.count("loud") == REJECTED_PER_DEVICE_MAX
    assert kept.count("quiet") == 1
    newest = {entry.certificate.der for entry in trust_list.rejected() if entry.device == "loud"}
    assert several[-1].der in newest


def test_what_a_server_shows_again_is_not_written_again(trust_list, several):
    """A server that is refused is tried every few seconds for months; flash would wear out."""
    trust_list.reject("plc", several[0].der)
    (path,) = (trust_list.folder / "rejected").iterdir()
    before = path.stat()
    trust_list.reject("plc", several[0].der)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_all_rejected_together_are_bounded(trust_list, several, monkeypatch):
    monkeypatch.setattr(module, "REJECTED_MAX", 8)
    for number in range(12):
        trust_list.reject(f"plc_{number}", several[0].der)
    assert len(list((trust_list.folder / "rejected").iterdir())) == 8


def test_a_full_list_takes_no_more(trust_list, several, monkeypatch):
    monkeypatch.setattr(module, "TRUSTED_MAX", 2)
    for certificate in several[:2]:
        trust_list.trust(parse_certificate(certificate.der), "plc")
    with pytest.raises(RequestRefused, match="limit"):
        trust_list.trust(parse_certificate(several[2].der), "plc")


def test_a_change_is_seen_by_its_version_and_its_digest(trust_list, several):
    version, digest = trust_list.version, trust_list.digest("plc")
    trust_list.reject("plc", several[0].der)
    assert (trust_list.version, trust_list.digest("plc")) == (version, digest)
    trust_list.trust(parse_certificate(several[0].der), "plc")
    assert trust_list.version != version
    assert trust_list.digest("plc") != digest
    trust_list.forget(trust_list.trusted())
    assert trust_list.digest("plc") == digest


def test_only_the_owner_reads_the_folder(trust_list, several):
    trust_list.reject("plc", several[0].der)
    assert stat.S_IMODE(os.stat(trust_list.folder).st_mode) == 0o700


def test_a_fingerprint_is_found_by_its_beginning_however_a_tool_prints_it(trust_list, several):
    trust_list.reject("plc", several[0].der)
    digits = trust_list.rejected()[0].fingerprint
    for written in (digits, digits[:8].upper(), ":".join(digits[at : at + 2] for at in range(0, 12, 2))):
        assert matching(trust_list.rejected(), written) == trust_list.rejected()


@pytest.mark.parametrize("wanted", ["", "ab", "xyz1", "0" * 65, "../../x"])
def test_what_is_no_beginning_of_a_fingerprint_is_refused(trust_list, wanted):
    with pytest.raises(RequestRefused, match="neither a file"):
        matching(trust_list.rejected(), wanted)


def test_a_beginning_that_two_certificates_share_is_refused(trust_list, several, monkeypatch):
    def alike(der: bytes) -> str:
        return f"abcdef{hashlib.sha256(der).hexdigest()[6:]}"

    monkeypatch.setattr("gatewayd.device.opcua.certificate.fingerprint", alike)
    monkeypatch.setattr(module, "fingerprint", alike)
    for certificate in several[:2]:
        trust_list.reject("plc", certificate.der)
    with pytest.raises(RequestRefused, match="abcdef is the beginning of 2 fingerprints"):
        matching(trust_list.rejected(), "ABCDEF")
    assert len(matching(trust_list.rejected(), alike(several[0].der))) == 1


def test_a_fingerprint_of_none_says_how_one_arrives(trust_list):
    with pytest.raises(RequestRefused) as refused:
        matching(trust_list.rejected(), "abcdef")
    assert "next connect" in refused.value.remedy
