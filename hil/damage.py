"""`python -m hil.damage --flips N --truncations M`: damage a real run's store, and see how the gateway goes on.

Each case takes the storage of a daemon that was stopped or killed, flips bits in its files or cuts one of them, and
starts again, as systemd would: anew when the process died. Most cases open the storage in a child process as the daemon
does, read all of it and write to it; one in `DAEMON_EVERY` starts the real daemon. What must hold:

    it starts within 60 s, after at most one crash, and the start after that is a plain one
    each record that is served is the one that was journalled; each other one is named, or its whole log was given up
    the journal says that something was lost
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from gatewayd.clock import SystemClock
from gatewayd.errors import GatewayError
from gatewayd.journal.records import Records
from gatewayd.journal.scrub import scrub
from gatewayd.journal.tiles.bundle import slices_key
from gatewayd.model.config import GatewayFile
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Gap, Genesis, Stopped
from gatewayd.site.load import require_site
from gatewayd.storage import Storage
from gatewayd.store.env import QUOTA_BYTES_MIN, Store
from gatewayd.store.probe import DATA_NAME, claimed_bytes
from gatewayd.store.tables import Table
from hil.bench.site import write_site
from hil.daemon import Daemon

FOLDER = Path("build/damage")
RECORDS_MIN = 300  # more than a full tile
START_S_MAX = 60.0
DAEMON_EVERY = 50
FLIPS_PER_CASE = (1, 1, 1, 8, 64)
# A commit that was damaged at the very end of the redo file looks as one does that power cut short: never acknowledged.
LAST_COMMIT_RECORDS = 3
FILES = (DATA_NAME,) * 8 + ("redo",) * 3 + ("lock.mdb", "ballast")


class Harm(NamedTuple):
    """What was done to one file."""

    is_killed: bool  # the daemon before was
    file: str
    flips: tuple[int, ...] = ()  # bits
    size: int = -1

    def do(self, store: Path) -> None:
        path = store / self.file
        content = bytearray(path.read_bytes())
        for bit in self.flips:
            content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content if self.size < 0 else content[: self.size])


class Look(NamedTuple):
    """What one start found.

    Args:
        epoch: of the log.
        size: records at the start.
        served: seq -> digests of the record, of its texts and of its evidence; None = it was refused as damaged.
        gaps: reasons of the gaps that the journal tells of its own records.
        seconds: until it could be read.
        refused: why it did not start at all.
    """

    epoch: int = 0
    size: int = 0
    served: tuple[tuple[str, str, str] | None, ...] = ()
    gaps: tuple[str, ...] = ()
    seconds: float = 0.0
    refused: str = ""


class Result(NamedTuple):
    """What a campaign found."""

    cases: int
    outcomes: dict[str, int]
    daemons: int
    crashes: int  # of a first start
    slowest_s: float
    failed: int
    first_failure: str

    @property
    def passed(self) -> bool:
        return not self.failed and self.outcomes.get("unharmed", 0) < self.cases


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m hil.damage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flips", type=int, default=2000)
    parser.add_argument("--truncations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return _serve(arguments.child)
    result = campaign(
        FOLDER, flips=arguments.flips, truncations=arguments.truncations, seed=arguments.seed, progress=True
    )
    print(json.dumps(result._asdict(), indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result._asdict(), indent=2) + "\n")
    return 0 if result.passed else 1


def campaign(folder: Path, *, flips: int, truncations: int, seed: int, progress: bool = False) -> Result:
    """Run a campaign in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder = folder.absolute()
    chance, outcomes, daemons, slowest_s, first_failure = random.Random(seed), Counter[str](), 0, 0.0, ""
    bench = _Bench(folder)
    with bench.opened():
        for number in range(flips + truncations):
            harm = bench.draw(chance, is_flip=number < flips) if number else bench.aimed()
            is_daemon = number % DAEMON_EVERY == DAEMON_EVERY - 1
            daemons += is_daemon
            outcome, seconds = bench.run_daemon(harm) if is_daemon else bench.run(harm)
            slowest_s = max(slowest_s, seconds)
            if outcome.startswith("failed"):
                first_failure = first_failure or f"case {number}, {_told(harm)}: {outcome}"
                print(f"\ncase {number}, {_told(harm)}: {outcome}", file=sys.stderr)
            outcomes[outcome.partition(":")[0]] += 1
            if progress:
                print(f"\r{number + 1} of {flips + truncations}: {dict(outcomes)}", end="", flush=True)
    failed = outcomes["failed"]
    return Result(
        flips + truncations, dict(outcomes), daemons, bench.crashes, round(slowest_s, 2), failed, first_failure
    )


