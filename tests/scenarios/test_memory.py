"""What the daemon's process holds: no compiler, no numpy, no driver that no device needs, no page both writable and executable."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hil.plants.client import Plant
from tests.scenarios.refuse_exec_gain import UNSUPPORTED
from tests.scenarios.rig import Gateway, pumping_station, running, scratch, steady

WRAPPER = Path(__file__).with_name("refuse_exec_gain.py")
IMPORT_TIMES = (sys.executable, "-X", "importtime")  # one line per import, as it happens, on stderr


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    with Plant.start() as station:
        yield station


@pytest.fixture
def folder() -> Iterator[Path]:
    with scratch() as one:
        yield one


@pytest.fixture(scope="module")
def gateway(plant: Plant) -> Iterator[Gateway]:
    """The example site, once it has decided."""
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        site = pumping_station(folder, modbus_port=plant.modbus_port, opcua_port=plant.opcua_port)
        yield steady(stack.enter_context(running(site, python=IMPORT_TIMES)))


def maps(gateway: Gateway) -> list[list[str]]:
    """Each mapping's address, permissions, offset, device, inode, and file if it has one."""
    assert gateway.process is not None
    return [line.split(maxsplit=5) for line in Path(f"/proc/{gateway.process.pid}/maps").read_text().splitlines()]


def imported(gateway: Gateway) -> set[str]:
    """The top-level packages that the process has imported since its start."""
    return set(re.findall(r"^import time:.*\| +([A-Za-z_]\w*)", gateway.log, re.MULTILINE))


def test_the_daemon_maps_the_compiled_kernels_and_no_compiler(gateway: Gateway) -> None:
    files = {mapping[5] for mapping in maps(gateway) if len(mapping) == 6}
    assert any("gwkernels" in file for file in files)
    assert {file for file in files if re.search(r"numba|numpy|llvm", file, re.IGNORECASE)} == set()
    assert imported(gateway) & {"numba", "numpy", "llvmlite"} == set()


def test_no_memory_of_the_daemon_is_writable_and_executable(gateway: Gateway) -> None:
    assert [mapping for mapping in maps(gateway) if {"w", "x"} <= set(mapping[1])] == []


def test_the_daemon_says_what_keeps_its_memory_so(gateway: Gateway) -> None:
    """It tried both ways to executable memory as it started, and both were refused."""
    memory = gateway.status()["memory"]
    if "has no PR_SET_MDWE" in memory["reason"]:
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
    assert memory == {"guard": "prctl", "reason": ""}


def test_a_site_of_modbus_devices_loads_no_opc_ua(gateway: Gateway, folder: Path, plant: Plant) -> None:
    assert "asyncua" in imported(gateway)
    site = folder / "site"
    (site / "devices").mkdir(parents=True)
    (site / "gateway.toml").write_text(
        f'[gateway]\nname = "example.org/gw/modbus-only"\n[storage]\npath = "{folder / "storage"}"\n'
        f'[control]\nsocket = "{folder / "control.sock"}"\n'
    )
    (site / "devices" / "plc.toml").write_text(
        f'[device]\nprotocol = "modbus-tcp"\nname = "plc"\nhost = "127.0.0.1"\nport = {plant.modbus_port}\n'
    )
    (site / "devices" / "plc.tags.csv").write_text(
        "name,register_type,address,type,scale,units\nspeed,input,0,uint16,0.1,%\n"
    )
    with running(site, python=IMPORT_TIMES) as modbus_only:
        modbus_only.eventually("it does not read", lambda: modbus_only.tag("plc/speed")["status"] == 0)
        assert "gatewayd" in imported(modbus_only)
        assert imported(modbus_only) & {"asyncua", "numba", "numpy", "llvmlite"} == set()


def test_the_daemon_decides_where_memory_can_never_become_executable(folder: Path, plant: Plant) -> None:
    """Under MemoryDenyWriteExecute= of the systemd unit."""
    site = pumping_station(folder, modbus_port=plant.modbus_port, opcua_port=plant.opcua_port)
    try:
        with running(site, python=(sys.executable, str(WRAPPER))) as confined:
            steady(confined)
            confined.override("pump_1.speed_sp", 55)
            confined.eventually("it did not write", lambda: confined.written("pump_1.speed_sp", 55))
            assert confined.stop() == 0
    except RuntimeError as ended:
        if f"ended with {UNSUPPORTED}" in str(ended):
            pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
        raise
