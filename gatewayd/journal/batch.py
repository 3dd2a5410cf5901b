"""What one call of `Journal.commit` asks for, and the rows that a batch of such calls becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from gatewayd.journal import tail
from gatewayd.journal.guarded import guard
from gatewayd.journal.leaf import Draft, Stamp, encode_leaf
from gatewayd.journal.reserve import Reserve
from gatewayd.journal.tiles.bundle import slice_key, young_row
from gatewayd.journal.tiles.index import point_term
from gatewayd.model.decision import Command
from gatewayd.proof.merkle import leaf_hash
from gatewayd.proof.tiles import Tree
from gatewayd.store.tables import Table, u64
from gatewayd.store.transaction import Writes

Extra = Callable[[Writes, tuple[int, ...]], None]

_encoder = msgspec.msgpack.Encoder()


class Item(Struct, frozen=True):
    """One call of `commit`."""

    drafts: tuple[Draft, ...] = ()
    saves: Mapping[str, bytes] = {}
    intents: tuple[Command, ...] = ()
    resolves: tuple[int, ...] = ()
    extra: Extra | None = None
    gives_room: bool = False  # `extra` only deletes
    wants_checkpoint: bool = False
    quota_bytes: int = 0  # the store goes on under this larger quota, before anything is written
    wants_settled: bool = False  # the tables take over what was written ahead

    @property
    def reserve(self) -> Reserve:
        """Return how much of the reserve it may use: as its least urgent record; without records it is small."""
        if self.extra is not None and not self.gives_room:
            return Reserve.NONE
        return min((draft.reserve for draft in self.drafts), default=Reserve.LAST_WORDS)


def writes_of(items: Sequence[Item]) -> Iterator[tuple[bytes, int]]:
    """Yield the point, as its term, and the cycle of each decision whose write is about to be sent."""
    for item in items:
        written = {intent.decision_id for intent in item.intents}
        yield from ((point_term(draft.point), draft.cycle) for draft in item.drafts if draft.decision_id in written)


def apply_items(writing: Writes, items: Sequence[Item], tree: Tree, stamp: Stamp) -> tuple[Tree, list[tuple[int, ...]]]:
    """Write everything that a batch says; return the grown tree and each item's sequence numbers."""
    hashes: list[bytes] = []
    seqs: list[tuple[int, ...]] = []
    for item in items:
        first = tree.size + len(hashes)
        for seq, new in enumerate(item.drafts, start=first):
            key, leaf = u64(seq), encode_leaf(seq, stamp, new.body)
            hashes.append(leaf_hash(leaf))
            writing.append(Table.ENTRY, key, young_row(leaf, hashes[-1]))
            if new.personal:
                writing.put(Table.PERSONAL, key, new.personal)
            if new.evidence:
                writing.put(Table.EVIDENCE, slice_key(seq), new.evidence)
        seqs.append(tuple(range(first, first + len(item.drafts))))
        _store_state(writing, item, seqs[-1])
    if not hashes:
        return tree, seqs
    grown, full = tree.grown(hashes)
    tail.store_growth(writing, grown, full)
    return grown, seqs


def _store_state(writing: Writes, item: Item, seqs: tuple[int, ...]) -> None:
    for name, value in item.saves.items():
        if value:
            writing.put(Table.SAVE, name.encode(), guard(name.encode(), value))
        else:
            writing.delete(Table.SAVE, name.encode())
    for intent in item.intents:
        key = u64(intent.decision_id)
        writing.put(Table.INTENT, key, guard(key, _encoder.encode(intent)))
    for decision_id in item.resolves:
        writing.delete(Table.INTENT, u64(decision_id))
    if item.extra is not None:
        item.extra(writing, seqs)
