"""The bytes of records: a row each while they are young, 256 in one compressed bundle once their tile is full.

A row costs LMDB more than the record in it, and decisions resemble each other: as a bundle, in the form in which C2SP
tlog-tiles hands entries out, 256 of them take a fifth. Bundles are made while the tables take over what was written ahead:
most records never stand in a row of the tables at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

import msgspec
import zstandard

from gatewayd.errors import UNDECODABLE
from gatewayd.journal.leaf import LEAF_BYTES_MAX, decode_leaf
from gatewayd.journal.tiles import index
from gatewayd.journal.tiles.index import Entry
from gatewayd.journal.tiles.look import TileLook, add_tags
from gatewayd.journal.tiles.scan import TileScan
from gatewayd.proof.merkle import HASH_SIZE
from gatewayd.proof.tiles import TILE_WIDTH, entries_of_bundle, entry_bundle
from gatewayd.store.tables import Table, from_u64, u64
from gatewayd.store.transaction import Changes, Reading

SLICE_BYTES_MAX = 16_384  # larger evidence keeps a row of its own
ROWS_MAX = 65_536  # records taken into bundles at once
NO_SLICES = b"\x80"  # MessagePack of an empty map
_BUNDLE_BYTES_MAX = TILE_WIDTH * (2 + LEAF_BYTES_MAX)
_SLICES_BYTES_MAX = TILE_WIDTH * (16 + SLICE_BYTES_MAX)
_LEVEL = 3

_Rows = dict[bytes, bytes | None]
_compressor = zstandard.ZstdCompressor(level=_LEVEL)
_encoder = msgspec.msgpack.Encoder()
_slices_decoder = msgspec.msgpack.Decoder(dict[int, bytes])


def young_row(leaf: bytes, hash_: bytes) -> bytes:
    """Return the row of a young record: its hash in the tree, then itself."""
    return hash_ + leaf


def slice_key(seq: int) -> bytes:
    """Return the key of a record's own evidence row."""
    return b"r" + u64(seq)


def slices_key(tile: int) -> bytes:
    """Return the key of the evidence of a full tile's records."""
    return b"t" + u64(tile)


