"""A technician commissions a secured server that nobody trusts yet, and later the server gets a new certificate (P-AUTH,
P-ISOLATE): the real daemon, node-opcua secured and unpinned, and beside it a pinned server that must not notice any of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gatewayd.model.record import TrustUsed
from hil.daemon import gatewayd
from tests.device.opcua.certificates import Certificate
from tests.device.opcua.conftest import ServerProcess
from tests.scenarios.foreign_servers import NAMESPACE, NodeOpcua
from tests.scenarios.rig import Gateway, running, scratch

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(400)]  # npm ci may run first

_GATEWAY = """\
[gateway]
name = "example.org/gw/trust"
settle_s = 0.2
[storage]
path = "{folder}/storage"
[control]
socket = "{folder}/control.sock"
"""
_DEVICE = """\
[device]
name = "{name}"
protocol = "opcua"
endpoint = "{endpoint}"
{security}
demote_for_s = 0.5
[device.scan_classes.default]
scan_rate_ms = 200
"""
_PINNED = 'server_certificate = "{path}"'
_TAGS = f"name,node_id,element,type\nlevel,nsu={NAMESPACE};s=d42,,float64\nsecond,nsu={NAMESPACE};s=array,1,float64\n"


class Station:
    """One site of two servers; `scada` is secured and may be replaced by one with another certificate."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self.scada = self._scada("first")
        pin = Certificate(folder, "beside", days=30)
        neighbour = ServerProcess(*pin.options)
        stack.callback(neighbour.stop)
        site = folder / "site"
        (site / "devices").mkdir(parents=True)
        (site / "gateway.toml").write_text(_GATEWAY.format(folder=folder))
        for name, endpoint, security in (
            ("scada", self.scada.endpoint, ""),
            ("beside", neighbour.endpoint, _PINNED.format(path=pin.der_path)),
        ):
            device = _DEVICE.format(name=name, endpoint=endpoint, security=security)
            (site / "devices" / f"{name}.toml").write_text(device)
            (site / "devices" / f"{name}.tags.csv").write_text(_TAGS)
        self.gateway: Gateway = stack.enter_context(running(site))

    def _scada(self, name: str, port: int = 0) -> NodeOpcua:
        (self.folder / name).mkdir()
        server = NodeOpcua(self.folder / name, port)
        self._stack.callback(server.stop)
        return server

    def change_certificate(self) -> None:
        self.scada.stop()
        self.scada = self._scada("second", self.scada.port)

    def trust(self, *arguments: str) -> Any:
        return json.loads(gatewayd("trust", *arguments, "--storage", str(self.folder / "storage"), "--json"))

    def rejected(self) -> str:
        """The fingerprint of the one certificate that waits for a person."""
        found = [each for each in self.trust("list")["certificates"] if each["standing"] == "rejected"]
        assert [each["device"] for each in found] == ["scada"]
        return str(found[0]["fingerprint"])

    def is_untrusted(self) -> bool:
        return self.gateway.tag("scada/level")["quality"] == "Bad_CertificateUntrusted"

    def is_read(self) -> bool:
        return not self.gateway.not_good("scada")


@pytest.fixture(scope="module")
def station() -> Iterator[Station]:
    with scratch() as folder, ExitStack() as stack:
        yield Station(folder, stack)


def test_a_server_that_nobody_trusts_gives_bad_tags_and_the_command_to_trust_it(station: Station) -> None:
    station.gateway.eventually("it was not refused", station.is_untrusted, within=20)
    device = station.gateway.device("scada")
    assert device["scans"] == 0
    assert f"shows certificate {station.rejected()}" in device["last_error"]
    station.gateway.eventually("the other is not read", lambda: not station.gateway.not_good("beside"))


def test_once_trusted_it_is_read_without_a_restart(station: Station) -> None:
    station.trust("add", station.rejected()[:16], "--yes")
    station.gateway.eventually("it is not read", station.is_read, within=20)
    assert [station.gateway.tag(f"scada/{name}")["value"] for name in ("level", "second")] == [42.0, 2.0]


def test_a_new_certificate_turns_its_own_tags_bad_and_no_others(station: Station) -> None:
    neighbours = station.gateway.device("beside")["scans"]
    station.change_certificate()
    station.gateway.eventually("the new certificate was taken", station.is_untrusted, within=20)
    station.gateway.throughout(1.0, "the other suffers", lambda: not station.gateway.not_good("beside"))
    assert station.gateway.device("beside")["scans"] > neighbours
    trusted = [each for each in station.trust("list")["certificates"] if each["standing"] == "trusted"]
    assert station.rejected() not in {each["fingerprint"] for each in trusted}


def test_it_recovers_by_itself_once_the_new_certificate_is_trusted(station: Station) -> None:
    station.trust("add", station.rejected()[:16], "--yes")
    station.gateway.eventually("it did not recover", station.is_read, within=20)


def test_a_certificate_that_ends_soon_is_a_warning_in_the_status_and_in_the_log_once(station: Station) -> None:
    ending = "device beside: the server's certificate expires in 29 days"
    assert [text for text in station.gateway.status()["warnings"] if text.startswith(ending)]
    assert station.gateway.log.count("certificate_ending") == 1


def test_trust_that_is_withdrawn_ends_the_session(station: Station) -> None:
    newest = [record.body for record in station.gateway.records(TrustUsed)][-1]
    assert (newest.device, newest.by) == ("scada", "trust list")
    station.trust("remove", newest.server.hex())
    station.gateway.eventually("the session goes on", station.is_untrusted, within=20)


def test_every_change_of_trust_is_in_the_journal(station: Station) -> None:
    everything = [record.body for record in station.gateway.records(TrustUsed)]
    assert [body.by for body in everything if body.device == "beside"] == ["pinned"]
    used = [body for body in everything if body.device == "scada"]
    assert [body.by for body in used] == ["trust list"] * 2
    assert used[0].server != used[1].server
    assert used[0].trusted != used[1].trusted
    assert len({body.identity for body in used}) == 1
    station.gateway.stop()
    assert "The journal verifies" in station.gateway.verified()
