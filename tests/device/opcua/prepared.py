"""What the servers of the tests are born with: their processes are forked from one that has imported this."""

from __future__ import annotations

import asyncio
import gc

from asyncua import Server

from tests.device.opcua.server import filled


async def _bare() -> Server:
    server = Server()
    await server.init()
    return server


gc.disable()  # ten thousand nodes are made in two thirds of the time without it
BARE = asyncio.run(_bare())
FILLED = asyncio.run(filled())
gc.freeze()  # a child that collected would copy every page
gc.enable()
