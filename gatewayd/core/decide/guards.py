"""The guard list: what a proposed value must pass before it may be written, and what each guard said.

The order is fixed: who may write at all (lock-out, mode), on what inputs (quality, age), whether the plant allows it
(interlocks, permissives), and only then which value (range, step, rate) and when (minimum on and off time).
A fail-safe passes range only: it exists for the moment when the rest is unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from gatewayd.core.site import NS, PointPlan, Site
from gatewayd.core.state import Claim, PointState, State
from gatewayd.model import quality
from gatewayd.model.decision import Mode, Reason
from gatewayd.model.record import GuardResult

SLOT_FAIL_SAFE = 5
LOOK_AGAIN_NS = NS // 5  # inputs that hold a write back do not announce that they are well again


@dataclass(slots=True)
class Judgement:
    """What the guards made of a proposal."""

    value: float
    base: float  # where the point stands now; NaN = unknown
    write: bool = True
    due_mono_ns: int = 0  # look again then
    reasons: list[Reason] = field(default_factory=list)
    results: list[GuardResult] = field(default_factory=list)

    def passed(self, guard: str, *, limit: float | None = None, detail: str = "") -> None:
        """Note that a guard had no objection."""
        self.results.append(GuardResult(guard, "pass", self.value, self.value, limit, detail))

    def clamp(self, guard: str, value: float, reason: Reason, limit: float) -> None:
        """Move the value into a limit."""
        self.results.append(GuardResult(guard, "clamp", self.value, value, limit))
        self.reasons.append(reason)
        self.value = value

    def stop(self, guard: str, reason: Reason, *, detail: str = "", due_mono_ns: int = 0) -> None:
        """Refuse the write, for good or until a time."""
        verdict = "hold" if due_mono_ns else "block"
        self.results.append(GuardResult(guard, verdict, self.value, self.value, None, detail))
        self.reasons.append(reason)
        self.write = False
        self.due_mono_ns = due_mono_ns


def judge_proposal(state: State, site: Site, plan: PointPlan, claim: Claim, *, now_mono_ns: int) -> Judgement:
    """Run the guard list over what a claim proposes; stop at the first guard that refuses."""
    point = state.points[plan.index]
    judgement = Judgement(value=claim.value, base=point.commanded)
    if claim.slot == SLOT_FAIL_SAFE:
        _mode(state, claim, judgement)
        _range(plan, judgement)
        return judgement
    _lock_out(point, judgement)
    if judgement.write:
        _mode(state, claim, judgement)
    if judgement.write:
        _inputs(state, site, claim, judgement, plan.input_age_max_ns, now_mono_ns)
    if judgement.write:
        _plant(state, plan, judgement)
    if judgement.write:
        _range(plan, judgement)
    if judgement.write:
        _step_and_rate(plan, point, judgement, now_mono_ns)
    if judgement.write:
        _minimum_times(plan, point, judgement, now_mono_ns)
    return judgement


def observe(state: State, plan: PointPlan, *, now_mono_ns: int) -> None:
    """Believe what the plant shows when that is newer than what we know: somebody may have turned it at the panel.

    Nobody fights the panel: a moved set point is not written back by itself, but the next decision starts from it.
    """
    point = state.points[plan.index]
    is_unknown = math.isnan(point.commanded)
    rows = (plan.row, plan.readback_row) if is_unknown else (plan.row,)  # the tag itself may be write-only
    row = next((row for row in rows if _shows(state, row, after_mono_ns=point.known_mono_ns)), None)
    if row is None:
        return
    shown: float = state.column("tag.value")[row]
    is_verified = point.wrote_mono_ns != 0 and point.known_mono_ns == point.wrote_mono_ns
    if is_verified and abs(shown - point.commanded) <= max(plan.readback_tolerance, plan.deadband):
        return
    if not is_unknown and (shown != 0.0) != (point.commanded != 0.0):
        point.switched_mono_ns = now_mono_ns  # it happened before, nobody knows when: the minimum time counts in full
    point.commanded = shown
    point.known_mono_ns = state.column("tag.ingest_mono")[row]


def _shows(state: State, row: int, *, after_mono_ns: int) -> bool:
    column = state.column
    is_newer = column("tag.ingest_mono")[row] > after_mono_ns
    return is_newer and quality.is_good(column("tag.status")[row]) and math.isfinite(column("tag.value")[row])


def _lock_out(point: PointState, judgement: Judgement) -> None:
    if point.locked_out:
        judgement.stop("lock_out", Reason.LOCKED_OUT, detail="three mismatches in ten minutes; a person must reset")


def _mode(state: State, claim: Claim, judgement: Judgement) -> None:
    if state.stopping and claim.reason is not Reason.STOPPING:
        judgement.stop("mode", Reason.STOPPING, detail="after a stop nothing new is begun")
    elif claim.override_id or claim.reason is Reason.STOPPING or state.mode is Mode.AUTO:
        judgement.passed("mode", detail=state.mode.value)
    else:
        judgement.stop("mode", Reason.MONITOR, detail=state.mode.value)


def _inputs(state: State, site: Site, claim: Claim, judgement: Judgement, age_max_ns: int, now_mono_ns: int) -> None:
    """A rule may write on Good, young inputs only.

    Three-valued logic can make a condition true although one of its inputs is unknown (`true or unknown`); such an
    input contributed nothing and is passed over. Every input of the value to be written must be Good.
    """
    if claim.rule < 0:
        return
    if claim.rule in state.lost:  # `hold` keeps what was written; it is no leave to write more
        judgement.stop("quality", Reason.INPUT_QUALITY, detail="the rule's condition is unknown")
        return
    rule = site.rules[claim.rule]
    value_rows = site.programme.programs[rule.to].rows
    status = state.column("tag.status")
    bad = [row for row in value_rows if not quality.is_good(status[row])]
    if bad:
        label = site.label(bad[0])
        judgement.stop("quality", Reason.INPUT_QUALITY, detail=label, due_mono_ns=now_mono_ns + LOOK_AGAIN_NS)
        return
    judgement.passed("quality")
    rows = [row for row in site.programme.programs[rule.when].rows if quality.is_good(status[row])]
    rows += value_rows
    heard = {row: _heard_mono_ns(state, site, row) for row in rows}
    if rows and now_mono_ns - min(heard.values()) > age_max_ns:
        old = min(heard, key=heard.__getitem__)
        detail = f"{site.label(old)} is older than {age_max_ns / NS:g} s"
        judgement.stop("age", Reason.INPUT_AGE, detail=detail, due_mono_ns=now_mono_ns + LOOK_AGAIN_NS)
        return
    judgement.passed("age", limit=age_max_ns / NS)


def _heard_mono_ns(state: State, site: Site, row: int) -> int:
    """Return when a row was last sampled, or vouched for by a subscription that reports changes only.

    An asset's verdict is as old as the tag of it that was heard of longest ago.
    """
    if row >= len(site.tags):
        return min(_heard_mono_ns(state, site, member) for member in site.assets[row - len(site.tags)].members)
    sampled: int = state.column("tag.ingest_mono")[row]
    confirmed: int = state.column("tag.confirmed_mono")[row]
    return max(sampled, confirmed)


def _plant(state: State, plan: PointPlan, judgement: Judgement) -> None:
    result = state.column("program.result")
    for name, program in plan.permissives:
        if result[program] != 1.0:
            judgement.stop(f"permissive:{name}", Reason.PERMISSIVE, detail=_truth(result[program]))
            return
        judgement.passed(f"permissive:{name}")
    for name, program in plan.interlocks:
        if result[program] != 0.0:
            judgement.stop(f"interlock:{name}", Reason.INTERLOCK, detail=_truth(result[program]))
            return
        judgement.passed(f"interlock:{name}")


def _truth(result: float) -> str:
    return "unknown" if math.isnan(result) else "true" if result else "false"


def _range(plan: PointPlan, judgement: Judgement) -> None:
    low, high, value = plan.write_min, plan.write_max, judgement.value
    if value < low:
        judgement.clamp("range", low, Reason.CLAMP_RANGE, low)
    elif value > high:
        judgement.clamp("range", high, Reason.CLAMP_RANGE, high)
    else:
        judgement.passed("range", detail=f"{low:g} to {high:g}")


def _step_and_rate(plan: PointPlan, point: PointState, judgement: Judgement, now_mono_ns: int) -> None:
    """Cut a large change into steps of `write_step`, no faster than `max_rate`, none outside the range."""
    if math.isnan(judgement.base):
        due_ns = now_mono_ns + LOOK_AGAIN_NS
        judgement.stop("step", Reason.NO_PRESENT_VALUE, detail="the present value is unknown", due_mono_ns=due_ns)
        return
    change = judgement.value - judgement.base
    step = min(abs(change), plan.write_step)
    if point.wrote_mono_ns:
        ready_ns = point.wrote_mono_ns + math.ceil(step / plan.max_rate * NS)
        if now_mono_ns < ready_ns:
            judgement.stop("rate", Reason.CLAMP_RATE, detail=f"{plan.max_rate:g} per s", due_mono_ns=ready_ns)
            return
    judgement.passed("rate", limit=plan.max_rate)
    if abs(change) > plan.write_step:
        stepped = judgement.base + math.copysign(plan.write_step, change)
        if not plan.write_min <= stepped <= plan.write_max:
            # Neither limit may give way to the other. A person, or the fail-safe value, brings it back.
            detail = f"{judgement.base:g} is further outside the range than one step"
            judgement.stop("step", Reason.CLAMP_STEP, detail=detail, due_mono_ns=now_mono_ns + LOOK_AGAIN_NS)
            return
        judgement.clamp("step", stepped, Reason.CLAMP_STEP, plan.write_step)
    else:
        judgement.passed("step", limit=plan.write_step)


def _minimum_times(plan: PointPlan, point: PointState, judgement: Judgement, now_mono_ns: int) -> None:
    """Keep a motor on, or off, for its minimum time: the change between zero and non-zero is what counts."""
    is_on, will_be_on = judgement.base != 0.0, judgement.value != 0.0
    if is_on == will_be_on or not point.switched_mono_ns:
        return
    guard, minimum_ns, reason = (
        ("min_on", plan.min_on_ns, Reason.HOLD_MIN_ON) if is_on else ("min_off", plan.min_off_ns, Reason.HOLD_MIN_OFF)
    )
    ready_ns = point.switched_mono_ns + minimum_ns
    if now_mono_ns < ready_ns:
        judgement.stop(guard, reason, detail=f"{minimum_ns / NS:g} s", due_mono_ns=ready_ns)
    else:
        judgement.passed(guard, limit=minimum_ns / NS)
