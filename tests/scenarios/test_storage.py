"""What the gateway does when its configuration, its storage or the room in it is not what it needs."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import lmdb
import pytest

from gatewayd.model.record import AlarmEvent, Gap, ModeChanged, OverrideEvent
from gatewayd.quota import ALARM
from gatewayd.store.tables import Table
from hil.plants.client import Plant
from tests.scenarios.rig import Gateway, pumping_station, replace, running, scratch, steady

QUOTA_MB = 16
BLOB_BYTES = 131_072
FILE_BYTES_MAX = 2_048  # of any file the daemon writes: less than one page, of the redo file or of LMDB's
HELD_S = 2.0


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    with Plant.start() as station:
        yield station


@pytest.fixture
def folder() -> Iterator[Path]:
    with scratch() as one:
        yield one


@pytest.fixture
def site(folder: Path, plant: Plant) -> Path:
    plant.clear()
    return pumping_station(folder, modbus_port=plant.modbus_port, opcua_port=plant.opcua_port)


def run(site: Path) -> tuple[int, str]:
    """Run `gatewayd run` to its end; return its exit code and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "gatewayd", "run", str(site)], capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stdout + done.stderr


# --- it does not start ------------------------------------------------------------------------------------------------


def test_a_wrong_configuration_is_told_all_at_once_and_nothing_is_started(
    site: Path, folder: Path, plant: Plant
) -> None:
    replace(site / "devices" / "plc_1.toml", "unit_id = 1\n", "unit_id = 300\n")
    replace(site / "devices" / "scada_1.toml", "timeout_ms = 2000", "timeout = 2000")
    replace(site / "policies" / "station.toml", r'when = "tank_1.level > 3.5 for 2s"', 'when = "tank_1.lewel > 3.5"')
    before = len(plant.writes())
    code, said = run(site)
    assert code == 1
    for found in ("device.unit_id is 300", "no key 'timeout'", "tank_1.lewel", "gatewayd config check"):
        assert found in said
    assert not (folder / "storage").exists()
    assert not (folder / "control.sock").exists()
    assert len(plant.writes()) == before


def test_each_error_of_the_configuration_names_its_file_on_a_line_of_its_own(site: Path) -> None:
    replace(site / "devices" / "plc_1.toml", "unit_id = 1\n", "unit_id = 300\n")
    replace(site / "devices" / "scada_1.toml", "timeout_ms = 2000", "timeout = 2000")
    _, said = run(site)
    assert sum("devices/plc_1.toml" in line for line in said.splitlines()) == 1
    assert sum("devices/scada_1.toml" in line for line in said.splitlines()) == 1


def test_a_gateway_without_an_identity_says_how_to_get_one(site: Path) -> None:
    code, said = run(site)
    assert code == 4
    assert "gatewayd init" in said


def test_a_second_daemon_on_the_same_store_is_refused_and_the_first_goes_on(site: Path) -> None:
    with running(site) as first:
        first.settled()
        assert first.process is not None
        code, said = run(site)
        assert code == 5
        assert f"in use by process {first.process.pid}" in said
        scans = first.device("plc_1")["scans"]
        first.eventually("the first one stopped scanning", lambda: first.device("plc_1")["scans"] > scans)
        assert first.status()["pid"] == first.process.pid
        assert first.stop() == 0
        assert "The journal verifies" in first.verified()


# --- no room, no disk ---------------------------------------------------------------------------------------------------


