"""Rules are replaced between two cycles: their tables are made beside the loop and taken over by reference."""

from __future__ import annotations

import math
from types import SimpleNamespace

from gatewayd.compiled import PlainKernels
from gatewayd.core.programme_tables import programme_tables, swap
from tests.core.expr.plant import Plant, program

KERNELS = PlainKernels()


def swapped(plant, text):
    """The plant's columns with another rule in them; what the tags say stays."""
    state = SimpleNamespace(columns=dict(plant.columns), next_program_mono_ns=0)
    swap(state, programme_tables(program(text), KERNELS, tag_count=3))
    return state


def run(state, now):
    state.columns["due.program"][0] = 0
    KERNELS.bind("rules", state.columns)(1, 1, now, 0)
    return state.columns["program.result"][0]


def test_the_tags_stay_and_another_rule_looks_at_them():
    plant = Plant(["a > 1"])
    plant.sample("a", 5.0)
    plant.sample("b", 2.0)
    assert plant.ask() == 1.0
    state = swapped(plant, "latch(b > 1 and a > 4, false) for 5s")
    assert state.next_program_mono_ns == 1  # due at once
    assert math.isnan(state.columns["program.result"][0])
    assert run(state, plant.now) == 0.0
    assert run(state, plant.now + 5_000_000_000) == 1.0


def test_every_tag_knows_its_new_readers_and_windows():
    plant = Plant(["avg(a, 60s) > 1"])
    columns = swapped(plant, "avg(b, 60s) > avg(b, 5s) and c > 1").columns
    assert list(columns["tag.dependency_count"]) == [0, 1, 1]
    assert list(columns["tag.window_first"]) == [-1, 1, -1]
    assert list(columns["window.next"]) == [-1, 0]
    assert list(columns["window.ring_first"]) == [0, 128]


def test_a_programme_without_rules_has_tables_too():
    plant = Plant(["a > 1"])
    state = swapped(plant, "true")
    assert run(state, plant.now) == 1.0
