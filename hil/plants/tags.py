"""What the simulated station's two servers offer: registers and nodes, as the PLC programmer's list would say it.

The example site in `config/` describes the same plant from the gateway's side. Neither is generated from the other;
a test compares them.
"""

from __future__ import annotations

from typing import NamedTuple

NAMESPACE = "urn:gatewayd:hil:station"
PLC_UNIT_ID = 1
EXTRA_FIRST = 20_000  # 0-based address of the first extra holding register


class Register(NamedTuple):
    """One value of the PLC. `address` is 0-based; raw = value / scale."""

    tag: str
    register_type: str
    address: int
    type: str = "uint16"
    scale: float = 1.0
    order: str = "ABCD"
    writable: bool = False


class Node(NamedTuple):
    """One variable of the SCADA server; its node id is `nsu=NAMESPACE;s=<tag>`."""

    tag: str
    type: str = "float64"
    writable: bool = False


REGISTERS = (
    Register("pump_1.speed_sp", "holding", 0, scale=0.1, writable=True),
    Register("pump_2.speed_sp", "holding", 1, scale=0.1, writable=True),
    Register("pump_1.speed", "input", 0, scale=0.1),
    Register("pump_2.speed", "input", 1, scale=0.1),
    Register("pump_1.vibration", "input", 2, scale=0.01),
    Register("pump_2.vibration", "input", 3, scale=0.01),
    Register("pump_1.bearing_temp", "input", 4, type="float32"),
    Register("pump_2.bearing_temp", "input", 6, type="float32", order="CDAB"),
    Register("pump_1.current", "input", 20, scale=0.1),
    Register("pump_2.current", "input", 21, scale=0.1),
    Register("pump_1.discharge_pressure", "input", 22, type="int16", scale=0.001),
    Register("pump_2.discharge_pressure", "input", 23, type="int16", scale=0.001),
    Register("pump_1.run_time", "input", 40, type="uint32"),
    Register("pump_2.run_time", "input", 42, type="uint32"),
    Register("pump_1.run", "coil", 0, type="bool", writable=True),
    Register("pump_2.run", "coil", 1, type="bool", writable=True),
    Register("pump_1.running", "discrete", 0, type="bool"),
    Register("pump_2.running", "discrete", 1, type="bool"),
    Register("pump_1.tripped", "discrete", 2, type="bool"),
    Register("pump_2.tripped", "discrete", 3, type="bool"),
    Register("station.remote", "discrete", 4, type="bool"),
)
NODES = (
    Node("tank_1.level"),
    Node("tank_1.inlet_flow"),
    Node("tank_1.outlet_flow"),
    Node("inlet_valve.position_sp", writable=True),
    Node("inlet_valve.position"),
    Node("inlet_valve.local", type="bool"),
    Node("station.rain"),
    Node("station.ambient_temp", type="float32"),
)
TAGS = tuple(register.tag for register in REGISTERS) + tuple(node.tag for node in NODES)
WRITABLE = frozenset(tag.tag for tag in (*REGISTERS, *NODES) if tag.writable)
