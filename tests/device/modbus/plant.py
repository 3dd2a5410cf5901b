"""Devices and tags that the tests of this folder share."""

from __future__ import annotations

from typing import Any

from gatewayd.model.device import ModbusTag, ModbusTcpDevice


def device(**settings: Any) -> ModbusTcpDevice:
    return ModbusTcpDevice(**{"name": "plc", "host": "127.0.0.1", "timeout_ms": 5000, **settings})


def tag(name: str = "level", register_type: str = "holding", address: int = 0, **settings: Any) -> ModbusTag:
    return ModbusTag(name=name, register_type=register_type, address=address, **settings)  # type: ignore[arg-type]
