"""A gatewayd process for rigs: started as a technician would, asked over its own socket, stopped by its own handle."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

READY_S = 20.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(str(self._path))


class Daemon:
    """One daemon on one site folder.

    Args:
        site: the folder.
        socket_path: where its configuration puts the control socket.
        log: takes what it says on stdout and stderr.
        python: the command that is given `-m gatewayd run SITE`, for options of the interpreter or a wrapper around it.
    """

    def __init__(
        self, site: Path, socket_path: Path, *, log: Path | None = None, python: Sequence[str] = (sys.executable,)
    ) -> None:
        self.site = site
        self._python = python
        self.socket_path = socket_path
        self.started_s = 0.0
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    def init(self) -> dict[str, Any]:
        done = gatewayd("init", str(self.site), "--json")
        return dict(json.loads(done))

    def start(self) -> None:
        self.started_s = time.monotonic()
        with (self._log or Path(os.devnull)).open("ab") as output:  # the child has its own copy
            self.process = subprocess.Popen(
                [*self._python, "-m", "gatewayd", "run", str(self.site)], stdout=output, stderr=output
            )
        self.wait_until(lambda: self.get("/v1/status"), "the daemon did not answer", READY_S)

    def get(self, path: str) -> Any:
        connection = _UnixConnection(self.socket_path)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return json.loads(response.read())
        finally:
            connection.close()

    def wait_until(self, condition: Any, what: str, seconds: float) -> Any:
        """Poll until the condition holds; its value is returned. The daemon's own process ending is an error at once."""
        deadline = time.monotonic() + seconds
        while True:
            if self.process is not None and self.process.poll() is not None:
                raise RuntimeError(f"gatewayd ended with {self.process.returncode} ({what})")
            try:
                if value := condition():
                    return value
            except (OSError, http.client.HTTPException, ValueError):
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(what)
            time.sleep(0.02)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=20)

    def rss_mb(self) -> tuple[float, float]:
        """(resident set without the store's mapped file, resident part of that file), in MB, over all its processes."""
        assert self.process is not None
        total = mapped = 0
        for line in Path(f"/proc/{self.process.pid}/smaps").read_text().splitlines():
            if "-" in line.split(" ", 1)[0] and not line.endswith("kB"):
                is_store = line.endswith("data.mdb")
            elif line.startswith("Rss:"):
                size = int(line.split()[1])
                total += size
                mapped += size if is_store else 0
        return (total - mapped) / 1024, mapped / 1024


def gatewayd(*arguments: str, check: bool = True) -> str:
    """Run a command of the command line and return what it printed; without `check`, its errors too."""
    done = subprocess.run(
        [sys.executable, "-m", "gatewayd", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"NO_COLOR": "1"},
        check=False,
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"gatewayd {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout if check else done.stdout + done.stderr
