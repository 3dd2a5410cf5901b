"""Lineage: from a sample to the write that it led to, as W3C PROV-JSON."""

from __future__ import annotations

import json

import msgspec
import pytest

from gatewayd.journal.export.prov import SECTIONS, Lineage, Statement, time_text
from gatewayd.model.record import Actor, ClockQuality, Decision, Leaf, Outcome, kind_of
from tests.journal.samples import decision_body, outcome
from tests.verify.samples import slice_bytes

WALL_NS = 1_750_000_000_123_456_789
EVIDENCE = slice_bytes(7)


def leaf(seq: int, body: Decision | Outcome, *, boot_ns: int = 1) -> Leaf:
    assert kind_of(body)
    return Leaf(seq, WALL_NS, boot_ns, bytes(16), ClockQuality.NTP, body)


def decided(decision_id: int, seq: int, lineage: Lineage, **changes: object) -> list[Statement]:
    body = msgspec.structs.replace(decision_body(decision_id, cycle=5, evidence=EVIDENCE), **changes)
    return [*lineage.of_decision(leaf(seq, body), body)]


def story() -> dict[str, dict[str, dict[str, object]]]:
    """One decision, its evidence and its outcome, as a document."""
    lineage = Lineage()
    body = outcome(7).body
    assert isinstance(body, Outcome)
    decision = decision_body(7, evidence=EVIDENCE)
    statements = [
        *lineage.of_evidence(decision.evidence, EVIDENCE),
        *lineage.of_decision(leaf(3, decision), decision),
        *lineage.of_outcome(leaf(4, body), body),
    ]
    document: dict[str, dict[str, dict[str, object]]] = {section: {} for section in SECTIONS}
    for one in statements:
        assert one.name not in document[one.section], "a name stands once in its section"
        document[one.section][one.name] = one.attributes
    return document


def sources(document, name: str) -> set[object]:
    """What an entity was derived from, directly."""
    edges = document["wasDerivedFrom"].values()
    return {edge["prov:usedEntity"] for edge in edges if edge["prov:generatedEntity"] == name}


def test_a_write_leads_back_to_the_samples_it_came_from():
    document = story()
    assert sources(document, "gw:outcome/4") == {"gw:decision/7"}
    (evidence,) = sources(document, "gw:decision/7")
    members = [edge["prov:entity"] for edge in document["hadMember"].values() if edge["prov:collection"] == evidence]
    samples = [document["entity"][name] for name in members]
    assert [(sample["gw:tag"], sample["prov:value"]) for sample in samples] == [
        ("pump_1.bearing_temp", 91.5),
        ("pump_1.speed", {"$": "NaN", "type": "xsd:double"}),
    ]
    assert samples[0]["gw:source_time"] == "2025-06-15T15:06:40.000000001Z"


def test_every_name_that_a_relation_uses_is_declared():
    document = story()
    declared = {name for section in ("entity", "activity", "agent") for name in document[section]}
    for section in SECTIONS[3:]:
        for relation in document[section].values():
            named = {value for value in relation.values() if isinstance(value, str) and value.startswith("gw:")}
            assert named <= declared


def test_a_decision_is_attributed_to_its_rule_with_the_digests_it_ran_under_and_to_its_people_by_number():
    lineage = Lineage()
    approver = Actor(uid=1002, role="approver", method="socket")
    statements = decided(7, 3, lineage, policy_digest=b"\xab" * 32, approvals=(approver,))
    agents = {one.name: one.attributes for one in statements if one.section == "agent"}
    assert set(agents) == {
        "gw:software/unnamed",
        "gw:rule/bearing-hot@abababababababab",
        "gw:person/uid-1001",
        "gw:person/uid-1002",
    }
    assert agents["gw:rule/bearing-hot@abababababababab"]["gw:policy_sha256"] == "ab" * 32
    parts = [one.attributes["gw:as"] for one in statements if one.section == "wasAttributedTo"]
    assert parts == ["rule", "actor", "approver"]


def test_decisions_of_one_cycle_share_it_and_an_agent_is_named_once():
    lineage = Lineage()
    first, second = decided(7, 3, lineage), decided(8, 4, lineage)
    cycles = [one.name for one in first + second if one.section == "activity"]
    assert cycles == ["gw:cycle/5-3"]
    assert [one for one in second if one.section == "agent"] == []


def test_a_cycle_number_that_comes_again_after_a_start_is_another_cycle():
    lineage = Lineage()
    decided(7, 3, lineage)
    body = decision_body(8, cycle=5)
    later = [*lineage.of_decision(leaf(9, body, boot_ns=2), body)]
    assert [one.name for one in later if one.section == "activity"] == ["gw:cycle/5-9"]


def test_a_decision_that_continues_another_is_derived_from_it():
    statements = decided(8, 4, Lineage(), parent=7)
    assert "gw:decision/7" in {one.attributes.get("prov:usedEntity") for one in statements}


def test_evidence_in_another_form_is_named_without_samples():
    statements = [*Lineage().of_evidence(bytes(32), b"not a slice")]
    assert [one.section for one in statements] == ["entity"]


@pytest.mark.parametrize(
    ("wall_ns", "text"),
    [
        (0, ""),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (2**62, "2116-02-20T23:53:38.427387904Z"),
        (2**70, ""),
        (-(2**80), ""),
    ],
)
def test_times_are_those_of_xml_schema(wall_ns, text):
    assert time_text(wall_ns) == text


def test_statements_are_json():
    json.dumps(story(), allow_nan=False)
