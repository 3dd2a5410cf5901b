"""Builds the verifier in Go, which stands on the note and tlog packages that the Go project wrote for its own log."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from gatewayd.journal.export.export import auditor_files
from tests.foreign.availability import ForeignServerMissing

BUILD = Path(__file__).resolve().parents[3] / "build" / "foreign" / "go"
PACKAGES = Path("/usr/share/gocode")  # where Debian puts the sources of Go libraries
INSTALL = "sudo apt-get install golang-go golang-golang-x-mod-dev"
COMMAND_TIMEOUT_S = 180  # a first build compiles the standard library


def environment() -> dict[str, str]:
    """Return what makes Go take Debian's packages and fetch nothing."""
    home = {"HOME": str(BUILD), "GOCACHE": str(BUILD / "cache")}
    return os.environ | home | {"GO111MODULE": "off", "GOPATH": str(PACKAGES), "GOFLAGS": ""}


def build_verifier() -> Path:
    """Return the path of the verifier's binary, built if it is older than its source.

    Raises:
        ForeignServerMissing: Go or its packages are not installed, or it does not build.
    """
    source = next(file for file in auditor_files() if file.suffix == ".go")
    binary = BUILD / "verify_export"
    if binary.exists() and binary.stat().st_mtime_ns > source.stat().st_mtime_ns:
        return binary
    if shutil.which("go") is None or not (PACKAGES / "src/golang.org/x/mod/sumdb/note").is_dir():
        raise ForeignServerMissing(f"no Go, or not its module packages, to verify exports with; {INSTALL}")
    BUILD.mkdir(parents=True, exist_ok=True)
    finished = BUILD / f"verify_export.{os.getpid()}"  # renamed when whole: two test runs may build at once
    command = ["go", "build", "-o", str(finished), str(source)]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ForeignServerMissing(f"go build failed ({last}); {INSTALL}")
    finished.replace(binary)
    return binary
