"""The processes of a bench: servers that say when they are ready, clients that measure themselves and print the result."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

READY_S = 60.0
STOP_S = 10.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A process of the bench did not do its part. The text says which, and what it said last."""


class Run(Struct, frozen=True):
    """What a client measured of itself over one stretch of time."""

    tags: int  # values taken
    wall_s: float
    cpu_s: float  # of its process
    requests: int
    server_cpu_s: float = 0.0  # of the server meanwhile

    @property
    def tags_per_s(self) -> float:
        return self.tags / self.wall_s

    @property
    def cpu_us_per_tag(self) -> float:
        return 1e6 * self.cpu_s / max(1, self.tags)

    @property
    def tags_per_core_s(self) -> float:
        """Tags per second of CPU: the rate on one core that does nothing else."""
        return self.tags / max(self.cpu_s, 1e-9)


class Server:
    """A process that serves until the block is left; its first line on stdout that begins with `ready` says how.

    Args:
        command: what to run.
        ready: the first word of that line.
        log: takes what it says on stderr.
        environment: beside our own.
    """

    def __init__(
        self, command: Sequence[str], *, ready: str, log: Path, environment: dict[str, str] | None = None
    ) -> None:
        self._command = list(command)
        self._ready = ready
        self._log = log
        self._environment = environment or {}
        self.words: list[str] = []
        self.port = 0

    def __enter__(self) -> Server:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, env={**os.environ, **self._environment}
            )
        try:
            self.words = self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        self.port = int(self.words[1])
        return self

    def __exit__(self, *_: object) -> None:
        stop(self._process)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def cpu_s(self) -> float:
        return cpu_s_of(self._process.pid)

    def _wait_until_ready(self) -> list[str]:
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        said, end = b"", time.monotonic() + READY_S
        while (left := end - time.monotonic()) > 0:
            select.select([self._process.stdout], [], [], left)
            piece = self._process.stdout.read(4096)
            said += piece or b""
            for line in said.split(b"\n")[:-1]:
                words = line.decode(errors="replace").split()
                if words and words[0] == self._ready:
                    return words
            if piece == b"":
                break
        raise BenchError(f"{Path(self._command[0]).name} did not become ready: {last_line(self._log)}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask one process to end, then end it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_s_of(pid: int) -> float:
    """User and system time of a process and all its threads so far; 10 ms fine."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def run_json(command: Sequence[str], *, timeout_s: float) -> dict[str, float]:
    """Run a client to its end and return the JSON object on its last line.

    Raises:
        BenchError: it failed, or took too long.
    """
    try:
        done = subprocess.run(list(command), capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{' '.join(command[:4])} took longer than {timeout_s:.0f} s") from error
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BenchError(f"{' '.join(command[:4])} ended with {done.returncode}: {said}")
    found: dict[str, float] = json.loads(lines[-1])
    return found


def measure(command: Sequence[str], server: Server, *, timeout_s: float = 120.0) -> Run:
    """Run a client against a server and note what the server spent meanwhile."""
    before = server.cpu_s()
    found = run_json(command, timeout_s=timeout_s)
    return Run(
        tags=int(found["tags"]),
        wall_s=found["wall_s"],
        cpu_s=found["cpu_s"],
        requests=int(found["requests"]),
        server_cpu_s=server.cpu_s() - before,
    )


def module(name: str, *arguments: object) -> list[str]:
    """Return the command that runs one of our own modules in this interpreter."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def last_line(log: Path) -> str:
    """Return what a process said last, for a message."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    return lines[-1][:300] if lines else "it said nothing"
