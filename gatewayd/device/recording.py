"""A device's traffic in a file: requests, responses and their times; written while it runs, read back within limits.

The file: 8 bytes, `GWREC`, two zero bytes and the version; then frames, each 4 bytes of length (big-endian) and a
MessagePack array. The first frame is the `Header`, every other one an `Exchange`. A file may end inside a frame: the
gateway lost power; what is whole before it counts. docs/commissioning.md describes it for other programs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import msgspec
from msgspec import Meta, Struct

from gatewayd.errors import UNDECODABLE, ConfigError

VERSION: Final = 1
MAGIC: Final = b"GWREC\0\0" + bytes((VERSION,))
FRAME_BYTES_MAX: Final = 1024  # two PDUs of at most 253 bytes and a few numbers
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
EXCHANGES_MAX: Final = 1_000_000
PDU_BYTES_MAX: Final = 253
_LENGTH_BYTES: Final = 4

Pdu = Annotated[bytes, Meta(max_length=PDU_BYTES_MAX)]
Nanoseconds = Annotated[int, Meta(ge=0, le=2**62)]


class Header(Struct, frozen=True, array_like=True):
    """What was recorded; `started_ns` is UTC."""

    device: Annotated[str, Meta(max_length=64)]
    protocol: Annotated[str, Meta(max_length=32)]
    started_ns: Nanoseconds
    software: Annotated[str, Meta(max_length=64)]


class Exchange(Struct, frozen=True, array_like=True):
    """One request and its response.

    Args:
        asked_ns: since the recording began.
        took_ns: until the response was there.
        unit_id: of the request.
        request: PDU.
        response: PDU; empty when none came.
    """

    asked_ns: Nanoseconds
    took_ns: Nanoseconds
    unit_id: Annotated[int, Meta(ge=0, le=255)]
    request: Annotated[bytes, Meta(min_length=1, max_length=PDU_BYTES_MAX)]
    response: Pdu


class Recording(Struct, frozen=True):
    """A file as read; `is_cut_short`: it ended inside a frame."""

    header: Header
    exchanges: tuple[Exchange, ...]
    is_cut_short: bool


class RecordingWriter:
    """Writes a recording; stops taking exchanges at `FILE_BYTES_MAX`.

    Args:
        file: open for writing, binary, empty.
        header: what it is a recording of.

    Attributes:
        exchanges: written so far.
        size: bytes so far.
        is_full: an exchange was left out.
    """

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self.exchanges = 0
        self.size = 0
        self.is_full = False
        self._file = file
        self._encoder = msgspec.msgpack.Encoder()
        self._put(MAGIC)
        self._frame(header)

    def add(self, exchange: Exchange) -> None:
        """Write one exchange, unless the file is full."""
        if self.size + FRAME_BYTES_MAX > FILE_BYTES_MAX or self.exchanges >= EXCHANGES_MAX:
            self.is_full = True
            return
        self._frame(exchange)
        self.exchanges += 1

    def _frame(self, content: Header | Exchange) -> None:
        body = self._encoder.encode(content)
        assert len(body) <= FRAME_BYTES_MAX
        self._put(len(body).to_bytes(_LENGTH_BYTES, "big") + body)

    def _put(self, content: bytes) -> None:
        self._file.write(content)
        self.size += len(content)


def read_recording(path: Path) -> Recording:
    """Read a recording.

    Raises:
        ConfigError: it cannot be read, is too large, of another version, or damaged.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", remedy="Name a recording.") from error
    return parse_recording(content, path.name)


def parse_recording(content: bytes, name: str) -> Recording:
    """Read a recording from bytes; every length is checked before anything is decoded.

    Raises:
        ConfigError: too large, of another version, or damaged.
    """
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(f"{name} is larger than {FILE_BYTES_MAX} bytes", remedy="Record for a shorter time.")
    if content[: len(MAGIC) - 1] != MAGIC[:-1]:
        raise ConfigError(f"{name} is no recording", remedy="Make one with `gatewayd device record`.")
    if content[: len(MAGIC)] != MAGIC:
        raise ConfigError(
            f"{name} has another format version than {VERSION}", remedy="Play it with the version that recorded it."
        )
    frames = list(_frames(content, name))
    is_cut_short = bool(frames) and frames[-1] is None
    bodies = [frame for frame in frames if frame is not None]
    if not bodies:
        raise ConfigError(f"{name} ends before its header", remedy="Record again.")
    try:
        header = msgspec.msgpack.decode(bodies[0], type=Header)
        decoder = msgspec.msgpack.Decoder(Exchange)
        exchanges = tuple(decoder.decode(body) for body in bodies[1:])
    except UNDECODABLE as error:
        raise ConfigError(f"{name} is damaged: {error}", remedy="Record again.") from error
    return Recording(header, exchanges, is_cut_short)


def _frames(content: bytes, name: str) -> Iterator[bytes | None]:
    """Yield the bodies of the frames; None at the end for one that is not whole."""
    at = len(MAGIC)
    for _ in range(EXCHANGES_MAX + 2):
        if at == len(content):
            return
        length = int.from_bytes(content[at : at + _LENGTH_BYTES], "big")
        start = at + _LENGTH_BYTES
        if start > len(content):
            yield None
            return
        if not 0 < length <= FRAME_BYTES_MAX:
            raise ConfigError(f"{name} is damaged: a frame of {length} bytes", remedy="Record again.")
        if start + length > len(content):
            yield None
            return
        yield content[start : start + length]
        at = start + length
    raise ConfigError(f"{name} has more than {EXCHANGES_MAX} exchanges", remedy="Record for a shorter time.")
