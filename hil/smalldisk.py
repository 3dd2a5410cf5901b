"""`python -m hil.smalldisk`: a journal on a real file system of a few MB that others fill to the last byte.

The file system is a tmpfs in a mount namespace of its own, which needs no privileges where the kernel lets users have
such namespaces. A journal commits decisions; then somebody else takes all the space, or the journal itself does. What
was acknowledged must be there, automatic writes must stop within five looks at the disk (one a second), last words must
be taken, and everything must go on by itself once there is space again.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gatewayd.clock import SystemClock
from gatewayd.errors import StoreFull
from gatewayd.inhibits import Inhibit
from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.blocks.recorder import Recorder
from gatewayd.journal.log import Identity, Journal
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Body, DeviceEvent, Gap, ModeChanged
from gatewayd.observe.events import EventLog
from gatewayd.proof.note import KEY_SIZE, SeedSigner
from gatewayd.quota import StorageWatch
from gatewayd.store.env import Store
from gatewayd.store.room import Limits

DISK_MB = {"others": 8, "journal": 8, "exhausted": 12}  # the last one leaves the journal larger behind
QUOTA_BYTES = 64_000_000
ORIGIN = "small.example/gw/e1"
LOOKS_MAX = 5
LAST_WORDS = 50
NO_MOUNT = 77
DETAIL = "no reply to read holding registers 40001-40020 " * 20


class Brake:
    """Stands for the cycle: remembers whether automatic writes are off."""

    def __init__(self) -> None:
        self.is_on = False
        self.changes: list[str] = []
        self.notes: list[Body] = []

    def note(self, body: Body) -> None:
        self.notes.append(body)

    def inhibit(self, inhibit: Inhibit, reason: str) -> None:
        self.is_on = True
        self.changes.append("stop")

    def permit(self, inhibit: Inhibit, reason: str) -> None:
        self.is_on = False
        self.changes.append("go")


class Bench:
    """A journal on the small disk."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk
        clock = SystemClock()
        signer = SeedSigner(ORIGIN, bytes(KEY_SIZE))
        self.vkey = signer.vkey
        self.store = Store.open(disk / "store", QUOTA_BYTES)
        self.journal = Journal.open(self.store, signer, clock, Identity(ORIGIN, 1, bytes(16)), commit="inline")
        self.brake = Brake()
        recorder = Recorder(self.journal, clock, QUOTA_BYTES)
        log = EventLog(clock, io.StringIO())
        self.watch = StorageWatch(self.store, recorder, self.brake, Limits(), clock=clock, log=log)
        self.acknowledged = self.journal.size
        self.refused = 0

    def restarted(self) -> Bench:
        """Start anew on the disk as it is; what was counted and told goes on."""
        self.journal.close()
        self.store.close()
        after = Bench(self.disk)
        assert after.acknowledged == self.acknowledged
        after.refused, after.brake = self.refused, self.brake
        after.watch = StorageWatch(
            after.store, Recorder(after.journal, SystemClock(), QUOTA_BYTES), after.brake, Limits(), clock=SystemClock(),
            log=EventLog(SystemClock(), io.StringIO()),
        )  # fmt: skip
        after.watch.level = self.watch.level
        return after

    async def commit(self, body: Body) -> bool:
        """Commit one record; count what came of it."""
        try:
            await self.journal.commit([NewRecord(body)])
        except StoreFull:
            self.refused += 1
            return False
        self.acknowledged += 1
        return True

    async def event(self) -> bool:
        return await self.commit(DeviceEvent("plc", "lost", 0x800A0000, f"{DETAIL}{self.acknowledged}"))

    async def looks_until(self, is_on: bool) -> int:
        """Look until automatic writes are off, or on again; return how many looks that took, at most six."""
        for looks in range(1, LOOKS_MAX + 2):
            await self.watch.look()
            if self.brake.is_on is is_on:
                return looks
        return LOOKS_MAX + 1

    def take_all_space(self) -> None:
        """Be somebody else who writes until the disk is full."""
        with (self.disk / "other").open("wb", buffering=0) as file:
            for size in (65_536, 4096, 512, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue

    def take_the_rest(self) -> None:
        """Take what has become free since."""
        with (self.disk / "other").open("ab", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)) == 4096:
                pass

    def give_space_back(self) -> None:
        (self.disk / "other").unlink()


async def others_fill_the_disk(disk: Path) -> dict[str, Any]:
    """Somebody else takes the last byte while the journal is small."""
    bench = Bench(disk)
    for _ in range(20):
        assert await bench.event()
    bench.take_all_space()
    looks_to_stop = await bench.looks_until(True)
    for _ in range(20):
        await bench.event()
    bench = bench.restarted()
    return await _and_back(bench, looks_to_stop, give_back=bench.give_space_back)


