"""A restored state goes on as the one it was taken of: the same inputs give the same effects, byte for byte."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewayd.compiled import load_kernels
from gatewayd.core import snapshot
from gatewayd.core.site import Digests
from gatewayd.core.snapshot import OF_THE_SITE, SCRATCH, SETTINGS, Kept, capture, encode, restore
from gatewayd.core.state import State
from gatewayd.core.step import bind
from gatewayd.errors import JournalDamaged, KernelError, StoreError
from gatewayd.model.decision import WITHHELD, OutcomeResult
from kernels.table import KERNELS, TABLES, VIEWS
from tests.core.scenario import FORM, HOT, Scenario, hot_plant, point, rule

RULES = [
    HOT,
    rule("avg(flow, 5s) > 3 for 1s", to="60", id="flowing", slot=10),
    rule("rate(temp, 10s) > 2", to="30", id="rising", slot=9, clear="temp < 40"),
]
VALUES = st.sampled_from([-50.0, 0.0, 1.0, 20.0, 40.0, 60.0, 86.0, 120.0, 1e300, float("nan")])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("sample"), st.sampled_from(["temp", "flow", "speed", "speed_now", "ready"]), VALUES),
        st.tuples(st.just("lose"), st.sampled_from(["temp", "flow", "speed"]), st.none()),
        st.tuples(st.just("advance"), st.sampled_from([0.1, 1.0, 7.0, 40.0]), st.none()),
        st.tuples(st.just("settle"), st.sampled_from(list(OutcomeResult)), st.none()),
        st.tuples(st.just("override"), st.sampled_from([10.0, 55.0]), st.none()),
        st.tuples(st.just("release"), st.none(), st.none()),
    ),
    max_size=25,
)


def do(plant: Scenario, what: str, first: object, second: object) -> None:
    """One thing that happens to the plant; the effects of its cycles are kept by the scenario."""
    match what:
        case "sample":
            plant.sample(**{first: second})
        case "lose":
            plant.lose(first)
        case "advance":
            plant.advance(first)
        case "settle" if plant.commands:
            plant.settle(first)
        case "override":
            plant.override(first)
        case "release":
            plant.release()


def restored(plant: Scenario) -> Scenario:
    """A plant of its own whose core was restored from a snapshot, with rubbish in all that is scratch."""
    twin = Scenario(rules=RULES, points=[point(max_rate=5.0, write_step=30.0)], auto=False)
    content = encode(capture(plant.state, plant.site, cycle=plant.number))
    twin.state, twin.number = restore(content, twin.site, load_kernels(FORM))
    for name, view in twin.state.columns.items():
        if name.partition(".")[0] in SCRATCH:
            view.cast("B")[:] = b"\xa5" * view.nbytes
    twin.kernels = bind(load_kernels(FORM), twin.state)
    twin.mono_ns, twin.wall_ns, twin.effects = plant.mono_ns, plant.wall_ns, plant.effects
    twin.commands = list(plant.commands)
    return twin


def decided(plant: Scenario) -> bytes:
    """The effects of the last cycle as bytes, but for people's words and names, which no snapshot keeps."""
    effects = plant.effects
    records = [(record.body, record.evidence, "reason_text" in record.personal) for record in effects.records]
    return msgspec.msgpack.encode((records, effects.commands, effects.replies, [*effects.saves], effects.next_mono_ns))


@given(before=STEPS, after=STEPS)
@settings(max_examples=60, deadline=None)
def test_a_restored_state_decides_as_the_original(before, after):
    plant = Scenario(rules=RULES, points=[point(max_rate=5.0, write_step=30.0)])
    for step in before:
        do(plant, *step)
    twin = restored(plant)
    for step in after:
        do(plant, *step)
        do(twin, *step)
        assert decided(plant) == decided(twin)
    assert encode(capture(plant.state, plant.site, cycle=9)) == encode(capture(twin.state, twin.site, cycle=9))


def test_the_payload_of_a_nan_is_kept():
    """A NaN of a device is data: which one it was may be asked of a decoder that looks at bits."""
    plant = hot_plant()
    bits = 0x7FF4_0000_DEAD_BEEF
    column = plant.state.column("tag.value")
    column.cast("B")[:8] = struct.pack("<Q", bits)
    again, cycle = restore(encode(capture(plant.state, plant.site, cycle=7)), plant.site, load_kernels(FORM))
    assert struct.unpack("<Q", again.column("tag.value").cast("B")[:8]) == (bits,)
    assert cycle == 7


def test_texts_keep_their_ids():
    """An id that comes again for another text would be a value that stayed, though the text changed."""
    plant = hot_plant()
    running, _ = plant.state.texts.hold(0, "running"), plant.state.texts.hold(1, "stopped")
    again, _ = restore(encode(capture(plant.state, plant.site, cycle=1)), plant.site, load_kernels(FORM))
    assert (again.texts.get(running), again.texts.held()) == ("running", plant.state.texts.held())
    assert again.texts.hold(0, "starting") == plant.state.texts.hold(0, "starting")


