"""What is still open, and which record opened it."""

from __future__ import annotations

import msgspec
import pytest

from gatewayd.journal.blocks.pins import RETAINED, Retained
from gatewayd.journal.care.held import Open, fold, oldest_held
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import AlarmEvent, OverrideEvent, Start
from gatewayd.store.tables import Table, u64
from tests.journal.samples import ANA, command, decision, gap

HOT, COLD = (AlarmEvent(name, "unack", "high", "") for name in ("hot", "cold"))
NORMAL = AlarmEvent("hot", "normal", "high", "")
START = Start("0.1.0", bytes(32))


def override(event: str, number: int = 3) -> OverrideEvent:
    return OverrideEvent(number, event, "pump_1.speed", 25.0, 1, ANA)


@pytest.mark.parametrize(
    ("bodies", "places"),
    [
        ((), []),
        ((HOT,), [0]),
        ((HOT, HOT), [0]),
        ((HOT, NORMAL), []),
        ((HOT, COLD, NORMAL), [1]),
        ((HOT, NORMAL, HOT), [2]),
        ((HOT, START), []),
        ((HOT, override("set"), START), [1]),
        ((override("set"), override("refused", 4)), [0]),
        ((override("set"), override("set", 4), override("expired"), override("released", 4)), []),
    ],
)
def test_an_alarm_ends_normal_or_with_a_start_an_override_when_it_is_released_or_over(bodies, places):
    found: Open = {}
    for seq, body in enumerate(bodies):
        fold(found, seq, body)
    assert sorted(found.values()) == places


async def test_nothing_open_holds_nothing(journal, clock):
    await journal.commit([gap(1)] * 600)
    assert await oldest_held(journal, clock) == journal.size


@pytest.mark.parametrize("settled", [True, False])
async def test_old_and_young_records_count_alike(journal, clock, settled):
    await journal.commit([gap(1)] * 300)
    (seq,) = await journal.commit([NewRecord(HOT)])
    await journal.commit([gap(1)] * 3000)
    if settled:
        journal.store.settle()
    assert await oldest_held(journal, clock) == seq
    await journal.commit([NewRecord(NORMAL)])
    assert await oldest_held(journal, clock) == journal.size


async def test_a_write_in_doubt_holds_its_decision(journal, clock):
    (seq,) = await journal.commit([decision(1)], intents=[command(1)])
    await journal.commit([gap(1)] * 300)
    assert await oldest_held(journal, clock) == seq
    journal.store.write(lambda writing: writing.put(Table.INTENT, u64(99), b"of no decision"))
    assert await oldest_held(journal, clock) == 0, "nobody knows what it refers to"


async def test_a_record_that_cannot_be_read_holds_itself(journal, clock):
    """It may have opened something."""
    await journal.commit([gap(1)] * 254)
    await journal.commit([NewRecord(HOT), NewRecord(NORMAL)])
    await journal.commit([gap(1)] * 600)
    journal.store.settle()
    journal.store.write(lambda writing: writing.put(Table.BUNDLE, u64(0), b"damaged"))
    assert await oldest_held(journal, clock) == 255


async def test_what_a_person_retains_stays_until_it_is_released(journal, clock):
    await journal.commit([gap(1)] * 300)
    (seq,) = await journal.commit([decision(7)])
    await journal.commit([gap(1)] * 300)
    key = f"{RETAINED}7"
    await journal.commit([], saves={key: msgspec.msgpack.encode(Retained(7, 7, 1))})
    assert await oldest_held(journal, clock) == seq
    await journal.commit([], saves={key: b""})
    assert await oldest_held(journal, clock) == journal.size


async def test_a_retained_row_that_cannot_be_read_holds_everything(journal, clock):
    await journal.commit([gap(1)] * 300)
    await journal.commit([], saves={f"{RETAINED}7": b"\xc1"})
    assert await oldest_held(journal, clock) == journal.first
