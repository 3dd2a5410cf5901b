from __future__ import annotations

import itertools
from functools import cache
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.modbus.plan import plan_reads
from gatewayd.errors import ConfigError
from gatewayd.model.block import Codec, PlanRow, ReadPlan, WireOrder, WireType
from gatewayd.model.device import ModbusTag, RegisterType
from gatewayd.model.registers import words
from tests.device.modbus.plant import device, tag


def numbered(*tags: ModbusTag) -> list[tuple[int, ModbusTag]]:
    return list(enumerate(tags))


def requests(plans: tuple[ReadPlan, ...]) -> list[tuple[int | str, ...]]:
    return [plan.request for plan in plans]


def test_neighbours_of_one_scan_class_share_a_request() -> None:
    plans = plan_reads(
        device(),
        [(40, tag("a", address=10)), (41, tag("b", address=11, type="float32", byte_order="CDAB"))],
        first_index=5,
    )
    assert plans == (
        ReadPlan(
            index=5,
            device="plc",
            scan_class="default",
            codec=Codec.MODBUS_REGISTERS,
            rows=(PlanRow(40, 0, WireType.UINT16), PlanRow(41, 2, WireType.FLOAT32, WireOrder.CDAB)),
            request=(3, 10, 3),
            unit=1,
            size=6,
        ),
    )


def test_coils_are_found_by_byte_and_bit() -> None:
    (plan,) = plan_reads(
        device(max_gap=20), numbered(tag("a", "coil", 3, type="bool"), tag("b", "coil", 14, type="bool")), 0
    )
    assert plan.codec is Codec.MODBUS_BITS
    assert plan.request == (1, 3, 12)
    assert plan.rows == (PlanRow(0, 0, WireType.BOOL, bit=0), PlanRow(1, 1, WireType.BOOL, bit=3))


def test_bits_of_one_register_share_its_offset() -> None:
    (plan,) = plan_reads(device(), numbered(tag("a", bit=0), tag("b", bit=15), tag("c")), 0)
    assert plan.request == (3, 0, 1)
    assert [(row.offset, row.bit, row.type) for row in plan.rows] == [
        (0, 0, WireType.BOOL),
        (0, 15, WireType.BOOL),
        (0, -1, WireType.UINT16),
    ]


def test_scan_classes_and_register_types_never_share_a_request() -> None:
    plans = plan_reads(
        device(),
        numbered(
            tag("a", "holding", 0),
            tag("b", "input", 0),
            tag("c", "coil", 0),
            tag("d", "discrete", 0),
            tag("e", "holding", 1, scan_class="fast"),
        ),
        0,
    )
    assert [(plan.scan_class, plan.request) for plan in plans] == [
        ("default", (1, 0, 1)),
        ("default", (2, 0, 1)),
        ("default", (4, 0, 1)),
        ("default", (3, 0, 1)),
        ("fast", (3, 1, 1)),
    ]
    assert [plan.index for plan in plans] == [0, 1, 2, 3, 4]


def test_a_gap_larger_than_max_gap_begins_a_new_request() -> None:
    tags = numbered(tag("a", address=0), tag("b", address=9), tag("c", address=19))
    assert requests(plan_reads(device(max_gap=8), tags, 0)) == [(3, 0, 10), (3, 19, 1)]
    assert requests(plan_reads(device(max_gap=0), tags, 0)) == [(3, 0, 1), (3, 9, 1), (3, 19, 1)]


def test_a_value_is_never_split_between_two_requests() -> None:
    """A device may change it between the two, and half of each is a number nobody measured."""
    tags = numbered(*(tag(f"t{i}", address=2 * i, type="float32") for i in range(100)))
    assert requests(plan_reads(device(max_registers=125), tags, 0)) == [(3, 0, 124), (3, 124, 76)]


def test_bits_use_the_limit_of_bits() -> None:
    tags = numbered(*(tag(f"t{i}", "discrete", i, type="bool") for i in range(3000)))
    assert requests(plan_reads(device(), tags, 0)) == [(2, 0, 2000), (2, 2000, 1000)]
    assert requests(plan_reads(device(max_registers=10), tags, 0))[0] == (2, 0, 160)


def test_duplicates_and_overlaps_are_read_once() -> None:
    tags = numbered(tag("a", address=4, type="int64"), tag("b", address=5), tag("c", address=4, type="int64"))
    (plan,) = plan_reads(device(), tags, 0)
    assert plan.request == (3, 4, 4)
    assert sorted((row.row, row.offset) for row in plan.rows) == [(0, 0), (1, 2), (2, 0)]


def test_a_device_that_wants_one_request_per_tag_gets_it() -> None:
    """Tags of the very same addresses still share one: bits of a register, or one register read in two ways."""
    tags = numbered(tag("a", bit=0), tag("b", bit=7), tag("c", address=1), tag("d", address=2, type="float32"))
    plans = plan_reads(device(one_request_per_tag=True), tags, 0)
    assert requests(plans) == [(3, 0, 1), (3, 1, 1), (3, 2, 2)]
    assert [row.bit for row in plans[0].rows] == [0, 7]
    coils = numbered(*(tag(f"c{i}", "coil", i, type="bool") for i in range(3)))
    assert requests(plan_reads(device(one_request_per_tag=True), coils, 0)) == [(1, 0, 1), (1, 1, 1), (1, 2, 1)]


def test_a_tag_with_a_request_of_its_own_leaves_the_others_together() -> None:
    tags = numbered(tag("a", address=0), tag("b", address=1, own_request=True), tag("c", address=2))
    plans = plan_reads(device(), tags, 7)
    assert [(plan.index, plan.request, len(plan.rows)) for plan in plans] == [(7, (3, 0, 3), 2), (8, (3, 1, 1), 1)]


