"""When the store counts as full, people and fail-safes come before policy, and last words before both."""

from __future__ import annotations

import msgspec
import pytest

from gatewayd.journal.reserve import FAIL_SAFE_SLOT, Reserve, backed, reserve_of
from gatewayd.model.decision import Effects, NewRecord
from gatewayd.model.record import Decision
from tests.journal.samples import command, decision_body, every_body

KINDS = {
    Reserve.LAST_WORDS: {"genesis", "start", "config", "stop", "mode", "gap", "outcome"},
    Reserve.PEOPLE: {"override", "alarm"},
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
