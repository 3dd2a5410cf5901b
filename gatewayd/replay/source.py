"""Where a replay reads: a gateway's store, also beside the daemon, or the folder of an export, on any machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from gatewayd.core.site import Site, compile_site
from gatewayd.device.build import plan_reads
from gatewayd.errors import UNDECODABLE, JournalDamaged, StoreError
from gatewayd.journal import tail
from gatewayd.journal.blocks.recorder import unpack
from gatewayd.journal.blocks.sealed import sealed_blocks, site_bytes_of
from gatewayd.journal.blocks.states import unpack_state
from gatewayd.journal.care.pruned import pruned_state
from gatewayd.journal.export.replay_files import FOLDER as REPLAY_FOLDER
from gatewayd.journal.leaf import decode_leaf
from gatewayd.journal.tiles.bundle import Entries
from gatewayd.model.decision import Inputs
from gatewayd.model.record import BlockSealed
from gatewayd.proof.tiles import TILE_WIDTH, entries_of_bundle, entries_path
from gatewayd.site.digest import digests, site_from_bytes
from gatewayd.store.env import QUOTA_BYTES_MIN, Store
from gatewayd.store.tables import Table

EXPORT_NAME: Final = "export.json"
_inputs_decoder = msgspec.msgpack.Decoder(Inputs)


class Block(NamedTuple):
    """A sealed block that is kept, and the record that cites it."""

    seq: int
    sealed: BlockSealed


class Source(Protocol):
    """Records by number, everything else by its SHA-256.

    Attributes:
        place: for messages.
        first: the first record that is here.
        end: one after the last.
    """

    place: str
    first: int
    end: int

    def blocks(self) -> tuple[Block, ...]:
        """Return the blocks that are kept, in the order in which they were sealed."""
        ...

    def leaves(self, first: int, count: int) -> list[bytes]:
        """Return the bytes of records, fewer only at the end.

        Raises:
            JournalDamaged: one cannot be read.
        """
        ...

    def evidence(self, seq: int, digest: bytes) -> bytes | None:
        """Return the slice that a record cites, None if it is no longer kept."""
        ...

    def block(self, digest: bytes) -> bytes | None:
        """Return the stored bytes of a block or of a snapshot, None if they are no longer kept."""
        ...

    def site_bytes(self, digest: bytes) -> bytes:
        """Return a configuration.

        Raises:
            StoreError: it is not kept, or damaged.
        """
        ...


class StoreSource:
    """A gateway's store, opened for reading."""

    def __init__(self, store: Store, place: str) -> None:
        self.place = place
        self.first = store.read(pruned_state).end
        self.end = store.read(lambda reading: Entries(reading).size())
        self._store = store

    def blocks(self) -> tuple[Block, ...]:
        """Return the blocks that are kept; see `Source`."""
        return tuple(self._cited(block.seq, block.digest) for block in sealed_blocks(self._store))

    def leaves(self, first: int, count: int) -> list[bytes]:
        """Return records; see `Source`."""
        count = min(count, self.end - first)
        found = self._store.read(lambda reading: tail.leaves_of(Entries(reading), first, count))
        if len(found) != count:
            raise tail.damaged(first + len(found), "it is missing")
        return found

    def evidence(self, seq: int, digest: bytes) -> bytes | None:
        """Return a slice; see `Source`."""
        return self._store.read(lambda reading: tail.evidence_of(Entries(reading), seq, digest))

    def block(self, digest: bytes) -> bytes | None:
        """Return a block or snapshot; see `Source`."""
        return self._store.get(Table.BLOCK, digest)

    def site_bytes(self, digest: bytes) -> bytes:
        """Return a configuration; see `Source`."""
        return site_bytes_of(self._store, digest)

    def _cited(self, seq: int, digest: bytes) -> Block:
        body = _body_of(seq, self.leaves(seq, 1)[0])
        if not isinstance(body, BlockSealed) or body.digest != digest:
            raise tail.damaged(seq, f"it does not cite the block {digest.hex()[:16]}, as the index says")
        return Block(seq, body)


