"""A real daemon on a real site folder, asked and told in plant words. Everything lives in folders of its own."""

from __future__ import annotations

import csv
import io
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from gatewayd.journal.leaf import decode_leaf
from gatewayd.journal.tiles.bundle import Entries
from gatewayd.model.record import Leaf
from gatewayd.store.env import Store
from hil.daemon import Daemon, gatewayd
from hil.plants.client import Plant

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
SOON_S = 10.0  # generous: the machine is shared, and a condition that holds ends the wait at once


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket in it."""
    with tempfile.TemporaryDirectory(prefix="gw-") as folder:
        yield Path(folder)


# --- sites ------------------------------------------------------------------------------------------------------------


def pumping_station(folder: Path, *, modbus_port: int, opcua_port: int, settle_s: float = 0.5) -> Path:
    """Copy the example site, with the ports and folders of this run and without a cloud."""
    site = folder / "site"
    shutil.copytree(ROOT / "config", site)
    gateway = site / "gateway.toml"
    replace(gateway, r"(?s)\n\[cloud\].*", "\n")
    replace(gateway, r"settle_s = [\d.]+", f"settle_s = {settle_s}")
    replace(gateway, r'path = "build/station-1"', f'path = "{folder / "storage"}"')
    replace(gateway, r'socket = "[^"]*"', f'socket = "{folder / "control.sock"}"')
    replace(site / "devices" / "plc_1.toml", r"port = 15020", f"port = {modbus_port}")
    replace(site / "devices" / "scada_1.toml", r":14840/", f":{opcua_port}/")
    return site


def replace(path: Path, pattern: str, by: str) -> None:
    """Change the one place of a file that a pattern matches."""
    text, count = re.subn(pattern, lambda _: by, path.read_text())
    assert count == 1, f"{path}: {pattern} stands {count} times"
    path.write_text(text)


def add_plc(site: Path, name: str, *, port: int, unit_id: int = 1, timeout_ms: int = 200) -> None:
    """Add a Modbus device of one tag, `NAME/speed`, to a site: pump 1's speed as the simulated PLC has it."""
    (site / "devices" / f"{name}.toml").write_text(
        f'[device]\nprotocol = "modbus-tcp"\nname = "{name}"\nhost = "127.0.0.1"\nport = {port}\n'
        f"unit_id = {unit_id}\ntimeout_ms = {timeout_ms}\ndemote_after = 3\ndemote_for_s = 0.5\n"
        "[device.scan_classes.default]\nscan_rate_ms = 200\n"
    )
    (site / "devices" / f"{name}.tags.csv").write_text(
        "name,register_type,address,type,scale,units\nspeed,input,0,uint16,0.1,%\n"
    )


def requests_of(site: Path, device: str) -> dict[str, tuple[str, str]]:
    """Return for each tag of a Modbus device the register type and the scan class that it is read with."""
    rows = csv.DictReader(io.StringIO((site / "devices" / f"{device}.tags.csv").read_text()))
    return {f"{device}/{row['name']}": (row["register_type"], row["scan_class"]) for row in rows}


# --- the gateway ------------------------------------------------------------------------------------------------------


