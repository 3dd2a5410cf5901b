"""What is still written when the store counts as full.

A reserve is kept free (`store/env.py`). A part of it is for people, fail-safes and alarms; the rest for last words: what
says that and why nothing else was written.
"""

from __future__ import annotations

from enum import IntEnum

from gatewayd.model.decision import Command, Effects
from gatewayd.model.record import Body, Decision, Kind, kind_of

FAIL_SAFE_SLOT = 5  # of the priority array


class Reserve(IntEnum):
    """How much of the reserve a record may use; who may use more may use less."""

    NONE = 0
    PEOPLE = 1
    LAST_WORDS = 2
    BEYOND = 3  # no record may: nothing is written


_OF_KIND = dict.fromkeys((Kind.OVERRIDE, Kind.ALARM, Kind.RETENTION), Reserve.PEOPLE) | dict.fromkeys(
    (
        *(Kind.GENESIS, Kind.START, Kind.CONFIG, Kind.STOP, Kind.MODE, Kind.GAP, Kind.OUTCOME),
        *(Kind.KEY_ROTATED, Kind.PRUNED),
    ),
    Reserve.LAST_WORDS,
)


def reserve_of(body: Body) -> Reserve:
    """Return what a record may use. Of decisions, those of a person and fail-safes: policy waits until there is room."""
    if isinstance(body, Decision):
        is_urgent = body.override_id > 0 or body.slot == FAIL_SAFE_SLOT
        return Reserve.PEOPLE if is_urgent else Reserve.NONE
    return _OF_KIND.get(kind_of(body), Reserve.NONE)


def backed(effects: Effects, least: Reserve) -> tuple[Command, ...]:
    """Return the commands whose decisions are durable, if records that may use so much of the reserve are."""
    if least is Reserve.NONE or not effects.commands:
        return effects.commands
    bodies = [record.body for record in effects.records if reserve_of(record.body) >= least]
    durable = {body.decision_id for body in bodies if isinstance(body, Decision)}
    return tuple(command for command in effects.commands if command.decision_id in durable)
