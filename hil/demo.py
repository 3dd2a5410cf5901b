"""`make demo`: the pumping station's story, told by running it. Exit code 0 only if every claim held.

Plant (physics, a Modbus and an OPC UA server), MQTT 5 broker, collector and gateway run as processes of their own on
this machine's loopback. `--stay` keeps everything running afterwards, to play with.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gatewayd.cloud.read import read_table
from gatewayd.journal.leaf import decode_leaf
from gatewayd.model.record import RuleEvent
from hil.broker import Broker
from hil.daemon import Daemon, gatewayd
from hil.plants.client import Plant

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "demo"
_BOLD, _GREEN, _RED, _DIM, _PLAIN = "\033[1m", "\033[32m", "\033[31m", "\033[2m", "\033[0m"


class ClaimFailed(Exception):
    """The story told something that was not so."""


class Story:
    """Prints what happens, and holds it to its word."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._colour = sys.stdout.isatty()
        self.claims = 0

    def chapter(self, title: str) -> None:
        print(f"\n{self._paint(_BOLD, title)}", flush=True)

    def say(self, text: str) -> None:
        print(f"  {self._clock()}  {self._paint(_DIM, text)}", flush=True)

    def claim(self, text: str, holds: Callable[[], Any], *, within: float = 0.0) -> Any:
        """Wait until something holds and say so; its value is returned."""
        deadline = time.monotonic() + within
        shown = False
        while True:
            with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
                if value := holds():
                    self.claims += 1
                    self._end_wait(shown)
                    print(f"  {self._clock()}  {self._paint(_GREEN, 'ok')}  {text}", flush=True)
                    return value
            if time.monotonic() >= deadline:
                self._end_wait(shown)
                print(f"  {self._clock()}  {self._paint(_RED, 'NO')}  {text}", flush=True)
                raise ClaimFailed(text)
            shown = self._show_wait(text, deadline) or shown
            time.sleep(0.05)

    def _show_wait(self, text: str, deadline: float) -> bool:
        if not self._colour:
            return False
        print(f"\r  {self._clock()}  ..  {text} ({deadline - time.monotonic():.0f} s left) ", end="", flush=True)
        return True

    def _end_wait(self, shown: bool) -> None:
        if shown:
            print("\r\033[2K", end="")

    def _clock(self) -> str:
        return f"{time.monotonic() - self._started:5.1f} s"

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colour else text


class Station:
    """Everything that runs, and the questions the story asks of it."""

    def __init__(self, folder: Path, plant: Plant, broker: Broker, daemon: Daemon, vkey: str) -> None:
        self.folder = folder
        self.plant = plant
        self.broker = broker
        self.daemon = daemon
        self.table = folder / "table"
        self.vkey = vkey

    def status(self) -> Any:
        return self.daemon.get("/v1/status")

    def tag(self, name: str) -> Any:
        return self.daemon.get(f"/v1/tags?match={name}")["tags"][0]

    def decisions(self, point: str = "", limit: int = 200) -> Any:
        return self.daemon.get(f"/v1/decisions?limit={limit}&point={point}")["decisions"]

    def written(self, point: str, *, rule: str = "", value: float | None = None) -> Any:
        """The newest verified write of a point, if it is by that rule and of that value."""
        newest = next((decision for decision in self.decisions(point) if decision["write"]), None)
        if newest is None or newest["outcome"] != "verified" or not newest["rule"].endswith(rule):
            return None
        return newest if value is None or abs(newest["value"] - value) < 0.05 else None

    def stream(self) -> Any:
        return self.daemon.get("/v1/sync")["streams"][0]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--stay", action="store_true", help="keep everything running afterwards (make demo ARGS=--stay)"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where everything is kept; emptied first")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    story = Story()
    try:
        with running_station(story, folder) as station:
            tell(story, station)
            if arguments.stay:
                stay(station)
            end(story, station)
    except (ClaimFailed, RuntimeError, TimeoutError) as error:
        print(f"\nThe story broke: {error}\nLogs are in {folder}/", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    print(f"\nAll {story.claims} claims held.")
    return 0


# --- setting the stage ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running_station(story: Story, folder: Path) -> Iterator[Station]:
    story.chapter("Setting the stage")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        plant = stack.enter_context(Plant.start(writes_log=folder / "writes.jsonl"))
        story.say(f"plant: PLC on Modbus TCP {plant.modbus_port}, SCADA on OPC UA {plant.opcua_port}")
        broker = stack.enter_context(Broker(folder))
        story.say(f"MQTT 5 broker on {broker.port}")
        stack.enter_context(_collector(broker.port, folder))
        story.say("collector: lands journal records in a Delta Lake table")
        site = copy_site(folder, plant, broker)
        daemon = Daemon(site, folder / "control.sock", log=folder / "gatewayd.log")
        vkey = daemon.init()["vkey"]
        story.say(f"gatewayd init: verifier key {vkey[:44]}...")
        daemon.start()
        stack.callback(_stop_quietly, daemon)
        yield Station(folder, plant, broker, daemon, vkey)


def copy_site(folder: Path, plant: Plant, broker: Broker) -> Path:
    """The example site, with the ports and folders of this run."""
    site = folder / "site"
    shutil.copytree(ROOT / "config", site)
    _replace(site / "gateway.toml", r"port = 18830", f"port = {broker.port}")
    _replace(site / "gateway.toml", r'path = "build/station-1"', f'path = "{folder / "storage"}"')
    _replace(site / "gateway.toml", r'socket = "[^"]*"', f'socket = "{folder / "control.sock"}"')
    _replace(site / "devices" / "plc_1.toml", r"port = 15020", f"port = {plant.modbus_port}")
    _replace(site / "devices" / "scada_1.toml", r":14840/", f":{plant.opcua_port}/")
    return site


def _replace(path: Path, pattern: str, by: str) -> None:
    text, count = re.subn(pattern, by, path.read_text())
    assert count == 1, f"{path}: {pattern} stands {count} times"
    path.write_text(text)


@contextlib.contextmanager
def _collector(port: int, folder: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "gatewayd", "cloud", "collect", "--broker", "127.0.0.1", "--port", str(port)]
    with (folder / "collector.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--table", str(folder / "table"), "--insecure", "accepted-by=demo", "--reconnect-max", "2"],
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)


