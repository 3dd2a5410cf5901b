"""What is asked of the decisions is found as if every record were looked at, newest first, in pages, by index or not."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewayd.journal.tiles import finding, index
from gatewayd.journal.tiles.finding import Span, Times, places_back, step, terms_of
from gatewayd.model.record import Kind
from gatewayd.model.wanted import Wanted
from gatewayd.proof.tiles import TILE_WIDTH
from gatewayd.store.tables import Table
from tests.clock import ManualClock
from tests.journal.samples import deciding, gap, open_journal, open_store, outcome

POINTS = ("pump_1.speed", "pump_1.valve", "pump_2.speed", "fan.speed")
RULES = ("pump/hot", "pump/dry", "night")
UIDS = (None, 0, 1001)
TAGS = ("pump_1.temp", "pump_2.temp", "fan.load")
RECORDS = 20 * TILE_WIDTH + 77  # more than the 16 tiles of a row, and some that are in no bundle
STEPS_S = (-40, -1, 0, 1, 2, 5, 9)  # of wall time between commits


class Kept:
    """A journal of some thousand records of all sorts, what was decided in it, and when."""

    def __init__(self, folder):
        self.clock = ManualClock()
        self.store = open_store(folder)
        self.journal = open_journal(self.store, self.clock)
        self.decided = []  # (id, wall, point, rule, uid, tags)
        asyncio.run(self._fill(random.Random(7)))

    async def _fill(self, chance):
        while self.journal.size < RECORDS:
            self.clock.jump_wall(chance.choice(STEPS_S) * 1_000_000_000)
            records = [self._record(chance) for _ in range(min(199, RECORDS - self.journal.size))]
            await self.journal.commit(records)
            if self.journal.size == RECORDS - 77 - 100:
                self.store.settle()
        self.store.settle()

    def _record(self, chance):
        if chance.random() < 0.3:
            return gap()
        number = len(self.decided) + 1
        if number > 1 and chance.random() < 0.2:
            return outcome(number - 1)
        rule = "seldom" if number in (100, 2500) else chance.choice(RULES)
        tags = tuple(chance.sample(TAGS, chance.randint(0, 2)))
        point, uid = chance.choice(POINTS), chance.choice(UIDS)
        self.decided.append((number, self.clock.wall_ns(), point, rule, uid, tags))
        return deciding(number, point=point, rule=rule, uid=uid, tags=tags)

    def expected(self, wanted):
        """The ids, newest first, by looking at every decision."""
        return [
            number
            for number, wall_ns, point, rule, uid, tags in reversed(self.decided)
            if (not wanted.before or number < wanted.before)
            and (not wanted.since_ns or wall_ns >= wanted.since_ns)
            and (not wanted.until_ns or wall_ns <= wanted.until_ns)
            and wanted.point in ("", point)
            and wanted.asset in ("", point.rpartition(".")[0])
            and wanted.rule in ("", rule)
            and (wanted.actor_uid is None or wanted.actor_uid == uid)
            and (not wanted.tag or wanted.tag in tags)
        ]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    kept = Kept(tmp_path_factory.mktemp("kept"))
    yield kept
    kept.journal.close()
    kept.store.close()


def ids(records):
    return [record.leaf.body.decision_id for record in records]


START_NS = ManualClock().wall_ns()
times = st.just(0) | st.integers(-900, 900).map(lambda seconds: START_NS + seconds * 1_000_000_000)
wanted = st.builds(
    Wanted,
    before=st.just(0) | st.integers(1, RECORDS),
    since_ns=times,
    until_ns=times,
    point=st.sampled_from(("", "", *POINTS, "fan.nothing")),
    asset=st.sampled_from(("", "", "pump_1", "fan", "pump")),
    tag=st.sampled_from(("", "", *TAGS, "fan.nothing")),
    rule=st.sampled_from(("", "", *RULES, "seldom", "never")),
    actor_uid=st.sampled_from((None, None, 0, 1001, 7)),
)


@settings(deadline=None, max_examples=150)
@given(wanted, st.integers(1, 60))
def test_a_list_with_any_filter_equals_a_look_at_all_records(kept, wanted, limit):
    assert ids(kept.journal.decisions(limit, wanted=wanted)) == kept.expected(wanted)[:limit]


@settings(deadline=None, max_examples=20)
@given(wanted)
def test_pages_put_together_are_the_whole_list(kept, wanted):
    whole = kept.expected(wanted)[:200]
    found, before = [], wanted.before
    while len(found) < 200 and (page := ids(kept.journal.decisions(40, before=before or None, wanted=wanted))):
        found += page
        before = page[-1]
    assert found[:200] == whole


def test_two_decisions_of_a_rule_among_thousands_are_found_without_a_look_at_the_others(kept, monkeypatch):
    looked = []
    real = finding.is_wanted
    monkeypatch.setattr(finding, "is_wanted", lambda leaf, wanted: looked.append(leaf.seq) or real(leaf, wanted))
    assert ids(kept.journal.decisions(20, wanted=Wanted(rule="seldom"))) == [2500, 100]
    bundled = [seq for seq in looked if seq < RECORDS // TILE_WIDTH * TILE_WIDTH]
    assert len(bundled) == 2


def test_nothing_is_open_while_the_caller_has_its_turn(kept):
    """Between two pieces the gateway may go on writing, and the list is that of the moment it was asked for."""
    found = []
    for some in kept.journal.find(Wanted(), 300):
        found += ids(some)
        asyncio.run(kept.journal.commit([gap()]))
        kept.store.settle()
    assert found == kept.expected(Wanted())[:300]


class Spans:
    """A reading that knows times of tiles alone."""

    def __init__(self, rows):
        self.rows = rows

    def get(self, table, key):
        assert table is Table.INDEX
        return self.rows.get(key)


def test_256_tiles_of_other_times_are_passed_over_with_one_look():
    rows = {index.span_key(0, tile): index.span_row(tile * 10, tile * 10 + 9) for tile in range(600)}
    rows |= {index.span_key(1, 0): index.span_row(0, 2559), index.span_key(1, 1): index.span_row(2560, 5119)}
    asked = Times(Spans(rows), 100, 205)
    assert asked.last_below(600) == 20
    assert (asked.may_hold(10), asked.may_hold(9), asked.may_hold(21)) == (True, False, False)
    assert asked.last_below(10) == -1


def test_what_has_no_times_on_record_may_hold_anything():
    assert Times(Spans({}), 5, 6).last_below(3) == 2


def test_a_term_that_occurs_nowhere_ends_the_search_at_once(kept):
    terms = [index.kind_term(Kind.DECISION), index.rule_term("never")]
    found = kept.store.read(lambda reading: step(reading, terms, Times(reading, 0, 0), Span(0, 20)))
    assert found == ([], 0)


def test_places_come_last_first():
    assert list(places_back(2, 0b1011)) == [515, 513, 512]


def test_who_asks_for_nothing_in_particular_gets_decisions():
    assert terms_of(Wanted(since_ns=1)) == [index.kind_term(Kind.DECISION)]
