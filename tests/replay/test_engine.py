"""What was recorded is decided again, bit for bit; the first difference is told with its inputs, and no gap in silence."""

from __future__ import annotations

import math

import msgspec
import pytest

from gatewayd.compiled import load_kernels
from gatewayd.core.decide import arbitrate, rules
from gatewayd.errors import KernelError, StoreError, StoreFull
from gatewayd.model.decision import ClearOverride, Inputs, SetOverride
from gatewayd.replay import engine
from gatewayd.replay.engine import Replay
from gatewayd.replay.report import Gap
from gatewayd.replay.source import open_source
from hil.bench.plc import COUNTER, TOGGLE
from hil.paper import ANA, NS
from tests.replay.kept import RUN, replayed, running, some_blocks, without

POINT = "load_1.speed"


@pytest.fixture
async def gateway(tmp_path):
    async with running(tmp_path) as one:
        yield one


def changed_inputs(monkeypatch, change) -> None:
    """Let the replay be given other inputs than were recorded."""
    original = engine.inputs_of
    monkeypatch.setattr(engine, "inputs_of", lambda source, block: [change(each) for each in original(source, block)])


async def test_a_whole_run_is_decided_again(gateway):
    await some_blocks(gateway, 3)
    await gateway.ask(SetOverride(POINT, 33.0, 600 * NS, "survey", ANA, "1"))
    await gateway.cycle()
    await gateway.ask(ClearOverride(POINT, "done", ANA, "2"))
    await gateway.stop()
    report = replayed(gateway.store, gateway.kernels)
    assert (report.difference, report.gaps, report.restarts, report.lost) == (None, [], 0, 0)
    assert report.decisions > 10
    assert report.records > report.decisions
    assert report.evidence >= report.decisions


async def test_each_run_begins_with_what_its_start_left_of_the_run_before(gateway):
    """An override goes on, a point stays ours, detectors remember: the snapshot has it, nothing is guessed."""
    await some_blocks(gateway, 1)
    await gateway.ask(SetOverride(POINT, 33.0, 6000 * NS, "survey", ANA, "1"))
    await gateway.cycle()
    await gateway.stop()
    await gateway.start()
    await some_blocks(gateway, 2)
    await gateway.stop()
    report = replayed(gateway.store, gateway.kernels)
    assert (report.difference, report.gaps, report.restarts) == (None, [], 1)


async def test_what_a_power_cut_took_is_named_and_the_next_run_goes_on(gateway):
    await some_blocks(gateway, 1)
    await gateway.set({TOGGLE: 1, COUNTER: 77})
    await gateway.set({TOGGLE: 0})
    gateway.kill()
    await gateway.start()
    await some_blocks(gateway, 1)
    await gateway.stop()
    report = replayed(gateway.store, gateway.kernels)
    assert (report.difference, report.restarts) == (None, 1)
    (gap,) = report.gaps
    assert "power was cut" in gap.why
    assert gap.first_cycle > RUN
    assert gap.decisions >= 1


async def test_other_rules_begin_a_chain_of_their_own_without_a_gap(gateway):
    await some_blocks(gateway, 1)
    await gateway.set({TOGGLE: 1, COUNTER: 55})
    twin = gateway.site / "twins" / "load.toml"
    twin.write_text(twin.read_text().replace("toggle > 0.5", "toggle > 0.4"))
    await gateway.apply_rules()
    await some_blocks(gateway, 1)
    await gateway.stop()
    report = replayed(gateway.store, gateway.kernels)
    assert (report.difference, report.gaps, report.sites) == (None, [], 2)


async def test_an_expired_block_is_named_and_the_next_with_a_snapshot_goes_on(gateway):
    """Nothing was decided in block 1, so it expires first; block 2 has a snapshot for that very reason."""
    await some_blocks(gateway, 4, quiet=(1,))
    await gateway.stop()
    whole = replayed(gateway.store, gateway.kernels)
    report = replayed(gateway.store, gateway.kernels, blocks=without(1))
    assert (report.difference, whole.gaps) == (None, [])
    (gap,) = report.gaps
    assert (gap.why, gap.decisions) == ("their blocks have expired", 0)
    assert report.cycles == whole.cycles - (gap.last_cycle - gap.first_cycle + 1)
    assert report.decisions == whole.decisions


async def test_blocks_behind_an_expired_one_without_a_snapshot_are_named_with_their_decisions(gateway):
    await some_blocks(gateway, 3)
    await gateway.stop()
    await gateway.start()
    await some_blocks(gateway, 1)
    await gateway.stop()
    whole = replayed(gateway.store, gateway.kernels)
    report = replayed(gateway.store, gateway.kernels, blocks=without(1))
    assert report.difference is None
    (gap,) = report.gaps
    assert "no snapshot" in gap.why
    assert gap.decisions == whole.decisions - report.decisions > 0