def _stop_quietly(daemon: Daemon) -> None:
    if daemon.process is not None and daemon.process.poll() is None:
        daemon.stop()


# --- the story --------------------------------------------------------------------------------------------------------


def tell(story: Story, station: Station) -> None:
    steady_state(story, station)
    bearing(story, station)
    stuck_sensor(story, station)
    link(story, station)


def steady_state(story: Story, station: Station) -> None:
    story.chapter("1  Steady state: two protocols, one twin")
    story.claim(
        "both devices are connected and every tag is Good",
        lambda: (
            all(device["state"] == "connected" for device in station.status()["devices"])
            and station.status()["tags"]["good"] == station.status()["tags"]["total"]
        ),
        within=10,
    )
    story.claim(
        "after its settle time the gateway goes from MONITOR to AUTO",
        lambda: station.status()["mode"] == "auto",
        within=10,
    )
    for pump in ("pump_1", "pump_2"):
        story.claim(
            f"rule base-speed brings {pump} from 58 to 60 %, and reads it back",
            lambda pump=pump: station.written(f"{pump}.speed_sp", rule="base-speed", value=60.0),
            within=20,
        )
    story.claim(
        "the detectors have learned what is usual here",
        lambda: all(
            station.tag(f"{pump}.{member}")["anomaly"] == 0
            for pump in ("pump_1", "pump_2")
            for member in ("vibration", "bearing_temp")
        ),
        within=15,
    )
    story.say(f"true plant: {_plant_line(station)}")


def bearing(story: Story, station: Station) -> None:
    story.chapter("2  A bearing of pump 1 degrades")
    station.plant.fault("bearing_wear", pump="pump_1")
    story.claim(
        "the detector sees vibration unlike its recent past",
        lambda: (station.tag("pump_1.vibration")["anomaly"] or 0) > 0,
        within=10,
    )
    story.claim(
        "rule bearing-hot reduces the speed to 40 %, and the read-back verifies it",
        lambda: station.written("pump_1.speed_sp", rule="bearing-hot", value=40.0),
        within=20,
    )
    story.claim(
        "the PLC received that value",
        lambda: abs(station.plant.state()["pumps"]["pump_1"]["speed_sp"] - 40.0) < 0.05,
        within=2,
    )
    decision = station.written("pump_1.speed_sp", rule="bearing-hot")
    print(_indent(gatewayd("--socket", str(station.daemon.socket_path), "decisions", "explain", str(decision["id"]))))
    station.plant.fault("bearing_wear", pump="pump_1", amount=0)


def stuck_sensor(story: Story, station: Station) -> None:
    story.chapter("3  The tank's level sensor sticks")
    before = len(station.decisions("inlet_valve.position_sp"))
    station.plant.fault("sensor_stuck", tag="tank_1.level")
    story.claim(
        "its value is fresh and the number looks fine, but its quality turns Bad_SensorFailure (constant)",
        lambda: station.tag("tank_1.level")["quality"] == "Bad_SensorFailure (constant)",
        within=12,
    )
    story.claim(
        "no rule acts on it: the inlet valve is left alone",
        lambda: len(station.decisions("inlet_valve.position_sp")) == before,
    )
    station.plant.fault("clear")
    story.claim(
        "the sensor moves again and its quality is Good", lambda: station.tag("tank_1.level")["status"] == 0, within=5
    )


def link(story: Story, station: Station) -> None:
    story.chapter("4  The link to the cloud is cut; a technician takes over meanwhile")
    story.claim(
        "until now the cloud has everything",
        lambda: station.stream()["acked"] >= station.stream()["head"] - 3,
        within=10,
    )
    station.broker.kill()
    story.claim("the gateway notices", lambda: station.daemon.get("/v1/sync")["state"] == "offline", within=10)
    acked = station.stream()["acked"]
    override(story, station)
    story.claim(
        "the records of all that wait here", lambda: station.stream()["head"] > acked == station.stream()["acked"]
    )
    station.broker.start()
    head = station.stream()["head"]
    story.claim(
        f"the link is back and the cloud's store has all {head} records",
        lambda: station.stream()["acked"] >= head,
        within=20,
    )


