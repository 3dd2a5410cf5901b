"""The lineage of decisions as W3C PROV-JSON: samples -> evidence -> decision -> write.

Entities are samples, evidence slices, decisions and outcomes; activities are cycles and writes; agents are rules, people
and the compiled software, named with the digests they ran under. Nothing here is proved by itself: each statement names
the record it was read from, and the record is what the log proves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec
from msgspec import Struct

from gatewayd.errors import UNDECODABLE
from gatewayd.model.record import Actor, Decision, EvidenceRow, EvidenceSlice, Leaf, Outcome

PREFIXES = {"gw": "https://gatewayd.example/prov#"}
SECTIONS = (
    "entity",
    "activity",
    "agent",
    "wasGeneratedBy",
    "used",
    "wasAssociatedWith",
    "wasAttributedTo",
    "wasDerivedFrom",
    "hadMember",
)

_NS = 1_000_000_000
_slice_decoder = msgspec.msgpack.Decoder(EvidenceSlice)


class Statement(Struct, frozen=True):
    """One member of a section of a PROV-JSON document."""

    section: str
    name: str
    attributes: dict[str, object]


class Lineage:
    """Statements of records handed over in order. Remembers the agents it has named and the cycle under way, no more."""

    def __init__(self) -> None:
        self._agents: set[str] = set()
        self._cycle: tuple[object, ...] = ()
        self._cycle_name = ""
        self._relations = 0

    def of_evidence(self, digest: bytes, content: bytes) -> Iterator[Statement]:
        """Yield an evidence slice and the samples in it; to be called once per digest."""
        name = _evidence_name(digest)
        yield Statement("entity", name, _typed("gw:Evidence") | _evidence_attributes(digest))
        for at, row in enumerate(_rows_of(content)):
            sample = f"gw:sample/{digest.hex()}/{at}"
            yield Statement("entity", sample, _typed("gw:Sample") | _sample_attributes(row))
            yield self._relation("hadMember", {"prov:collection": name, "prov:entity": sample})

    def of_decision(self, leaf: Leaf, decision: Decision) -> Iterator[Statement]:
        """Yield a decision, the cycle it was made in, and who and what stands behind it."""
        name = f"gw:decision/{decision.decision_id}"
        yield Statement("entity", name, _typed("gw:Decision") | _decision_attributes(leaf, decision))
        yield from self._cycle_of(leaf, decision)
        cycle = self._cycle_name
        yield self._relation("wasGeneratedBy", {"prov:entity": name, "prov:activity": cycle})
        if decision.evidence:
            evidence = _evidence_name(decision.evidence)
            yield self._relation("used", {"prov:activity": cycle, "prov:entity": evidence})
            yield self._derived(name, evidence)
        if decision.parent:
            yield self._derived(name, f"gw:decision/{decision.parent}")
        yield from self._behind(name, decision)

    def of_outcome(self, leaf: Leaf, outcome: Outcome) -> Iterator[Statement]:
        """Yield a write and what became of it."""
        name, write = f"gw:outcome/{leaf.seq}", f"gw:write/{leaf.seq}"
        decision = f"gw:decision/{outcome.decision_id}"
        yield Statement("entity", name, _typed("gw:Outcome") | _outcome_attributes(leaf, outcome))
        times = {"prov:startTime": time_text(outcome.sent_ns), "prov:endTime": time_text(outcome.answered_ns)}
        yield Statement("activity", write, _typed("gw:Write") | {key: text for key, text in times.items() if text})
        yield self._relation("used", {"prov:activity": write, "prov:entity": decision})
        yield self._relation("wasGeneratedBy", {"prov:entity": name, "prov:activity": write})
        yield self._derived(name, decision)

    def _cycle_of(self, leaf: Leaf, decision: Decision) -> Iterator[Statement]:
        """Yield the cycle once for the decisions of one cycle, which are one transaction; named by the first."""
        cycle = (leaf.boot_id, leaf.boot_ns, decision.cycle)
        if cycle == self._cycle:
            return
        self._cycle, self._cycle_name = cycle, f"gw:cycle/{decision.cycle}-{leaf.seq}"
        times = {"prov:startTime": time_text(leaf.wall_ns), "prov:endTime": time_text(leaf.wall_ns)}
        attributes = {"gw:cycle": decision.cycle, **{key: text for key, text in times.items() if text}}
        yield Statement("activity", self._cycle_name, _typed("gw:Cycle") | attributes)
        software = _software_name(decision.kernel_digest)
        digests: dict[str, object] = {"gw:kernel_sha256": decision.kernel_digest.hex()}
        yield from self._agent(software, "prov:SoftwareAgent", digests)
        yield self._relation("wasAssociatedWith", {"prov:activity": self._cycle_name, "prov:agent": software})

    def _behind(self, name: str, decision: Decision) -> Iterator[Statement]:
        if decision.rule:
            rule = f"gw:rule/{quote(decision.rule, safe='')}@{decision.policy_digest.hex()[:16]}"
            yield from self._agent(rule, "prov:SoftwareAgent", _rule_attributes(decision))
            yield self._relation("wasAttributedTo", {"prov:entity": name, "prov:agent": rule, "gw:as": "rule"})
        if decision.actor is not None:
            yield from self._person(name, decision.actor, "actor")
        for approver in decision.approvals:
            yield from self._person(name, approver, "approver")

    def _person(self, name: str, actor: Actor, part: str) -> Iterator[Statement]:
        person = f"gw:person/uid-{actor.uid}"
        yield from self._agent(person, "prov:Person", {"gw:uid": actor.uid})
        said = {"gw:as": part, "gw:role": actor.role, "gw:method": actor.method}
        yield self._relation("wasAttributedTo", {"prov:entity": name, "prov:agent": person, **said})

    def _agent(self, name: str, kind: str, attributes: dict[str, object]) -> Iterator[Statement]:
        if name not in self._agents:
            self._agents.add(name)
            yield Statement("agent", name, _typed(kind) | attributes)

    def _derived(self, name: str, source: str) -> Statement:
        return self._relation("wasDerivedFrom", {"prov:generatedEntity": name, "prov:usedEntity": source})

    def _relation(self, section: str, attributes: dict[str, object]) -> Statement:
        self._relations += 1
        return Statement(section, f"_:r{self._relations}", attributes)


def time_text(wall_ns: int) -> str:
    """Return an xsd:dateTime with nanoseconds; empty for 0 and for times that no calendar has."""
    seconds, rest = divmod(wall_ns, _NS)
    try:
        moment = datetime.fromtimestamp(seconds, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z" if wall_ns else ""


def _typed(kind: str) -> dict[str, object]:
    return {"prov:type": {"$": kind, "type": "prov:QUALIFIED_NAME"}}


def _number(value: float) -> object:
    """Return a double; JSON has no NaN and no infinity, XML Schema has."""
    if math.isfinite(value):
        return value
    text = "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"
    return {"$": text, "type": "xsd:double"}


def _evidence_name(digest: bytes) -> str:
    return f"gw:evidence/{digest.hex()}"


def _software_name(digest: bytes) -> str:
    return f"gw:software/{digest.hex()[:16] or 'unnamed'}"


def _evidence_attributes(digest: bytes) -> dict[str, object]:
    return {"gw:sha256": digest.hex(), "prov:location": f"evidence/{digest.hex()}"}


def _rows_of(content: bytes) -> tuple[EvidenceRow, ...]:
    """Return the samples of a slice; evidence of another form has none to show."""
    try:
        return _slice_decoder.decode(content).rows
    except UNDECODABLE:
        return ()


def _sample_attributes(row: EvidenceRow) -> dict[str, object]:
    return {
        "gw:tag": row.tag,
        "gw:device": row.device,
        "prov:value": _number(row.value),
        "gw:units": row.units,
        "gw:status": row.status,
        "gw:source_time": time_text(row.source_time_ns),
        "gw:ingest_time": time_text(row.ingest_time_ns),
        "gw:processing_time": time_text(row.processing_time_ns),
    }


def _decision_attributes(leaf: Leaf, decision: Decision) -> dict[str, object]:
    return {
        "gw:record": leaf.seq,
        "gw:point": decision.point,
        "prov:value": _number(decision.value),
        "gw:proposed": _number(decision.proposed),
        "gw:written": decision.write,
        "gw:reasons": ",".join(decision.reasons),
        "gw:slot": decision.slot,
        "prov:location": f"proofs/{decision.decision_id}.tlog-proof",
    }


def _rule_attributes(decision: Decision) -> dict[str, object]:
    return {
        "gw:rule": decision.rule,
        "gw:policy_sha256": decision.policy_digest.hex(),
        "gw:site_sha256": decision.site_digest.hex(),
        "gw:model_sha256": decision.model_digest.hex(),
    }


def _outcome_attributes(leaf: Leaf, outcome: Outcome) -> dict[str, object]:
    return {
        "gw:record": leaf.seq,
        "gw:result": outcome.result,
        "prov:value": _number(outcome.value),
        "gw:read_back": _number(outcome.read_back),
        "gw:recovered": outcome.recovered,
        "prov:location": f"proofs/{outcome.decision_id}.outcome-{leaf.seq}.tlog-proof",
    }