async def test_what_is_older_than_the_first_block_is_named(gateway):
    await some_blocks(gateway, 1)
    await gateway.stop()
    await gateway.start()
    await some_blocks(gateway, 1)
    await gateway.stop()
    report = replayed(gateway.store, gateway.kernels, blocks=without(0, 1))
    assert report.difference is None
    assert report.gaps == [Gap(engine.NOT_KEPT, decisions=-1)]


async def test_a_log_that_was_pruned_is_replayed_from_the_first_block_whose_records_are_all_here(gateway):
    await some_blocks(gateway, 2)
    await gateway.stop()
    await gateway.start()
    await some_blocks(gateway, 1)
    await gateway.stop()
    whole = replayed(gateway.store, gateway.kernels)
    with open_source(gateway.store) as source:
        source.first = whole.first + 1  # amid the records of the first block
        report = Replay(source, gateway.kernels).run()
    assert report.difference is None
    assert 0 < report.decisions < whole.decisions
    assert report.gaps, "what is left out is named"


async def test_a_range_begins_with_the_snapshot_before_it(gateway):
    await some_blocks(gateway, 2)
    await gateway.stop()
    await gateway.start()
    await some_blocks(gateway, 2)
    await gateway.stop()
    whole = replayed(gateway.store, gateway.kernels)
    part = replayed(gateway.store, gateway.kernels, first=whole.last - 1)
    assert (part.difference, part.gaps, part.last) == (None, [], whole.last)
    assert 0 < part.cycles < whole.cycles
    begin = replayed(gateway.store, gateway.kernels, last=5)
    assert (begin.difference, begin.gaps, begin.first) == (None, [], whole.first)
    assert begin.cycles < whole.cycles


# --- differences --------------------------------------------------------------------------------------------------------


async def test_a_changed_input_is_the_first_difference_with_what_was_read(gateway, monkeypatch):
    """A sample that nobody measured would have set another speed."""
    await some_blocks(gateway, 1)
    await gateway.set({TOGGLE: 0})
    await gateway.set({TOGGLE: 1, COUNTER: 4711})
    await gateway.stop()

    def forged(inputs: Inputs) -> Inputs:
        blocks = [
            msgspec.structs.replace(block, payload=block.payload.replace((4711).to_bytes(2, "big"), b"\x01\x00"))
            for block in inputs.blocks
        ]
        return msgspec.structs.replace(inputs, blocks=tuple(blocks))

    changed_inputs(monkeypatch, forged)
    difference = replayed(gateway.store, gateway.kernels).difference
    assert (difference.recorded, difference.computed) == ("decision", "decision")
    fields = {field.name: (field.recorded, field.computed) for field in difference.fields}
    assert fields["proposed"] == fields["value"] == ("4711.0", "256.0")
    assert "evidence" in fields
    evidence = {field.name: (field.recorded, field.computed) for field in difference.evidence}
    assert evidence["load_1.counter.value"] == ("4711.0", "256.0")
    samples = {sample.tag: sample.value for sample in difference.samples}
    assert samples["load_1.counter"] == 256.0
    assert difference.inputs == ("1 responses of plc",)


async def test_a_bug_in_a_rule_is_the_first_difference(gateway, monkeypatch):
    await some_blocks(gateway, 1)
    await gateway.stop()
    before = replayed(gateway.store, gateway.kernels)
    monkeypatch.setattr(rules, "_condition", lambda state, plan, *, active: 0.0)
    difference = replayed(gateway.store, gateway.kernels).difference
    assert before.difference is None
    assert (difference.recorded, difference.computed) == ("rule", "")
    assert "not computed" in difference.what


async def test_a_bug_in_a_limit_is_told_field_by_field(gateway, monkeypatch):
    await some_blocks(gateway, 1)
    await gateway.stop()
    monkeypatch.setattr(arbitrate, "COMMAND_TTL_NS", 11 * NS)
    difference = replayed(gateway.store, gateway.kernels).difference
    assert [field.name for field in difference.fields] == ["expires_mono_ns"]
    assert f"record {difference.seq} (decision) was computed with other content" in difference.what


