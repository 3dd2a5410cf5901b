"""What travels between a gateway and its collector: batches up, acks down, and a collector's hello.

A message is a schema byte and an array-like msgpack body; the body of a batch is one zstd frame. Every length is checked
before anything is decoded (P-BOUND), and a batch carries a SHA-256 of its records: what lands in the table lands for
ever, so a broker that garbles a payload must not be able to fill a sequence number with rubbish.

`upto` always counts: every sequence number below it is in the table, and it is the next one wanted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
import zstandard
from msgspec import Meta, Struct

from gatewayd.errors import UNDECODABLE, LinkError

SCHEMA = 1
MESSAGE_BYTES_MAX = 60_000  # a whole message; below the 64 KiB that both ends announce to the broker
BATCH_BYTES_SOFT = 16_384  # what a sender aims for; one long record may exceed it
RECORD_BYTES_MAX = 48_000  # one leaf; incompressible, it still fits in a message
BODY_BYTES_MAX = 256 * 1024  # a batch after decompression
RECORDS_MAX = 4096
ACK_BYTES_MAX = 2048
SEQ_MAX = 2**63 - 1  # what the table's signed column holds
HELLO_TOPIC = "gw/collector/hello"
UP_FILTER = "gw/+/up/+"

GatewayName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9./-]{0,126}[a-z0-9]$")]
StreamName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
Seq = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
Record = Annotated[bytes, Meta(max_length=RECORD_BYTES_MAX)]
Missing = Annotated[tuple[tuple[Seq, Seq], ...], Meta(max_length=16)]

_COMPRESS = zstandard.ZstdCompressor(level=3)
_DECOMPRESS = zstandard.ZstdDecompressor(max_window_size=1 << 23)


class MalformedMessage(LinkError):
    """A message breaks the format or its limits; it is counted and thrown away."""


class Batch(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Records `first`, `first + 1`, ... of one stream of one gateway's epoch."""

    gateway: GatewayName
    stream: StreamName
    epoch: Seq
    first: Seq
    records: Annotated[tuple[Record, ...], Meta(min_length=1, max_length=RECORDS_MAX)]
    digest: Annotated[bytes, Meta(min_length=32, max_length=32)]

    @property
    def end(self) -> int:
        """The sequence number after the last record."""
        return self.first + len(self.records)


class Ack(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The collector has committed every record below `upto`; `missing` are the half-open ranges a gap left out."""

    gateway: GatewayName
    stream: StreamName
    epoch: Seq
    upto: Seq
    missing: Missing = ()


class Hello(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A collector has just subscribed: what was sent before may not have reached it."""

    collector: Annotated[str, Meta(max_length=64)]


Message = TypeVar("Message", Batch, Ack, Hello)
_BATCH = msgspec.msgpack.Decoder(Batch)
_ACK = msgspec.msgpack.Decoder(Ack)
_HELLO = msgspec.msgpack.Decoder(Hello)


def digest(records: Sequence[bytes]) -> bytes:
    """Return SHA-256 over the records, each preceded by its length as 4 bytes big-endian."""
    hasher = hashlib.sha256()
    for record in records:
        hasher.update(len(record).to_bytes(4, "big"))
        hasher.update(record)
    return hasher.digest()


def batch_of(gateway: str, stream: str, epoch: int, first: int, records: Sequence[bytes]) -> Batch:
    """Return a batch with its digest."""
    return Batch(gateway, stream, epoch, first, tuple(records), digest(records))


def encode_batch(batch: Batch) -> bytes:
    """Return the message; its size depends on how well the records compress."""
    return bytes((SCHEMA,)) + _COMPRESS.compress(msgspec.msgpack.encode(batch))


def encode(message: Ack | Hello) -> bytes:
    """Return the message of an ack or a hello."""
    return bytes((SCHEMA,)) + msgspec.msgpack.encode(message)


def decode_batch(payload: bytes) -> Batch:
    """Return the batch in a message.

    Raises:
        MalformedMessage: wrong schema, over a limit, not msgpack, or the digest does not match.
    """
    body = _body(payload, MESSAGE_BYTES_MAX)
    try:
        size = zstandard.frame_content_size(body)
        if not 0 <= size <= BODY_BYTES_MAX:
            raise _malformed(f"a batch announces {size} B after decompression, {BODY_BYTES_MAX} are allowed")
        raw = _DECOMPRESS.decompress(body, max_output_size=BODY_BYTES_MAX, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise _malformed(f"a batch is not one zstd frame: {error}") from error
    batch = _decode(_BATCH, raw)
    if batch.end > SEQ_MAX or digest(batch.records) != batch.digest:
        raise _malformed(f"batch {batch.first} of {batch.gateway} does not match its SHA-256")
    return batch


def decode_ack(payload: bytes) -> Ack:
    """Return the ack in a message.

    Raises:
        MalformedMessage: wrong schema, over a limit, or not msgpack.
    """
    return _decode(_ACK, _body(payload, ACK_BYTES_MAX))


def decode_hello(payload: bytes) -> Hello:
    """Return the hello in a message.

    Raises:
        MalformedMessage: wrong schema, over a limit, or not msgpack.
    """
    return _decode(_HELLO, _body(payload, ACK_BYTES_MAX))


def topic_name(gateway: str) -> str:
    """Return a gateway's name as one topic level; `_` is in no gateway's name, so no two names meet."""
    return gateway.replace("/", "_")


def up_topic(gateway: str, stream: str) -> str:
    """Return the topic a gateway publishes a stream's batches on."""
    return f"gw/{topic_name(gateway)}/up/{stream}"


def ack_topic(gateway: str) -> str:
    """Return the topic a gateway hears acks on."""
    return f"gw/{topic_name(gateway)}/ack"


def _body(payload: bytes, bytes_max: int) -> bytes:
    if not 2 <= len(payload) <= bytes_max:
        raise _malformed(f"a message has {len(payload)} B, 2 to {bytes_max} are allowed")
    if payload[0] != SCHEMA:
        raise _malformed(f"a message has schema {payload[0]}, this version reads {SCHEMA}")
    return payload[1:]


def _decode(decoder: msgspec.msgpack.Decoder[Message], raw: bytes) -> Message:
    try:
        return decoder.decode(raw)
    except UNDECODABLE as error:
        raise _malformed(f"a message cannot be decoded: {error}") from error


def _malformed(what: str) -> MalformedMessage:
    return MalformedMessage(
        what, remedy="Look for another program that publishes under gw/; run the same version on both ends."
    )
