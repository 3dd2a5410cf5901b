"""`python -m hil.faults`: let every call to the disk of a short run fail in its turn, and look for what was promised.

strace makes the n-th call of a kind end with an error, once or from then on, or kills the process there. Then the store
is opened as by the next start and compared with what the run had acknowledged (`hil.writer`, `hil.judge`).
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gatewayd.errors import StoreError
from hil.disk import read_files
from hil.judge import Bench
from hil.strace import run

FOLDER = Path("build/faults")
COMMITS = 20
CALLS = ("pwrite64", "writev", "fdatasync", "fsync", "ftruncate", "fallocate", "unlink", "rename")
FAULTS = ("signal=KILL:when={}", "error=EIO:when={}", "error=ENOSPC:when={}", "error=EIO:when={}+")
ENDS = {0, StoreError.exit_code, -9, 128 + 9}  # all went well, it gave up in words, it was killed


class Result(NamedTuple):
    """What a campaign found."""

    faults: int
    promises: int
    ends: dict[int, int]  # exit code of the run -> how often
    failed: int
    first_failure: str

    @property
    def passed(self) -> bool:
        return not self.failed and self.promises > 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m hil.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, metavar="N", help="only so many, chosen by chance")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    result = campaign(FOLDER, most=arguments.faults, seed=arguments.seed, progress=True)
    print(json.dumps(result._asdict(), indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result._asdict(), indent=2) + "\n")
    return 0 if result.passed else 1


def campaign(folder: Path, *, most: int | None, seed: int, progress: bool = False) -> Result:
    """Run a campaign in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder = folder.absolute()
    folder.mkdir(parents=True)
    faults = list(_faults(_counted(folder)))
    if most is not None:
        faults = random.Random(seed).sample(faults, most)
    promises = failed = 0
    ends: Counter[int] = Counter()
    first_failure = ""
    with Bench() as bench:
        for number, fault in enumerate(faults, start=1):
            code, lines, problems = _one(bench, folder, fault)
            promises, ends[code] = promises + len(lines), ends[code] + 1
            if problems:
                failed += 1
                first_failure = first_failure or f"{fault}: {problems[0]}"
                print(f"\n{fault}: {problems[0]}", file=sys.stderr)
            if progress:
                print(f"\r{number} of {len(faults)} faults, {failed} failed", end="", flush=True)
    return Result(len(faults), promises, dict(ends), failed, first_failure)


def _one(bench: Bench, folder: Path, fault: str) -> tuple[int, list[str], Sequence[str]]:
    store = folder / "store"
    done = run(_command(store), store, folder / "trace", (fault,))
    lines = [call.content.decode() for call in done.calls if call.kind == "say"]
    if done.code not in ENDS or "Traceback" in done.stderr:
        problems = [f"the run ended with {done.code}: {done.stderr[-300:]}"]
    else:
        problems = bench.judge(store, lines)
    shutil.rmtree(store, ignore_errors=True)
    return done.code, lines, problems


def _command(store: Path) -> list[str]:
    return [sys.executable, "-m", "hil.writer", str(store), str(COMMITS), "inline"]


def _counted(folder: Path) -> Counter[str]:
    """Return how often a run that goes well makes each call."""
    store, trace = folder / "store", folder / "trace"
    done = run(_command(store), store, trace)
    assert done.code == 0, done.stderr
    assert "data.mdb" in read_files(store)
    shutil.rmtree(store)
    names = (line.split(maxsplit=1)[1].partition("(")[0] for line in trace.read_text().splitlines())
    return Counter(name for name in names if name in CALLS)


def _faults(counts: Counter[str]) -> Iterator[str]:
    for name, count in counts.items():
        for number in range(1, count + 1):
            for fault in FAULTS:
                yield f"{name}:{fault.format(number)}"


if __name__ == "__main__":
    sys.exit(main())
