"""What a probe finds out beside the tags."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gatewayd.cli.probe_survey import readable_register, survey
from gatewayd.clock import SystemClock
from gatewayd.model.block import Block, Codec, ReadPlan
from gatewayd.model.device import ModbusTcpDevice
from tests.device.opcua.conftest import ServerProcess
from tests.device.opcua.rig import device as opcua_device


def plan(index: int, *request: int, codec: Codec = Codec.MODBUS_REGISTERS) -> ReadPlan:
    return ReadPlan(index, "plc", "default", codec, (), request, 5)


def block(index: int, codec: Codec) -> Block:
    return Block(index, codec, 0, 0, 0)


def test_the_longest_request_that_was_answered_is_the_start():
    plans = [plan(0, 3, 10, 5), plan(1, 4, 20, 9), plan(2, 3, 500, 99), plan(3, 1, 0, 100, codec=Codec.MODBUS_BITS)]
    heard = {index: block(index, codec) for index, codec in enumerate([plans[0].codec, plans[1].codec, Codec.LOST])}
    plc = ModbusTcpDevice(name="plc", host="192.0.2.7", unit_id=9)
    assert readable_register(plc, plans, heard) == (5, 4, 20)
    assert readable_register(plc, plans, {}) == (9, 3, 0)


@pytest.fixture(scope="module")
def server():
    running = ServerProcess("--nodes-per-read", "50")
    yield running
    running.stop()


async def test_an_opc_ua_server_tells_identity_limits_and_time(server, tmp_path: Path):
    said: list[str] = []
    found = await survey(
        opcua_device(server.endpoint), (1, 3, 0), clock=SystemClock(), folder=tmp_path,
        identity_folder=tmp_path, progress=said.append,
    )  # fmt: skip
    assert found.problem == ""
    assert found.limits["max_nodes_per_read"] == 50
    assert found.clock_offset_ms is not None
    assert set(found.suggested) == {"timeout_ms"}
    assert said


async def test_an_absent_device_is_told_and_no_failure_of_the_probe(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = await survey(
        ModbusTcpDevice(name="plc", host="127.0.0.1", port=port), (1, 3, 0), clock=SystemClock(), folder=tmp_path,
        identity_folder=tmp_path, progress=lambda _: None,
    )  # fmt: skip
    assert "cannot be reached" in found.problem
    assert found.suggested == {}
