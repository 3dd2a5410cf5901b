"""Builds the kernels for aarch64, and what runs them under qemu: the processor that this project is for, emulated.

Needs the cross compiler and qemu's user mode; everything it makes is under build/.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from kernels.abi import sources_digest
from kernels.build import TARGETS, BuildError, build
from tests.foreign.availability import ForeignServerMissing

SOURCE = Path(__file__).with_name("runner.c")
BUILD = Path(__file__).resolve().parents[3] / "build" / "foreign" / "aarch64"
TRIPLE, CPU = TARGETS["aarch64"]
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
ROOT = Path("/usr/aarch64-linux-gnu")  # where Debian's cross packages put the C library
NEEDED = (ROOT / "lib" / "ld-linux-aarch64.so.1", ROOT / "include" / "stdio.h")
INSTALL = "sudo apt-get install qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
COMMAND_TIMEOUT_S = 60


class Emulated(NamedTuple):
    """How to run kernels there: `command` serves calls, see `runner.c`; `library` is what it runs."""

    command: tuple[str, ...]
    library: Path


def absent() -> list[str]:
    """Return what is not installed of what it takes."""
    programs = [program for program in (COMPILER, EMULATOR) if shutil.which(program) is None]
    return programs + [str(file) for file in NEEDED if not file.exists()]


def build_emulated() -> Emulated:
    """Return the runner with the kernels of the sources as they are, built once for each state of them.

    Raises:
        ForeignServerMissing: no cross compiler or no emulator, or they do not work.
    """
    if missing := absent():
        raise ForeignServerMissing(f"no {' and no '.join(missing)} to run kernels of aarch64 with; {INSTALL}")
    made = BUILD / sources_digest().hex()[:16]
    if not made.exists() or _runner_is_old(made):
        _make(made)
    library = made / "gwkernels-aarch64.so"
    return Emulated((EMULATOR, "-L", str(ROOT), str(made / "runner"), str(library)), library)


def _runner_is_old(made: Path) -> bool:
    return (made / "runner").stat().st_mtime_ns < SOURCE.stat().st_mtime_ns


def _make(made: Path) -> None:
    """Build into a folder of its own and rename it when whole: two test runs may build at once."""
    staged = BUILD / f"{made.name}.{os.getpid()}"
    shutil.rmtree(BUILD / f"{made.name}.old", ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        build(staged / "gwkernels-aarch64.so", triple=TRIPLE, cpu=CPU, say=lambda line: None)
        _run([COMPILER, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", str(staged / "runner"), str(SOURCE)])
        if made.exists():
            made.rename(BUILD / f"{made.name}.old")
        staged.rename(made)
    except BuildError as error:
        raise ForeignServerMissing(f"the kernels were not built for aarch64: {error}; {INSTALL}") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ForeignServerMissing(f"{command[0]} failed ({last}); {INSTALL}")
