"""thingsboard-gateway set up for large scans: address ranges as its documentation shows them, no rate limits, bigger packs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hil.bench.load import REGISTERS_PER_REQUEST, node_name
from hil.bench.peers.install import thingsboard
from hil.bench.peers.peer import Peer, Task

NO_LIMIT = "0:0,"
PAYLOAD_BYTES_MAX = 65_000
_LOGS: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain", "level": "ERROR"}},
    "root": {"handlers": ["console"], "level": "ERROR"},  # pymodbus warns at each value decoded
}
_GATEWAY: dict[str, Any] = {
    "host": "127.0.0.1",
    "remoteShell": False,
    "remoteConfiguration": False,
    "statistics": {"enable": False},
    "maxPayloadSizeBytes": PAYLOAD_BYTES_MAX,
    "minPackSendDelayMS": 50,
    "minPackSizeToSend": 500,
    "checkConnectorsConfigurationInSeconds": 3600,
    "security": {"type": "accessToken", "accessToken": "bench"},
    "qos": 1,
    "reportStrategy": {"type": "ON_RECEIVED"},
    **dict.fromkeys(("rateLimits", "dpRateLimits", "messagesRateLimits"), NO_LIMIT),
    **dict.fromkeys(("deviceMessagesRateLimits", "deviceRateLimits", "deviceDpRateLimits"), NO_LIMIT),
}
_STORAGE = {"type": "memory", "read_records_count": 1000, "max_records_count": 100_000}


def make(folder: Path, task: Task) -> Peer:
    """Write its configuration.

    Raises:
        BenchError: it cannot be installed.
    """
    python = thingsboard()
    configuration = folder / "config"
    configuration.mkdir(parents=True, exist_ok=True)
    connectors = []
    for number, port in enumerate(task.ports):
        settings = _modbus(number, port, task) if task.protocol == "modbus" else _opcua(number, port, task)
        file = f"{task.protocol}{number}.json"
        (configuration / file).write_text(json.dumps(settings))
        connectors.append({"type": task.protocol, "name": f"{task.protocol}{number}", "configuration": file})
    gateway = {
        "thingsboard": {**_GATEWAY, "port": task.broker},
        "storage": _STORAGE,
        "grpc": {"enabled": False},
        "connectors": connectors,
    }
    (configuration / "tb_gateway.json").write_text(json.dumps(gateway))
    (configuration / "logs.json").write_text(json.dumps(_LOGS))
    (folder / "logs").mkdir(exist_ok=True)
    how = (
        f"wide address ranges, maxRegistersPerRequest {REGISTERS_PER_REQUEST}"
        if task.protocol == "modbus"
        else "polling, enableSubscriptions false, node ids as identifiers"
    )
    return Peer(
        name="thingsboard",
        command=(str(python), "-c", "from thingsboard_gateway.tb_gateway import main; main()"),
        folder=folder,
        environment={"TB_GW_CONFIG_DIR": f"{configuration.resolve()}/"},
        settings=f"thingsboard-gateway 3.8.5, pymodbus 3.9.2, asyncua 1.1.5; one connector per 10,000 tags at most; {how}; "
        f"1 s; memory storage; qos 1; no rate limits; maxPayloadSizeBytes {PAYLOAD_BYTES_MAX}; minPackSizeToSend 500; "
        "remote configuration, statistics and logs below ERROR off; telemetry counted at an MQTT broker",
    )


def _modbus(number: int, port: int, task: Task) -> dict[str, Any]:
    readings = {
        "tag": "v${address}",
        "type": "16uint",
        "functionCode": 3,
        "objectsCount": 1,
        "address": f"0-{task.tags - 1}",
        "maxRegistersPerRequest": REGISTERS_PER_REQUEST,
    }
    slave = {
        "host": "127.0.0.1",
        "port": port,
        "type": "tcp",
        "method": "socket",
        "unitId": 1,
        "deviceName": f"plc{number}",
        "deviceType": "default",
        "timeout": 5,
        "byteOrder": "BIG",
        "wordOrder": "BIG",
        "pollPeriod": 1000,
        "attributes": [],
        "timeseries": [readings],
        "attributeUpdates": [],
        "rpc": [],
    }
    return {"master": {"slaves": [slave]}, "logLevel": "ERROR", "name": f"modbus{number}"}


def _opcua(number: int, port: int, task: Task) -> dict[str, Any]:
    names = [node_name(place) for place in range(task.tags)]
    readings = [{"key": name, "type": "identifier", "value": f"${{ns={task.namespace};s={name}}}"} for name in names]
    return {
        "server": {
            "url": f"opc.tcp://127.0.0.1:{port}",
            "timeoutInMillis": 20_000,
            "scanPeriodInMillis": 3_600_000,
            "pollPeriodInMillis": 1000,
            "enableSubscriptions": False,
            "showMap": False,
            "identity": {"type": "anonymous"},
        },
        "mapping": [
            {
                "deviceNodeSource": "path",
                "deviceNodePattern": "Root\\.Objects\\.plant",
                "deviceInfo": {
                    "deviceNameExpression": f"plc{number}",
                    "deviceNameExpressionSource": "constant",
                    "deviceProfileExpression": "default",
                    "deviceProfileExpressionSource": "constant",
                },
                "attributes": [],
                "timeseries": readings,
                "rpc_methods": [],
                "attributes_updates": [],
            }
        ],
        "logLevel": "ERROR",
        "name": f"opcua{number}",
    }
