"""Telling systemd how the daemon is: sd_notify(3) by hand, one datagram per message, no dependency."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

_STATUS_CHARS_MAX = 512


class Notifier:
    """Sends to the service manager's socket; without one every call does nothing.

    Args:
        address: NOTIFY_SOCKET: a path, or `@name` for the abstract namespace; None = not under systemd.
        watchdog_ns: how often the manager expects `watchdog`, 0 = never. Call it at half of that.
    """

    def __init__(self, address: str | None = None, *, watchdog_ns: int = 0) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._socket: socket.socket | None = None
        self.watchdog_ns = watchdog_ns
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    def ready(self, status: str = "") -> bool:
        """Say that the daemon serves; False if nobody heard it."""
        return self._send("READY=1" + _status_line(status))

    def status(self, text: str) -> bool:
        """Set the line that `systemctl status` shows."""
        return self._send(_status_line(text).lstrip("\n"))

    def watchdog(self) -> bool:
        """Say that the daemon is alive. Call it from the loop that would hang, never from a timer beside it."""
        return self._send("WATCHDOG=1")

    def stopping(self, status: str = "") -> bool:
        """Say that the daemon is on its way out."""
        return self._send("STOPPING=1" + _status_line(status))

    def close(self) -> None:
        """Close the socket; later calls do nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> bool:
        if self._socket is None or self._address is None:
            return False
        try:
            self._socket.sendto(message.encode("utf-8", "replace"), self._address)
        except OSError:
            return False  # the manager is gone or its queue is full; the next message tells it again
        return True


def from_environment(environ: Mapping[str, str] | None = None, *, pid: int | None = None) -> Notifier:
    """Return the notifier systemd asks for by NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.

    Args:
        environ: default: this process's.
        pid: of the process that will notify, default: this one. A WATCHDOG_PID of another process is not for us.
    """
    found = os.environ if environ is None else environ
    address = found.get("NOTIFY_SOCKET") or None
    if address is not None and address[0] not in "/@":
        address = None  # vsock and relative addresses are not for a local daemon
    microseconds = found.get("WATCHDOG_USEC", "")
    watched = found.get("WATCHDOG_PID", "")
    is_ours = not watched or watched == str(os.getpid() if pid is None else pid)
    watchdog_ns = int(microseconds) * 1000 if is_ours and microseconds.isascii() and microseconds.isdigit() else 0
    return Notifier(address, watchdog_ns=watchdog_ns if address else 0)


def _status_line(text: str) -> str:
    one_line = " ".join(text.split())[:_STATUS_CHARS_MAX]
    return f"\nSTATUS={one_line}" if one_line else ""
