"""Builds the libmodbus server: with the development package if it is installed, else with one fetched beside the build.

Nothing is installed and no root is needed: apt fetches two packages (130 kB) and dpkg-deb unpacks them under build/.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.foreign.availability import ForeignServerMissing

SOURCE = Path(__file__).with_name("server.c")
BUILD = Path(__file__).resolve().parents[3] / "build" / "foreign" / "libmodbus"
PACKAGES = ("libmodbus5", "libmodbus-dev")
INSTALL = "install libmodbus-dev and a C compiler: sudo apt-get install libmodbus-dev gcc"
COMMAND_TIMEOUT_S = 60


def build_server() -> Path:
    """Return the path of the server's binary, built if it is older than its source.

    Raises:
        ForeignServerMissing: no compiler, or libmodbus is neither installed nor to be fetched.
    """
    binary = BUILD / "server"
    if binary.exists() and binary.stat().st_mtime_ns > SOURCE.stat().st_mtime_ns:
        return binary
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise ForeignServerMissing(f"no C compiler for the libmodbus server; {INSTALL}")
    BUILD.mkdir(parents=True, exist_ok=True)
    flags = compile_flags()
    finished = BUILD / f"server.{os.getpid()}"  # renamed when whole: two test runs may build at once
    _run([compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", str(finished), str(SOURCE), *flags])
    finished.replace(binary)
    return binary


def compile_flags() -> list[str]:
    """Return what a compiler needs to find libmodbus, which is fetched when it is not installed.

    Raises:
        ForeignServerMissing: it is neither installed nor to be fetched.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    return _installed_flags() or _fetched_flags()


def _installed_flags() -> list[str]:
    if shutil.which("pkg-config") is None:
        return []
    found = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libmodbus"],
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    return shlex.split(found.stdout) if found.returncode == 0 else []


def _fetched_flags() -> list[str]:
    root = BUILD / "root"
    if not list(root.glob("usr/lib/*/libmodbus.so")):
        _fetch(root)
    libraries = list(root.glob("usr/lib/*/libmodbus.so"))
    if not libraries:
        raise ForeignServerMissing(f"the fetched packages hold no libmodbus.so; {INSTALL}")
    folder = libraries[0].parent
    return [f"-I{root / 'usr/include/modbus'}", f"-L{folder}", f"-Wl,-rpath,{folder}", "-lmodbus"]


def _fetch(root: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise ForeignServerMissing(f"libmodbus is not installed and apt-get is missing; {INSTALL}")
    packages = BUILD / "packages"
    shutil.rmtree(packages, ignore_errors=True)
    packages.mkdir()
    _run(["apt-get", "download", *PACKAGES], folder=packages)
    for package in sorted(packages.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(package), str(root)])


def _run(command: list[str], *, folder: Path | None = None) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ForeignServerMissing(f"{command[0]} did not run ({error}); {INSTALL}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ForeignServerMissing(f"{command[0]} failed ({last}); {INSTALL}")
