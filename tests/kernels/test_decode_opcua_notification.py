"""Notifications as a hostile or an honest server sends them, against a slow reference and asyncua's own encoder."""

from __future__ import annotations

import random
import struct
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.kernels.decoded import TIMES, reference, tag_columns
from tests.kernels.harness import FORMS, Columns, filled, refused, run
from tests.kernels.notifications import MISMATCH, Malformed, read_notification

KERNEL = "decode_opcua_notification"
ERROR_BOUNDS, ERROR_FORMAT = -1, -2
WHEN = datetime(2025, 6, 15, 12, 30, 0, 250_000, tzinfo=UTC)
WHEN_NS = 1_749_990_600_250_000_000
FIRST = 2  # rows of another plan come before


def record(handle: int, value: object, kind: ua.VariantType = ua.VariantType.Double, **fields: object) -> bytes:
    fields.setdefault("SourceTimestamp", WHEN)
    return struct.pack("<I", handle) + struct_to_binary(ua.DataValue(ua.Variant(value, kind), **fields))


def notification_reference(columns: Columns, **s: int) -> int:
    """Sort the notifications by item, pick the turn's one of each, and let the decoders' shared reference store them."""
    payload = bytes(columns["inbox.byte"][s["at"] : s["at"] + s["size"]])
    columns["out.value"][1] = 0
    try:
        found = read_notification(payload)
    except Malformed:
        return ERROR_FORMAT
    if any(handle >= s["count"] for handle, _ in found):
        return ERROR_FORMAT
    for number, (handle, _) in enumerate(found):
        item = s["first"] + handle
        columns["plan.seen"][item] = sum(earlier == handle for earlier, _ in found[: number + 1])
        columns["plan.seen_pass"][item] = s["pass_number"]
    numbered = [
        (handle, sample, sum(earlier == handle for earlier, _ in found[:number]))
        for number, (handle, sample) in enumerate(found)
    ]
    taken = [(handle, sample) for handle, sample, turn in numbered if turn == s["turn"]]
    columns["out.value"][1] = int(any(turn > s["turn"] for _, _, turn in numbered))
    rows = list(columns["plan.row"])
    columns["plan.row"][:] = [rows[s["first"] + handle] for handle, _ in taken] + rows[len(taken) :]
    store = reference(lambda *_: (sample for _, sample in taken))
    result = store(columns, **(s | {"first": 0, "count": len(taken)}))
    columns["plan.row"][:] = rows
    return result


def span(payload: bytes, items: int, *, turn: int = 0) -> dict[str, int]:
    at = {"at": 5, "size": len(payload), "first": FIRST, "count": items, "fresh_count": 0, "pass_number": 9}
    return at | {"turn": turn} | TIMES


def columns_for(payload: bytes, items: int, neighbour: bytes = b"") -> Columns:
    rows = FIRST + items
    given = {"plan.row": list(range(rows))[::-1]} | tag_columns(random.Random(1), rows)
    return given | {"inbox.byte": list(b"\xaa" * 5 + payload + neighbour), "nest.value": [7] * 32, "out.value": [0] * 8}


def compare(payload: bytes, items: int, *, turn: int = 0) -> tuple[int, Columns]:
    """Run all forms and the reference: before a neighbour's bytes, which must not count, and at the inbox's end.

    The nest is scratch and not compared.
    """
    outcomes = []
    for neighbour in (b"\xbb" * 40, b""):
        columns = filled(KERNEL, columns_for(payload, items, neighbour))
        wanted = {name: list(cells) for name, cells in columns.items()}
        result = notification_reference(wanted, **span(payload, items, turn=turn))
        for form in FORMS:
            found, after = run(KERNEL, form, columns, **span(payload, items, turn=turn))
            assert found == result, form
            for name in set(after) - {"nest.value"}:
                code = {"tag.value": "d", "inbox.byte": "B"}.get(name, "q")
                assert after[name] == struct.pack(f"<{len(wanted[name])}{code}", *wanted[name]), (form, name)
        outcomes.append((result, wanted))
    return outcomes[1]


