"""Recorded samples as the core takes them: payloads of codec COLUMNS, packed in chunks, no object per sample.

A file is: magic, then per chunk its size (uint32, little-endian) and its bytes, then the contents, then where they begin
(uint64, little-endian) and the magic again. Chunks and contents are msgpack in zstd. Times are wall ns.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

import msgspec
import zstandard
from msgspec import Struct

from gatewayd.errors import ConfigError

MAGIC: Final = b"gw-cols1"
SAMPLE: Final = struct.Struct("<dqq")  # value, status, source time
CHUNK_BYTES: Final = 4 << 20  # of payload; a row may exceed it
CHUNK_BYTES_MAX: Final = 64 << 20
ROW_SAMPLES_MAX: Final = 43_690  # what fits the core's inbox
SHAPE_CELLS_MAX: Final = 1 << 20  # columns of all shapes together; the core keeps a row of a table for each
COMPRESSION_LEVEL: Final = 1
_SIZE: Final = struct.Struct("<I")
_AT: Final = struct.Struct("<Q")


class Chunk(Struct, frozen=True, array_like=True):
    """Some rows, in the order of time.

    Args:
        times: int64 per row.
        shapes: int64 per row, which columns it holds; ~shape if it belongs to the pass of the row before.
        payload: a `SAMPLE` per column of each row, back to back.
    """

    times: bytes
    shapes: bytes
    payload: bytes


class Contents(Struct, frozen=True, array_like=True):
    """What a recording holds.

    Args:
        names: of the columns.
        shapes: which columns occur together, each ascending or as merged.
        rows: one time of one file; rows of one time share a pass.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    rows: int
    samples: int
    first_ns: int
    last_ns: int


_encode = msgspec.msgpack.Encoder().encode
_chunk_decoder = msgspec.msgpack.Decoder(Chunk)
_contents_decoder = msgspec.msgpack.Decoder(Contents)


class ColumnsWriter:
    """Packs rows into chunks.

    Args:
        names: of the columns.
        file: open for writing, at its start.
    """

    def __init__(self, names: Sequence[str], file: BinaryIO) -> None:
        assert sys.byteorder == "little"  # as every machine this runs on; kernels read little-endian
        self._names = tuple(names)
        self._file = file
        self._shapes: dict[tuple[int, ...], int] = {}
        self._shape_cells = 0
        self._times, self._of_shape, self._payload = array("q"), array("q"), bytearray()
        self.rows = self.samples = self._first_ns = self._last_ns = 0
        self._at = file.write(MAGIC)

    def add(self, time_ns: int, columns: tuple[int, ...], payload: bytes) -> None:
        """Add the samples of one time, one per column."""
        assert columns
        assert len(payload) == SAMPLE.size * len(columns)
        if self._fits(columns):
            self._put(time_ns, self._shape(columns), payload)
        else:  # too many ways to be incomplete: each column is a row of its own, all of one pass
            for place, column in enumerate(columns):
                shape = self._shape((column,))
                sample = payload[SAMPLE.size * place : SAMPLE.size * (place + 1)]
                self._put(time_ns, ~shape if place else shape, sample)
        self._first_ns = time_ns if not self.rows else self._first_ns
        self._last_ns = time_ns
        self.rows += 1
        self.samples += len(columns)
        if len(self._payload) >= CHUNK_BYTES:
            self._flush()

    def finish(self) -> Contents:
        """Write what is left and the contents."""
        self._flush()
        contents = Contents(
            self._names, tuple(self._shapes), self.rows, self.samples, self._first_ns, self._last_ns
        )  # in the order of their numbers
        at = self._at
        self._file.write(_packed(contents) + _AT.pack(at) + MAGIC)
        self._file.flush()
        return contents

    def _fits(self, columns: tuple[int, ...]) -> bool:
        is_small = self._shape_cells + len(columns) <= SHAPE_CELLS_MAX and len(columns) <= ROW_SAMPLES_MAX
        return columns in self._shapes or is_small

    def _shape(self, columns: tuple[int, ...]) -> int:
        shape = self._shapes.get(columns)
        if shape is None:
            shape = self._shapes[columns] = len(self._shapes)
            self._shape_cells += len(columns)
        return shape

    def _put(self, time_ns: int, shape: int, payload: bytes) -> None:
        self._times.append(time_ns)
        self._of_shape.append(shape)
        self._payload += payload

    def _flush(self) -> None:
        if not self._times:
            return
        packed = _packed(Chunk(self._times.tobytes(), self._of_shape.tobytes(), bytes(self._payload)))
        self._at += self._file.write(_SIZE.pack(len(packed)) + packed)
        self._times, self._of_shape, self._payload = array("q"), array("q"), bytearray()


class ColumnsFile:
    """A packed recording, open for reading.

    Args:
        file: seekable.
        name: for messages.

    Raises:
        ConfigError: it is none, or damaged.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        try:
            file.seek(-_AT.size - len(MAGIC), 2)
            tail = file.read()
            self._end = _AT.unpack_from(tail)[0]
            if tail[_AT.size :] != MAGIC:
                raise ValueError("its end is missing")
            file.seek(self._end)
            self.contents = _contents_decoder.decode(_unpacked(file.read()[: -len(tail)]))
        except (OSError, ValueError, struct.error, zstandard.ZstdError, msgspec.MsgspecError) as error:
            raise self._damaged(error) from error

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks in order.

        Raises:
            ConfigError: one is damaged.
        """
        at = len(MAGIC)
        while at < self._end:
            try:
                self._file.seek(at)
                (size,) = _SIZE.unpack(self._file.read(_SIZE.size))
                chunk = _chunk_decoder.decode(_unpacked(self._file.read(size)))
                self._check(chunk)
            except (OSError, ValueError, struct.error, zstandard.ZstdError, msgspec.MsgspecError) as error:
                raise self._damaged(error) from error
            yield chunk
            at += _SIZE.size + size

    def _check(self, chunk: Chunk) -> None:
        shapes = array("q", chunk.shapes)
        widths = [len(columns) for columns in self.contents.shapes]
        if len(chunk.times) != len(chunk.shapes) or (shapes and shapes[0] < 0):
            raise ValueError("its rows do not fit together")
        if any(not 0 <= (shape if shape >= 0 else ~shape) < len(widths) for shape in shapes):
            raise ValueError("a row is of no known shape")
        samples = sum(widths[shape if shape >= 0 else ~shape] for shape in shapes)
        if samples * SAMPLE.size != len(chunk.payload):
            raise ValueError("its samples do not fit its rows")

    def _damaged(self, error: Exception) -> ConfigError:
        return ConfigError(
            f"{self._name} is no whole packed recording: {error}",
            remedy="Pack it anew from its CSV files with `gatewayd rules test --pack FILE`.",
        )


def _packed(value: Struct) -> bytes:
    return zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(_encode(value))


def _unpacked(packed: bytes) -> bytes:
    if not 0 <= zstandard.frame_content_size(packed) <= CHUNK_BYTES_MAX:
        raise ValueError("it claims to be too large")
    return zstandard.ZstdDecompressor(max_window_size=CHUNK_BYTES_MAX).decompress(packed)
