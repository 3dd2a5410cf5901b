"""Changes that are durable in the redo file and not in the tables yet, as readers must see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import zstandard

from gatewayd.store.redo import COUNTER_BYTES, MARK_BYTES, PAGE_BYTES, PAYLOAD_BYTES_MAX
from gatewayd.store.tables import Table, u64
from gatewayd.store.transaction import Change, Changes

STORE_ID_BYTES = MARK_BYTES - COUNTER_BYTES
PLAIN_BYTES_MAX = PAGE_BYTES - 128  # with its header such a payload takes one page, as the compressed one would

_compressor = zstandard.ZstdCompressor(level=-1)  # as small as 1 for such rows, and quicker
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Change])


class Ahead:
    """An immutable picture; each batch gives a new one, so a reader in another thread never sees half of it.

    It is put together when somebody looks: a decision's write waits for the batch to be added, not for that.

    Args:
        mark: the store's mark under which these changes are not in the tables yet: store id, then a counter.
        before: the picture to which `added` changes are added.
        added: later ones first in force.

    Attributes:
        rows: how many changes were gathered.
        size: bytes of their keys and values.
    """

    __slots__ = ("_added", "_before", "_changes", "mark", "rows", "size")

    def __init__(
        self, mark: bytes, *, before: Ahead | None = None, added: Sequence[Change] = (), size: int = 0
    ) -> None:
        self.mark = mark
        self.size: int = size + (before.size if before is not None else 0)
        self.rows: int = len(added) + (before.rows if before is not None else 0)
        self._before = before
        self._added = added
        self._changes: Changes | None = None

    def with_changes(self, changes: Sequence[Change], size: int = 0) -> Ahead:
        """Return the picture after more changes of so many bytes."""
        return Ahead(self.mark, before=self, added=changes, size=size)

    @property
    def changes(self) -> Changes:
        """Return table -> key -> value, None = removed."""
        if self._changes is None:
            self._changes = self._put_together()
            self._before = None  # two threads may both come here; the pictures they make are equal
        return self._changes

    def _put_together(self) -> Changes:
        parts: list[Sequence[Change]] = []
        base: Changes = {}
        picture: Ahead | None = self
        while picture is not None:
            before, known = picture._before, picture._changes  # in this order: another thread sets them in the other
            if known is not None:
                base = known
                break
            parts.append(picture._added)
            picture = before
        grown: dict[Table, dict[bytes, bytes | None]] = {}
        for part in reversed(parts):
            for table, key, value in part:
                rows = grown.get(table)
                if rows is None:
                    rows = grown[table] = dict(base.get(table, {}))
                rows[key] = value
        return {**base, **grown}


def next_mark(mark: bytes) -> bytes:
    """Return the mark that makes every frame of `mark` void."""
    return mark[:STORE_ID_BYTES] + u64(int.from_bytes(mark[STORE_ID_BYTES:], "big") + 1)


def encode_changes(changes: Sequence[Change]) -> bytes:
    """Return changes as the payload of one frame; compressed if they would take more than a page."""
    plain = _encoder.encode(changes)
    return plain if len(plain) <= PLAIN_BYTES_MAX else _compressor.compress(plain)


def ahead_of(mark: bytes, payloads: Iterable[bytes]) -> Ahead:
    """Return the picture that frames give.

    Raises:
        msgspec.MsgspecError: a frame is whole but holds no changes; another version wrote it.
    """
    ahead = Ahead(mark)
    for payload in payloads:
        ahead = ahead.with_changes(changes_of(payload))
    return ahead


def changes_of(payload: bytes) -> list[Change]:
    """Return the changes of one frame.

    Raises:
        msgspec.MsgspecError: it holds none.
    """
    return _decoder.decode(_plain(payload))


def _plain(payload: bytes) -> bytes:
    if not payload.startswith(zstandard.FRAME_HEADER):  # which begins no list of msgpack
        return payload
    try:
        if zstandard.frame_content_size(payload) > PAYLOAD_BYTES_MAX:
            raise msgspec.DecodeError("it claims to be too large")
        return zstandard.ZstdDecompressor().decompress(payload)
    except zstandard.ZstdError as error:
        raise msgspec.DecodeError(str(error)) from error