def _told(harm: Harm) -> str:
    how = f"cut to {harm.size} bytes" if harm.size >= 0 else f"bits {harm.flips[:4]}... flipped"
    return f"{harm.file} {how} after a {'kill' if harm.is_killed else 'stop'}"


def _is_wrong(found: tuple[str, str, str] | None, expected: tuple[str, str, str] | None) -> bool:
    """Say whether what is served was never journalled; a text or a slice that is not found counts as pruned."""
    if found is None or expected is None:
        return False
    return found[0] != expected[0] or any(part not in ("", own) for part, own in zip(found, expected, strict=True))


class _Bench:
    """A site, its storage after a stop and after a kill, and what an honest start reads there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._site = folder / "site"
        self._storage = self._site / "storage"
        self._child: subprocess.Popen[str] | None = None
        self._honest: dict[bool, Look] = {}
        self.crashes = 0

    @contextmanager
    def opened(self) -> Iterator[None]:
        self._site.mkdir(parents=True)
        self._write_storages()
        try:
            for is_killed in (False, True):
                self._restore(is_killed)
                self._honest[is_killed] = self._look()
                assert len(self._honest[is_killed].served) >= RECORDS_MIN
            yield
        finally:
            self._end_child()

    def aimed(self) -> Harm:
        """Choose the one case that is no chance: a bit of the first tile's evidence, which no start needs."""
        folder = self._kept(is_killed=False) / "store"
        store = Store.open(folder, QUOTA_BYTES_MIN, readonly=True)
        row = store.get(Table.EVIDENCE, slices_key(0))
        store.close()
        assert row is not None, "the daemon recorded no full tile"
        return Harm(False, "data.mdb", flips=(8 * ((folder / "data.mdb").read_bytes().index(row) + len(row) // 2),))

    def draw(self, chance: random.Random, *, is_flip: bool) -> Harm:
        """Choose a case."""
        is_killed, file = chance.random() < 0.5, chance.choice(FILES)
        path = self._kept(is_killed) / "store" / file
        size = claimed_bytes(path) if file == DATA_NAME else path.stat().st_size  # not the blocks ahead of need
        if is_flip:
            count = chance.choice(FLIPS_PER_CASE)
            return Harm(is_killed, file, flips=tuple(chance.randrange(8 * size) for _ in range(count)))
        return Harm(
            is_killed, file, size=chance.choice((0, 1, 4096, 8192, *(chance.randrange(size) for _ in range(6))))
        )

    def run(self, harm: Harm) -> tuple[str, float]:
        """Open the damaged storage in a child; return the outcome and how long it took."""
        self._restore(harm.is_killed)
        harm.do(self._storage / "store")
        began = time.monotonic()
        look = self._look()
        if look.refused.startswith("killed"):
            self.crashes += 1
            look = self._look()
        seconds = time.monotonic() - began
        if look.refused:
            return f"failed: {look.refused}", seconds
        after = self._look("briefly")
        if after.refused or after.epoch != look.epoch or after.size <= look.size:
            return f"failed: the start after that found epoch {after.epoch}, {after.refused}", seconds
        return self._judged(harm, look), seconds

    def _judged(self, harm: Harm, look: Look) -> str:
        if look.seconds > START_S_MAX:
            return f"failed: it took {look.seconds:.0f} s"
        honest = self._honest[harm.is_killed]
        if look.epoch != honest.epoch:
            return "given up" if look.gaps else "failed: no record tells that the log before was given up"
        pairs = list(zip(look.served, honest.served, strict=False))
        wrong = next((seq for seq, (found, expected) in enumerate(pairs) if _is_wrong(found, expected)), honest.size)
        # The first that is not served as it was: a daemon goes on there before anybody looks.
        lost = honest.size - min(wrong, look.size)
        is_last = harm.file == "redo" and harm.flips and harm.is_killed and lost <= LAST_COMMIT_RECORDS
        if wrong < honest.size and not is_last:
            return f"failed: record {wrong} is served wrong"
        if lost > 0 and not look.gaps:
            return "last commit lost" if is_last else f"failed: {lost} records are lost without a word"
        if None in look.served:
            return "named" if look.gaps else "failed: no record tells which are damaged"
        if any(found != expected for found, expected in pairs):
            return "withheld"
        return "gap" if look.gaps else "unharmed"

    def run_daemon(self, harm: Harm) -> tuple[str, float]:
        """Start the real daemon on the damaged storage, again if it dies, and stop it."""
        self._restore(harm.is_killed)
        harm.do(self._storage / "store")
        daemon = Daemon(self._site, self._site / "control.sock", log=self._folder / "daemon.log")
        began = time.monotonic()
        for _ in range(2):
            try:
                daemon.start()
                break
            except RuntimeError as error:
                self.crashes += 1
                ended = str(error)
        else:
            return f"failed: {ended}", time.monotonic() - began
        seconds = time.monotonic() - began
        code = daemon.stop()
        look = self._look()
        if code or seconds > START_S_MAX or look.refused:
            return f"failed: it took {seconds:.0f} s, ended with {code}; {look.refused}", seconds
        return self._judged(harm, look), seconds

    # --- storages -----------------------------------------------------------------------------------------------------

    def _kept(self, is_killed: bool) -> Path:
        return self._folder / ("killed" if is_killed else "stopped")

    def _restore(self, is_killed: bool) -> None:
        shutil.rmtree(self._storage, ignore_errors=True)
        shutil.copytree(self._kept(is_killed), self._storage)

    def _write_storages(self) -> None:
        """Let a daemon decide and write for a while; keep what is on the disk after a kill, and after a stop."""
        command = [sys.executable, "-m", "hil.bench.plc", "--toggle-period", "0.05"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as plc:
            try:
                assert plc.stdout is not None
                port = int(plc.stdout.readline())
                write_site(self._site, tags=20, port=port, scan_rate_ms=50)
                gateway = self._site / "gateway.toml"
                gateway.write_text(gateway.read_text().replace("quota_mb = 256", "quota_mb = 16\nevidence_mb = 4"))
                daemon = Daemon(self._site, self._site / "control.sock", log=self._folder / "daemon.log")
                daemon.init()
                daemon.start()
                daemon.wait_until(
                    lambda: daemon.get("/v1/status")["journal"]["size"] > RECORDS_MIN, "it decided nothing", 60
                )
                daemon.kill()
                shutil.copytree(self._storage, self._kept(True))
                daemon.start()
                daemon.stop()
                shutil.copytree(self._storage, self._kept(False))
            finally:
                plc.terminate()
                plc.wait(timeout=20)

    # --- the child ----------------------------------------------------------------------------------------------------

    def _look(self, how: str = "closely") -> Look:
        if self._child is None:
            command = [sys.executable, "-m", "hil.damage", "--child", str(self._site)]
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(how + "\n")
        child.stdin.flush()
        answer = child.stdout.readline()
        if not answer:
            code = self._end_child()
            return Look(refused=f"killed by {code}" if code < 0 else f"ended with {code}")
        found = json.loads(answer)
        served = tuple(digests and tuple(digests) for digests in found["served"])
        return Look(**found | {"served": served, "gaps": tuple(found["gaps"])})

    def _end_child(self) -> int:
        if self._child is None:
            return 0
        self._child.communicate()
        code = self._child.returncode
        self._child = None
        return code


def _serve(site: Path) -> int:
    """Look as often as a line comes in."""
    config = require_site(site).gateway
    for how in sys.stdin:
        print(json.dumps(asyncio.run(_look_into(config, how.strip()))._asdict()), flush=True)
    return 0


async def _look_into(config: GatewayFile, how: str) -> Look:
    """Open the storage as the daemon does, read every record, unless briefly, and write one."""
    began = time.monotonic()
    try:
        storage = Storage.open(config, SystemClock())
    except GatewayError as error:
        return Look(refused=f"{type(error).__name__}: {error.message}")
    seconds, journal = time.monotonic() - began, storage.journal
    size, gaps = journal.size, list[str]()
    served: list[tuple[str, str, str] | None] = []
    try:
        if how == "closely":
            await scrub(journal, SystemClock(), pause_ns=0)
            served = [_served(journal, seq, gaps) for seq in range(journal.size)]
        await journal.commit((NewRecord(body=Stopped(reason="looked")),))
    except GatewayError as error:
        return Look(refused=f"{type(error).__name__}: {error.message}")
    finally:
        storage.close()
    return Look(storage.epoch, size, tuple(served), tuple(gaps), round(seconds, 3))


def _served(journal: Records, seq: int, gaps: list[str]) -> tuple[str, str, str] | None:
    """Return digests of what is served of a record; note what it tells of losses."""
    try:
        record = journal.record(seq)
        (leaf,) = journal.entries(seq, 1)
    except GatewayError:
        return None
    match record.leaf.body:
        case Genesis(reason=reason, previous_origin=origin) if origin:
            gaps.append(reason)
        case Gap(stream="journal", reason=reason):
            gaps.append(reason)
    texts = repr(sorted(record.personal.items())) if record.personal else ""
    return _digest(leaf), _digest(texts.encode()), _digest(record.evidence or b"")


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest() if content else ""


if __name__ == "__main__":
    sys.exit(main())
