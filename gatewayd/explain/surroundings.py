"""What the journal says of a decision beside its own record: the rule then, the override, the neighbours, the proof."""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from gatewayd.core.expr.trace import trace
from gatewayd.errors import UNDECODABLE, ExpressionError
from gatewayd.journal.records import Records, StoredRecord
from gatewayd.model.account import Account, Attempt, Limits, Neighbour, OverrideFact, RuleText, Step, Trace
from gatewayd.model.config import Point, Rule, SiteConfig
from gatewayd.model.record import Decision, EvidenceSlice, Kind, Outcome, OverrideEvent, Start
from gatewayd.model.view import number
from gatewayd.proof.merkle import leaf_hash, verify_inclusion
from gatewayd.site.digest import site_from_bytes

LOOKED_BACK = 256  # records of a kind, newest first
PARTS_MAX = 400  # of one expression's trace


class Facts(NamedTuple):
    """A decision's record with what was decoded of it."""

    record: StoredRecord
    body: Decision
    evidence: EvidenceSlice
    site: SiteConfig | None  # the configuration it cites


def site_of(records: Records, digest: bytes) -> SiteConfig | None:
    """Return the configuration with a digest; None if it is not kept, or of a version that this one cannot read."""
    content = records.get_blob(digest) if digest else None
    if content is None:
        return None
    with suppress(*UNDECODABLE):
        return site_from_bytes(content)
    return None


def account_of(records: Records, checkpoint: str, facts: Facts) -> Account:
    """Return everything beside the record but what the flight recorder adds."""
    record, body = facts.record, facts.body
    attempts = _attempts(records, body.decision_id)
    rule = rule_of(facts.site, body.rule)
    override = _override(records, body.override_id, record.seq) if body.override_id else None
    start = _newest_before(records, Kind.START, record.seq, lambda found: isinstance(found, Start))
    version = start.leaf.body.version if start and isinstance(start.leaf.body, Start) else ""
    before, after = _neighbours(records, body)
    account = Account(
        rule=_text(rule) if rule else None,
        traces=_traces(facts.evidence),
        override=override,
        limits=_limits(facts.site, body.point),
        attempts=attempts,
        is_in_doubt=body.write and not attempts,
        is_included=_is_included(records, checkpoint, record.seq),
        gateway_version=version,
        before=before,
        after=after,
    )
    return msgspec.structs.replace(account, not_recorded=_not_recorded(facts, account))


def rule_of(site: SiteConfig | None, name: str) -> Rule | None:
    """Return a rule by `ASSET/ID` or `ID`; None if the configuration has none of that name."""
    if site is None or not name:
        return None
    asset, _, rule_id = name.rpartition("/")
    found = site.assets.get(asset) if asset else None
    if asset and found is None:
        return None
    rules = site.asset_types[found.type].rule if found else site.rules
    return next((rule for rule in rules if rule.id == rule_id), None)


def units_of(site: SiteConfig | None, name: str) -> str:
    """Return the units of `asset.member` as its contract has them; empty if they are not known."""
    asset, _, member = name.partition(".")
    found = site.assets.get(asset) if site else None
    contract = site.asset_types[found.type].tags.get(member) if site and found else None
    return contract.units if contract else ""


def point_of(site: SiteConfig | None, name: str) -> Point | None:
    """Return a point's guard list; None if the configuration has none."""
    return next((point for point in site.points if point.tag == name), None) if site else None


def _text(rule: Rule) -> RuleText:
    then = rule.then
    return RuleText(
        id=rule.id,
        when=rule.when,
        clear=rule.clear or "",
        set=then.set if then else "",
        to=then.to if then else "",
        ttl=then.ttl if then else "",
        on_unknown=rule.on_unknown,
    )


def _traces(evidence: EvidenceSlice) -> tuple[Trace, ...]:
    """Return the value of each part of each expression, as far as they can be read."""
    traces = []
    for line in evidence.expression.splitlines():
        with suppress(ExpressionError):
            parts = trace(line, evidence.terms)[-PARTS_MAX:]
            steps = tuple(Step(text=s.text, value=number(s.value), is_condition=s.is_condition) for s in parts)
            traces.append(Trace(text=line, steps=steps))
    return tuple(traces)


def _limits(site: SiteConfig | None, name: str) -> Limits | None:
    point = point_of(site, name)
    if point is None:
        return None
    return Limits(
        write_min=None if point.write_min is UNSET else point.write_min,
        write_max=None if point.write_max is UNSET else point.write_max,
        fail_safe_value=None if point.fail_safe_value is UNSET else point.fail_safe_value,
        readback="" if point.readback is UNSET else name if point.readback == "self" else point.readback,
    )


