"""`python -m hil.fuzz [TARGET ...] [--runs N] [--seed S]`: hostile bytes against every decoder; exit 0 if all stand.

Each target runs in a process of its own, because compiled code that reads too far crashes it. The input under way is
kept in build/fuzz/TARGET.input and stays there after a crash; `--replay FILE` runs it again.
"""

from __future__ import annotations

import argparse
import mmap
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from hil.fuzz.mutate import Mutator
from hil.fuzz.targets import TARGETS

FOLDER = Path("build/fuzz")
SIZE_MAX = 4096
GROWTH_MB_MAX = 64
SECONDS_PER_INPUT_MAX = 1.0
_LENGTH = 4


def main() -> int:
    """Run the targets one after the other."""
    parser = argparse.ArgumentParser(
        prog="python -m hil.fuzz",
        description="Feed damaged messages to the decoders. Targets: " + ", ".join(TARGETS),
        epilog="example: python -m hil.fuzz opcua-values --runs 1000000",
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all if none is named")
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs per target (default 1,000,000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input of one target")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.targets if name not in TARGETS]
    if unknown or (arguments.replay and len(arguments.targets) != 1):
        parser.error(f"no target {unknown[0]!r}" if unknown else "--replay needs one target")
    if arguments.replay:
        print(TARGETS[arguments.targets[0]].build()(_kept(arguments.replay)))
        return 0
    if arguments.child:
        return attack(arguments.targets[0], runs=arguments.runs, seed=arguments.seed)
    failed = [name for name in arguments.targets or TARGETS if not _in_child(name, arguments.runs, arguments.seed)]
    print(f"{len(failed)} targets failed: {', '.join(failed)}" if failed else "every decoder stood")
    return 1 if failed else 0


def attack(name: str, *, runs: int, seed: int) -> int:
    """Run one target in this process; return the exit code."""
    target = TARGETS[name]
    run, mutator = target.build(), Mutator(target.corpus, seed=seed, size_max=target.size_max)
    for content in target.corpus:
        run(content)
    kept = _Kept(FOLDER / f"{name}.input")
    before_mb, began = _peak_mb(), time.monotonic()
    for number in range(1, runs + 1):
        content = mutator.next()
        kept.put(content)
        started = time.perf_counter()
        mutator.learn(content, run(content))
        if time.perf_counter() - started > SECONDS_PER_INPUT_MAX:
            print(f"{name}: an input of {len(content)} bytes took {time.perf_counter() - started:.1f} s")
            return 1
        if number % 20_000 == 0 or number == runs:
            rate = number / (time.monotonic() - began)
            print(f"{name}: {number:,} inputs, {mutator.behaviours:,} behaviours, {rate:,.0f}/s", flush=True)
    growth_mb = _peak_mb() - before_mb
    if growth_mb > GROWTH_MB_MAX:
        print(f"{name}: memory grew by {growth_mb:.0f} MB")
        return 1
    kept.remove()
    return 0


def _in_child(name: str, runs: int, seed: int) -> bool:
    command = [
        sys.executable,
        "-X",
        "faulthandler",
        "-m",
        "hil.fuzz",
        name,
        "--child",
        f"--runs={runs}",
        f"--seed={seed}",
    ]
    code = subprocess.run(command, check=False).returncode
    if code:
        why = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        print(f"{name}: {why}; run it again: python -m hil.fuzz {name} --replay {FOLDER / f'{name}.input'}", flush=True)
    return code == 0


class _Kept:
    """The input under way, in a file that survives a crash of this process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(_LENGTH + SIZE_MAX))
        self._path = path
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _LENGTH + SIZE_MAX)

    def put(self, content: bytes) -> None:
        self._map[: _LENGTH + len(content)] = len(content).to_bytes(_LENGTH, "little") + content

    def remove(self) -> None:
        self._map.close()
        os.unlink(self._path)


def _kept(path: Path) -> bytes:
    whole = path.read_bytes()
    return whole[_LENGTH : _LENGTH + int.from_bytes(whole[:_LENGTH], "little")]


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