class Gateway(Daemon):
    """A daemon on a site folder. `records` reads its journal from the disk, not through the daemon."""

    def __init__(self, site: Path, **settings: Any) -> None:
        folder = site.parent
        super().__init__(site, folder / "control.sock", log=folder / "gatewayd.log", **settings)
        self.storage = folder / "storage"
        self.vkey = ""

    @property
    def log(self) -> str:
        assert self._log is not None
        return self._log.read_text()

    # --- what it says -------------------------------------------------------------------------------------------------

    def status(self) -> Any:
        return self.get("/v1/status")

    def device(self, name: str) -> Any:
        return next(device for device in self.status()["devices"] if device["name"] == name)

    def tag(self, name: str) -> Any:
        return self.get(f"/v1/tags?match={name}")["tags"][0]

    def tags(self, device: str) -> dict[str, Any]:
        return {tag["name"]: tag for tag in self.get("/v1/tags?limit=1000")["tags"] if tag["name"].startswith(device)}

    def not_good(self, *devices: str) -> set[str]:
        """The tags that are not Good, of these devices or of all."""
        tags = self.get("/v1/tags?limit=1000")["tags"]
        of_device = {tag["name"]: tag["name"].partition("/")[0] for tag in tags if tag["status"] >> 30}
        return {name for name, device in of_device.items() if not devices or device in devices}

    def decisions(self, point: str = "") -> Any:
        return self.get(f"/v1/decisions?limit=200&point={point}")["decisions"]

    def writes(self, point: str) -> list[Any]:
        """The decisions that were to be written, oldest first."""
        return [decision for decision in reversed(self.decisions(point)) if decision["write"]]

    def written(self, point: str, value: float, *, rule: str = "", after: int = 0) -> Any:
        """The newest write of a point, if it has that value, comes from that rule and was verified."""
        newest = next(iter(self.writes(point)[::-1]), None)
        if newest is None or newest["id"] <= after or newest["outcome"] != "verified":
            return None
        return newest if newest["rule"].endswith(rule) and abs(newest["value"] - value) < 0.05 else None

    def last_decision(self) -> int:
        return max((decision["id"] for decision in self.decisions()), default=0)

    def overrides(self) -> Any:
        return self.get("/v1/overrides")["overrides"]

    # --- what is asked of it ------------------------------------------------------------------------------------------

    def override(self, point: str, value: float, *, seconds: float = 60, check: bool = True) -> str:
        """Set an override as a technician would; return what the command line said."""
        wanted = ("override", "set", point, f"{value:g}", "--for", f"{seconds:g}s", "--reason", "a scenario")
        return gatewayd("--socket", str(self.socket_path), *wanted, check=check)

    def release(self, point: str) -> str:
        return gatewayd("--socket", str(self.socket_path), "override", "clear", point, "--reason", "a scenario")

    # --- waiting ------------------------------------------------------------------------------------------------------

    def eventually(self, what: str, condition: Callable[[], T], *, within: float = SOON_S) -> T:
        """Poll until a condition of the running daemon holds, and return its value."""

        def known() -> Any:
            try:
                return condition()
            except (KeyError, IndexError, StopIteration):
                return None

        value: T = self.wait_until(known, what, within)
        return value

    def throughout(self, seconds: float, what: str, condition: Callable[[], Any]) -> None:
        """Look again and again for a time; the condition must hold each time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert condition(), what
            time.sleep(0.02)

    def settled(self) -> Gateway:
        self.eventually("the gateway did not go to AUTO", lambda: self.status()["mode"] == "auto")
        return self

    def scan_rate(self, device: str, scans: int) -> float:
        """Return how many scans a second a device gets, over so many of them; 0 if they do not come within a minute."""
        first, began = self.device(device)["scans"], time.monotonic()
        self.eventually(f"{device} is not scanned", lambda: self.device(device)["scans"] >= first + scans, within=60)
        return scans / (time.monotonic() - began)

    # --- the journal --------------------------------------------------------------------------------------------------

    def records(self, body: type | None = None) -> list[Leaf]:
        """Return the journal's records from its own bytes, oldest first."""
        store = Store.open(self.storage / "store", 1 << 28, readonly=True)
        try:
            leaves = store.read(lambda reading: Entries(reading).leaves(0, 100_000))
        finally:
            store.close()
        decoded = [decode_leaf(leaf) for leaf in leaves]
        return [leaf for leaf in decoded if body is None or isinstance(leaf.body, body)]

    def verified(self) -> str:
        """Return what `gatewayd journal verify` says; raises when it does not hold."""
        return gatewayd("journal", "verify", "--storage", str(self.storage), "--vkey", self.vkey)

    # --- its life -----------------------------------------------------------------------------------------------------

    def init(self) -> dict[str, Any]:
        made = super().init()
        self.vkey = made["vkey"]
        return made

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


@contextmanager
def running(site: Path, **settings: Any) -> Iterator[Gateway]:
    """An initialised and started gateway; its log is printed when the block fails.

    Its end is a kill, which is quick and leaves the plant as it is; a stop is the business of the tests of the stop.
    """
    gateway = Gateway(site, **settings)
    gateway.init()
    try:
        gateway.start()
        yield gateway
    except BaseException:
        print(gateway.log[-4000:])
        raise
    finally:
        if gateway.is_running():
            gateway.kill()


def steady(gateway: Gateway) -> Gateway:
    """Wait until every tag of the pumping station is Good and the rules of the normal flow have what they want."""
    gateway.settled()
    gateway.eventually("not every tag is Good", lambda: not gateway.not_good("plc_1", "scada_1"))
    for point, value in (("pump_1.speed_sp", 60), ("pump_2.speed_sp", 60), ("inlet_valve.position_sp", 60)):
        gateway.eventually(f"{point} is not what policy wants", lambda p=point, v=value: _stands(gateway, p, v))
    return gateway


def _stands(gateway: Gateway, point: str, value: float) -> bool:
    """Whether a point holds a value and no write of it is under way."""
    newest = gateway.decisions(point)[0]
    return (not newest["write"] or bool(newest["outcome"])) and abs(gateway.tag(point)["value"] - value) < 0.05


def plant_writes(plant: Plant, tag: str) -> list[float]:
    """Return what the plant's own log says was written to a tag, in the point's units."""
    scale = {"modbus": 0.1, "opcua": 1.0}
    return [round(write["value"] * scale[write["server"]], 3) for write in plant.writes() if write["tag"] == tag]