async def the_journal_fills_the_disk(disk: Path) -> dict[str, Any]:
    """The journal grows until its disk, which is smaller than its quota, has no room left."""
    bench = Bench(disk)
    (disk / "other").write_bytes(bytes(2_000_000))  # what can be deleted later
    looks_to_stop = 0
    while await bench.event():
        if bench.acknowledged % 100 == 0:
            await bench.watch.look()
        assert bench.acknowledged < 100_000
    looks_to_stop = await bench.looks_until(True)
    return await _and_back(bench, looks_to_stop, give_back=bench.give_space_back)


async def last_words_use_everything_up(disk: Path) -> dict[str, Any]:
    """On a full disk, last words go on until the blocks ahead and those of the ballast are used, too."""
    bench = Bench(disk)
    for _ in range(20):
        assert await bench.event()
    bench.take_all_space()
    looks_to_stop = await bench.looks_until(True)
    said = 0
    while await bench.commit(ModeChanged("monitor", os.urandom(2_000).hex())):
        said += 1
        if said % 50 == 0:
            bench.take_the_rest()
    result = await _and_back(bench, looks_to_stop, give_back=bench.give_space_back)
    return {**result, "said": said}


async def _and_back(bench: Bench, looks_to_stop: int, *, give_back: Any) -> dict[str, Any]:
    """Say last words on the full disk, make room, and see everything go on without opening anything anew."""
    last_words = 0
    for number in range(LAST_WORDS):
        last_words += await bench.commit(ModeChanged("monitor", f"the disk is full {number}"))
    refused = bench.refused
    had_ballast = (bench.disk / "store" / "ballast").exists()
    give_back()
    looks_to_go = await bench.looks_until(False)
    told = await bench.commit(Gap("journal", 0, 0, refused, "journal could not be written"))
    goes_on = all([await bench.event() for _ in range(50)])
    await bench.journal.free(lambda _: None)  # settles
    report = verify_store(bench.store, bench.vkey)
    result = {
        "looks_to_stop": looks_to_stop,
        "refused": refused,
        "had_ballast": had_ballast,
        "last_words": last_words,
        "looks_to_go": looks_to_go,
        "gap_told": told,
        "goes_on": goes_on,
        "has_ballast": (bench.disk / "store" / "ballast").exists(),
        "acknowledged": bench.acknowledged,
        "verified": report.size,
        "problem": None if report.problem is None else report.problem.what,
        "changes": bench.brake.changes,
    }
    bench.journal.close()
    bench.store.close()
    return result


STORIES = {
    "others": others_fill_the_disk,
    "journal": the_journal_fills_the_disk,
    "exhausted": last_words_use_everything_up,
}


def play(story: str, folder: Path) -> tuple[dict[str, Any] | None, str]:
    """Play a story on a small disk mounted on a folder; return what came of it, or None and why it cannot be played."""
    command = [sys.executable, "-m", "hil.smalldisk", "--story", story, "--mounted-on", str(folder)]
    try:
        done = subprocess.run(
            ["unshare", "--map-root-user", "--mount", *command],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except FileNotFoundError:
        return None, "needs unshare: apt-get install util-linux"
    if done.returncode == NO_MOUNT or "unshare failed" in done.stderr or "Operation not permitted" in done.stderr:
        return None, f"no mount namespace here: {done.stderr.strip()[-200:]}"
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), ""


def play_all(stories: Sequence[str]) -> int:
    """Play stories, each on a disk of its own; say what came of them."""
    has_failed = False
    for story in stories:
        with tempfile.TemporaryDirectory() as folder:
            result, why_not = play(story, Path(folder))
        print(story, json.dumps(result, indent=2) if result else f"cannot be played: {why_not}")
        has_failed |= result is None or not is_kept(result)
    return int(has_failed)


def is_kept(result: dict[str, Any]) -> bool:
    """Say whether every promise held."""
    is_whole = result["problem"] is None and result["verified"] == result["acknowledged"]
    is_in_time = max(result["looks_to_stop"], result["looks_to_go"]) <= LOOKS_MAX
    is_back = result["gap_told"] and result["goes_on"] and result["has_ballast"]
    return is_whole and is_in_time and is_back and result["changes"] == ["stop", "go"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hil.smalldisk", description=__doc__)
    parser.add_argument("--story", choices=sorted(STORIES), help="default: all of them")
    parser.add_argument("--mounted-on", type=Path, help="an empty folder, when run under `unshare -rm`")
    arguments = parser.parse_args()
    if arguments.mounted_on is None:
        return play_all([arguments.story] if arguments.story else sorted(STORIES))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB[arguments.story]}m", "tmpfs", str(arguments.mounted_on)]
    if subprocess.run(mount, check=False).returncode != 0:
        return NO_MOUNT
    print(json.dumps(asyncio.run(STORIES[arguments.story](arguments.mounted_on))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
