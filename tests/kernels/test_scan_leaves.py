"""The compiled look at a tile of records: it passes what msgspec decodes, and finds in it what a look at the record finds."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatewayd.core.kernels import FORMATS
from gatewayd.journal.leaf import LEAF_PREFIX, decode_leaf
from gatewayd.model.record import Decision, Kind, Leaf, Outcome, kind_of
from gatewayd.proof.tiles import entry_bundle
from tests.journal.samples import every_body
from tests.kernels.harness import FORMS, filled, refused, run, type_of
from tests.kernels.walking import SHAPE, columns_for, drawn, terms_of

KERNEL = "scan_leaves"
PREFIX = int.from_bytes(LEAF_PREFIX, "big")
PERSONAL = ("reason_text", "actor_name")
Terms = dict[tuple[str, bytes | int], list[int]]


def reference(leaves: Sequence[bytes], first_seq: int) -> tuple[list[Leaf | None], Terms]:
    """Decode each leaf; return those that are records of their place, and what these are found by."""
    found: list[Leaf | None] = []
    terms: Terms = {}
    for place, data in enumerate(leaves):
        try:
            leaf = decode_leaf(data)
        except ValueError:
            leaf = None
        found.append(leaf if leaf is not None and leaf.seq == first_seq + place else None)
        for term in names_of(leaf) if leaf is not None and leaf.seq == first_seq + place else ():
            terms.setdefault(term, []).append(place)
    return found, terms


def names_of(leaf: Leaf) -> set[tuple[str, bytes | int]]:
    body = leaf.body
    names: set[tuple[str, bytes | int]] = {("k", kind_of(body).value)}
    if isinstance(body, Decision):
        asset = body.point.rpartition(".")[0]
        names |= {("p", body.point.encode())} | ({("a", asset.encode())} if asset else set())
        names |= {("r", body.rule.encode())} if body.rule else set()
        names |= {("u", body.actor.uid)} if body.actor is not None and body.actor.uid >= 0 else set()
    return names


def scan(leaves: Sequence[bytes], *, first_seq: int = 0, forms: Sequence[str] = ("aot",)) -> tuple[int, dict[str, Any]]:
    """Run the kernel; all forms must leave the same bytes everywhere."""
    bundle = entry_bundle(leaves)
    columns = filled(KERNEL, columns_for(bundle, len(leaves)))
    scalars = {"length": len(bundle), "first_seq": first_seq, "word": SHAPE.first[0], "prefix": PREFIX}
    results = [run(KERNEL, form, columns, **scalars) for form in forms]
    assert all(result == results[0] for result in results), "the forms differ"
    result, after = results[0]
    return result, {name: list(array(FORMATS[type_of(name)], cells)) for name, cells in after.items()}


def encoded(leaf: Leaf) -> bytes:
    return LEAF_PREFIX + msgspec.msgpack.encode(leaf)


def leaf_of(body: Any, seq: int = 0, clock: str = "ntp") -> Leaf:
    return Leaf(seq, 1_700_000_000_000_000_000 + seq, 5, bytes(16), clock, body)  # type: ignore[arg-type]


def test_every_kind_of_record_is_passed_in_every_form() -> None:
    bodies = list(every_body().values())
    leaves = [encoded(leaf_of(body, seq)) for seq, body in enumerate(bodies)]
    terms, after = scan(leaves, forms=FORMS)
    assert after["record.sound"] == [1] * len(bodies)
    assert after["record.kind"] == [kind_of(body) for body in bodies]
    assert {Kind(kind) for kind in after["record.kind"]} == set(Kind)
    assert terms_of(entry_bundle(leaves), after, terms) == reference(leaves, 0)[1]


def check(leaves: Sequence[bytes], *, forms: Sequence[str] = ("aot",), first_seq: int = 0) -> list[int]:
    """Compare with the reference; return which leaves were passed."""
    terms, after = scan(leaves, first_seq=first_seq, forms=forms)
    bundle = entry_bundle(leaves)
    decoded, _ = reference(leaves, first_seq)
    assert terms >= 0
    for place, (is_sound, leaf) in enumerate(zip(after["record.sound"], decoded, strict=True)):
        start, end = after["record.start"][place], after["record.end"][place]
        assert bundle[start:end] == leaves[place]
        if is_sound:
            assert leaf is not None, "a leaf was passed that is none"
            assert {name: after[f"record.{name}"][place] for name in ("kind", "id", "wall", "personal")} == {
                "kind": kind_of(leaf.body),
                "id": leaf.body.decision_id if isinstance(leaf.body, Decision | Outcome) else 0,
                "wall": leaf.wall_ns,
                "personal": sum(1 for field in PERSONAL if getattr(leaf.body, field, b"")),
            }
            at, cited = after["record.evidence"][place], getattr(leaf.body, "evidence", b"")
            assert bundle[at : at + 32] == cited if at else cited == b""
    if all(after["record.sound"]):
        assert terms_of(bundle, after, terms) == reference(leaves, first_seq)[1]
    sound: list[int] = after["record.sound"]
    return sound


def walked(leaf: Leaf) -> bool:
    """Say whether the model can hold more than the walk passes: evidence is a SHA-256 or there is none."""
    return len(getattr(leaf.body, "evidence", b"")) in (0, 32)


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(drawn(Leaf), min_size=1, max_size=8), st.integers(0, 2**62))
def test_whatever_a_record_holds_it_is_passed_and_found(leaves: list[Leaf], first_seq: int) -> None:
    placed = [msgspec.structs.replace(leaf, seq=first_seq + place) for place, leaf in enumerate(leaves)]
    sound = check([encoded(leaf) for leaf in placed], first_seq=first_seq)
    assert sound == [int(walked(leaf)) for leaf in placed]


@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(every_body())), st.data())
def test_what_is_passed_after_a_change_can_be_decoded_and_says_the_same(kind: str, data: st.DataObject) -> None:
    check([changed(encoded(leaf_of(every_body()[kind])), data)])


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(every_body())), st.data())
def test_every_form_says_the_same_of_changed_records(kind: str, data: st.DataObject) -> None:
    check([changed(encoded(leaf_of(every_body()[kind], seq)), data) for seq in range(3)], forms=FORMS)


def changed(leaf: bytes, data: st.DataObject) -> bytes:
    """Change a byte, drop some or put some in."""
    at, size = data.draw(st.integers(0, len(leaf) - 1)), data.draw(st.integers(0, 3))
    some = data.draw(
        st.binary(max_size=3) | st.sampled_from([b"\xc0", b"\xca", b"\xcf", b"\xd3", b"\xdd", b"\xed\xa0\x80"])
    )
    return leaf[:at] + some + leaf[at + size :]


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=6) | st.text(max_size=3).map(str.encode))
def test_a_name_is_passed_if_it_is_utf8(name: bytes) -> None:
    whole = encoded(leaf_of(every_body()["stop"]))
    reason = msgspec.msgpack.encode(every_body()["stop"].reason)  # type: ignore[attr-defined]
    leaf = whole.replace(reason, bytes([0xA0 + len(name)]) + name)
    try:
        name.decode()
        is_text = 1
    except UnicodeDecodeError:
        is_text = 0
    assert check([leaf]) == [is_text]


def test_a_record_of_another_place_schema_or_clock_is_not_passed() -> None:
    body = every_body()["stop"]
    assert check([encoded(leaf_of(body, 7))]) == [0]
    assert check([b"\x09" + encoded(leaf_of(body))[1:]]) == [0]
    assert check([encoded(leaf_of(body, clock="sundial"))]) == [0]
    assert check([encoded(leaf_of(body, clock="ntpp"))]) == [0]
    assert check([b"", LEAF_PREFIX, encoded(leaf_of(body, 2))]) == [0, 0, 1]


def test_a_value_of_a_type_that_only_a_decoder_knows_is_not_passed() -> None:
    """Its word is zero. Here what a tagged structure would be looked up in fits by chance: at the place that zero names."""
    bundle = entry_bundle([LEAF_PREFIX + msgspec.msgpack.encode([5])])
    tagged, empty, unknown = [1, 5, 3], [0, 0], [0]
    columns = filled(KERNEL, columns_for(bundle, 1) | {"shape.word": [*tagged, *empty, *unknown]})
    for word, is_sound in ((9, 1), (0, 0)):
        columns["shape.word"][-1] = word
        for form in FORMS:
            _, after = run(KERNEL, form, columns, **given_(len(bundle)) | {"word": 5})
            assert array("q", after["record.sound"])[0] == is_sound, form


def test_a_record_for_whose_terms_there_is_no_room_is_not_passed() -> None:
    bundle = entry_bundle([encoded(leaf_of(every_body()["decision"]))])
    columns = filled(KERNEL, columns_for(bundle, 1, terms=2))
    scalars = {"length": len(bundle), "first_seq": 0, "word": SHAPE.first[0], "prefix": PREFIX}
    for form in FORMS:
        result, after = run(KERNEL, form, columns, **scalars)
        assert (result, array("q", after["record.sound"])[0]) == (0, 0)


def test_a_bundle_that_is_cut_or_too_long_or_outside_its_buffer_is_refused() -> None:
    leaves = [encoded(leaf_of(body, seq)) for seq, body in enumerate(every_body().values())]
    bundle = entry_bundle(leaves)
    for size in (0, 1, 2, len(bundle) // 2, len(bundle) - 1):
        assert refused(KERNEL, columns_for(bundle[:size], len(leaves)), **given_(size)) == {-2}
    assert refused(KERNEL, columns_for(bundle, len(leaves) - 1), **given_(len(bundle))) == {-2}
    assert refused(KERNEL, columns_for(bundle, len(leaves)), **given_(len(bundle) + 1)) == {-1}
    assert refused(KERNEL, columns_for(bundle, len(leaves)), **given_(-1)) == {-1}
    for name, rows in {"walk.cell": 39, "place.byte": 64, "slot.term": 127}.items():
        assert refused(KERNEL, columns_for(bundle, len(leaves)) | {name: [0] * rows}, **given_(len(bundle))) == {-1}


def given_(length: int) -> dict[str, float]:
    return {"length": length, "first_seq": 0, "word": SHAPE.first[0], "prefix": PREFIX}


@pytest.mark.parametrize("count", [31, 32, 256])
def test_places_are_told_one_by_one_and_as_bits(count: int) -> None:
    check([encoded(leaf_of(every_body()["decision"], seq)) for seq in range(count)])
