"""What is open or retained names the cycles whose inputs must stay; when it ends, it names them no longer."""

from __future__ import annotations

import msgspec

from gatewayd.core.decide.outcomes import SavedPoint
from gatewayd.core.decide.people import SavedOverride
from gatewayd.journal.blocks.pins import LOOKED_UP_MAX, RETAINED, Pinned, Pins, Retained, retained
from gatewayd.store.tables import Table
from tests.journal.samples import ANA, command, decision, open_journal, outcome

encode = msgspec.msgpack.encode


def override(cycle: int) -> bytes:
    return encode(SavedOverride(1, "pump_1.speed", 40.0, 1, 2, ANA, "why", 3, bytes(16), cycle))


def commanded(point: str = "pump_1.speed", *, owned: bool = True) -> dict[str, bytes]:
    return {f"point/{point}": encode(SavedPoint(owned, 0))}


async def write(journal, decision_id: int, *, cycle: int, point: str = "pump_1.speed", **state: bytes) -> None:
    """Decide, send and verify."""
    await journal.commit([decision(decision_id, cycle=cycle, point=point)], intents=[command(decision_id)], **state)
    await journal.commit([outcome(decision_id)], resolves=[decision_id])


def test_where_nothing_is_open_nothing_must_stay(journal):
    assert Pins(journal).look() == Pinned((), is_complete=True)


async def test_a_write_in_doubt_pins_its_cycle_until_its_outcome_is_known(journal):
    pins = Pins(journal)
    await journal.commit([decision(7, cycle=100)], intents=[command(7)])
    assert pins.look() == Pinned((100,), is_complete=True)
    await journal.commit([outcome(7)], resolves=[7])
    assert pins.look() == Pinned((), is_complete=True)


async def test_an_override_pins_the_cycle_in_which_it_was_set_until_it_ends(journal):
    await journal.commit([], saves={"override/pump_1.speed": override(200)})
    assert Pins(journal).look().cycles == (200,)
    await journal.commit([], saves={"override/pump_1.speed": b""})
    assert Pins(journal).look().cycles == ()


async def test_a_point_that_we_command_pins_its_last_write_until_it_is_handed_back(journal):
    pins = Pins(journal)
    await write(journal, 1, cycle=100, saves=commanded())
    await write(journal, 2, cycle=150)
    await journal.commit([decision(3, cycle=160)])  # held back: what is in force is older
    assert pins.look().cycles == (150,)
    await journal.commit([], saves=commanded(owned=False))
    assert pins.look().cycles == ()


async def test_a_restart_changes_nothing(journal, store, clock):
    await write(journal, 1, cycle=100, saves=commanded())
    await journal.commit([decision(2, cycle=110, point="valve")], intents=[command(2)])
    await journal.commit([], saves={"override/pump_1.speed": override(120)})
    before = Pins(journal).look()
    assert before == Pinned((100, 110, 120), is_complete=True)
    assert Pins(open_journal(store, clock)).look() == before


async def test_of_many_points_a_few_are_looked_up_at_a_time_and_until_then_all_decisions_stay(journal, store, clock):
    points = LOOKED_UP_MAX + 3
    for place in range(points):
        await write(journal, place + 1, cycle=100 + place, point=f"p{place}", saves=commanded(f"p{place}"))
    pins = Pins(open_journal(store, clock))
    first = pins.look()
    assert not first.is_complete
    assert first.holds(5, 9, is_cited=True)
    assert not first.holds(5, 9, is_cited=False)
    assert pins.look() == Pinned(tuple(range(100, 100 + points)), is_complete=True)


async def test_what_a_person_retains_stays(journal):
    rows = {f"{RETAINED}{number}": encode(Retained(number, 10 * number, 5)) for number in (12, 4)}
    await journal.commit([], saves=rows)
    assert [one.decision_id for one in retained(journal)] == [4, 12]
    assert Pins(journal).look().cycles == (40, 120)


async def test_while_the_saved_state_is_damaged_all_decisions_stay(journal, store):
    await journal.commit([], saves=commanded())
    journal.store.settle()
    store.write(lambda writing: writing.put(Table.SAVE, b"point/pump_1.speed", b"damaged"))
    assert Pins(journal).look() == Pinned((), is_complete=False)


def test_a_block_is_pinned_by_any_of_its_cycles():
    pinned = Pinned((10, 20), is_complete=True)
    spans = [(1, 9), (1, 10), (10, 10), (11, 19), (15, 25), (20, 99), (21, 99)]
    assert [pinned.holds(first, last, is_cited=True) for first, last in spans] == [
        False,
        True,
        True,
        False,
        True,
        True,
        False,
    ]
