"""A Modbus TCP server of which a test writes every byte: the device that no library would build."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple


class Asked(NamedTuple):
    """A request as it came."""

    transaction_id: int
    unit_id: int
    pdu: bytes

    @property
    def address(self) -> int:
        return int.from_bytes(self.pdu[1:3], "big")

    @property
    def count(self) -> int:
        return int.from_bytes(self.pdu[3:5], "big")

    def frame(self, pdu: bytes, *, transaction_id: int | None = None, unit_id: int | None = None) -> bytes:
        """Return a frame that answers this request, or one that pretends to."""
        number = self.transaction_id if transaction_id is None else transaction_id
        unit = self.unit_id if unit_id is None else unit_id
        return number.to_bytes(2, "big") + b"\0\0" + (1 + len(pdu)).to_bytes(2, "big") + bytes((unit,)) + pdu

    def good(self) -> bytes:
        """Return the answer of a plant in which every register holds its own address."""
        if self.pdu[0] > 4:
            return self.frame(self.pdu[:5])
        registers = range(self.address, self.address + self.count)
        values = b"".join(register.to_bytes(2, "big") for register in registers)
        return self.frame(bytes((self.pdu[0], len(values))) + values)

    def exception(self, code: int) -> bytes:
        return self.frame(bytes((self.pdu[0] | 0x80, code)))


class Caller:
    """One connection, seen from the device."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def next(self) -> Asked:
        """Wait for the next request."""
        header = await self._reader.readexactly(7)
        pdu = await self._reader.readexactly(int.from_bytes(header[4:6], "big") - 1)
        return Asked(int.from_bytes(header[:2], "big"), header[6], pdu)

    def say(self, answer: bytes) -> None:
        self._writer.write(answer)

    async def is_quiet(self) -> bool:
        """Say whether nothing more was asked, once what is under way has arrived."""
        for _ in range(20):
            await asyncio.sleep(0)
        return not self._reader._buffer  # type: ignore[attr-defined]

    async def hung_up(self) -> None:
        """Wait until the gateway has closed the connection."""
        with suppress(ConnectionError):
            while await self._reader.read(1024):
                pass

    def hang_up(self) -> None:
        self._writer.close()


Script = Callable[[Caller], Awaitable[None]]


class Peer:
    """Plays one script per connection; the last one again for those that follow."""

    def __init__(self, scripts: tuple[Script, ...]) -> None:
        self.port = 0
        self.connections = 0
        self.errors: list[Exception] = []
        self._scripts = scripts
        self._tasks: set[asyncio.Task[None]] = set()

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await script(Caller(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:  # noqa: BLE001  the test raises it at its end
            self.errors.append(error)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def finish(self) -> None:
        """Let scripts end that the gateway has hung up on; raise what one of them found wrong."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=1)
        for error in self.errors:
            raise error
        assert not self._tasks, "a connection is still open"


async def answers_everything(caller: Caller) -> None:
    while True:
        caller.say((await caller.next()).good())


@asynccontextmanager
async def playing(*scripts: Script) -> AsyncIterator[Peer]:
    """Serve on a free port; raise at the end what a script found wrong."""
    peer = Peer(scripts or (answers_everything,))
    server = await asyncio.start_server(peer.play, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
    await peer.finish()
