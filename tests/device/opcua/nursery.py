"""Servers in processes of their own, forked from one that has all they begin with: asyncua takes seconds for that.

The fork server imports `prepared.py` once per test process. Everything else a server does after its birth.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection

READY_S = 60
PREPARED = "tests.device.opcua.prepared"

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([PREPARED])


class ForkedServer:
    """A server process, by its handle.

    Args:
        serve: a function of a module: runs the server for a command line; sends its port, then answers what it is told.
        options: its command line.
        port: where it listens; 0 = anywhere.
    """

    def __init__(self, serve: Callable[[list[str], Connection], None], *options: str, port: int = 0) -> None:
        self._pipe, theirs = _context.Pipe()
        arguments = ["--port", str(port), *options]
        self._process = _context.Process(target=_live, args=(serve, arguments, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.port = int(self.heard())
        self.endpoint = f"opc.tcp://127.0.0.1:{self.port}/test"

    def tell(self, *words: object) -> None:
        """Say something; return when it is done."""
        self._pipe.send([str(word) for word in words])
        self.heard()

    def heard(self) -> object:
        """Return what the server says next."""
        try:
            if self._pipe.poll(READY_S):
                return self._pipe.recv()
        except EOFError:
            pass
        self.stop()
        raise AssertionError("the server did not start, or has ended")

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)  # not yet waited for, so the number is still its own


def _live(serve: Callable[[list[str], Connection], None], arguments: list[str], pipe: Connection) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # asyncua complains of what the tests do to it
    serve(arguments, pipe)
