"""Ports on loopback for servers that must know theirs before they start, or start again on the same one."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

PORTS = range(20_000, 32_000)  # below those that the system hands out, so that nobody gets one between two starts


def free_port() -> int:
    """Return a port that nobody listens on, for a server that is stopped and started again on it."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("a hundred ports below 32,000 are all taken")
