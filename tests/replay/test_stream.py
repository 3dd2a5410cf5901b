"""The stream gives the records that cycles made, and remembers what stood between."""

from __future__ import annotations

import pytest

from gatewayd.errors import JournalDamaged
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Actor, AlarmEvent, BlockSealed, Decision, Gap, OverrideEvent, RuleEvent, Start
from gatewayd.replay.source import StoreSource
from gatewayd.replay.stream import Stream
from tests.journal.samples import decision, outcome

RESTARTED = OverrideEvent(1, "released", "pump_1.speed", 1.0, 1, Actor(uid=1, role="core", method="restart"))


async def stream_of(journal, store, *bodies) -> Stream:
    """A stream over a genesis record and these."""
    await journal.commit([each if isinstance(each, NewRecord) else NewRecord(each) for each in bodies])
    return Stream(StoreSource(store, "here"), 0)


async def test_it_gives_what_cycles_made_in_order_and_passes_the_rest(journal, store):
    rule, alarm = RuleEvent("hot", "active", "inactive"), AlarmEvent("hot", "unack", "high", "hot")
    others = (Start("1", bytes(32), 0, False), outcome(1), BlockSealed(bytes(32), 5, 9, 1, 1), RESTARTED)
    stream = await stream_of(journal, store, rule, *others, decision(1), alarm)
    kinds = []
    while (entry := stream.peek()) is not None:
        kinds.append(type(entry.leaf.body))
        stream.take()
    assert kinds == [RuleEvent, Decision, AlarmEvent]
    assert (stream.passed.unclean, stream.passed.starts, stream.passed.sealed) == (1, [2], [(5, 9)])
    assert (stream.passed.records, stream.passed.decisions) == (0, 0), "these were taken, not passed"


async def test_what_is_passed_over_is_counted(journal, store):
    stream = await stream_of(journal, store, decision(1), RuleEvent("hot", "active", "inactive"), decision(2))
    passed = stream.pass_to(3)
    assert (passed.decisions, passed.records, passed.kinds) == (1, 2, [Decision, RuleEvent])
    assert stream.peek().seq == 3


async def test_a_gap_of_the_journal_counts_until_the_record_behind_it_is_taken(journal, store):
    stream = await stream_of(journal, store, Gap("journal", 0, 0, 7, "full"), Gap("blocks", 0, 0, 9, "x"), decision(1))
    assert (stream.peek().seq, stream.lost) == (3, 7)
    stream.take()
    assert (stream.peek(), stream.lost) == (None, 0)


async def test_a_body_is_given_as_it_was_journalled(journal, store):
    import msgspec

    stream = await stream_of(journal, store, decision(1))
    entry = stream.peek()
    assert entry.body_bytes() == msgspec.msgpack.encode(entry.leaf.body)


async def test_a_record_that_cannot_be_decoded_is_named(journal, store):
    class Damaged(StoreSource):
        def leaves(self, first, count):
            return [leaf[:-1] for leaf in super().leaves(first, count)]

    await journal.commit([decision(1)])
    with pytest.raises(JournalDamaged, match="record 0: it cannot be decoded"):
        Stream(Damaged(store, "here"), 0).peek()
