"""What the flight recorder keeps of a request: all that the core decides by, nothing a person is known by."""

from __future__ import annotations

from typing import get_args

import pytest

from gatewayd.model.decision import (
    WITHHELD,
    Acknowledge,
    ClearOverride,
    Mode,
    Request,
    SetMode,
    SetOverride,
    Stop,
    without_texts,
)
from tests.core.scenario import ANA, hot_plant


@pytest.mark.parametrize("reason", ["bearing check", "  ", ""])
def test_the_core_decides_the_same_without_name_and_words(reason):
    asked = SetOverride("pump.speed", 60.0, 60_000_000_000, reason, ANA, "1")
    plants = hot_plant(), hot_plant()
    told = [plant.ask(request) for plant, request in zip(plants, (asked, without_texts(asked)), strict=True)]

    assert told[0].replies == told[1].replies
    assert told[0].commands == told[1].commands
    bodies = [[record.body for record in effects.records] for effects in told]
    assert bodies[0] == bodies[1]


def test_neither_name_nor_words_are_left():
    for request in (
        SetOverride("pump.speed", 60.0, 1, "bearing check", ANA, "1"),
        ClearOverride("pump.speed", "bearing check", ANA, "2"),
        Acknowledge("seen", ANA, "3"),
    ):
        kept = without_texts(request)
        assert (kept.actor.name, kept.reason, kept.actor.uid) == ("", WITHHELD, ANA.uid)


def test_no_kind_of_request_that_a_person_makes_is_left_out():
    of_people = {kind for kind in get_args(Request) if "actor" in kind.__struct_fields__}
    assert of_people == {SetOverride, ClearOverride, Acknowledge}


def test_what_is_nobody_s_request_stays_as_it_is():
    for request in (SetMode(Mode.AUTO, "settled"), Stop("SIGTERM")):
        assert without_texts(request) is request