def test_values_land_on_the_rows_their_handles_name() -> None:
    payload = record(3, 1.5) + record(0, -7, ua.VariantType.Int32) + record(2, True, ua.VariantType.Boolean)
    result, after = compare(payload, 4)
    assert result == 3
    rows = [after["plan.row"][FIRST + handle] for handle in (3, 0, 2)]
    assert after["fresh.row"][:3] == rows
    assert [after["tag.value"][row] for row in rows] == [1.5, -7.0, 1.0]
    assert [after["tag.source_time"][row] for row in rows] == [WHEN_NS] * 3
    assert after["tag.status"][after["plan.row"][FIRST + 1]] == 0x80310000, "the item without news keeps what it had"


def test_queued_values_of_an_item_are_seen_one_by_one_in_order() -> None:
    payload = b"".join(record(0, float(n)) for n in range(3)) + record(1, 10.0) + record(0, 3.0) + record(1, 11.0)
    seen: dict[int, list[float]] = {0: [], 1: []}
    for turn in range(4):
        result, after = compare(payload, 2, turn=turn)
        for row in after["fresh.row"][:result]:
            seen[1 - row].append(after["tag.value"][row])
        assert after["out.value"][1] == (turn < 3)
    assert seen == {0: [0.0, 1.0, 2.0, 3.0], 1: [10.0, 11.0]}


def test_an_empty_notification_changes_nothing() -> None:
    result, after = compare(b"", 3)
    assert (result, after["out.value"][1], after["tag.status"]) == (0, 0, [0x80310000] * 5)


ODD = [
    ("pump", ua.VariantType.String),
    ([1.0, 2.0], ua.VariantType.Double),
    ([[1, 2], [3, 4]], ua.VariantType.Int32),
    (ua.LocalizedText("Pump", "en"), ua.VariantType.LocalizedText),
    (ua.QualifiedName("name", 2), ua.VariantType.QualifiedName),
    (ua.NodeId(5, 2), ua.VariantType.NodeId),
    (ua.NodeId("a name", 300), ua.VariantType.NodeId),
    (ua.ExpandedNodeId(7, 1, NamespaceUri="urn:x", ServerIndex=3), ua.VariantType.ExpandedNodeId),
    (ua.EUInformation(NamespaceUri="x", UnitId=4), ua.VariantType.ExtensionObject),
    ([ua.EUInformation(), ua.EUInformation(NamespaceUri="y")], ua.VariantType.ExtensionObject),
    ([ua.Variant(1.0), ua.Variant("x"), ua.Variant([ua.Variant(2)])], ua.VariantType.Variant),
    (ua.DataValue(ua.Variant([1, 2, 3]), ua.StatusCode(0x40000000)), ua.VariantType.DataValue),
    ([ua.DataValue(), ua.DataValue(ua.Variant("t"), SourceTimestamp=WHEN)], ua.VariantType.DataValue),
    (ua.DiagnosticInfo(SymbolicId=1, AdditionalInfo="x"), ua.VariantType.DiagnosticInfo),
]


@pytest.mark.parametrize(("value", "kind"), ODD, ids=lambda each: getattr(each, "name", ""))
def test_what_is_no_number_turns_its_own_row_bad_and_harms_no_neighbour(value: object, kind: ua.VariantType) -> None:
    """P-ISOLATE: as asyncua encodes it, in front of a number."""
    result, after = compare(record(0, value, kind) + record(1, 9.5), 2)
    odd, good = (after["plan.row"][FIRST + handle] for handle in (0, 1))
    assert result == 2
    assert (after["tag.status"][odd], after["tag.value"][good]) == (MISMATCH, 9.5)
    assert after["tag.source_time"][odd] == WHEN_NS