def test_names_and_words_of_people_are_not_kept():
    """The journal can forget them, since only their salted hashes are in records; what is cited by its hash cannot."""
    plant = hot_plant()
    plant.override(33.0, reason="because Ana said so")
    content = encode(capture(plant.state, plant.site, cycle=3))
    assert b"Ana said" not in content
    assert b"ana" not in content
    again, _ = restore(content, plant.site, load_kernels(FORM))
    (override,) = again.overrides.values()
    assert (override.actor.uid, override.actor.name, override.reason) == (1000, "", WITHHELD)
    assert plant.state.overrides[0].reason == "because Ana said so", "the running state has them"


def test_a_copy_is_not_changed_by_later_cycles():
    plant = hot_plant()
    captured = capture(plant.state, plant.site, cycle=2)
    before = encode(captured)
    plant.run(20, temp=90.0)
    assert encode(captured) == before


def test_every_attribute_of_a_state_is_kept_or_follows_from_the_site():
    """What is missing here would be missing in every replay: name it in `Kept`, or in OF_THE_SITE if nothing changes it."""
    kept = {field.name for field in msgspec.structs.fields(Kept)}
    assert set(vars(hot_plant().state)) == kept | OF_THE_SITE | {"columns", "texts"}


def test_settings_are_the_columns_that_no_kernel_writes():
    """Of the tables that grow with the tags. One that is written and left out would be wrong in every replay."""
    written = {
        f"{column.table}.{column.name}" for kernel in KERNELS for column in kernel.columns if column.access == "w"
    }
    written |= {owner for view, (owner, _) in VIEWS.items() if view in written}
    tables = {name.partition(".")[0] for name in SETTINGS}
    of_tables = {f"{table}.{name}" for table in tables for name, _ in TABLES[table]}
    assert of_tables - written == SETTINGS


@given(steps=STEPS)
@settings(max_examples=20, deadline=None)
def test_settings_are_what_the_site_says_whatever_happens(steps):
    plant = Scenario(rules=RULES, points=[point(max_rate=5.0, write_step=30.0)])
    for step in steps:
        do(plant, *step)
    anew = State(plant.site, load_kernels(FORM), now_mono_ns=5)
    assert {name: bytes(plant.state.column(name)) for name in SETTINGS} == {
        name: bytes(anew.column(name)) for name in SETTINGS
    }


def test_a_snapshot_that_has_the_settings_among_its_columns_is_read(monkeypatch):
    """Version 1. Its columns are those of the site, so the state is the same."""
    plant = hot_plant()
    plant.run(5, temp=90.0)
    now = encode(capture(plant.state, plant.site, cycle=5))
    monkeypatch.setattr(snapshot, "VERSION", 1)
    once = encode(capture(plant.state, plant.site, cycle=5))
    monkeypatch.undo()
    assert len(once) > len(now)
    state, cycle = restore(once, plant.site, load_kernels(FORM))
    assert (encode(capture(state, plant.site, cycle=5)), cycle) == (now, 5)
    later = once.replace(b"\x97\x01\x05", b"\x97\x03\x05", 1)
    with pytest.raises(StoreError, match="has version 3, this program knows 2"):
        restore(later, plant.site, load_kernels(FORM))


def test_other_kernels_and_another_site_are_refused():
    plant = hot_plant()
    content = encode(capture(plant.state, plant.site, cycle=1))
    kernels = load_kernels(FORM)
    kernels.digest = b"other" + bytes(27)
    with pytest.raises(KernelError, match="was taken with the kernels") as caught:
        restore(content, plant.site, kernels)
    assert "build of gatewayd" in caught.value.remedy
    state, _ = restore(content, plant.site, kernels, any_kernels=True)
    assert state.kernel_digest == plant.state.kernel_digest, "decisions go on citing what made the recording"
    other = msgspec.structs.replace(plant.site, digests=Digests(b"x" * 32, b"", b""))
    with pytest.raises(StoreError, match="is of the site 7373"):
        restore(content, other, load_kernels(FORM))


def test_columns_of_another_layout_are_refused():
    """Bytes that fit nowhere must not be poured into a kernel's columns."""
    plant = hot_plant()
    captured = capture(plant.state, plant.site, cycle=1)
    first, *others = captured.columns
    for wrong in (
        captured._replace(columns=[first._replace(size=0), *others]),
        captured._replace(columns=[first._replace(format="B"), *others]),
        captured._replace(columns=others, cells=captured.cells[first.size :]),
        captured._replace(columns=[*captured.columns, first], cells=captured.cells + captured.cells[: first.size]),
    ):
        with pytest.raises(JournalDamaged, match="are not those of its site"):
            restore(encode(wrong), plant.site, load_kernels(FORM))
    for cells in (captured.cells[:-1], captured.cells + b"x"):
        with pytest.raises(JournalDamaged, match="bytes of cells"):
            restore(encode(captured._replace(cells=cells)), plant.site, load_kernels(FORM))


@pytest.mark.parametrize("content", [b"", b"\xff" * 9, b"\0\0\0\x01\xc1", b"\0\0\0\x03\x94\x01\x02"])
def test_what_is_no_snapshot_is_refused(content):
    plant = hot_plant()
    with pytest.raises((JournalDamaged, KernelError)):
        restore(content, plant.site, load_kernels(FORM))
