"""Decisions as people read them: a journal record, its evidence and its outcome, put together from stored bytes only."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from gatewayd.core.expr.render import render
from gatewayd.explain.surroundings import Facts, account_of, rule_of, site_of, units_of
from gatewayd.journal.records import Records, StoredRecord
from gatewayd.model import quality
from gatewayd.model.record import Actor, Decision, EvidenceRow, EvidenceSlice, GuardResult, Outcome
from gatewayd.model.view import (
    ActorView,
    DecisionDetail,
    DecisionView,
    Explanation,
    GuardView,
    ProofView,
    SampleView,
    TermView,
    VersionsView,
    WriteView,
    number,
)
from gatewayd.model.wanted import Wanted
from gatewayd.proof.merkle import leaf_hash

Turn = Callable[[], Awaitable[None]]

_NO_SLICE = EvidenceSlice(cycle=0, expression="", rows=(), terms=())


class Explainer:
    """Reads the journal for people.

    Args:
        journal: the log whose decisions are explained: the daemon's own, or one read from a store.
        checkpoint: returns its newest signed checkpoint, empty = there is none.
    """

    def __init__(self, journal: Records, checkpoint: Callable[[], str]) -> None:
        self._journal = journal
        self._checkpoint = checkpoint

    async def decisions(
        self, limit: int, wanted: Wanted, units: Mapping[str, str], turn: Turn
    ) -> tuple[DecisionView, ...]:
        """Return the newest decisions first; see the API for the arguments.

        Args:
            limit: at most so many.
            wanted: what they have in common.
            units: point -> unit.
            turn: lets others have their turn of the loop; awaited between short looks at the journal.
        """
        found: list[DecisionView] = []
        for some in self._journal.find(wanted, limit):
            outcomes = self._journal.outcomes_of([_decision(record).decision_id for record in some]) if some else {}
            found += [self._line(record, units, outcomes.get(_decision(record).decision_id, [])) for record in some]
            await turn()
        return tuple(found)

    def detail(self, decision_id: int, units: Mapping[str, str]) -> DecisionDetail | None:
        """Return everything the decision's record and its outcome say, or None."""
        record = self._journal.decision(decision_id)
        return None if record is None else self._detail(record, units)

    def explain(self, decision_id: int, units: Mapping[str, str]) -> Explanation | None:
        """Return a decision with its evidence, or None."""
        record = self._journal.decision(decision_id)
        if record is None:
            return None
        body = _decision(record)
        evidence, intact = _evidence(record, body)
        facts = Facts(record, body, evidence, site_of(self._journal, body.site_digest))
        rule = rule_of(facts.site, body.rule)
        cited = units_of(facts.site, body.point)
        return Explanation(
            detail=self._detail(record, {body.point: cited} if cited else units),
            why=rule.why if rule else "",
            expression=evidence.expression,
            filled_in=_filled_in(evidence),
            terms=tuple(TermView(text=term.text, value=number(term.value)) for term in evidence.terms),
            samples=tuple(_sample(row) for row in evidence.rows),
            evidence_intact=intact,
            account=account_of(self._journal, self._checkpoint(), facts),
        )

    def _line(self, record: StoredRecord, units: Mapping[str, str], outcomes: Sequence[StoredRecord]) -> DecisionView:
        body = _decision(record)
        outcome = _last_outcome(outcomes)
        return DecisionView(
            id=body.decision_id,
            time_ns=record.leaf.wall_ns,
            point=body.point,
            value=number(body.value),
            previous=number(body.previous),
            write=body.write,
            reasons=body.reasons,
            slot=body.slot,
            rule=body.rule,
            actor=_actor(body.actor, record.personal.get("actor_name", "")) if body.actor else None,
            outcome=outcome.result if outcome else "",
            read_back=number(outcome.read_back) if outcome else None,
            units=units.get(body.point, ""),
        )

    def _detail(self, record: StoredRecord, units: Mapping[str, str]) -> DecisionDetail:
        body = _decision(record)
        outcomes = self._journal.outcomes(body.decision_id)
        outcome = _last_outcome(outcomes)
        return DecisionDetail(
            decision=self._line(record, units, outcomes),
            cycle=body.cycle,
            proposed=number(body.proposed),
            guards=tuple(_guard(guard) for guard in body.guards),
            slots_before=body.slots_before,
            slots_after=body.slots_after,
            override_id=body.override_id,
            parent=body.parent,
            approvals=tuple(_actor(actor) for actor in body.approvals),
            reason_text=record.personal.get("reason_text", ""),
            versions=VersionsView(
                site=body.site_digest.hex(),
                policy=body.policy_digest.hex(),
                model=body.model_digest.hex(),
                kernel=body.kernel_digest.hex(),
            ),
            write=_write(outcome) if outcome else None,
            proof=self._proof(record, body),
        )

    def _proof(self, record: StoredRecord, body: Decision) -> ProofView:
        lines = self._checkpoint().splitlines()
        covered = len(lines) > 2 and int(lines[1]) > record.seq
        return ProofView(
            seq=record.seq,
            leaf_hash=leaf_hash(self._journal.entries(record.seq, 1)[0]).hex(),
            evidence=body.evidence.hex(),
            checkpoint=" ".join(lines[:3]) if covered else "",
        )


def _last_outcome(records: Sequence[StoredRecord]) -> Outcome | None:
    """Return the last outcome: a write found in doubt has its recovered one after a restart."""
    return next((record.leaf.body for record in reversed(records) if isinstance(record.leaf.body, Outcome)), None)


def _decision(record: StoredRecord) -> Decision:
    assert isinstance(record.leaf.body, Decision)
    return record.leaf.body


def _evidence(record: StoredRecord, body: Decision) -> tuple[EvidenceSlice, bool | None]:
    if not body.evidence:
        return _NO_SLICE, None
    if record.evidence is None or hashlib.sha256(record.evidence).digest() != body.evidence:
        return _NO_SLICE, False
    return msgspec.msgpack.decode(record.evidence, type=EvidenceSlice), True


def _filled_in(evidence: EvidenceSlice) -> str:
    values = [term.value for term in evidence.terms]
    return "\n".join(render(line, evidence.terms, values) for line in evidence.expression.splitlines())


def _actor(actor: Actor, name: str = "") -> ActorView:
    return ActorView(uid=actor.uid, role=actor.role, method=actor.method, name=name)


def _guard(guard: GuardResult) -> GuardView:
    return GuardView(
        guard=guard.guard,
        verdict=guard.verdict,
        before=number(guard.before),
        after=number(guard.after),
        limit=guard.limit,
        detail=guard.detail,
    )


def _write(outcome: Outcome) -> WriteView:
    return WriteView(
        result=outcome.result,
        value=number(outcome.value),
        read_back=number(outcome.read_back),
        sent_ns=outcome.sent_ns,
        answered_ns=outcome.answered_ns,
        detail=outcome.detail,
        recovered=outcome.recovered,
    )


def _sample(row: EvidenceRow) -> SampleView:
    return SampleView(
        tag=row.tag,
        device=row.device,
        value=number(row.value),
        quality=quality.name(row.status),
        status=row.status,
        units=row.units,
        source_time_ns=row.source_time_ns,
        ingest_time_ns=row.ingest_time_ns,
        processing_time_ns=row.processing_time_ns,
        anomaly=row.anomaly if row.anomaly >= 0 else None,
        score=number(row.anomaly_score) if row.anomaly >= 0 else None,
        unusual=tuple(f"{detector.name}: {detector.words}" for detector in row.unusual),
    )
