"""A tile looked at in one pass says what a look at each of its records says."""

from __future__ import annotations

import msgspec
import pytest

from gatewayd.compiled import load_kernels
from gatewayd.journal.leaf import LEAF_PREFIX
from gatewayd.journal.tiles import index
from gatewayd.journal.tiles.look import TileLook, add_tags
from gatewayd.journal.tiles.scan import TileScan
from gatewayd.model.record import ClockQuality, Leaf, Stopped
from gatewayd.proof.tiles import entry_bundle
from tests.journal.samples import deciding, every_body, outcome

NUMBERS = range(1, 101)


@pytest.fixture(scope="module")
def scan():
    return TileScan(load_kernels())


@pytest.fixture
def records():
    """Decisions with evidence, their outcomes, every other kind; one whose time only a decoder understands."""
    found = [deciding(n, tags=(f"t.{n % 7}", "ü.t"), rule="r", uid=n % 3) for n in NUMBERS]
    found += [outcome(n) for n in NUMBERS]
    bodies = [record.body for record in found] + [*every_body().values()] * 3
    bodies = bodies[:256]
    leaves = [
        Leaf(512 + place, 1000 + place, 5, bytes(16), ClockQuality.NTP, body) for place, body in enumerate(bodies)
    ]
    leaves[3] = msgspec.structs.replace(leaves[3], boot_ns=2**64 - 1)
    return leaves, {place: record.evidence for place, record in enumerate(found) if record.evidence}


def bundle_of(leaves):
    return entry_bundle([LEAF_PREFIX + msgspec.msgpack.encode(leaf) for leaf in leaves])


def test_it_says_what_a_look_at_each_record_says(scan, records):
    leaves, slices = records
    look = TileLook(scan, 2, bundle_of(leaves))
    tags, cited = look.slices(msgspec.msgpack.encode(slices))
    entries = [
        index.Entry(p, index.marks_of(leaf.body), leaf.wall_ns, slices.get(p, b"")) for p, leaf in enumerate(leaves)
    ]
    assert look.indexed(tags) == index.index_of(2, entries)
    assert [msgspec.msgpack.encode(look.leaf(place)) for place in range(256)] == [*map(msgspec.msgpack.encode, leaves)]
    assert look.decisions == [
        (leaf.body.decision_id, p) for p, leaf in enumerate(leaves) if type(leaf.body).__name__ == "Decision"
    ]
    assert {place: look.digest(place, at) for place, at, *_ in cited} == {
        place: leaf.body.evidence for place, leaf in enumerate(leaves) if getattr(leaf.body, "evidence", b"")
    }
    assert look.hashed == sum(
        bool(getattr(leaf.body, f, b"")) for leaf in leaves for f in ("reason_text", "actor_name")
    )


def test_tags_of_a_slice_that_the_pass_does_not_know_are_added(scan, records):
    leaves, slices = records
    look = TileLook(scan, 2, bundle_of(leaves))
    odd = slices[4] + b""
    tags, cited = look.slices(msgspec.msgpack.encode({4: odd[:-1] + b"\xc0", 5: slices[5]}))
    assert [is_known for place, _, _, _, is_known in cited if place in (4, 5)] == [0, 1]
    add_tags(tags, 4, odd)
    assert index.listed(tags[index.tag_term("ü.t")]) == [4, 5]


def test_a_tile_with_a_record_that_cannot_be_decoded_or_stands_elsewhere_is_refused(scan, records):
    leaves, _ = records
    for wrong in (
        leaves[:255],
        [*leaves[:255], leaves[0]],
        [*leaves[:255], msgspec.structs.replace(leaves[255], body=None)],
    ):
        with pytest.raises(ValueError, match=r"."):
            TileLook(scan, 2, bundle_of(wrong))


def test_evidence_that_no_record_cites_is_refused(scan, records):
    leaves, slices = records
    leaves[9] = msgspec.structs.replace(leaves[9], body=Stopped(reason="cites nothing"))
    look = TileLook(scan, 2, bundle_of(leaves))
    with pytest.raises(ValueError, match="no evidence of these"):
        look.slices(msgspec.msgpack.encode(slices))