def override(story: Story, station: Station) -> None:
    refused = gatewayd(*_override(station, "95", "too much"), "--json", check=False)
    story.claim(
        "an override to 95 % is refused: nobody writes outside the limits", lambda: "outside 0 to 90" in refused
    )
    gatewayd(*_override(station, "55", "listening to the bearing"))
    story.claim(
        "55 % for five seconds is written and read back, without any cloud",
        lambda: station.written("pump_2.speed_sp", value=55.0),
        within=10,
    )
    story.claim(
        "the override expires by itself and policy has the pump again, at 60 %",
        lambda: (
            not station.daemon.get("/v1/overrides")["overrides"]
            and station.written("pump_2.speed_sp", rule="base-speed", value=60.0)
            and "override_expired" in station.written("pump_2.speed_sp")["reasons"]
        ),
        within=12,
    )


# --- the end ----------------------------------------------------------------------------------------------------------


def end(story: Story, station: Station) -> None:
    story.chapter("5  What is on record")
    decisions = station.decisions()
    story.claim(
        f"each of the {len(decisions)} decisions is explained from evidence that hashes to what it cites",
        lambda: all(_is_explained(station, decision["id"]) for decision in decisions),
        within=5,
    )
    story.claim(
        "every write the plant received follows from a decision that was durable before",
        lambda: _every_write_was_decided(station),
    )
    story.say("stopping: points the gateway commands go to their fail-safe values")
    story.claim("it stops cleanly", lambda: station.daemon.stop() == 0)
    story.claim(
        "pump 1 stands at its fail-safe value, 45 %",
        lambda: abs(station.plant.state()["pumps"]["pump_1"]["speed_sp"] - 45.0) < 0.05,
        within=3,
    )
    verified = gatewayd("journal", "verify", "--storage", str(station.folder / "storage"), "--vkey", station.vkey)
    story.claim(
        "the journal verifies: every record, the tree, the signed checkpoints, the evidence", lambda: bool(verified)
    )
    print(_indent(verified))
    checked = json.loads(gatewayd("cloud", "check", "--table", str(station.table), "--json"))
    story.claim(
        f"the cloud's table holds {checked['rows']} records: none missing, none twice",
        lambda: checked["rows"] > 0 and checked["gaps"] == checked["duplicates"] == 0,
    )
    story.claim(
        "and they say that the rules on the level were unknown while its sensor stuck",
        lambda: {"tank-high", "tank-low-pump-1", "tank-low-pump-2"} <= _rules_unknown(station.table),
    )


def _rules_unknown(table: Path) -> set[str]:
    """The rules that the lake's records say were unknown at some time."""
    bodies = [decode_leaf(leaf).body for *_, leaf in read_table(table)]
    return {body.rule for body in bodies if isinstance(body, RuleEvent) and body.state == "unknown"}


def _is_explained(station: Station, decision_id: int) -> bool:
    explanation = station.daemon.get(f"/v1/decisions/{decision_id}/explain")
    return bool(explanation["evidence_intact"]) and bool(explanation["samples"])


def _every_write_was_decided(station: Station) -> bool:
    """Compare the plant's own log of writes with the journal: point, value, time, each decision used once."""
    decided = [decision for decision in station.decisions(limit=1000) if decision["write"]]
    for write in station.plant.writes():
        scale = 0.1 if write["server"] == "modbus" else 1.0
        match = [
            decision
            for decision in decided
            if decision["point"] == write["tag"]
            and decision["time_ns"] <= write["wall_ns"]
            and abs(decision["value"] - write["value"] * scale) < 0.051
        ]
        if not match:
            return False
        decided.remove(match[-1])
    return True


def _plant_line(station: Station) -> str:
    state = station.plant.state()
    pump = state["pumps"]["pump_1"]
    return (
        f"level {state['level']:.2f} m, pump 1 at {pump['speed']:.0f} %, its bearing at {pump['bearing_temp']:.0f} degC"
    )


def _override(station: Station, value: str, reason: str) -> tuple[str, ...]:
    wanted = ("override", "set", "pump_2.speed_sp", value, "--for", "5s", "--reason", reason)
    return ("--socket", str(station.daemon.socket_path), *wanted)


def _indent(text: str) -> str:
    return "\n".join(f"      {line}" for line in text.rstrip().splitlines())


def stay(station: Station) -> None:
    socket = station.daemon.socket_path
    print(f"""
Everything keeps running. In another terminal, from this folder:

  export GATEWAYD_SOCKET={socket}
  .venv/bin/gatewayd status
  .venv/bin/gatewayd tags watch 'pump_1.*'
  .venv/bin/gatewayd decisions list
  .venv/bin/gatewayd override set pump_1.speed_sp 50 --for 1m --reason "trying it out"
  .venv/bin/python -m hil.plants.client --help

Ctrl-C ends it.""")
    with contextlib.suppress(KeyboardInterrupt):
        while station.daemon.process is not None and station.daemon.process.poll() is None:
            time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