class Filler:
    """Somebody else's bytes in the store: enough to use the quota up, and gone again when told."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._blobs = 0

    def fill(self, is_full: Callable[[], bool], *, beyond: int = 0) -> None:
        """Fill until it is full, and put so many more."""
        with self._opened() as (environment, table):
            while not is_full() or (beyond := beyond - 1) >= 0:
                with environment.begin(write=True) as transaction:
                    transaction.put(b"filler %d" % self._blobs, bytes(BLOB_BYTES), db=table)
                self._blobs += 1
                assert self._blobs < QUOTA_MB * 1_000_000 // BLOB_BYTES

    def give_back(self) -> None:
        with self._opened() as (environment, table):
            for number in range(self._blobs):
                with environment.begin(write=True) as transaction:
                    transaction.delete(b"filler %d" % number, db=table)

    @contextmanager
    def _opened(self) -> Iterator[tuple[lmdb.Environment, lmdb._Database]]:
        with lmdb.open(str(self._store), map_size=0, max_dbs=len(Table) + 8, sync=False) as environment:
            yield environment, environment.open_db(Table.BLOB.encode(), create=False)


def small(folder: Path, plant: Plant) -> Path:
    """The pumping station with the smallest store."""
    plant.clear()
    site = pumping_station(folder, modbus_port=plant.modbus_port, opcua_port=plant.opcua_port)
    replace(site / "gateway.toml", "quota_mb = 256", f"quota_mb = {QUOTA_MB}")
    replace(site / "gateway.toml", "evidence_mb = 64", "evidence_mb = 4")
    return site


def held(gateway: Gateway) -> None:
    """Let a person hold pump 1 at 55 % for so long that policy wants it back while there is no journal."""
    steady(gateway)
    gateway.override("pump_1.speed_sp", 55, seconds=HELD_S)
    gateway.eventually("the override was not written", lambda: gateway.written("pump_1.speed_sp", 55))


def is_healthy(gateway: Gateway) -> bool:
    return bool(gateway.status().get("journal", {}).get("healthy"))


class Looks(NamedTuple):
    """What was to be seen while the journal took nothing, look by look."""

    gateway: Gateway  # afterwards, when it takes records again
    statuses: list[Any]
    problems: set[str]
    modes: list[str]  # as they changed by the journal
    observing: bool
    writes: list[Any]  # what the plant received meanwhile


def look(gateway: Gateway, plant: Plant, writes: int, *, seconds: float) -> Looks:
    """Watch for longer than it takes the gateway to try its journal again, which it does every five seconds."""
    gateway.eventually("the override never ended", lambda: not gateway.overrides())
    gateway.eventually("automatic writes are still on", lambda: gateway.status()["mode"] == "monitor", within=5)
    statuses: list[Any] = []
    seen = gateway.tag("pump_1.speed")["ingest_time_ns"]
    gateway.throughout(seconds, "", lambda: statuses.append(gateway.status()) is None)
    tag = gateway.tag("pump_1.speed")
    answered = [status for status in statuses if "mode" in status]
    return Looks(
        gateway,
        statuses,
        problems={status["journal"]["problem"] for status in answered},
        modes=[leaf.body.mode for leaf in gateway.records(ModeChanged)],
        observing=tag["ingest_time_ns"] > seen + 4 * 10**9 and tag["status"] == 0,
        writes=plant.writes()[writes:],
    )


def goes_on(gateway: Gateway) -> None:
    gateway.eventually("policy did not get the pump", lambda: gateway.written("pump_1.speed_sp", 60), within=30)
    gateway.eventually("it is not well", lambda: is_healthy(gateway) and gateway.status()["mode"] == "auto")


# --- the journal is full ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full(plant: Plant) -> Iterator[Looks]:
    """The quota is used up while a person holds pump 1, so policy cannot have it back; then there is room again."""
    with scratch() as folder, running(small(folder, plant)) as gateway:
        held(gateway)
        filler = Filler(gateway.storage / "store")
        filler.fill(lambda: not is_healthy(gateway))
        looks = look(gateway, plant, len(plant.writes()), seconds=11)
        gateway.override("pump_2.speed_sp", 52, seconds=300)
        gateway.eventually("a person may not act", lambda: gateway.written("pump_2.speed_sp", 52))
        filler.give_back()
        goes_on(gateway)
        yield looks


def test_with_a_full_journal_nothing_is_written_and_observation_continues(full: Looks) -> None:
    assert full.writes == []
    assert full.observing


def test_the_status_says_that_the_journal_is_full(full: Looks) -> None:
    assert any("the journal is full" in problem for problem in full.problems)


def test_the_status_answers_at_every_moment_while_the_journal_is_full(full: Looks) -> None:
    assert [status for status in full.statuses if "mode" not in status] == []


def test_the_status_says_how_full_it_is_and_what_to_do(full: Looks) -> None:
    storage = full.statuses[-1]["storage"]
    assert (storage["level"], storage["is_disk_nearer"]) == ("monitor", False)
    assert storage["fill"] >= 0.95
    assert "storage.quota_mb" in storage["remedy"]
    assert {stream["name"] for stream in storage["streams"]} == {"journal", "blocks", "state"}
    assert "of its quota" in full.statuses[-1]["mode_reason"]


def test_with_a_full_journal_a_person_still_acts_on_record(full: Looks) -> None:
    """P-HUMAN: the reserve is for them; the override was durable before it was written."""
    events = [leaf.body for leaf in full.gateway.records(OverrideEvent) if leaf.body.point == "pump_2.speed_sp"]
    assert [event.event for event in events] == ["set"]


def test_the_alarm_of_a_full_store_came_and_went_once(full: Looks) -> None:
    alarms = [leaf.body for leaf in full.gateway.records(AlarmEvent) if leaf.body.alarm == ALARM]
    assert [alarm.state for alarm in alarms].count("normal") == 1
    assert [alarm.priority for alarm in alarms].count("critical") == 1


def test_a_full_journal_does_not_make_the_mode_flicker(full: Looks) -> None:
    """Each change of mode takes from the reserve that is kept for last words."""
    assert full.modes.count("auto") == 1


def test_with_room_again_the_gateway_goes_on_and_says_how_much_was_lost(full: Looks) -> None:
    assert sum(leaf.body.count for leaf in full.gateway.records(Gap)) > 0
    assert "The journal verifies" in full.gateway.verified()


def test_a_gateway_with_a_full_journal_starts_and_watches(folder: Path, plant: Plant) -> None:
    with running(small(folder, plant)) as gateway:
        steady(gateway)
        Filler(gateway.storage / "store").fill(lambda: not is_healthy(gateway), beyond=2)
        gateway.kill()
        before = len(plant.writes())
        gateway.start()
        gateway.eventually("it does not read", lambda: not gateway.not_good())
        assert not is_healthy(gateway)
        assert plant.writes()[before:] == []


def test_a_full_gateway_takes_a_larger_quota_while_it_runs(folder: Path, plant: Plant) -> None:
    site = small(folder, plant)
    with running(site) as gateway:
        steady(gateway)
        Filler(gateway.storage / "store").fill(lambda: not is_healthy(gateway))
        gateway.eventually("automatic writes are still on", lambda: gateway.status()["mode"] == "monitor", within=5)
        pid = gateway.status()["pid"]
        replace(site / "gateway.toml", f"quota_mb = {QUOTA_MB}", f"quota_mb = {4 * QUOTA_MB}")
        gateway.eventually("it does not go on", lambda: gateway.status()["mode"] == "auto", within=20)
        assert (gateway.status()["pid"], is_healthy(gateway)) == (pid, True)
        assert gateway.status()["storage"]["limit_bytes"] > 3 * QUOTA_MB * 1_000_000
        gateway.override("pump_1.speed_sp", 53)
        gateway.eventually("it does not write", lambda: gateway.written("pump_1.speed_sp", 53))
        assert gateway.stop() == 0
        assert "The journal verifies" in gateway.verified()


# --- the disk takes nothing -------------------------------------------------------------------------------------------


def limit_files(gateway: Gateway, most: int) -> None:
    """Let every write of the daemon's process beyond so many bytes of a file fail, as on a broken disk; -1 ends it."""
    assert gateway.process is not None
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


