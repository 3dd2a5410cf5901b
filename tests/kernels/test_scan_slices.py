"""The compiled look at the evidence of a tile: where each slice stands, and the tags in it."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatewayd.core.kernels import FORMATS
from gatewayd.errors import UNDECODABLE
from gatewayd.model.record import EvidenceRow, EvidenceSlice
from tests.kernels.harness import FORMS, filled, refused, run, type_of
from tests.kernels.walking import SHAPE, columns_for, drawn, terms_of

KERNEL = "scan_slices"
RECORDS = 256


def reference(slices: Mapping[int, bytes]) -> dict[int, tuple[bytes, set[str] | None]]:
    """Return place -> (slice, its tags; None if it is no slice)."""
    found: dict[int, tuple[bytes, set[str] | None]] = {}
    for place, content in slices.items():
        try:
            tags = {row.tag for row in msgspec.msgpack.decode(content, type=EvidenceSlice).rows}
        except UNDECODABLE:
            found[place] = content, None
        else:
            found[place] = content, tags
    return found


def check(slices: Mapping[int, bytes], *, forms: Sequence[str] = ("aot",)) -> list[int]:
    """Compare with the reference; return the places whose slices were passed."""
    packed = msgspec.msgpack.encode(slices)
    result, after = scan(packed, forms)
    expected = reference(slices)
    bounds = zip(after["record.slice_start"], after["record.slice_end"], strict=True)
    assert {place: packed[a:b] for place, (a, b) in enumerate(bounds) if b} == {p: s for p, (s, _) in expected.items()}
    passed = [place for place, is_sound in enumerate(after["record.slice_sound"]) if is_sound]
    terms: dict[tuple[str, bytes | int], list[int]] = {}
    for place in passed:
        tags = expected[place][1]
        assert tags is not None, "a slice was passed that is none"
        for tag in tags:
            terms.setdefault(("g", tag.encode()), []).append(place)
    if len(passed) == len(expected):
        assert terms_of(packed, after, result) == terms
    return passed


def scan(packed: bytes, forms: Sequence[str]) -> tuple[int, dict[str, Any]]:
    columns = columns_for(packed, RECORDS) | {"record.evidence": [1] * RECORDS}
    del columns["record.start"]
    columns = filled(KERNEL, columns)
    results = [run(KERNEL, form, columns, length=len(packed), word=SHAPE.first[1]) for form in forms]
    assert all(result == results[0] for result in results), "the forms differ"
    result, after = results[0]
    return result, {name: list(array(FORMATS[type_of(name)], cells)) for name, cells in after.items()}


def slice_of(*tags: str) -> bytes:
    rows = tuple(EvidenceRow(tag, "plc", 1.0, 0, 1, 2, 3, "degC") for tag in tags)
    return msgspec.msgpack.encode(EvidenceSlice(7, "a > 1", rows, ()))


def test_tags_of_slices_are_found_in_every_form() -> None:
    slices = {place: slice_of(f"t{place % 5}", f"t{place % 7}", f"t{place % 5}") for place in range(0, 256, 3)}
    assert check(slices, forms=FORMS) == list(slices)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.integers(0, 255), drawn(EvidenceSlice), max_size=20))
def test_whatever_a_slice_holds_it_is_passed_and_its_tags_are_found(slices: dict[int, EvidenceSlice]) -> None:
    encoded = {place: msgspec.msgpack.encode(slices[place]) for place in sorted(slices)}
    assert check(encoded) == sorted(slices)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_what_is_passed_after_a_change_is_a_slice_with_these_tags(data: st.DataObject) -> None:
    whole = slice_of("a.t", "b.t", "ä.t")
    at, some = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.binary(max_size=3))
    check({3: whole[:at] + some + whole[at + data.draw(st.integers(0, 2)) :]})


def test_what_is_no_map_of_slices_is_refused() -> None:
    whole = msgspec.msgpack.encode({1: slice_of("a"), 200: slice_of("b")})
    wrong = [b"\x90", whole[:-1], whole + b"\x00", b"\x82" + whole[1:10]]
    wrong += [
        msgspec.msgpack.encode(each) for each in ({2: b"a", 1: b"b"}, {1: "text"}, {-1: b""}, {256: b""}, {"1": b""})
    ]
    for packed in wrong:
        assert refusal(packed, len(packed)) == {-2}, packed
    assert refusal(whole, len(whole) + 1) == refusal(whole, 0) == {-1}


def test_a_slice_that_no_record_cites_is_refused() -> None:
    """Its place was changed, and the evidence of another record looks pruned."""
    whole = msgspec.msgpack.encode({1: slice_of("a"), 200: slice_of("b")})
    assert refusal(whole, len(whole), uncited=200) == {-2}


def refusal(packed: bytes, length: int, *, uncited: int = -1) -> set[int]:
    columns = columns_for(packed, RECORDS)
    columns["record.evidence"] = [int(place != uncited) for place in range(RECORDS)]
    del columns["record.start"]
    return refused(KERNEL, columns, length=length, word=SHAPE.first[1])
