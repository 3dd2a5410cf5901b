"""Bytes decide; fields are told to people."""

from __future__ import annotations

import msgspec

from gatewayd.model.decision import ClearOverride, Inputs, NewRecord, OutcomeResult, WriteOutcome
from gatewayd.model.record import Actor, Decision, EvidenceRow, EvidenceSlice, EvidenceTerm
from gatewayd.replay import compare
from gatewayd.replay.source import StoreSource
from gatewayd.replay.stream import Stream
from tests.core.scenario import NAN, hot_plant
from tests.journal.samples import ANA, decision, decision_body

ROW = EvidenceRow("pump.temp", "plc", 91.5, 0, 1, 2, 3, "degC")


def slice_of(*rows: EvidenceRow, **terms: float) -> bytes:
    told = tuple(EvidenceTerm(text, value) for text, value in terms.items())
    return msgspec.msgpack.encode(EvidenceSlice(7, "temp > 85", rows, told))


async def test_salted_hashes_are_taken_from_the_journal_and_everything_else_is_compared(journal, store):
    await journal.commit([decision(1)])
    entry = Stream(StoreSource(store, "here"), 0).peek()
    assert compare.is_same(decision(1), entry)
    assert not compare.is_same(NewRecord(decision(1).body), entry), "a reason was journalled, none was given now"
    other = msgspec.structs.replace(decision(1).body, previous=50.000000000000007)
    assert not compare.is_same(NewRecord(other, decision(1).personal), entry)


def test_a_nan_equals_itself_and_only_differing_fields_are_told():
    body = msgspec.structs.replace(decision_body(7), previous=NAN)
    other = msgspec.structs.replace(body, value=41.0, guards=(), evidence=b"\xab" * 32)
    told = {field.name: (field.recorded, field.computed) for field in compare.differing_fields(body, other)}
    assert set(told) == {"value", "guards", "evidence"}
    assert told["value"] == ("40.0", "41.0")
    assert told["evidence"][1] == "ab" * 8
    assert compare.kind_name(body) == "decision"
    assert isinstance(body, Decision)


def test_slices_are_compared_cell_by_cell_and_a_row_of_one_side_alone_is_told():
    before = slice_of(ROW, avg=3.0)
    after = slice_of(msgspec.structs.replace(ROW, value=20.0), msgspec.structs.replace(ROW, tag="pump.flow"), avg=4.0)
    told = {field.name: (field.recorded, field.computed) for field in compare.differing_evidence(before, after)}
    assert told["pump.temp.value"] == ("91.5", "20.0")
    assert told["pump.flow.value"] == ("-", "91.5")
    assert told["avg"] == ("3.0", "4.0")
    assert compare.differing_evidence(None, after) == ()
    assert compare.tags_of(after) == ["pump.temp", "pump.flow"]


def test_inputs_are_told_without_names_and_reasons():
    plant = hot_plant()
    outcome = WriteOutcome(4, 0, OutcomeResult.VERIFIED, 1.0, 1.0, 0, 0)
    secret = ClearOverride("pump.speed", "a secret reason", Actor(uid=1, role="operator", method="socket", name="ana"))
    inputs = Inputs(1, 1, 1, (plant.block("temp", 1.0),), (outcome,), (secret,))
    assert compare.in_words(inputs, plant.site) == (
        "1 responses of plc",
        "outcome of decision 4: verified",
        "request clear_override",
    )
    assert compare.in_words(Inputs(1, 1, 1), plant.site) == ("nothing but the time",)
    assert ANA.name == ""


def test_the_tags_of_the_evidence_come_first():
    plant = hot_plant()
    blocks = tuple(plant.block(name, 1.0) for name in ("flow", "ready", "temp"))
    samples, in_all = compare.samples_of(plant.state, plant.site, Inputs(1, 1, 1, blocks), ["pump.temp"])
    assert ([sample.tag for sample in samples], in_all) == (["pump.temp", "pump.flow", "pump.ready"], 3)
    assert samples[0].value == 60.0
