"""Node-RED, headless, with block reads: one message with one array per block, published as one JSON array."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hil.bench.load import REGISTERS_PER_REQUEST, node_name
from hil.bench.peers.install import node_red
from hil.bench.peers.peer import Peer, Task
from hil.ports import free_port

NODES_PER_BLOCK = 1000
FLOW = "flow"
_SETTINGS = """\
module.exports = {
    uiHost: "127.0.0.1",
    uiPort: %d,
    httpAdminRoot: false,
    httpNodeRoot: false,
    telemetry: { enabled: false, updateNotification: false },
    credentialSecret: false,
    logging: { console: { level: "warn", metrics: false, audit: false } },
};
"""
_STORE = """\
const messages = [];
for (let number = %d; number < %d; number++) messages.push({ topic: `ns=%d;s=d${number}` });
return [messages];
"""
_VALUES = """\
return { topic: "bench/%s", payload: msg.payload.map((read) => read.value.value) };
"""


def make(folder: Path, task: Task, *, is_queued: bool = True) -> Peer:
    """Write its flow.

    Args:
        folder: where it runs.
        task: what it is to do.
        is_queued: Modbus requests go through contrib-modbus' own queue, which is its default; else straight to the socket.

    Raises:
        BenchError: it cannot be installed.
    """
    node, installed = node_red()
    folder.mkdir(parents=True, exist_ok=True)
    flow = _modbus(task, is_queued) if task.protocol == "modbus" else _opcua(task)
    flows = folder / f"{task.protocol}.json"
    flows.write_text(json.dumps([{"id": FLOW, "type": "tab", "label": "bench"}, *_broker(task), *flow], indent=1))
    settings = folder / "settings.js"
    settings.write_text(_SETTINGS % free_port())
    how = (
        f"one modbus-read per {REGISTERS_PER_REQUEST} registers, one modbus-client per server, "
        f"bufferCommands {'on, commandDelay 1 ms (defaults)' if is_queued else 'off'}"
        if task.protocol == "modbus"
        else f"one OpcUa-Client per {NODES_PER_BLOCK} nodes, action readmultiple with payload ALL, one message per block"
    )
    script = installed / "node_modules" / "node-red" / "red.js"
    paths = ("-u", str(installed.resolve()), "-s", str(settings.resolve()), str(flows.resolve()))
    return Peer(
        name="nodered",
        command=(node.node, str(script.resolve()), *paths),
        folder=folder,
        environment={"NODE_ENV": "production"},
        settings=f"Node-RED 4.1.15, contrib-modbus 5.23.3, contrib-opcua 0.2.354; {how}; 1 s; one JSON array per block "
        "to an MQTT broker, qos 0; editor, http and status off",
    )


def _broker(task: Task) -> list[dict[str, Any]]:
    link = {
        "id": "broker",
        "type": "mqtt-broker",
        "broker": "127.0.0.1",
        "port": str(task.broker),
        "clientid": "bench-nodered",
        "autoConnect": True,
        "usetls": False,
        "protocolVersion": "5",
        "keepalive": "60",
        "cleansession": True,
    }
    return [link, _node("publish", "mqtt out", topic="", qos="0", retain="false", broker="broker", wires=[])]


def _node(name: str, kind: str, **settings: Any) -> dict[str, Any]:
    return {"id": name, "type": kind, "z": FLOW, "name": name, "x": 100, "y": 100, **settings}


def _modbus(task: Task, is_queued: bool) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []
    for number, port in enumerate(task.ports):
        nodes.append(
            {
                "id": f"plc{number}",
                "type": "modbus-client",
                "name": f"port {port}",  # never an id: Node-RED would take it for a reference
                "clienttype": "tcp",
                "bufferCommands": is_queued,
                "stateLogEnabled": False,
                "queueLogEnabled": False,
                "failureLogEnabled": True,
                "tcpHost": "127.0.0.1",
                "tcpPort": str(port),
                "tcpType": "DEFAULT",
                "unit_id": "1",
                "commandDelay": "1",
                "clientTimeout": "5000",
                "reconnectOnTimeout": True,
                "reconnectTimeout": "2000",
                "parallelUnitIdsAllowed": True,
            }
        )
        for first in range(0, task.tags, REGISTERS_PER_REQUEST):
            block = f"{number}_{first}"
            nodes.append(
                _node(
                    f"read_{block}",
                    "modbus-read",
                    topic=f"bench/{block}",
                    showStatusActivities=False,
                    logIOActivities=False,
                    showErrors=False,
                    unitid="1",
                    dataType="HoldingRegister",
                    adr=str(first),
                    quantity=str(min(REGISTERS_PER_REQUEST, task.tags - first)),
                    rate="1",
                    rateUnit="s",
                    server=f"plc{number}",
                    emptyMsgOnFail=False,
                    wires=[["publish"], []],
                )
            )
    return nodes


def _opcua(task: Task) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []
    for server, port in enumerate(task.ports):
        endpoint = {"id": f"endpoint{server}", "type": "OpcUa-Endpoint", "endpoint": f"opc.tcp://127.0.0.1:{port}"}
        nodes.append({**endpoint, "secpol": "None", "secmode": "None", "none": True, "login": False})
        for first in range(0, task.tags, NODES_PER_BLOCK):
            nodes += _opcua_block(task, server, first)
    return nodes


def _opcua_block(task: Task, server: int, first: int) -> list[dict[str, Any]]:
    """Store the block's node ids once, then read them all every second."""
    block = f"{server}_{first}"
    names = _STORE % (first, min(first + NODES_PER_BLOCK, task.tags), task.namespace)
    assert node_name(1) == "d1"
    once = {"once": True, "repeat": "", "onceDelay": "5"}
    again = {"once": True, "repeat": "1", "onceDelay": "10"}
    return [
        _node(f"start_{block}", "inject", props=[], **once, wires=[[f"items_{block}"]]),
        _node(f"items_{block}", "function", func=names, outputs=1, wires=[[f"client_{block}"]]),
        _node(
            f"tick_{block}",
            "inject",
            props=[{"p": "topic", "vt": "str"}, {"p": "payload"}],
            topic="readmultiple",
            payload="ALL",
            payloadType="str",
            **again,
            wires=[[f"client_{block}"]],
        ),
        _node(
            f"client_{block}",
            "OpcUa-Client",
            endpoint=f"endpoint{server}",
            action="readmultiple",
            time="10",
            timeUnit="s",
            certificate="n",
            securitymode="None",
            securitypolicy="None",
            wires=[[f"values_{block}"], [], []],
        ),
        _node(f"values_{block}", "function", func=_VALUES % block, outputs=1, wires=[["publish"]]),
    ]
