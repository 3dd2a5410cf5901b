"""`trust`: what a technician does on site when a server is not trusted. No daemon is needed."""

from __future__ import annotations

import io
import json

import pytest

from gatewayd.device.opcua.trust_list import TrustList
from tests.device.opcua.certificates import SERVER_URI, Certificate

PARTS = ("standing", "device")


@pytest.fixture
def server(tmp_path) -> Certificate:
    return Certificate(tmp_path, "plc")


@pytest.fixture
def trust_list(tmp_path) -> TrustList:
    return TrustList(tmp_path / "storage" / "identity")


@pytest.fixture
def trust(gatewayd, tmp_path):
    """Run `trust` on a storage folder of its own."""

    def call(*arguments: str):
        return gatewayd("trust", *arguments, "--storage", str(tmp_path / "storage"))

    return call


def listed(trust) -> list[tuple[str, str]]:
    return [tuple(each[part] for part in PARTS) for each in json.loads(trust("list", "--json").out)["certificates"]]


def test_before_anything_happened_the_list_says_what_will(trust):
    said = trust("list")
    assert (said.code, listed(trust)) == (0, [])
    assert "makes its own" in said.out


def test_a_rejected_server_is_listed_shown_and_trusted(trust, trust_list, server):
    digits = trust_list.reject("plc_1", server.der)
    assert listed(trust) == [("rejected", "plc_1")]
    shown = trust("show", digits[:8])
    for part in ("CN=plc", SERVER_URI, server.expires.strftime("%Y-%m-%d"), digits[:2].upper() + ":"):
        assert part in shown.out
    said = trust("add", digits[:8], "--yes")
    assert (said.code, listed(trust)) == (0, [("trusted", "plc_1")])
    assert said.out.index("SHA-256") < said.out.index("Trusted")


def test_nobody_to_ask_means_no(trust, trust_list, server):
    digits = trust_list.reject("plc_1", server.der)
    said = trust("add", digits[:8])
    assert said.code == 9
    assert "--yes" in said.err
    assert listed(trust) == [("rejected", "plc_1")]


@pytest.mark.parametrize(("answer", "code", "standing"), [("y\n", 0, "trusted"), ("n\n", 9, "rejected")])
def test_a_person_at_a_terminal_is_asked(trust, trust_list, server, monkeypatch, answer, code, standing):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    digits = trust_list.reject("plc_1", server.der)
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    said = trust("add", digits[:8])
    assert (said.code, listed(trust)) == (code, [(standing, "plc_1")])
    assert "Trust it for plc_1?" in said.out


def test_a_file_needs_to_say_for_which_device(trust, server):
    said = trust("add", str(server.pem_path), "--yes")
    assert said.code == 9
    assert "--device NAME" in said.err
    assert trust("add", str(server.pem_path), "--device", "plc_1", "--yes").code == 0
    assert trust("add", str(server.der_path), "--every-device", "--yes").code == 0
    assert sorted(listed(trust)) == [("trusted", ""), ("trusted", "plc_1")]


def test_a_file_that_is_no_certificate_is_refused(trust, tmp_path):
    (tmp_path / "notes.der").write_text("hello")
    said = trust("add", str(tmp_path / "notes.der"), "--every-device", "--yes")
    assert said.code == 1
    assert "no X.509 certificate" in said.err


def test_json_of_an_addition_names_the_whole_fingerprint(trust, trust_list, server):
    digits = trust_list.reject("plc_1", server.der)
    (added,) = json.loads(trust("add", digits[:8], "--yes", "--json").out)["certificates"]
    assert (added["fingerprint"], added["device"], added["application_uris"]) == (digits, "plc_1", [SERVER_URI])


def test_an_unknown_fingerprint_is_refused(trust):
    said = trust("add", "0123456789", "--yes")
    assert said.code == 9
    assert "trust list" in said.err


def test_a_trusted_certificate_is_removed_for_one_device_or_all(trust, server, trust_list):
    for name in ("plc_1", "plc_2"):
        trust("add", str(server.der_path), "--device", name, "--yes")
    digits = trust_list.trusted()[0].fingerprint
    assert trust("remove", digits[:8], "--device", "plc_1").code == 0
    assert listed(trust) == [("trusted", "plc_2")]
    assert trust("remove", digits[:8], "--device", "plc_9").code == 9
    (removed,) = json.loads(trust("remove", digits[:8], "--json").out)["removed"]
    assert removed["device"] == "plc_2"
    assert listed(trust) == []


def test_our_own_certificate_is_made_shown_with_its_file_and_renewed(trust, tmp_path):
    assert trust("show").code == 9
    assert trust("renew").code == 0
    shown = trust("show")
    assert "urn:gatewayd" in shown.out
    assert str(next((tmp_path / "storage" / "identity").glob("*.der"))) in shown.out
    first = json.loads(trust("show", "--json").out)["certificates"][0]["fingerprint"]
    assert trust("renew").code == 9  # nobody is there to ask
    assert trust("renew", "--yes").code == 0
    assert json.loads(trust("show", "--json").out)["certificates"][0]["fingerprint"] != first


def test_of_several_own_certificates_one_is_named(trust):
    for uri in ("urn:one", "urn:two"):
        assert trust("renew", "--application-uri", uri).code == 0
    said = trust("renew", "--yes")
    assert said.code == 9
    assert "--application-uri" in said.err


@pytest.mark.parametrize("command", ["list", "show", "add", "remove", "renew"])
def test_every_command_has_examples(gatewayd, command):
    assert "Examples:" in gatewayd("trust", command, "--help").out
