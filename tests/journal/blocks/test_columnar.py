"""Blocks as columns: whatever cycles saw comes back byte for byte, and hostile bytes are refused within bounds."""

from __future__ import annotations

import random
import struct

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gatewayd.journal.blocks import columnar
from gatewayd.journal.blocks.columnar import Malformed, Packer, unpack
from gatewayd.journal.blocks.lanes import Form
from gatewayd.journal.blocks.series import Series
from gatewayd.model.block import Block, Codec
from gatewayd.model.decision import ClearOverride, Inputs, OutcomeResult, SetOverride, Stop, WriteOutcome
from gatewayd.model.record import Actor

SECOND = 1_000_000_000
ANA = Actor(1000, "operator", "socket", "ana")
encode = msgspec.msgpack.encode

times = st.integers(0, 2**62)
status = st.integers(0, 2**32 - 1)
payloads = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"", bytes(8), b"\x00\x01\x00\x02", "pressure is höher".encode()]),
)
readings = st.builds(
    Block,
    plan=st.integers(0, 5),
    codec=st.sampled_from(Codec),
    request_time_ns=times,
    response_time_ns=times,
    response_mono_ns=times,
    payload=payloads,
    status=status,
    lost=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), status), max_size=2).map(tuple),
    plans=st.integers(1, 3),
)
outcomes = st.builds(
    WriteOutcome,
    decision_id=st.integers(0, 2**40),
    point=st.integers(0, 9),
    result=st.sampled_from(OutcomeResult),
    value=st.floats(),
    read_back=st.floats(),
    sent_ns=times,
    answered_ns=times,
    detail=st.text(max_size=5),
)
requests = st.one_of(
    st.builds(SetOverride, st.text(max_size=9), st.floats(), times, st.text(max_size=9), st.just(ANA)),
    st.builds(ClearOverride, st.text(max_size=9), st.text(max_size=9), st.just(ANA), st.text(max_size=3)),
    st.builds(Stop, st.text(max_size=9)),
)
any_inputs = st.builds(
    Inputs,
    cycle=times,
    wall_ns=times,
    mono_ns=times,
    blocks=st.lists(readings, max_size=6).map(tuple),
    outcomes=st.lists(outcomes, max_size=2).map(tuple),
    requests=st.lists(requests, max_size=2).map(tuple),
)


def steady(cycles: int = 60, *, registers: int = 8, plans: int = 3) -> list[Inputs]:
    """A plant polled each second: registers that walk, plans that answer in any order, now and then not at all."""
    chance = random.Random(7)
    values = [[chance.randrange(0, 65536) for _ in range(registers)] for _ in range(plans)]
    recorded = []
    for cycle in range(cycles):
        at = cycle * SECOND + chance.randrange(3_000_000)
        blocks = []
        for plan in range(plans):
            values[plan] = [(value + chance.choice((-1, 0, 0, 1))) & 0xFFFF for value in values[plan]]
            payload = struct.pack(f">{registers}H", *values[plan])
            times = (10**18 + at, 10**18 + at + 10 + plan, at + 10 + plan)
            is_lost = chance.random() < 0.05
            lost = Block(plan, Codec.LOST, *times, status=0x800A0000)
            blocks.append(lost if is_lost else Block(plan, Codec.MODBUS_REGISTERS, *times, payload))
        chance.shuffle(blocks)
        recorded.append(Inputs((3 << 40) + cycle, 10**18 + at + 100, at + 100, tuple(blocks)))
    return recorded


def packed(cycles: list[Inputs]) -> tuple[bytes, list[bytes]]:
    encoded = [encode(inputs) for inputs in cycles]
    content = Packer().pack(encoded)
    assert content is not None
    return content, encoded