class Entries:
    """Reads records in one transaction, and keeps the bundle that it unpacked last."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._tile = -1
        self._leaves: list[bytes] | None = None
        self._slices_tile = -1
        self._slices: dict[int, bytes] = {}

    def first_young(self) -> int:
        """Return the first record that is in no bundle."""
        last = self._reading.scan_back(Table.BUNDLE, limit=1)
        return TILE_WIDTH * (from_u64(last[0][0]) + 1) if last else 0

    def size(self) -> int:
        """Return how many records there are, if none is missing at the end."""
        last = self._reading.scan_back(Table.ENTRY, limit=1)
        return max(self.first_young(), from_u64(last[0][0]) + 1 if last else 0)

    def leaves(self, first: int, count: int) -> list[bytes]:
        """Return the bytes of records from `first` on, up to the first that is missing.

        Raises:
            ValueError: a bundle cannot be unpacked.
        """
        found: list[bytes] = []
        while len(found) < count:
            at = first + len(found)
            tile, place = divmod(at, TILE_WIDTH)
            wanted = min(count - len(found), TILE_WIDTH - place)
            bundle = self._bundle(tile)
            if bundle is None:
                some = [leaf for _, leaf in self.young(at, wanted)]
            else:
                some = bundle[place : place + wanted]
            found += some
            if len(some) < wanted:
                break
        return found

    def leaf(self, seq: int) -> bytes | None:
        """Return the bytes of a record, None if there is none."""
        found = self.leaves(seq, 1)
        return found[0] if found else None

    def young(self, first: int, count: int) -> list[tuple[bytes, bytes]]:
        """Return (hash, bytes) of records that have rows, up to the first that is missing."""
        rows = self._reading.scan(Table.ENTRY, first=u64(first), below=u64(first + count), limit=count)
        found: list[tuple[bytes, bytes]] = []
        for key, row in rows:
            if from_u64(key) != first + len(found):
                break
            found.append((row[:HASH_SIZE], row[HASH_SIZE:]))
        return found

    def evidence(self, seq: int) -> bytes | None:
        """Return the evidence that came with a record; None if there was none or it was pruned.

        Raises:
            ValueError: the evidence of its tile cannot be unpacked.
        """
        tile, place = divmod(seq, TILE_WIDTH)
        found = self.slices(tile).get(place)
        return self._reading.get(Table.EVIDENCE, slice_key(seq)) if found is None else found

    def slices(self, tile: int) -> dict[int, bytes]:
        """Return the evidence that stands in the bundle of a full tile, by place.

        Raises:
            ValueError: it cannot be unpacked.
        """
        if tile != self._slices_tile:
            packed = self.slice_bundle(tile)
            self._slices = {} if packed is None else _decoded_slices(packed)
            self._slices_tile = tile
        return self._slices

    def bundle(self, tile: int) -> bytes | None:
        """Return the records of a full tile, each after its length; None if they stand in no bundle.

        Raises:
            ValueError: it cannot be unpacked.
        """
        packed = self._reading.get(Table.BUNDLE, u64(tile))
        return None if packed is None else _unpacked(packed, _BUNDLE_BYTES_MAX)

    def slice_bundle(self, tile: int) -> bytes | None:
        """Return the evidence of a full tile, MessagePack from place to slice; None if none is kept in a bundle.

        Raises:
            ValueError: it cannot be unpacked.
        """
        packed = self._reading.get(Table.EVIDENCE, slices_key(tile))
        return None if packed is None else _unpacked(packed, _SLICES_BYTES_MAX)

    def _bundle(self, tile: int) -> list[bytes] | None:
        if tile != self._tile:
            bundle = self.bundle(tile)
            self._leaves = None if bundle is None else entries_of_bundle(bundle)
            self._tile = tile
        return self._leaves


class Bundler:
    """Puts the records of full tiles into bundles, while the tables take them over; then they enter the index.

    Args:
        make_scan: makes the compiled pass over a tile, once it is needed: not while the daemon starts. None where no
            kernels were built, then each record is decoded.
    """

    def __init__(self, make_scan: Callable[[], TileScan | None]) -> None:
        self._scan = cache(make_scan)

    def __call__(self, tables: Reading, changes: Changes) -> Changes:
        """Return changes in which the records of tiles that are full stand in bundles.

        Args:
            tables: the tables, with the changes laid over them.
            changes: what the tables are about to take over; rows that they have already are removed.
        """
        newest = changes.get(Table.ENTRY)
        stored = tables.stored_first(Table.ENTRY)
        oldest = min(newest or {}, default=b"") if stored is None else stored
        if not newest or not oldest:
            return changes
        first = from_u64(oldest) // TILE_WIDTH
        last = min(from_u64(max(newest)) + 1, TILE_WIDTH * first + ROWS_MAX) // TILE_WIDTH
        return changes if first >= last else self._with_tiles(tables, changes, first, last)

    def _with_tiles(self, tables: Reading, changes: Changes, first: int, last: int) -> Changes:
        """Bundle the tiles from `first` to before `last`; one of which a record is missing stays as it is."""
        span = u64(TILE_WIDTH * first), u64(TILE_WIDTH * last)
        entries = dict(tables.scan(Table.ENTRY, first=span[0], below=span[1], limit=ROWS_MAX))
        slices = dict(tables.scan(Table.EVIDENCE, first=b"r" + span[0], below=b"r" + span[1], limit=ROWS_MAX))
        grown: dict[Table, _Rows] = {table: dict(rows) for table, rows in changes.items()}
        for tile in range(first, last):
            keys = [u64(seq) for seq in range(TILE_WIDTH * tile, TILE_WIDTH * (tile + 1))]
            found = [row for key in keys if (row := entries.get(key)) is not None]
            if len(found) == TILE_WIDTH:
                of_tile = {place: slices[key] for place, seq in enumerate(keys) if (key := b"r" + seq) in slices}
                self._bundle(tables, grown, tile, [row[HASH_SIZE:] for row in found], of_tile)
                _forget(tables, grown, Table.ENTRY, keys)
        return grown

    def _bundle(
        self, tables: Reading, grown: dict[Table, _Rows], tile: int, leaves: list[bytes], slices: Mapping[int, bytes]
    ) -> None:
        bundle = entry_bundle(leaves)
        small = {place: slice_ for place, slice_ in slices.items() if 0 < len(slice_) <= SLICE_BYTES_MAX}
        packed = _encoder.encode(small)
        _into(grown, Table.BUNDLE)[u64(tile)] = _compressor.compress(bundle)
        if small:
            _into(grown, Table.EVIDENCE)[slices_key(tile)] = _compressor.compress(packed)
            _forget(tables, grown, Table.EVIDENCE, [slice_key(TILE_WIDTH * tile + place) for place in small])
        try:
            found = self._looked_up(tile, bundle, packed, slices)
        except ValueError:
            found = index.index_of(tile, _entries(leaves, slices))
        _put_index(tables, _into(grown, Table.INDEX), tile, found)

    def _looked_up(self, tile: int, bundle: bytes, packed: bytes, slices: Mapping[int, bytes]) -> index.TileIndex:
        """Return what the index says of a tile.

        Raises:
            ValueError: there is no compiled pass, or something in the tile is damaged.
        """
        scan = self._scan()
        if scan is None:
            raise ValueError("each record is decoded")
        look = TileLook(scan, tile, bundle)
        tags, cited = look.slices(packed)
        for place, _, _, _, is_known in cited:
            if not is_known and (slice_ := slices.get(place)):
                add_tags(tags, place, slice_)
        return look.indexed(tags)


def _entries(leaves: list[bytes], slices: Mapping[int, bytes]) -> Iterator[Entry]:
    """Yield what the index says of records; of what is damaged nothing, which is found when it is read."""
    for place, data in enumerate(leaves):
        try:
            leaf = decode_leaf(data)
        except ValueError:
            continue
        yield Entry(place, index.marks_of(leaf.body), leaf.wall_ns, slices.get(place, b""))


def _put_index(tables: Reading, rows: _Rows, tile: int, found: index.TileIndex) -> None:
    """Write a tile's index into rows that other tiles have begun, and the times over 256 tiles with the last of them."""
    rows.update(found.rows)
    for term, places in (*found.places.items(), *found.tags.items()):
        key = index.term_key(term, tile)
        begun = rows[key] if key in rows else tables.get(Table.INDEX, key) if tile % index.GROUP else None
        rows[key] = index.with_tile(begun or b"", tile, places)
    if (tile + 1) % TILE_WIDTH == 0:
        keys = [index.span_key(0, each) for each in range(tile + 1 - TILE_WIDTH, tile + 1)]
        spans = [row for key in keys if (row := rows.get(key) or tables.get(Table.INDEX, key)) is not None]
        if len(spans) == TILE_WIDTH:  # else whoever searches looks at those that are there
            rows[index.span_key(1, tile // TILE_WIDTH)] = index.span_over(spans)


def _into(grown: dict[Table, _Rows], table: Table) -> _Rows:
    return grown.setdefault(table, {})


def _forget(tables: Reading, grown: dict[Table, _Rows], table: Table, keys: list[bytes]) -> None:
    """Leave rows out, and remove those that the tables have."""
    rows = _into(grown, table)
    first_stored = tables.stored_first(table, keys[0])
    for key in keys:
        if first_stored is not None and key >= first_stored and tables.is_stored(table, key):
            rows[key] = None
        else:
            rows.pop(key, None)


def _unpacked(packed: bytes, most: int) -> bytes:
    try:
        if not 0 <= zstandard.frame_content_size(packed) <= most:
            raise ValueError("it claims to be too large")
        return zstandard.ZstdDecompressor().decompress(packed)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def _decoded_slices(packed: bytes) -> dict[int, bytes]:
    try:
        found = _slices_decoder.decode(packed)
    except UNDECODABLE as error:
        raise ValueError(str(error)) from error
    if _encoder.encode(found) != packed:
        raise ValueError("it is not as it was written: a slice may stand at another place, or twice")
    return found
