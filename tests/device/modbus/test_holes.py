"""What is learned of a device that refuses some addresses, with the device on paper."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.modbus.holes import RETRY_FIRST_NS, RETRY_MAX_NS, Holes, Part

MINUTE_NS = 60_000_000_000


class Device:
    """Refuses requests that touch an address it lacks or cross one of its borders."""

    def __init__(self, missing: set[int], borders: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        self.missing = missing
        self.borders = borders
        self.asked: list[tuple[int, int]] = []

    def answers(self, part: Part) -> bool:
        self.asked.append((part.start, part.end))
        crosses = any(part.start < border < part.end for border in self.borders)
        return not crosses and not self.missing & set(range(part.start, part.end))

    def scan(self, holes: Holes, now_ns: int = 0) -> set[int]:
        """Ask as a scan does; return the rows that were read."""
        rows: set[int] = set()
        queue = list(holes.parts)
        while queue:
            part = queue.pop(0)
            if self.answers(part):
                holes.answered(part)
                rows |= set(range(part.first, part.first + part.rows))
            else:
                queue += holes.refuse(part, now_ns)
        holes.settle()
        return rows

    def requests(self, holes: Holes) -> list[tuple[int, int]]:
        """Scan once more and return what was asked."""
        self.asked.clear()
        self.scan(holes)
        return self.asked


def registers(*addresses: int) -> list[tuple[int, int]]:
    return [(address, address + 1) for address in addresses]


def test_a_device_that_answers_is_asked_as_planned() -> None:
    holes = Holes(registers(0, 1, 5))
    assert holes.parts == (Part(0, 3, 0, 6),)
    assert Device(set()).scan(holes) == {0, 1, 2}
    assert (holes.parts, holes.refused) == ((Part(0, 3, 0, 6),), ())


def test_one_bad_address_of_a_hundred_costs_its_own_tag_and_seven_questions_twice() -> None:
    """P-ISOLATE: in the very scan that finds it."""
    plc, holes = Device({41}), Holes(registers(*range(100)))
    assert plc.scan(holes) == set(range(100)) - {41}
    assert len(plc.asked) == 15
    assert holes.refused == ((41, 42),)
    assert plc.requests(holes) == [(0, 41), (42, 100)]


def test_a_bad_gap_is_asked_around_and_costs_nothing() -> None:
    plc, holes = Device({11}), Holes(registers(*range(10), *range(13, 21)))
    assert plc.scan(holes) == set(range(18))
    assert plc.scan(holes) == set(range(18))
    assert plc.requests(holes) == [(0, 10), (13, 21)]


def test_a_border_that_no_request_may_cross_is_found() -> None:
    """As in devices that keep their registers in blocks."""
    plc, holes = Device(set(), borders={30}), Holes(registers(*range(64)))
    assert plc.scan(holes) == set(range(64))
    assert plc.requests(holes) == [(0, 30), (30, 64)]


def test_a_value_is_never_asked_in_parts() -> None:
    spans = [(address, address + 2) for address in range(0, 40, 2)]
    plc, holes = Device({13}), Holes(spans)
    assert plc.scan(holes) == set(range(20)) - {6}
    assert all(start % 2 == 0 and end % 2 == 0 for start, end in plc.asked)


def test_bits_of_one_register_are_refused_together() -> None:
    plc, holes = Device({5}), Holes([*registers(4), *registers(5) * 16, *registers(6)])
    assert plc.scan(holes) == {0, 17}
    assert len(holes.refused) == 1


def test_a_short_value_is_read_where_a_longer_one_of_the_same_place_is_refused() -> None:
    plc, holes = Device({11}), Holes([(10, 11), (10, 12)])
    assert plc.scan(holes) == {0}


def test_a_refused_range_is_tried_again_ever_less_often() -> None:
    plc, holes = Device({3}), Holes(registers(*range(8)))
    plc.scan(holes, now_ns=0)
    assert holes.due(RETRY_FIRST_NS - 1) is None
    assert holes.due(RETRY_FIRST_NS) == (3, 4)
    waits, now_ns = [], RETRY_FIRST_NS
    for _ in range(12):
        holes.refused_again(3, 4, now_ns)
        wait_ns = next(wait for wait in itertools.count(RETRY_FIRST_NS, RETRY_FIRST_NS) if holes.due(now_ns + wait))
        waits.append(wait_ns)
        now_ns += wait_ns
    assert waits[:3] == [2 * RETRY_FIRST_NS, 4 * RETRY_FIRST_NS, 8 * RETRY_FIRST_NS]
    assert waits[-1] == RETRY_MAX_NS


def test_an_answer_where_there_was_none_begins_everything_anew() -> None:
    plc, holes = Device({3, 6}), Holes(registers(*range(8)))
    plc.scan(holes)
    holes.forget()
    assert (holes.parts, holes.refused) == ((Part(0, 8, 0, 8),), ())


def test_halves_that_a_scan_has_no_time_for_are_asked_in_the_next() -> None:
    holes = Holes(registers(*range(8)))
    halves = holes.refuse(holes.parts[0], 0)
    holes.postpone(halves)
    holes.settle()
    assert holes.parts == halves
    assert Device({6}).scan(holes) == {0, 1, 2, 3, 4, 5, 7}


spans = st.lists(st.tuples(st.integers(0, 60), st.sampled_from([1, 2, 4])), min_size=1, max_size=30).map(
    lambda drawn: sorted((start, start + width) for start, width in drawn)
)


@given(spans, st.sets(st.integers(0, 64), max_size=8), st.sets(st.integers(1, 64), max_size=3))
def test_every_scan_reads_every_value_the_device_has(
    drawn: list[tuple[int, int]], missing: set[int], borders: set[int]
) -> None:
    plc, holes = Device(missing, borders), Holes(drawn)
    readable = {
        row
        for row, (start, end) in enumerate(drawn)
        if not missing & set(range(start, end)) and not any(start < border < end for border in borders)
    }
    for _ in range(20):
        plc.asked.clear()
        assert plc.scan(holes) == readable
        if len(plc.asked) == len(holes.parts):
            break
    asked = plc.requests(holes)
    assert len(asked) == len(holes.parts), "once learned, nothing is refused any more"
    assert set(holes.refused) <= {
        (a, b) for a, b in holes.refused if missing & set(range(a, b)) or any(a < border < b for border in borders)
    }, "nothing is left alone without a reason"
    assert len(holes.refused) <= len(drawn)


@given(st.sets(st.integers(0, 40), min_size=1), st.sets(st.integers(0, 40), max_size=6))
def test_no_fewer_requests_would_do(addresses: set[int], missing: set[int]) -> None:
    plc, holes = Device(missing), Holes(registers(*sorted(addresses)))
    for _ in range(10):
        plc.scan(holes)
    fewest, end = 0, -1
    for address in sorted(addresses - missing):
        if end < 0 or missing & set(range(end, address)):
            fewest += 1
        end = address + 1
    assert len(plc.requests(holes)) == fewest
