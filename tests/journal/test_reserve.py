"""When the store counts as full, people and fail-safes come before policy, and last words before both."""

from __future__ import annotations

import msgspec
import pytest

from gatewayd.errors import StoreFull
from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.reserve import FAIL_SAFE_SLOT, Reserve, backed, reserve_of
from gatewayd.model.decision import Effects, NewRecord
from gatewayd.model.record import AlarmEvent, Decision, ModeChanged
from gatewayd.store.tables import Table, u64
from tests.journal.conftest import open_journal, open_store
from tests.journal.samples import SIGNER, command, decision, decision_body, every_body, gap

KINDS = {
    Reserve.LAST_WORDS: {"genesis", "start", "config", "stop", "mode", "gap", "outcome", "key_rotated", "pruned"},
    Reserve.PEOPLE: {"override", "alarm", "retention"},
}


@pytest.mark.parametrize("name", sorted(every_body()))
def test_each_kind_may_use_its_part_of_the_reserve(name: str) -> None:
    expected = next((reserve for reserve, names in KINDS.items() if name in names), Reserve.NONE)
    assert reserve_of(every_body()[name]) is expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"slot": 12}, Reserve.NONE),
        ({"slot": 0}, Reserve.NONE),
        ({"slot": 8, "override_id": 3}, Reserve.PEOPLE),
        ({"slot": FAIL_SAFE_SLOT}, Reserve.PEOPLE),
    ],
)
def test_of_decisions_those_of_people_and_fail_safes_are_still_written(
    change: dict[str, int], expected: Reserve
) -> None:
    made: Decision = msgspec.structs.replace(decision_body(7), **change)
    assert reserve_of(made) is expected


def test_only_commands_whose_decisions_are_durable_may_go_out() -> None:
    """P-JOURNAL"""
    policy, person = decision_body(1), msgspec.structs.replace(decision_body(2), override_id=3)
    effects = Effects(records=(NewRecord(policy), NewRecord(person)), commands=(command(1), command(2)))
    found = {least: [one.decision_id for one in backed(effects, least)] for least in Reserve}
    assert found == {Reserve.NONE: [1, 2], Reserve.PEOPLE: [2], Reserve.LAST_WORDS: [], Reserve.BEYOND: []}


async def test_of_the_reserve_a_part_is_for_people_and_alarms_and_the_rest_for_last_words(tmp_path, clock):
    store = open_store(tmp_path / "s", 4 << 20)
    journal = open_journal(store, clock)

    def fill(is_done) -> None:
        for number in range(10_000):
            if is_done():
                return
            key = b"filler" + u64(store.used_bytes) + u64(number)
            store.write(lambda writing, key=key: writing.put(Table.BLOB, key, bytes(3000)), use_reserve=True)

    alarm = NewRecord(AlarmEvent("gateway/storage", "unack", "critical", "full"))
    fill(lambda: store.is_full)
    await journal.commit([alarm])
    with pytest.raises(StoreFull):
        await journal.commit([decision(1)])
    fill(lambda: store.is_exhausted)
    with pytest.raises(StoreFull):
        await journal.commit([alarm])
    await journal.commit([NewRecord(ModeChanged("monitor", "journal full")), gap()])
    assert verify_store(store, SIGNER.vkey).problem is None
    store.close()


async def test_a_journal_goes_on_under_a_larger_quota_with_what_was_only_in_the_redo_file(tmp_path, clock):
    store = open_store(tmp_path / "s", 4 << 20)
    journal = open_journal(store, clock)
    await journal.commit([decision(n) for n in range(1, 20)])
    assert store.rows_ahead
    await journal.enlarge(16 << 20)
    assert store.quota_bytes == 16 << 20
    assert journal.size == 20
    await journal.commit([decision(20)])
    assert verify_store(store, SIGNER.vkey).problem is None
    store.close()