class ExportSource:
    """The folder that `gatewayd journal export --for-replay` wrote."""

    def __init__(self, folder: Path) -> None:
        self.place = str(folder)
        self._folder = folder
        try:
            says = json.loads((folder / EXPORT_NAME).read_bytes())
            self.first, self.end, self._size = int(says["first"]), int(says["end"]), int(says["size"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise StoreError(f"{folder / EXPORT_NAME} cannot be read: {error}", remedy="Export again.") from error
        self._bundle = lru_cache(4)(self._read_bundle)

    def blocks(self) -> tuple[Block, ...]:
        """Return the blocks whose records and bytes are here; see `Source`."""
        found = []
        for first in range(self.first, self.end, TILE_WIDTH):
            for seq, leaf in enumerate(self.leaves(first, TILE_WIDTH), start=first):
                body = _body_of(seq, leaf)
                if isinstance(body, BlockSealed) and self._path(body.digest).exists():
                    found.append(Block(seq, body))
        return tuple(found)

    def leaves(self, first: int, count: int) -> list[bytes]:
        """Return records; see `Source`."""
        found: list[bytes] = []
        end = min(first + count, self.end)
        while first + len(found) < end:
            tile, place = divmod(first + len(found), TILE_WIDTH)
            found += self._bundle(tile)[place : place + end - first - len(found)]
        return found

    def evidence(self, seq: int, digest: bytes) -> bytes | None:
        """Return a slice; see `Source`."""
        path = self._folder / "evidence" / digest.hex()
        return path.read_bytes() if path.exists() else None

    def block(self, digest: bytes) -> bytes | None:
        """Return a block or snapshot; see `Source`."""
        path = self._path(digest)
        return path.read_bytes() if path.exists() else None

    def site_bytes(self, digest: bytes) -> bytes:
        """Return a configuration; see `Source`."""
        content = self.block(digest)
        if content is None:
            raise StoreError(
                f"the configuration {digest.hex()[:16]} of these cycles is not in {self._folder}",
                remedy="Export again with --for-replay, on a gateway that still keeps it.",
            )
        if sha256(content).digest() != digest:
            raise JournalDamaged(
                f"{self._path(digest)} does not have the hash that it is named by",
                remedy="Run the export's verify_export.py, and copy the export again.",
            )
        return content

    def _path(self, digest: bytes) -> Path:
        return self._folder / REPLAY_FOLDER / digest.hex()

    def _read_bundle(self, tile: int) -> list[bytes]:
        name = entries_path(tile, min(TILE_WIDTH, self._size - tile * TILE_WIDTH))
        try:
            entries = entries_of_bundle((self._folder / name).read_bytes())
        except (OSError, ValueError) as error:
            raise tail.damaged(tile * TILE_WIDTH, f"its bundle cannot be read: {error}") from error
        if len(entries) != min(TILE_WIDTH, self._size - tile * TILE_WIDTH):
            raise tail.damaged(tile * TILE_WIDTH, "its bundle is cut off")
        return entries


@contextmanager
def open_source(place: Path) -> Iterator[Source]:
    """Open a store's folder or an export.

    Raises:
        StoreError: it cannot be opened.
    """
    if (place / EXPORT_NAME).exists():
        yield ExportSource(place)
        return
    store = Store.open(place, QUOTA_BYTES_MIN, readonly=True)
    try:
        yield StoreSource(store, str(place))
    finally:
        store.close()


def inputs_of(source: Source, block: BlockSealed) -> list[Inputs]:
    """Return the inputs of a block's cycles; none if it has expired since it was listed.

    Raises:
        JournalDamaged: it is not what was sealed.
    """
    content = source.block(block.digest)
    if content is None:
        return []
    try:
        return [_inputs_decoder.decode(encoded) for encoded in unpack(content, block.digest)]
    except UNDECODABLE as error:
        raise JournalDamaged(
            f"flight-recorder block {block.digest.hex()[:16]}: {error}",
            remedy="Run `gatewayd journal verify`; it names the first bad record.",
        ) from error


def state_of(source: Source, block: BlockSealed) -> bytes | None:
    """Return the snapshot beside a block, unpacked; None if there is none, or no longer.

    Raises:
        JournalDamaged: it is not what was kept.
    """
    content = source.block(block.state) if block.state else None
    return None if content is None else unpack_state(content, block.state)


def site_of(source: Source, digest: bytes) -> Site:
    """Return the site that cycles were run with, compiled.

    Raises:
        StoreError: it is not kept, or of another version.
    """
    try:
        config = site_from_bytes(source.site_bytes(digest))
    except UNDECODABLE as error:
        raise StoreError(
            f"the configuration {digest.hex()[:16]} is of another version: {error}",
            remedy="Replay with the version of gatewayd that recorded it; its `start` record names it.",
        ) from error
    return compile_site(config, plan_reads=plan_reads, digests=digests(config))


def _body_of(seq: int, leaf: bytes) -> object:
    try:
        return decode_leaf(leaf).body
    except ValueError as error:
        raise tail.damaged(seq, f"it cannot be decoded: {error}") from error
