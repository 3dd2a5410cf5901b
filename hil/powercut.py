"""`python -m hil.powercut --cuts N`: let the power fail at N moments, and look for what was promised and is not there.

A journal's every call to the disk is recorded by strace (`hil.writer`, `hil.strace`). From that, what a disk that keeps
only what was synced may hold at a moment is put together (`hil.disk`), opened and compared (`hil.judge`). Some of the
stores found go on being written to and are cut again, so that the start after a cut is cut, too.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gatewayd.errors import StoreError
from hil.disk import Disk, Fate, put_files, read_files
from hil.judge import Bench
from hil.strace import Call, run

FOLDER = Path("build/powercut")
CUTS_PER_RUN = 25
RUNS_PER_STORE = 4
COMMITS = (2, 24, 24)  # a short run is mostly starting and stopping
FAULTS = (  # of the disk, before the power fails: they come back to the writer as errors
    (),
    (),
    (),
    ("fdatasync:error=EIO:when=9",),
    ("pwrite64:error=EIO:when=21",),
    ("fdatasync:error=EIO:when=14+9",),
)


class Result(NamedTuple):
    """What a campaign found."""

    cuts: int
    runs: int
    promises: int  # acknowledgements that were looked for, over all cuts
    unsynced: int  # writes whose fate was drawn, over all cuts
    failed: int
    first_failure: str

    @property
    def passed(self) -> bool:
        return not self.failed and self.promises > 0 and self.unsynced > 0


class Found(NamedTuple):
    """One moment's store."""

    files: dict[str, bytes]
    lines: list[str]  # what had been said
    fate: Fate
    unsynced: int
    moment: int


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m hil.powercut", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    result = campaign(FOLDER, cuts=arguments.cuts, seed=arguments.seed, progress=True)
    print(json.dumps(result._asdict(), indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result._asdict(), indent=2) + "\n")
    return 0 if result.passed else 1


def campaign(folder: Path, *, cuts: int, seed: int, progress: bool = False) -> Result:
    """Run a campaign in an empty folder. A store that fails is kept there, as it was found, in `failed-SEED-CUT`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder = folder.absolute()
    folder.mkdir(parents=True)
    chance = random.Random(seed)
    done = runs = promises = unsynced = failed = 0
    first_failure = ""
    files: dict[str, bytes] = {}
    lines: list[str] = []
    with Bench() as bench:
        while done < cuts:
            if runs % RUNS_PER_STORE == 0:
                files, lines = {}, []
            mode = "thread" if runs // RUNS_PER_STORE % 2 else "inline"
            calls = record(folder, files, mode, chance.choice(COMMITS), chance.choice(FAULTS))
            found = list(cuts_of(calls, files, lines, min(CUTS_PER_RUN, cuts - done), chance))
            for case in found:
                done += 1
                promises += len(case.lines)
                unsynced += case.unsynced
                if problems := _judged(bench, folder, case):
                    failed += 1
                    first_failure = first_failure or _told(case, mode, problems)
                    put_files(folder / f"failed-{seed}-{done}", case.files)
                    print(f"\ncut {done}: {_told(case, mode, problems)}", file=sys.stderr)
                if progress:
                    print(f"\r{done} of {cuts} cuts, {failed} failed", end="", flush=True)
            goes_on = chance.choice(found)
            files, lines, runs = goes_on.files, goes_on.lines, runs + 1
    return Result(done, runs, promises, unsynced, failed, first_failure)


def _told(case: Found, mode: str, problems: list[str]) -> str:
    return f"{mode}, line {case.moment} of the trace, {case.fate.value}: {problems[0]}"


def _judged(bench: Bench, folder: Path, case: Found) -> list[str]:
    store = folder / "found"
    put_files(store, case.files)
    try:
        return bench.judge(store, case.lines)
    finally:
        shutil.rmtree(store)


def record(
    folder: Path, files: Mapping[str, bytes], mode: str = "inline", commits: int = 24, faults: Sequence[str] = ()
) -> list[Call]:
    """Write into a store that holds these files; return the calls."""
    store = folder / "store"
    put_files(store, files)
    done = run([sys.executable, "-m", "hil.writer", str(store), str(commits), mode], store, folder / "trace", faults)
    if done.code not in ((0, StoreError.exit_code) if faults else (0,)):
        raise RuntimeError(f"the writer ended with {done.code}: {done.stderr}")
    _compare(done.calls, files, read_files(store))
    shutil.rmtree(store)
    return done.calls


def _compare(calls: Sequence[Call], files: Mapping[str, bytes], found: Mapping[str, bytes]) -> None:
    """Make sure that nothing was overlooked: without a cut, the calls give the very files that are there."""
    disk = Disk(files)
    for call in calls:
        disk.begin(call)
        disk.end(call)
    rebuilt = disk.after_cut(Fate.ALL, random.Random(0))
    mapped = {"lock.mdb"}  # written through memory, and worth nothing after a cut
    differing = [name for name in {*rebuilt, *found} - mapped if rebuilt.get(name) != found.get(name)]
    assert not differing, f"the trace does not explain {differing}"


def cuts_of(
    calls: Sequence[Call], files: Mapping[str, bytes], lines: Sequence[str], count: int, chance: random.Random
) -> Iterator[Found]:
    """Return what is found after cuts at random moments; of three moments two lie where something is unsynced."""
    moments = sorted([(call.begun, 0, call) for call in calls] + [(call.ended, 1, call) for call in calls])
    disk, said = Disk(files), list(lines)
    chosen = sorted(chance.choices(range(len(moments)), weights=_weights(moments), k=count))
    for place, (line, is_end, call) in enumerate(moments):
        if call.kind == "say":
            said += [call.content.decode()] if not is_end else []
        elif is_end:
            disk.end(call)
        else:
            disk.begin(call)
        for _ in range(chosen.count(place)):
            fate = chance.choice(list(Fate))
            yield Found(disk.after_cut(fate, chance), list(said), fate, disk.pending, line)


def _weights(moments: list[tuple[int, int, Call]]) -> list[int]:
    return [1 if call.kind == "say" or is_end else 3 for _, is_end, call in moments]


if __name__ == "__main__":
    sys.exit(main())
