"""The plant's own log of writes: one JSON line per value, in the file before the client has its answer."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path


class WritesLog:
    """Appends with one `write` call per line, so that two processes may share the file."""

    def __init__(self, path: str | Path | None) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644) if path else -1

    def append(self, *, server: str, tag: str, value: float, **where: int | str) -> None:
        """Log one value as it arrived; `where` is the address and register type, or the node."""
        if self._fd < 0:
            return
        line = {
            "wall_ns": time.time_ns(),
            "mono_ns": time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            "server": server,
            "tag": tag,
            **where,
            "value": value,
        }
        os.write(self._fd, json.dumps(line).encode() + b"\n")


def read_writes(path: Path) -> list[dict[str, int | float | str]]:
    """Return the logged writes, oldest first; a line still being written is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