def test_a_value_and_its_scale_register_share_a_request_whatever_lies_between() -> None:
    """Read apart they could be of two moments."""
    power = tag("power", address=40, type="int16", scale_register=20, not_a_value=-(2**15))
    other = tag("other", address=41, type="int32", scale_register=50)
    (plan,) = plan_reads(device(max_gap=0), numbered(power, other), 0)
    assert plan.request == (3, 20, 31)
    assert plan.rows == (
        PlanRow(0, 40, WireType.INT16, scale_offset=0, not_a_value=-(2**15)),
        PlanRow(1, 42, WireType.INT32, scale_offset=60),
    )
    with pytest.raises(ConfigError, match="int16 with its scale register takes 21 registers, max_registers is 20"):
        plan_reads(device(max_registers=20), numbered(power), 0)


def test_a_byte_says_where_it_begins_and_a_text_how_long_it_is() -> None:
    (plan,) = plan_reads(
        device(), numbered(tag("high", type="uint8", byte="high"), tag("name", address=1, type="string", length=3)), 0
    )
    assert plan.request == (3, 0, 4)
    assert plan.rows == (PlanRow(0, 0, WireType.UINT8, bit=8), PlanRow(1, 2, WireType.STRING, length=6))


def test_write_only_tags_are_not_read() -> None:
    assert plan_reads(device(), numbered(tag(access="w")), 0) == ()
    assert len(plan_reads(device(), numbered(tag(access="rw")), 0)) == 1


@pytest.mark.parametrize(
    ("limits", "too_large", "says"),
    [
        ({"max_registers": 1}, tag("level", address=0, type="float32"), "takes 2 registers, max_registers is 1"),
        (
            {},
            tag("level", address=65533, type="int64"),
            "takes 4 registers and the last one there is has address 65535",
        ),
    ],
)
def test_a_value_that_no_request_can_read_is_a_configuration_error(
    limits: dict[str, int], too_large: ModbusTag, says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as error:
        plan_reads(device(**limits), [(0, too_large)], 0)
    assert error.value.message.startswith("plc/level: holding register 4")
    assert error.value.remedy


tag_lists = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.sampled_from(["uint16", "float32", "int64"]),
        st.sampled_from(get_args(RegisterType)),
        st.sampled_from(["fast", "slow"]),
    ),
    max_size=25,
)


@given(tag_lists, st.integers(4, 30), st.integers(0, 10))
def test_every_value_lies_whole_in_exactly_one_request_within_the_limits(
    drawn: list[tuple[int, str, str, str]], max_registers: int, max_gap: int
) -> None:
    tags = numbered(*(tag(f"t{i}", t[2], t[0], type=t[1], scan_class=t[3]) for i, t in enumerate(drawn)))
    plans = plan_reads(device(max_registers=max_registers, max_gap=max_gap), tags, 0)
    assert sorted(row.row for plan in plans for row in plan.rows) == [row for row, _ in tags]
    for plan in plans:
        function, start, count = map(int, plan.request)
        is_bits = plan.codec is Codec.MODBUS_BITS
        assert is_bits == (function < 3)
        assert 0 < count <= (16 * max_registers if is_bits else max_registers)
        for row in plan.rows:
            planned = tags[row.row][1]
            place = 8 * row.offset + row.bit if is_bits else row.offset // 2
            assert start + place == planned.address
            assert place + words(planned) <= count
            assert planned.scan_class == plan.scan_class
        used = {
            address
            for row in plan.rows
            for address in range(tags[row.row][1].address, tags[row.row][1].address + words(tags[row.row][1]))
        }
        ordered = sorted(used)
        assert all(b - a - 1 <= max_gap for a, b in itertools.pairwise(ordered))


def fewest(values: list[tuple[int, int]], max_registers: int, max_gap: int) -> int:
    """Return the least number of requests, by trying every set of values for each of them."""

    def is_possible(chosen: list[tuple[int, int]]) -> bool:
        used = sorted({a for start, width in chosen for a in range(start, start + width)})
        is_near = all(b - a - 1 <= max_gap for a, b in itertools.pairwise(used))
        return is_near and used[-1] - used[0] < max_registers

    @cache
    def cover(left: int) -> int:
        if not left:
            return 0
        best = len(values)
        subset = left
        while subset:
            chosen = [value for place, value in enumerate(values) if subset >> place & 1]
            if is_possible(chosen):
                best = min(best, 1 + cover(left & ~subset))
            subset = (subset - 1) & left
        return best

    return cover((1 << len(values)) - 1)


@given(
    st.lists(st.tuples(st.integers(0, 25), st.sampled_from(["uint16", "float32", "int64"])), min_size=1, max_size=5),
    st.integers(4, 12),
    st.integers(0, 6),
)
def test_no_other_cover_needs_fewer_requests(drawn: list[tuple[int, str]], max_registers: int, max_gap: int) -> None:
    tags = numbered(*(tag(f"t{i}", address=address, type=type_) for i, (address, type_) in enumerate(drawn)))
    plans = plan_reads(device(max_registers=max_registers, max_gap=max_gap), tags, 0)
    assert len(plans) == fewest([(t.address, words(t)) for _, t in tags], max_registers, max_gap)


def test_a_request_never_mixes_units_and_says_which_it_is_for() -> None:
    """Three tags side by side, two units: the device's own for the row that names none."""
    tags = [(0, tag("a", address=0)), (1, tag("b", address=1, unit_id=9)), (2, tag("c", address=2, unit_id=4))]
    plans = plan_reads(device(unit_id=4), tags, first_index=0)
    assert [(plan.unit, [row.row for row in plan.rows], plan.request) for plan in plans] == [
        (4, [0, 2], (3, 0, 3)),
        (9, [1], (3, 1, 1)),
    ]
