"""Changes that are durable in the redo file and not in the tables yet, as readers must see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from gatewayd.store.redo import MARK_BYTES
from gatewayd.store.tables import u64
from gatewayd.store.transaction import Change, Changes, Writes, write_change

STORE_ID_BYTES = MARK_BYTES - 8

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Change])


class Ahead(Struct, frozen=True):
    """An immutable picture; each batch gives a new one, so a reader in another thread never sees half of it.

    Args:
        mark: the store's mark under which these changes are not in the tables yet: store id, then a counter.
        changes: table -> key -> value, None = removed.
        rows: how many changes were gathered.
    """

    mark: bytes
    changes: Changes = {}
    rows: int = 0

    def with_changes(self, changes: Sequence[Change]) -> Ahead:
        """Return the picture after more changes, later ones first in force."""
        touched = {table for table, _, _ in changes}
        grown = {table: dict(self.changes.get(table, {})) for table in touched}
        for table, key, value in changes:
            grown[table][key] = value
        return Ahead(self.mark, {**self.changes, **grown}, self.rows + len(changes))

    def settle(self, writing: Writes) -> None:
        """Write everything into an open transaction of the tables."""
        for table, changes in self.changes.items():
            for key in sorted(changes):
                write_change(writing, table, key, changes[key])


def next_mark(mark: bytes) -> bytes:
    """Return the mark that makes every frame of `mark` void."""
    return mark[:STORE_ID_BYTES] + u64(int.from_bytes(mark[STORE_ID_BYTES:], "big") + 1)


def encode_changes(changes: Sequence[Change]) -> bytes:
    """Return changes as the payload of one frame."""
    return _encoder.encode(changes)


def ahead_of(mark: bytes, payloads: Iterable[bytes]) -> Ahead:
    """Return the picture that frames give.

    Raises:
        msgspec.MsgspecError: a frame is whole but holds no changes; another version wrote it.
    """
    ahead = Ahead(mark)
    for payload in payloads:
        ahead = ahead.with_changes(_decoder.decode(payload))
    return ahead