@given(st.lists(any_inputs, min_size=1, max_size=12))
@example([Inputs(1, 2, 3)])
@example([Inputs(1, 2, 3, (Block(0, Codec.CONFIRMED, 1, 2, 3),))] * 3)
def test_whatever_cycles_saw_comes_back_byte_for_byte(cycles):
    """Clocks that are more than a century apart may be left to the form that takes anything."""
    encoded = [encode(inputs) for inputs in cycles]
    content = Packer().pack(encoded)
    assert [bytes(cycle) for cycle in unpack(content)] == encoded if content is not None else _is_far_apart(cycles)


def _is_far_apart(cycles: list[Inputs]) -> bool:
    found = [time for inputs in cycles for time in (inputs.cycle, inputs.wall_ns, inputs.mono_ns)]
    for block in (block for inputs in cycles for block in inputs.blocks):
        found += (block.request_time_ns, block.response_time_ns, block.response_mono_ns)
    return max(found) - min(found) > 100 * 365 * 86_400 * SECOND


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 4))
def test_what_a_plant_tells_each_second_comes_back_byte_for_byte(cycles, registers, plans):
    content, encoded = packed(steady(cycles, registers=registers, plans=plans))
    assert [bytes(cycle) for cycle in unpack(content)] == encoded


def test_payloads_that_change_their_length_leave_those_of_other_plans_columns():
    """A text grows and shrinks beside registers that do not."""
    cycles = [
        msgspec.structs.replace(
            inputs, blocks=(*inputs.blocks, Block(9, Codec.OPCUA_READ, 1, 2, 3, b"text" * (1 + place % 7)))
        )
        for place, inputs in enumerate(steady(60, plans=1))
    ]
    packer = Packer()
    encoded = [encode(inputs) for inputs in cycles]
    content = packer.pack(encoded)
    assert [bytes(cycle) for cycle in unpack(content)] == encoded
    assert packer._forms[0, Codec.MODBUS_REGISTERS, 16][0] == Form.WORDS
    assert len(content) < len(packed(steady(60, plans=1))[0]) + 700


def test_what_comes_with_outcomes_and_requests_keeps_them_in_their_cycle():
    cycles = steady(5)
    outcome = WriteOutcome(4, 0, OutcomeResult.VERIFIED, 2.5, float("nan"), 8, 9)
    cycles[3] = msgspec.structs.replace(cycles[3], outcomes=(outcome,), requests=(Stop("a reason"),))
    content, encoded = packed(cycles)
    assert [bytes(cycle) for cycle in unpack(content)] == encoded


@pytest.mark.parametrize(
    "cycle", [Inputs(1, -5, 3), Inputs(1, 2, 2**63), Inputs(1, 2, 3, (Block(0, Codec.LOST, -1, 0, 0),))]
)
def test_times_before_1970_or_beyond_bounds_are_left_to_the_form_that_takes_anything(cycle):
    assert Packer().pack([encode(cycle)]) is None


def test_no_cycles_and_too_many_readings_are_left_to_the_form_that_takes_anything(monkeypatch):
    assert Packer().pack([]) is None
    monkeypatch.setattr(columnar, "READINGS_MAX", 5)
    assert Packer().pack([encode(inputs) for inputs in steady(2)]) is None


def test_a_form_is_chosen_by_trial_and_tried_again_later():
    packer = Packer()
    for _ in range(columnar.TRIED_AGAIN_AFTER + 1):
        packer.pack([encode(inputs) for inputs in steady(8, plans=1)])
    ((form, tried_in),) = packer._forms.values()
    assert (form, tried_in) == (Form.WORDS, columnar.TRIED_AGAIN_AFTER + 1)


# --- hostile bytes ------------------------------------------------------------------------------------------------------


def sections_of(content: bytes) -> list[list[object]]:
    return msgspec.msgpack.decode(content[1:])


def with_head(**changes: object) -> bytes:
    """A block of which the head says something else."""
    content, _ = packed(steady(5))
    sections = columnar._sections_decoder.decode(content[1:])
    head = columnar._head_decoder.decode(columnar._expanded_one(sections[0]))
    changed = encode(msgspec.structs.replace(head, **changes))
    return bytes((2,)) + encode([[len(changed), changed], *sections[1:]])