async def test_a_decision_too_many_is_a_difference(gateway, monkeypatch):
    """The plant would have been told something that no record knows of."""
    await some_blocks(gateway, 1)
    await gateway.stop()
    changed_inputs(
        monkeypatch,
        lambda inputs: (
            msgspec.structs.replace(inputs, requests=(SetOverride(POINT, 1.0, NS, "x", ANA, "1"),))
            if inputs.cycle == RUN + 3
            else inputs
        ),
    )
    difference = replayed(gateway.store, gateway.kernels).difference
    assert (difference.cycle, difference.computed) == (RUN + 3, "override")
    assert difference.inputs[-1] == "request set_override"


async def test_a_record_behind_the_last_one_of_a_block_is_a_difference_of_its_own(gateway, monkeypatch):
    """What follows in the journal was made by later cycles, for the block was sealed before them."""
    await some_blocks(gateway, 2)
    await gateway.stop()
    with open_source(gateway.store) as source:
        last = source.blocks()[0].sealed.last_cycle
    override = SetOverride(POINT, 1.0, NS, "x", ANA, "1")
    changed_inputs(
        monkeypatch,
        lambda inputs: msgspec.structs.replace(inputs, requests=(override,)) if inputs.cycle == last else inputs,
    )
    difference = replayed(gateway.store, gateway.kernels).difference
    assert (difference.cycle, difference.seq, difference.recorded) == (last, -1, "")
    assert "was computed, but not journalled" in difference.what


async def test_a_decision_too_few_is_a_difference(gateway, monkeypatch):
    await some_blocks(gateway, 1)
    await gateway.stop()
    changed_inputs(monkeypatch, lambda inputs: msgspec.structs.replace(inputs, requests=(), blocks=()))
    difference = replayed(gateway.store, gateway.kernels).difference
    assert (difference.recorded, difference.computed) == ("mode", "")


async def test_a_changed_nan_is_a_difference_and_an_equal_one_is_none(gateway, monkeypatch):
    """Before its first outcome a point's value is unknown: NaN, which equals nothing but its own bytes."""
    await some_blocks(gateway, 1)
    await gateway.stop()
    assert replayed(gateway.store, gateway.kernels).difference is None
    original = engine.compare.body_like

    def unlike(record, recorded):
        body = original(record, recorded)
        return msgspec.structs.replace(body, previous=-math.nan) if hasattr(body, "previous") else body

    monkeypatch.setattr(engine.compare, "body_like", unlike)
    assert replayed(gateway.store, gateway.kernels).difference is not None


# --- what the journal lost, and what cannot be ----------------------------------------------------------------------------


async def test_records_that_the_journal_says_it_lost_are_no_difference(gateway, monkeypatch):
    await some_blocks(gateway, 1)
    journal = gateway.storage.journal

    async def full(*_, **__):
        raise StoreFull("full", remedy="none")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "commit", full)
        await gateway.set({TOGGLE: 0})
        await gateway.set({TOGGLE: 1, COUNTER: 99})
    await gateway.set({TOGGLE: 0})
    await some_blocks(gateway, 1)
    await gateway.stop()
    report = replayed(gateway.store, gateway.kernels)
    assert (report.difference, report.gaps) == (None, [])
    assert report.lost > 0


async def test_other_kernels_cannot_replay_and_say_so(gateway):
    await some_blocks(gateway, 1)
    await gateway.stop()
    gateway.kernels.digest = b"other" + bytes(27)
    with pytest.raises(KernelError, match="was taken with the kernels") as caught:
        replayed(gateway.store, gateway.kernels)
    assert "build of gatewayd" in caught.value.remedy


async def test_two_forms_of_the_kernels_decide_the_same(gateway):
    """What is compiled does what its sources say: a recording of one form, replayed by another, is equal in every bit."""
    await some_blocks(gateway, 2)
    await gateway.stop()
    other = load_kernels("aot" if gateway.kernels.form == "python" else "python")
    with open_source(gateway.store) as source:
        report = engine.Replay(source, other, any_kernels=True).run()
    assert (report.difference, report.gaps) == (None, [])
    assert report.decisions > 5


async def test_a_store_without_a_block_says_when_there_will_be_one(gateway):
    await gateway.set({TOGGLE: 1})
    gateway.kill()
    with pytest.raises(StoreError, match="can be replayed") as caught:
        replayed(gateway.store, gateway.kernels)
    assert "evidence_block_s" in caught.value.remedy


async def test_the_newest_cycles_are_named_while_no_block_is_sealed_of_them(gateway):
    await some_blocks(gateway, 1)
    await gateway.set({TOGGLE: 1, COUNTER: 5})
    await gateway.set({TOGGLE: 0})
    gateway.kill()
    report = replayed(gateway.store, gateway.kernels)
    assert report.difference is None
    assert [gap.why for gap in report.gaps] == [engine.UNSEALED]
    assert report.gaps[0].decisions > 0