def test_a_bad_status_beside_a_structure_is_kept() -> None:
    sick = record(0, ua.EUInformation(), ua.VariantType.ExtensionObject, StatusCode=ua.StatusCode(0x808C0000))
    _, after = compare(sick, 1)
    assert after["tag.status"][after["plan.row"][FIRST]] == 0x808C0000


@pytest.mark.parametrize(
    "broken",
    [
        b"\x00\x00\x00",
        record(1, 1.0),  # the plan has one item
        b"\xff\xff\xff\xff" + record(0, 1.0)[4:],
        struct.pack("<IB", 0, 0x41),  # reserved bit
        struct.pack("<IBB", 0, 1, 0x4B),  # dimensions without an array
        struct.pack("<IBBI", 0, 1, 0x8B, 2**31 - 1),
        struct.pack("<IBBi", 0, 1, 0x98, 2) + b"\x98\x01\0\0\0" * 12,  # nested deeper than eight
        record(0, "text", ua.VariantType.String)[:-9],
    ],
)
def test_a_malformed_notification_changes_nothing_at_all(broken: bytes) -> None:
    result, after = compare(record(0, 5.0) + broken, 1)
    assert result == ERROR_FORMAT
    assert after["tag.status"] == [0x80310000] * 3


def test_a_notification_cut_anywhere_is_refused_whole() -> None:
    pieces = [record(0, value, kind) for value, kind in ODD] + [record(1, 1.0)]
    whole, ends = b"".join(pieces), {0}
    for piece in pieces:
        ends.add(max(ends) + len(piece))
    columns = columns_for(whole, 2)
    for cut in range(len(whole)):
        results = {run(KERNEL, form, filled(KERNEL, columns), **span(whole[:cut], 2))[0] for form in ("python", "aot")}
        assert len(results) == 1
        assert (results == {ERROR_FORMAT}) == (cut not in ends)


HOSTILE = some.lists(
    some.one_of(
        some.binary(max_size=12),
        some.sampled_from([record(0, value, kind) for value, kind in ODD] + [record(1, 2.0), record(0, 1.0)]),
    ),
    max_size=5,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(payload=HOSTILE, flip=some.lists(some.tuples(some.integers(0, 200), some.integers(0, 255)), max_size=3))
def test_hostile_bytes_neither_crash_nor_write_where_they_should_not(
    payload: bytes, flip: list[tuple[int, int]]
) -> None:
    """The compiled form gives what the plain one gives, which Python's own bounds checks watch over."""
    changed = bytearray(payload)
    for place, byte in flip:
        if place < len(changed):
            changed[place] = byte
    columns = filled(KERNEL, columns_for(bytes(changed), 3))
    plain, after = run(KERNEL, "python", columns, **span(bytes(changed), 3))
    compiled, compiled_after = run(KERNEL, "aot", columns, **span(bytes(changed), 3))
    assert (compiled, compiled_after) == (plain, after)
    try:
        found = read_notification(bytes(changed))
        expected = ERROR_FORMAT if any(handle >= 3 for handle, _ in found) else len({handle for handle, _ in found})
    except Malformed:
        expected = ERROR_FORMAT
    assert plain == expected


def test_ranges_and_rows_outside_their_buffers_are_refused() -> None:
    payload = record(0, 1.0)
    columns = columns_for(payload, 1)
    good = span(payload, 1)
    wrong = {"at": 6, "size": len(payload) + 1, "first": 3, "count": 2, "turn": -1, "fresh_count": 3}
    for name, number in (*wrong.items(), ("count", -1), ("fresh_count", -1)):
        assert refused(KERNEL, columns, **(good | {name: number})) == {ERROR_BOUNDS}, name
    assert refused(KERNEL, columns | {"plan.row": [0, 0, 3]}, **good) == {ERROR_BOUNDS}
    assert refused(KERNEL, columns | {"nest.value": [0] * 31}, **good) == {ERROR_BOUNDS}
