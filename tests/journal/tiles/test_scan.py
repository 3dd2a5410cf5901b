"""A tile looked at in one pass: its terms, as the index has them, from buffers that grow and are used again."""

from __future__ import annotations

import msgspec
import pytest

from gatewayd.compiled import load_kernels
from gatewayd.journal.leaf import LEAF_PREFIX
from gatewayd.journal.tiles import index
from gatewayd.journal.tiles.scan import INBOX_BYTES, TileScan
from gatewayd.model.record import ClockQuality, Leaf, Stopped
from gatewayd.proof.tiles import entry_bundle
from tests.journal.samples import decision_body, every_body


@pytest.fixture(scope="module")
def scan():
    return TileScan(load_kernels())


def bundle(bodies) -> bytes:
    leaves = [Leaf(256 + place, place, 1, bytes(16), ClockQuality.NTP, body) for place, body in enumerate(bodies)]
    return entry_bundle([LEAF_PREFIX + msgspec.msgpack.encode(leaf) for leaf in leaves])


def indexed(bodies) -> dict[bytes, bytes]:
    entries = [index.Entry(place, index.marks_of(body), place) for place, body in enumerate(bodies)]
    return index.index_of(1, entries).places


def test_terms_and_places_are_those_of_the_index(scan):
    kinds = [*every_body().values()]
    bodies = [kinds[place % len(kinds)] for place in range(200)]
    bodies += [decision_body(place, point=f"pump_{place % 9}.speed") for place in range(56)]
    content = bundle(bodies)
    assert dict(scan.places(content, scan.leaves(content, 256))) == indexed(bodies)
    assert scan.column("sound") == [1] * 256


def test_a_tile_larger_than_the_buffer_is_looked_at_and_so_is_a_small_one_after_it(scan):
    large = [Stopped(reason="x" * 2000)] * 256
    for bodies in (large, [Stopped(reason="")] * 256):
        content = bundle(bodies)
        assert dict(scan.places(content, scan.leaves(content, 256))) == indexed(bodies)
    assert len(bundle(large)) > INBOX_BYTES


def test_a_part_of_a_tile_is_none(scan):
    assert scan.leaves(bundle([Stopped(reason="")] * 255), 256) < 0
    assert scan.slices(b"") < 0
