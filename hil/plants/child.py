"""A server process of the plant: told where to listen, says when it does, ends with its parent."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from multiprocessing.connection import Connection
from typing import NamedTuple

from hil.plants.image import Image


class Child(NamedTuple):
    """What a server process gets. `pipe` carries one message up (the port) and one down (stop, or its end)."""

    image: Image
    port: int
    writes_log: str | None
    extra: int
    pipe: Connection

    def ready(self, port: int) -> None:
        """Tell the parent that the server listens."""
        self.pipe.send(port)

    async def stopped(self) -> None:
        """Return when the parent says stop, or when it is gone: a killed parent leaves no server behind."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self.pipe.fileno(), stop.set)
        await stop.wait()
        loop.remove_reader(self.pipe.fileno())


def run_child(serve: Coroutine[None, None, None]) -> None:
    """Run a server. Ctrl-C reaches the whole terminal group; the parent decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    asyncio.run(serve)