@pytest.fixture(scope="module")
def broken(plant: Plant) -> Iterator[Looks]:
    """Every write to the disk fails while a person holds pump 1, so policy cannot have it back; then the disk is well."""
    with scratch() as folder, running(small(folder, plant)) as gateway:
        held(gateway)
        assert gateway.process is not None
        pid, writes = gateway.process.pid, len(plant.writes())
        limit_files(gateway, FILE_BYTES_MAX)
        gateway.eventually("status hides it", lambda: not is_healthy(gateway), within=15)
        assert "the journal cannot be written" in gateway.override("pump_2.speed_sp", 52, check=False)
        looks = look(gateway, plant, writes, seconds=6)
        limit_files(gateway, resource.RLIM_INFINITY)
        goes_on(gateway)
        assert gateway.status()["pid"] == pid
        yield looks


def test_while_the_disk_takes_nothing_nothing_is_written_and_observation_continues(broken: Looks) -> None:
    """Not for policy either, nor for the person who was told no."""
    assert broken.writes == []
    assert broken.observing


def test_the_status_says_what_is_wrong_with_the_disk(broken: Looks) -> None:
    # LMDB calls a write of which the disk takes a part an Input/output error
    assert all("File too large" in problem or "Input/output error" in problem for problem in broken.problems)
    assert {(status["mode"], status["journal"]["healthy"]) for status in broken.statuses} == {("monitor", False)}


def test_with_the_disk_well_again_the_gateway_goes_on_and_says_how_much_was_lost(broken: Looks) -> None:
    assert sum(leaf.body.count for leaf in broken.gateway.records(Gap)) > 0
    assert "The journal verifies" in broken.gateway.verified()
