"""A Modbus device as devices are: addresses it lacks, a text, a bit among others' bits, a value with its own factor.

The real daemon against the server on libmodbus, of which every holding register below 10000 holds its own address.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.daemon import gatewayd
from tests.scenarios.foreign_servers import Libmodbus
from tests.scenarios.rig import Gateway, running, scratch

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(120)]

NAME, FLAGS, POWER, FACTOR = 9025, 2000, 3000, 3003  # 9025 holds "#A", 9026 "#B"
LAST = 9999

_GATEWAY = """\
[gateway]
name = "example.org/gw/registers"
settle_s = 0.2
[storage]
path = "{folder}/storage"
[control]
socket = "{folder}/control.sock"
"""
_PLC = """\
[device]
name = "plc"
protocol = "modbus-tcp"
host = "127.0.0.1"
port = {port}
[device.scan_classes.default]
scan_rate_ms = 100
"""
_TAGS = f"""\
name,register_type,address,type,bit,length,scale_register,not_a_value,units,access
name,holding,{NAME},string,,2,,,,r
flags,holding,{FLAGS},,,,,,,r
pump_on,holding,{FLAGS},bool,3,,,,,rw
power,holding,{POWER},int16,,,{FACTOR},sunspec,W,r
before,holding,{LAST - 1},,,,,,,r
last,holding,{LAST},,,,,,,r
missing,holding,{LAST + 1},,,,,,,r
"""
_TWIN = """\
[asset_type.station.tags.pump_on]
[asset.station]
type = "station"
[asset.station.tags]
pump_on = "plc/pump_on"
"""
_POLICY = """\
[[point]]
tag = "station.pump_on"
write_min = 0
write_max = 1
write_step = 1
max_rate = 1000
min_on_s = 0
min_off_s = 0
fail_safe_value = 0
readback = "self"
readback_tolerance = 0.1
input_age_max_s = 5
"""


@pytest.fixture(scope="module")
def plc() -> Iterator[Libmodbus]:
    server = Libmodbus()
    server.write(FACTOR, 0xFFFE)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def gateway(plc: Libmodbus) -> Iterator[Gateway]:
    with scratch() as folder, running(_site(folder, plc.port)) as gateway:
        yield gateway.settled()


def _site(folder: Path, port: int) -> Path:
    site = folder / "site"
    files = {
        "gateway.toml": _GATEWAY.format(folder=folder),
        "devices/plc.toml": _PLC.format(port=port),
        "devices/plc.tags.csv": _TAGS,
        "twins/station.toml": _TWIN,
        "policies/station.toml": _POLICY,
    }
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    return site


def test_an_address_the_device_lacks_costs_its_own_tag_and_no_other(gateway: Gateway) -> None:
    """P-ISOLATE."""
    gateway.eventually("more than the missing address is bad", lambda: gateway.not_good() == {"plc/missing"})
    assert gateway.tag("plc/last")["value"] == LAST
    assert gateway.tag("plc/missing")["quality"] == "Bad_NodeIdUnknown"
    scans = gateway.device("plc")["scans"]
    gateway.eventually("the device is not scanned any more", lambda: gateway.device("plc")["scans"] > scans + 5)
    assert gateway.not_good() == {"plc/missing"}


def test_a_text_is_shown_by_the_command_line(gateway: Gateway) -> None:
    gateway.eventually("the text is not good", lambda: gateway.tag("plc/name")["text"] == "#A#B")
    assert gateway.tag("plc/name")["value"] is None
    assert '"#A#B"' in gatewayd("--socket", str(gateway.socket_path), "tags", "list", "plc/name")


def test_a_value_follows_its_own_scale_factor(gateway: Gateway, plc: Libmodbus) -> None:
    gateway.eventually("the factor does not count", lambda: gateway.tag("plc/power")["value"] == POWER / 100)
    plc.write(FACTOR, 1)
    gateway.eventually("the new factor does not count", lambda: gateway.tag("plc/power")["value"] == POWER * 10.0)
    plc.write(FACTOR, 0x8000)
    gateway.eventually(
        "a missing factor is not noticed", lambda: gateway.tag("plc/power")["quality"] == "Bad_SensorFailure"
    )
    plc.write(FACTOR, 0xFFFE)


def test_a_bit_is_switched_among_bits_that_others_own(gateway: Gateway, plc: Libmodbus) -> None:
    plc.write(FLAGS, 0xA005)
    gateway.override("station.pump_on", 1)
    gateway.eventually("the bit was not written and verified", lambda: gateway.written("station.pump_on", 1.0))
    assert plc.read(FLAGS) == 0xA00D
    plc.write(FLAGS, 0x500D)
    gateway.override("station.pump_on", 0)
    gateway.eventually("the bit was not cleared", lambda: gateway.written("station.pump_on", 0.0))
    assert plc.read(FLAGS) == 0x5005
