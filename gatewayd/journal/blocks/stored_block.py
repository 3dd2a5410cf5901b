"""A block of the flight recorder as its stored bytes and back: columns, or the cycles one after the other."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import zstandard
from msgspec import Struct

from gatewayd.errors import UNDECODABLE, JournalDamaged
from gatewayd.journal.blocks import columnar

PLAIN_BYTES_MAX = 32 << 20  # one cycle may be larger than a block should be, no more than this
CYCLES_MAX = 65_536  # per block
COMPRESSION_LEVEL = 3

_encoder = msgspec.msgpack.Encoder()


class _Plain(Struct, frozen=True, array_like=True):
    """A block before compression: `Inputs` of consecutive cycles, each as its own msgpack."""

    version: int
    cycles: list[msgspec.Raw]


_plain_decoder = msgspec.msgpack.Decoder(_Plain)


def pack(packer: columnar.Packer, cycles: list[bytes]) -> tuple[bytes, bytes]:
    """Return a block's stored bytes and their SHA-256: columns, or else the cycles one after the other."""
    content = packer.pack(cycles)
    if content is None:
        plain = _encoder.encode(_Plain(1, [msgspec.Raw(encoded) for encoded in cycles]))
        content = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(plain)
    return content, sha256(content).digest()


def unpack(content: bytes, digest: bytes) -> list[msgspec.Raw]:
    """Return the cycles of a block's stored bytes.

    Raises:
        JournalDamaged: they do not have the hash `digest`, would expand beyond every bound, or are malformed.
    """
    if sha256(content).digest() != digest:
        raise _damaged(digest, "it does not have the hash that the journal cites")
    try:
        if content[:1] == bytes((columnar.VERSION,)):
            return columnar.unpack(content)
        return _unpack_plain(content)
    except (zstandard.ZstdError, *UNDECODABLE, columnar.Malformed) as error:
        raise _damaged(digest, str(error)) from error


def _unpack_plain(content: bytes) -> list[msgspec.Raw]:
    """Return the cycles of a block whose first bytes are those of a zstd frame: its version is 1."""
    claimed = zstandard.frame_content_size(content)
    if not 0 <= claimed <= PLAIN_BYTES_MAX:
        raise columnar.Malformed(f"it claims to hold {claimed} bytes")
    plain = zstandard.ZstdDecompressor(max_window_size=PLAIN_BYTES_MAX).decompress(content)
    if _claimed_cycles(plain) > CYCLES_MAX:
        raise columnar.Malformed(f"it claims to hold {_claimed_cycles(plain)} cycles")
    return _plain_decoder.decode(plain).cycles


def _claimed_cycles(plain: bytes) -> int:
    """Return the length of the array behind the version: a byte of it becomes an object of many."""
    head = plain[2:7]
    if head[:1] == b"\xdd":
        return int.from_bytes(head[1:], "big")
    return int.from_bytes(head[1:3], "big") if head[:1] == b"\xdc" else 0


def _damaged(digest: bytes, what: str) -> JournalDamaged:
    return JournalDamaged(
        f"flight-recorder block {digest.hex()[:16]}: {what}",
        remedy="Decisions in its cycles are still explained by their own evidence; they cannot be replayed.",
    )