def _attempts(records: Records, decision_id: int) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(
            result=body.result,
            value=number(body.value),
            read_back=number(body.read_back),
            sent_ns=body.sent_ns,
            answered_ns=body.answered_ns,
            recorded_ns=record.leaf.wall_ns,
            detail=body.detail,
            recovered=body.recovered,
        )
        for record in records.outcomes(decision_id)
        if isinstance(body := record.leaf.body, Outcome)
    )


def _newest_before(records: Records, kind: Kind, seq: int, fits: Callable[[object], bool]) -> StoredRecord | None:
    """Return the newest record of a kind up to a place, among the newest 256 of the log."""
    found = records.newest(kind, LOOKED_BACK)
    return next((record for record in found if record.seq <= seq and fits(record.leaf.body)), None)


def _override(records: Records, override_id: int, seq: int) -> OverrideFact | None:
    """Return what the log says of an override. Its own event stands beside the decision that it made, maybe behind it."""
    found = [
        record
        for record in records.newest(Kind.OVERRIDE, LOOKED_BACK)
        if isinstance(record.leaf.body, OverrideEvent) and record.leaf.body.override_id == override_id
    ]
    if not found:
        return None
    began = found[-1]
    last = next((record for record in found if record.seq <= seq), began)
    body, event = began.leaf.body, last.leaf.body
    assert isinstance(body, OverrideEvent)
    assert isinstance(event, OverrideEvent)
    return OverrideFact(
        id=override_id,
        event=event.event,
        value=number(body.value),
        set_ns=began.leaf.wall_ns if body.event == "set" else 0,
        expires_ns=body.expires_ns,
        uid=body.actor.uid,
        role=body.actor.role,
        by=began.personal.get("actor_name", ""),
        reason=began.personal.get("reason_text", ""),
    )


def _neighbours(records: Records, body: Decision) -> tuple[Neighbour | None, Neighbour | None]:
    """Return the decisions on the point before and after one. Ids rise, so the one after is found by halving."""
    before = _newest_below(records, body.point, body.decision_id)
    low, after = body.decision_id + 1, _newest_below(records, body.point, None)
    if after is None or after.id <= body.decision_id:
        return before, None
    high = after.id + 1  # the newest below `high` is later than the decision, the one below `low` is not
    while high - low > 1:
        middle = (low + high) // 2
        found = _newest_below(records, body.point, middle)
        if found is not None and found.id > body.decision_id:
            high, after = found.id + 1, found
        else:
            low = middle
    return before, after


def _newest_below(records: Records, point: str, before: int | None) -> Neighbour | None:
    for record in records.decisions(1, before, point):
        body = record.leaf.body
        assert isinstance(body, Decision)
        return Neighbour(
            id=body.decision_id,
            time_ns=record.leaf.wall_ns,
            value=number(body.value),
            write=body.write,
            reasons=body.reasons,
        )
    return None


def _is_included(records: Records, checkpoint: str, seq: int) -> bool | None:
    lines = checkpoint.splitlines()
    if len(lines) < 3 or int(lines[1]) <= seq:
        return None
    size = int(lines[1])
    leaf = leaf_hash(records.entries(seq, 1)[0])
    return verify_inclusion(leaf, seq, size, records.prove_inclusion(seq, size), b64decode(lines[2]))


def _not_recorded(facts: Facts, account: Account) -> tuple[str, ...]:
    """Return in words what a reader would look for and the log does not have."""
    body, record = facts.body, facts.record
    lacks = (
        (
            bool(body.evidence) and not facts.evidence.rows,
            "the samples: the evidence slice is no longer kept, or altered",
        ),
        (not body.evidence, "samples: the decision cites no evidence"),
        (facts.site is None, "the configuration: its bytes are not kept, or of another version"),
        (bool(body.rule) and account.rule is None, "the rule's text: the configuration kept does not have it"),
        (bool(body.override_id) and account.override is None, "the override: none of the newest events names it"),
        (bool(body.reason_text) and "reason_text" not in record.personal, "the person's reason: redacted"),
        (bool(body.actor_name) and "actor_name" not in record.personal, "the person's name: redacted"),
        (not account.gateway_version, "the gateway's version: no start among the newest is before the decision"),
        (account.is_in_doubt, "the outcome: none is journalled; the write may have been sent or not"),
        (math.isnan(body.previous), "the value before: it was not known"),
    )
    return tuple(words for is_lacking, words in lacks if is_lacking)
