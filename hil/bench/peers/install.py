"""Installs other gateways under build/, exact versions, each in an environment of its own, once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from hil.bench.processes import BenchError
from tests.foreign.availability import ForeignServerMissing
from tests.foreign.node_opcua.build import Node, find_node

BUILD = Path(__file__).resolve().parents[3] / "build" / "bench" / "peers"
THINGSBOARD = (
    "thingsboard-gateway==3.8.5",
    "pymodbus==3.9.2",
    "asyncua==1.1.5",
    "pyserial==3.5",  # this and the next it would fetch itself at its first start
    "pyserial-asyncio==0.6",
)
NODE_RED = ("node-red@4.1.15", "node-red-contrib-modbus@5.23.3", "node-red-contrib-opcua@0.2.354")
INSTALL_TIMEOUT_S = 900


def thingsboard() -> Path:
    """Return the Python that has thingsboard-gateway.

    Raises:
        BenchError: it could not be installed.
    """
    return environment("thingsboard", THINGSBOARD)


def environment(name: str, packages: tuple[str, ...]) -> Path:
    """Return the Python of an environment of that name with exactly these packages, and what they need.

    Raises:
        BenchError: they could not be installed.
    """
    folder = BUILD / name
    python = folder / "bin" / "python"
    if not _is_installed(folder, packages):
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, *packages])
        _note(folder, packages)
    return python


def node_red() -> tuple[Node, Path]:
    """Return Node and the folder with Node-RED and its nodes.

    Raises:
        BenchError: it could not be installed.
    """
    try:
        node = find_node()
    except ForeignServerMissing as missing:
        raise BenchError(str(missing)) from missing
    folder = BUILD / "nodered"
    if not _is_installed(folder, NODE_RED):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"name": "bench-peer", "private": true}\n')
        quiet = ["--no-audit", "--no-fund", "--loglevel=error", "--save-exact"]
        _run([*node.npm, "install", *quiet, *NODE_RED], folder)
        _note(folder, NODE_RED)
    return node, folder


def _is_installed(folder: Path, wanted: tuple[str, ...]) -> bool:
    noted = folder / "installed.txt"
    return noted.exists() and noted.read_text() == "\n".join(wanted)


def _note(folder: Path, wanted: tuple[str, ...]) -> None:
    (folder / "installed.txt").write_text("\n".join(wanted))


def _run(command: list[str], folder: Path | None = None) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{Path(command[0]).name} did not run: {error}") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BenchError(f"{' '.join(command[:4])} failed: {said}")