def shape(size: int) -> columnar._Shape:
    return columnar._Shape(0, Codec.MODBUS_REGISTERS, size, 0, (), 1)


_FIVE, _ALL = Series(5), Series(15)
_HEADS = {
    "a pattern that is not there": {"cycles": [0, 1, 2, 3, 99]},
    "a pattern before the first": {"cycles": [-1]},
    "a shape that is not there": {"patterns": [[77]] * 5},
    "fewer forms": {"forms": []},
    "a size below nothing": {"shapes": [shape(-1)] * 3, "forms": [Form.PLAIN] * 3},
    "more cycles than numbers": {"cycles": [0] * 6},
    "too many cycles": {"cycles": [0] * 70_000},
    "numbers of too many bits": {"series": (Series(5, bits=2**40), _FIVE, _FIVE, _ALL, _ALL, _ALL)},
    "other numbers than there are": {"series": (_FIVE, _FIVE, _FIVE, _ALL, _ALL, _ALL)},
    "payloads that are not there": {"shapes": [shape(1 << 19)] * 3, "forms": [Form.PLAIN] * 3},
    "payloads beyond every bound": {"shapes": [shape(1 << 40)] * 3, "forms": [Form.PLAIN] * 3},
    "rare things out of order": {"rare": [columnar._NOTHING, columnar._NOTHING]},
    "a form that does not fit": {"shapes": [shape(15)] * 3, "forms": [Form.LONGS] * 3},
}


@pytest.mark.parametrize("changes", _HEADS.values(), ids=_HEADS)
def test_a_head_that_does_not_fit_is_refused(changes):
    with pytest.raises(Malformed):
        unpack(with_head(**changes))


def test_more_readings_than_a_block_may_have_are_refused_before_one_is_made():
    readings = Series(100_000)
    head = with_head(patterns=[[0] * 20_000] * 5, series=(_FIVE, _FIVE, _FIVE, readings, readings, readings))
    with pytest.raises(Malformed, match="100000 readings"):
        unpack(head)


def test_a_number_beyond_every_clock_is_refused():
    content, _ = packed([Inputs(1, 2, 3)])
    sections = columnar._sections_decoder.decode(content[1:])
    head = columnar._head_decoder.decode(columnar._expanded_one(sections[0]))
    far = (head.series[0], Series(1, start=2**63 - 1, low=2**63 - 1, step=4), *head.series[2:])
    changed = encode(msgspec.structs.replace(head, series=far))
    with pytest.raises(Malformed):
        unpack(bytes((2,)) + encode([[len(changed), changed], *sections[1:]]))


@pytest.mark.parametrize(
    "sections",
    [
        [],
        [[1, b""]] * 4,
        [[-1, b""]] + [[0, b""]] * 3,
        [[0, b""], [-1, b""], [1, b"x"], [0, b""]],
        [[8 << 20, b"x"], *[[0, b""]] * 3],
        [[0, b""], [40 << 20, b"x"], *[[0, b""]] * 2],
    ],
    ids=["none", "no frame", "below nothing", "sizes that cancel out", "a large head", "a large body"],
)
def test_sections_that_lie_about_their_size_are_refused(sections):
    with pytest.raises(Malformed):
        unpack(bytes((2,)) + encode(sections))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(content):
    with pytest.raises(Malformed):
        unpack(content)
    with pytest.raises(Malformed):
        unpack(bytes((2,)) + content)


@settings(max_examples=150)
@given(st.data())
def test_a_block_with_a_changed_byte_is_refused_or_told(data):
    content, _ = packed(steady(6))
    at = data.draw(st.integers(0, len(content) - 1))
    changed = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
    try:
        assert len(unpack(changed)) <= columnar.CYCLES_MAX
    except Malformed:
        return
