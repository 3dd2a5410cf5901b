"""The whole loop against servers that this project did not write: sense, decide, journal, act, sync.

One site: a tank's level on libmodbus moves a valve on node-opcua, over an encrypted and pinned session; a demand on
node-opcua moves a pump on libmodbus.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from asyncua import Client, Node, ua

from gatewayd.cloud.read import read_table
from gatewayd.journal.leaf import decode_leaf
from gatewayd.model.record import Decision
from hil.broker import Broker
from hil.daemon import gatewayd
from tests.device.opcua.certificates import Certificate
from tests.scenarios.foreign_servers import NAMESPACE, Libmodbus, NodeOpcua
from tests.scenarios.rig import Gateway, running, scratch

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(400)]  # npm ci may run first

LEVEL, SPEED = 250, 300  # holding registers; each holds its own address at first
VALVE, DEMAND = "float64.set", "float32.set"

_GATEWAY = """\
[gateway]
name = "example.org/gw/foreign"
settle_s = 0.2
[storage]
path = "{folder}/storage"
[control]
socket = "{folder}/control.sock"
[cloud]
host = "127.0.0.1"
port = {broker}
tls = false
insecure = "accepted-by=test"
"""
_PLC = """\
[device]
name = "plc"
protocol = "modbus-tcp"
host = "127.0.0.1"
port = {port}
max_outstanding = 4
[device.scan_classes.default]
scan_rate_ms = 100
"""
_SCADA = """\
[device]
name = "{name}"
protocol = "opcua"
endpoint = "{endpoint}"
{security}
demote_for_s = 1.0
[device.scan_classes.default]
scan_rate_ms = 100
"""
_PLAIN = 'security = "None"\nmode = "None"\ninsecure = "accepted-by=test"'
_PINNED = """\
security = "Aes256_Sha256_RsaPss"
mode = "SignAndEncrypt"
server_certificate = "{pin}"
certificate = "{own.der_path}"
private_key = "{own.key_path}"
application_uri = "urn:freeopcua:python:server"
"""
_TAGS = {
    "plc": "name,register_type,address,type,scale,units,access\n"
    f"level,holding,{LEVEL},uint16,0.01,m,r\nspeed_sp,holding,{SPEED},uint16,0.1,%,rw\n",
    "plain": f"name,node_id,type,units,access\ndemand,nsu={NAMESPACE};s={DEMAND},float32,m3/h,r\n",
    "pinned": f"name,node_id,type,units,access\nposition_sp,nsu={NAMESPACE};s={VALVE},float64,%,rw\n",
    "impostor": f"name,node_id,type,units,access\nposition_sp,nsu={NAMESPACE};s={VALVE},float64,%,r\n",
}
_TWIN = """\
[asset_type.station.tags.level]
units = "m"
low = 0
high = 10
[asset_type.station.tags.demand]
units = "m3/h"
[asset_type.station.tags.position_sp]
units = "%"
[asset_type.station.tags.speed_sp]
units = "%"
[[asset_type.station.rule]]
id = "tank-high"
when = "level > 3.5"
then = { set = "position_sp", to = "20", slot = 12 }
why = "The overflow is at 4.0 m."
[[asset_type.station.rule]]
id = "demand-high"
when = "demand > 50"
then = { set = "speed_sp", to = "55", slot = 12 }
why = "One pump at 30 % gives 50 m3/h."
[asset.station]
type = "station"
[asset.station.tags]
level = "plc/level"
speed_sp = "plc/speed_sp"
demand = "plain/demand"
position_sp = "pinned/position_sp"
"""
_POINT = """\
[[point]]
tag = "station.{member}"
write_min = 0
write_max = 90
write_step = 90
max_rate = 1000
min_on_s = 0
min_off_s = 0
fail_safe_value = {fail_safe}
readback = "self"
readback_tolerance = 0.05
input_age_max_s = 5
"""


def write_site(folder: Path, plc: Libmodbus, scada: NodeOpcua, broker: int) -> Path:
    site = folder / "site"
    for name in ("devices", "twins", "policies"):
        (site / name).mkdir(parents=True)
    (site / "gateway.toml").write_text(_GATEWAY.format(folder=folder, broker=broker))
    (site / "devices" / "plc.toml").write_text(_PLC.format(port=plc.port))
    own = Certificate(folder, "gateway")
    pins = {"pinned": scada.certificate, "impostor": Certificate(folder, "somebody").der_path}
    for name in ("plain", *pins):
        security = _PINNED.format(pin=pins[name], own=own) if name in pins else _PLAIN
        device = _SCADA.format(name=name, endpoint=scada.endpoint, security=security)
        (site / "devices" / f"{name}.toml").write_text(device)
    for name, rows in _TAGS.items():
        (site / "devices" / f"{name}.tags.csv").write_text(rows)
    (site / "twins" / "station.toml").write_text(_TWIN)
    points = _POINT.format(member="position_sp", fail_safe=10), _POINT.format(member="speed_sp", fail_safe=40)
    (site / "policies" / "points.toml").write_text("".join(points))
    return site


@pytest.fixture(scope="module")
def plc() -> Iterator[Libmodbus]:
    server = Libmodbus()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def scada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeOpcua]:
    server = NodeOpcua(tmp_path_factory.mktemp("node_opcua"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def gateway(plc: Libmodbus, scada: NodeOpcua) -> Iterator[Gateway]:
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        broker = stack.enter_context(Broker(folder))
        stack.enter_context(collector(broker.port, folder / "table"))
        yield stack.enter_context(running(write_site(folder, plc, scada, broker.port))).settled()


@contextmanager
def collector(port: int, table: Path) -> Iterator[None]:
    """The cloud's side, in its own process."""
    command = ["cloud", "collect", "--broker", "127.0.0.1", "--port", str(port), "--table", str(table)]
    process = subprocess.Popen(
        [sys.executable, "-m", "gatewayd", *command, "--insecure", "accepted-by=test"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
async def valve(scada: NodeOpcua) -> AsyncIterator[Node]:
    async for node in _node(scada, VALVE):
        yield node


@pytest.fixture
async def demand(scada: NodeOpcua) -> AsyncIterator[Node]:
    async for node in _node(scada, DEMAND):
        yield node


async def _node(scada: NodeOpcua, name: str) -> AsyncIterator[Node]:
    """A node of the server through another client than the gateway's."""
    async with Client(scada.endpoint, watchdog_intervall=60) as client:
        yield client.get_node(f"ns={await client.get_namespace_index(NAMESPACE)};s={name}")


def is_explained(gateway: Gateway, decision: int, tag: str, value: float) -> bool:
    explanation = gateway.get(f"/v1/decisions/{decision}/explain")
    seen = {sample["tag"]: sample["value"] for sample in explanation["samples"]}
    return explanation["evidence_intact"] and seen[tag] == pytest.approx(value)


def test_the_tags_of_both_protocols_are_good_and_show_what_the_servers_hold(gateway: Gateway) -> None:
    gateway.eventually("not all are Good", lambda: not gateway.not_good("plc", "plain", "pinned"), within=20)
    assert {name: gateway.tag(f"station.{name}")["value"] for name in ("level", "speed_sp", "demand")} == {
        "level": pytest.approx(2.5),
        "speed_sp": pytest.approx(30.0),
        "demand": 1.5,
    }
    assert gateway.tag("station.position_sp")["value"] == pytest.approx(-2.718281828459045)


def test_a_server_with_another_certificate_than_the_pinned_one_gets_nowhere(gateway: Gateway) -> None:
    gateway.eventually("it was tried", lambda: "certificate" in gateway.device("impostor")["last_error"], within=20)
    assert gateway.device("impostor")["scans"] == 0
    assert gateway.tag("impostor/position_sp")["quality"].startswith("Bad_CertificateUntrusted")


async def test_a_level_on_modbus_moves_a_valve_over_an_encrypted_opc_ua_session(
    gateway: Gateway, plc: Libmodbus, valve: Node
) -> None:
    gateway.eventually("not all are Good", lambda: not gateway.not_good("plc", "plain", "pinned"), within=20)
    plc.write(LEVEL, 380)
    decision = gateway.eventually(
        "the valve was not closed", lambda: gateway.written("station.position_sp", 20, rule="tank-high")
    )
    assert await valve.read_value() == 20.0
    assert decision["read_back"] == 20.0
    assert is_explained(gateway, decision["id"], "station.level", 3.8)


async def test_a_demand_on_opc_ua_moves_a_pump_on_modbus(gateway: Gateway, plc: Libmodbus, demand: Node) -> None:
    gateway.eventually("not all are Good", lambda: not gateway.not_good("plc", "plain", "pinned"), within=20)
    await demand.write_value(ua.DataValue(ua.Variant(62.5, ua.VariantType.Float)))
    decision = gateway.eventually(
        "the pump was not sped up", lambda: gateway.written("station.speed_sp", 55, rule="demand-high")
    )
    assert plc.read(SPEED) == 550
    assert plc.writes(SPEED) == 1
    assert is_explained(gateway, decision["id"], "station.demand", 62.5)


def test_the_decisions_reach_the_table_of_the_cloud_once_each(gateway: Gateway) -> None:
    size = gateway.status()["journal"]["size"]
    gateway.eventually("the cloud lags", lambda: gateway.get("/v1/sync")["streams"][0]["acked"] >= size, within=20)
    table = gateway.site.parent / "table"
    checked = json.loads(gatewayd("cloud", "check", "--table", str(table), "--json"))
    assert checked["rows"] >= size
    assert (checked["gaps"], checked["duplicates"]) == (0, 0)
    bodies = [decode_leaf(leaf).body for *_, leaf in read_table(table)]
    arrived = {body.decision_id: body.rule for body in bodies if isinstance(body, Decision) and body.write}
    here = {each["id"]: each["rule"] for each in gateway.decisions() if each["write"]}
    assert arrived == here
    assert len(here) >= 2


async def test_a_clean_stop_sends_both_to_their_fail_safe_values_and_the_journal_verifies(
    gateway: Gateway, plc: Libmodbus, valve: Node
) -> None:
    assert gateway.stop() == 0
    assert (await valve.read_value(), plc.read(SPEED)) == (10.0, 400)
    assert "The journal verifies" in gateway.verified()
