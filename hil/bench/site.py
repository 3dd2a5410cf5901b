"""Writes the site folder of a load: N Modbus tags with contracts and detectors, one rule that trips, one point."""

from __future__ import annotations

from pathlib import Path

from hil.bench.plc import COUNTER, SPEED, TOGGLE

_GATEWAY = """\
[gateway]
name = "bench.example/gw/load"
settle_s = {settle_s}
[storage]
path = "{storage}"
quota_mb = 256
[control]
socket = "{socket}"
"""

_CLOUD = """\
[cloud]
host = "127.0.0.1"
port = {port}
tls = false
insecure = "accepted-by=load test"
"""

_DEVICE = """\
[device]
name = "plc"
protocol = "modbus-tcp"
host = "127.0.0.1"
port = {port}
max_outstanding = 16
timeout_ms = 5000
[device.scan_classes.load]
scan_rate_ms = {scan_rate_ms}
[device.scan_classes.trip]
scan_rate_ms = 50
"""

_TWIN_HEAD = """\
[asset_type.load]
[[asset_type.load.rule]]
id = "trip"
when = "toggle > 0.5"
then = {{ set = "speed", to = "counter", slot = 12 }}
[asset_type.load.tags.toggle]
[asset_type.load.tags.counter]
[asset_type.load.tags.speed]
units = "%"
"""

_POLICY = """\
[[point]]
tag = "load_1.speed"
write_min = 0
write_max = 60000
write_step = 60000
max_rate = 1e9
min_on_s = 0
min_off_s = 0
fail_safe_value = 20
readback = "self"
readback_tolerance = 0.5
readback_within_s = 0.5
input_age_max_s = 10
"""


def write_site(
    folder: Path, *, tags: int, port: int, scan_rate_ms: int = 1000, settle_s: float = 0.0, broker: int = 0
) -> Path:
    """Write the folder and return it; storage and socket lie inside."""
    for name in ("devices", "twins", "policies"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    names = [f"v{index}" for index in range(tags)]
    gateway = _GATEWAY.format(storage=folder / "storage", socket=folder / "control.sock", settle_s=settle_s)
    cloud = _CLOUD.format(port=broker) if broker else ""
    (folder / "gateway.toml").write_text(gateway + cloud)
    (folder / "devices" / "plc.toml").write_text(_DEVICE.format(port=port, scan_rate_ms=scan_rate_ms))
    rows = ["name,register_type,address,type,scan_class,access,units"]
    rows += [f"{name},holding,{index},uint16,load,r," for index, name in enumerate(names)]
    rows += [
        f"toggle,holding,{TOGGLE},uint16,trip,r,",
        f"speed,holding,{SPEED},uint16,trip,rw,%",
        f"counter,holding,{COUNTER},uint16,trip,r,",
    ]
    (folder / "devices" / "plc.tags.csv").write_text("\n".join(rows) + "\n")
    contracts = "".join(
        f"[asset_type.load.tags.{name}]\nlow = -1\nhigh = 70000\nmax_rate = 1e9\newma = {{}}\n" for name in names
    )
    members = "".join(f'{name} = "plc/{name}"\n' for name in [*names, "toggle", "speed", "counter"])
    (folder / "twins" / "load.toml").write_text(
        _TWIN_HEAD.format() + contracts + '[asset.load_1]\ntype = "load"\n[asset.load_1.tags]\n' + members
    )
    (folder / "policies" / "points.toml").write_text(_POLICY)
    return folder
