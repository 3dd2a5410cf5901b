"""A gateway that answers from memory: the facade is our own boundary, so a stand-in behind it is honest."""

from __future__ import annotations

from gatewayd.control.facade import name_matcher
from gatewayd.errors import RequestRefused
from gatewayd.model import quality
from gatewayd.model.account import Account, Attempt, Limits, Neighbour, RuleText, Step, Trace
from gatewayd.model.record import Actor
from gatewayd.model.retention_view import RetainedView, RetainRequest, RetentionAnswer
from gatewayd.model.view import (
    ActorView,
    ClearRequest,
    DecisionDetail,
    DecisionView,
    DeviceView,
    Explanation,
    GuardView,
    JournalAnswer,
    JournalRequest,
    JournalView,
    KernelsView,
    OverrideAnswer,
    OverrideRequest,
    OverrideSummary,
    OverrideView,
    ProofView,
    RedactAnswer,
    RedactRequest,
    ResumeAnswer,
    ResumeRequest,
    RulesAnswer,
    SampleView,
    StatusView,
    StreamView,
    SyncView,
    TagCounts,
    TagView,
    TermView,
    VersionsView,
    WriteView,
)
from gatewayd.model.wanted import Wanted

NOW_NS = 1_750_000_000_000_000_000
MS = 1_000_000
SECOND = 1_000_000_000


def tag(
    name: str, alias: str, value: float | None, units: str = "", status: int = quality.GOOD, **more: object
) -> TagView:
    times = {"source_time_ns": NOW_NS - 900 * MS, "ingest_time_ns": NOW_NS - 850 * MS}
    return TagView(
        name=name,
        alias=alias,
        value=value,
        quality=quality.name(status),
        status=status,
        units=units,
        processing_time_ns=NOW_NS - 840 * MS,
        **(times | more),  # type: ignore[arg-type]
    )


TAGS = (
    tag("plc1/p1_bearing_temp", "pump_1.bearing_temp", 86.24, "degC", anomaly=3, score=7.2),
    tag("plc1/p1_speed", "pump_1.speed", 62.5, "%", anomaly=0, score=0.4),
    tag("plc2/tank_level", "tank.level", None, "m", quality.BAD_SENSOR_FAILURE | quality.LIMIT_CONSTANT),
    tag("plc2/spare", "", 17.0),
)

ANA = ActorView(uid=1001, role="operator", method="socket", name="ana")

DECISION = DecisionView(
    id=41,
    time_ns=NOW_NS - 60 * SECOND,
    point="pump_1.speed_sp",
    value=52.5,
    previous=62.5,
    write=True,
    reasons=("rule", "clamp_step", "ramp"),
    slot=12,
    rule="pump_1/bearing-hot",
    outcome="verified",
    read_back=52.5,
    units="%",
)
HELD = DecisionView(
    id=40,
    time_ns=NOW_NS - 3600 * SECOND,
    point="inlet.valve",
    value=1.0,
    previous=None,
    write=False,
    reasons=("override", "interlock"),
    slot=8,
    actor=ANA,
)
DETAIL = DecisionDetail(
    decision=DECISION,
    cycle=9001,
    proposed=40.0,
    guards=(
        GuardView(guard="quality", verdict="pass", before=40.0, after=40.0),
        GuardView(guard="range", verdict="pass", before=40.0, after=40.0, limit=20.0),
        GuardView(guard="step", verdict="clamp", before=40.0, after=52.5, limit=10.0, detail="largest step is 10 %"),
        GuardView(guard="interlock:dry_run", verdict="pass", before=52.5, after=52.5),
    ),
    slots_before=(None,) * 15 + (62.5,),
    slots_after=(None,) * 11 + (40.0,) + (None,) * 3 + (62.5,),
    override_id=0,
    parent=0,
    approvals=(),
    reason_text="",
    versions=VersionsView(site="a1" * 32, policy="b2" * 32, model="c3" * 32, kernel="d4" * 32),
    write=WriteView(
        result="verified",
        value=52.5,
        read_back=52.5,
        sent_ns=NOW_NS - 60 * SECOND + 2 * MS,
        answered_ns=NOW_NS - 60 * SECOND + 14 * MS,
    ),
    proof=ProofView(
        seq=1234,
        leaf_hash="e5" * 32,
        evidence="f6" * 32,
        checkpoint="acme.example/gw/station-1 1300 " + "7a" * 32,
    ),
)
HELD_DETAIL = DecisionDetail(
    decision=HELD,
    cycle=8000,
    proposed=1.0,
    guards=(GuardView(guard="interlock:high_level", verdict="block", before=1.0, after=None, detail="tank.level > 4"),),
    slots_before=(None,) * 16,
    slots_after=(None,) * 7 + (1.0,) + (None,) * 8,
    override_id=6,
    parent=0,
    approvals=(),
    reason_text="flushing the inlet",
    versions=DETAIL.versions,
    write=None,
    proof=ProofView(seq=1100, leaf_hash="09" * 32, evidence=""),
)
EXPLANATION = Explanation(
    detail=DETAIL,
    why="Maker's limit is 90 degC; see the pump manual, section 7.",
    expression="bearing_temp > 85 for 5s and rate(bearing_temp, 60s) > 0.5",
    filled_in="bearing_temp [86.24] > 85 for 5s and rate(bearing_temp, 60s) [0.72] > 0.5",
    terms=(TermView(text="bearing_temp", value=86.24), TermView(text="rate(bearing_temp, 60s)", value=0.72)),
    samples=(
        SampleView(
            tag="pump_1.bearing_temp",
            device="plc1",
            value=86.24,
            quality="Good",
            status=0,
            units="degC",
            source_time_ns=NOW_NS - 60 * SECOND - 120 * MS,
            ingest_time_ns=NOW_NS - 60 * SECOND - 20 * MS,
            processing_time_ns=NOW_NS - 60 * SECOND - 1 * MS,
            anomaly=3,
            score=7.2,
        ),
        SampleView(
            tag="tank.level",
            device="plc2",
            value=None,
            quality="Bad_SensorFailure (constant)",
            status=0x808C0700,
            units="m",
            source_time_ns=0,
            ingest_time_ns=NOW_NS - 60 * SECOND - 20 * MS,
            processing_time_ns=NOW_NS - 60 * SECOND - 1 * MS,
        ),
    ),
    evidence_intact=True,
    account=Account(
        rule=RuleText(
            id="bearing-hot",
            when="bearing_temp > 85 for 5s and rate(bearing_temp, 60s) > 0.5",
            clear="bearing_temp < 75",
            set="speed_sp",
            to="40",
            ttl="10m",
        ),
        traces=(
            Trace(
                text="bearing_temp > 85 for 5s and rate(bearing_temp, 60s) > 0.5",
                steps=(
                    Step(text="bearing_temp", value=86.24, is_condition=False),
                    Step(text="bearing_temp > 85 for 5s", value=1.0, is_condition=True),
                    Step(text="rate(bearing_temp, 60s)", value=0.72, is_condition=False),
                    Step(text="rate(bearing_temp, 60s) > 0.5", value=1.0, is_condition=True),
                    Step(
                        text="bearing_temp > 85 for 5s and rate(bearing_temp, 60s) > 0.5", value=1.0, is_condition=True
                    ),
                ),
            ),
        ),
        attempts=(
            Attempt(
                result="verified",
                value=52.5,
                read_back=52.5,
                sent_ns=NOW_NS - 60 * SECOND + 2 * MS,
                answered_ns=NOW_NS - 60 * SECOND + 14 * MS,
                recorded_ns=NOW_NS - 60 * SECOND + 15 * MS,
            ),
        ),
        limits=Limits(write_min=20.0, write_max=80.0, fail_safe_value=30.0, readback="pump_1.speed"),
        is_included=True,
        gateway_version="1.2.3",
        before=Neighbour(id=37, time_ns=NOW_NS - 3600 * SECOND, value=62.5, write=True, reasons=("relinquish",)),
        after=Neighbour(id=42, time_ns=NOW_NS - 59 * SECOND, value=42.5, write=True, reasons=("ramp", "clamp_step")),
        not_recorded=("the person's reason: redacted",),
    ),
)
OVERRIDE = OverrideView(
    id=6,
    point="inlet.valve",
    value=1.0,
    units="",
    since_ns=NOW_NS - 600 * SECOND,
    expires_ns=NOW_NS + 1200 * SECOND,
    remaining_s=1200.0,
    by=ANA,
    reason="flushing the inlet",
)
SYNC = SyncView(
    state="offline",
    broker="broker.example:8883",
    streams=(StreamView(name="journal", epoch=1, head=1300, acked=1250, oldest_unacked_ns=NOW_NS - 300 * SECOND),),
    last_ack_ns=NOW_NS - 320 * SECOND,
    last_error="no route to host",
    reconnects=4,
)
STATUS = StatusView(
    now_ns=NOW_NS,
    gateway="acme.example/gw/station-1",
    version="0.1.0",
    mode="auto",
    uptime_s=93_784.0,
    pid=4242,
    journal=JournalView(
        size=1300,
        healthy=True,
        unsent=50,
        checkpoint_time_ns=NOW_NS - 2 * SECOND,
        unwitnessed_entries=10,
        unwitnessed_age_s=90.0,
        witnessed_size=1290,
    ),
    devices=(
        DeviceView(
            name="plc1",
            protocol="modbus-tcp",
            state="connected",
            last_error="",
            tags=2,
            good=2,
            scans=93_000,
            overruns=0,
            latency_ms=3.42,
        ),
        DeviceView(
            name="plc2",
            protocol="opcua",
            state="lost",
            last_error="plc2: connection refused at opc.tcp://192.0.2.7:4840",
            tags=2,
            good=1,
            scans=92_000,
            overruns=17,
            latency_ms=None,
        ),
    ),
    tags=TagCounts(total=4, good=3, uncertain=0, bad=1),
    overrides=OverrideSummary(
        count=1,
        oldest_point="inlet.valve",
        oldest_by="ana",
        oldest_since_ns=OVERRIDE.since_ns,
        oldest_expires_ns=OVERRIDE.expires_ns,
    ),
    sync=SYNC,
    kernels=KernelsView(form="aot", digest="d4" * 32),
    warnings=("point pump_2.speed_sp is read-only: write_max is missing",),
)


class FakeGateway:
    """Answers from the constants above and remembers who asked for what."""

    def __init__(self) -> None:
        self.held = [OVERRIDE]
        self.wanted = Wanted()
        self.retained_ids = [41]
        self.asked: list[tuple[object, Actor]] = []
        self.tags_now = TAGS
        self.fails: Exception | None = None

    async def status(self) -> StatusView:
        if self.fails is not None:
            raise self.fails
        return STATUS

    async def tags(self, match: str, limit: int) -> tuple[TagView, ...]:
        matches = name_matcher(match)
        return tuple(tag for tag in self.tags_now if matches(tag.name, tag.alias))[:limit]

    async def decisions(self, limit: int, wanted: Wanted) -> tuple[DecisionView, ...]:
        self.wanted = wanted
        return tuple(
            one
            for one in (DECISION, HELD)
            if (not wanted.before or one.id < wanted.before) and wanted.point in ("", one.point)
        )[:limit]

    async def decision(self, decision_id: int) -> DecisionDetail | None:
        return {41: DETAIL, 40: HELD_DETAIL}.get(decision_id)

    async def explain(self, decision_id: int, *, with_trend: bool = False) -> Explanation | None:
        return EXPLANATION if decision_id == 41 else None

    async def retained(self) -> tuple[RetainedView, ...]:
        return tuple(
            RetainedView(
                id=one, cycle=9000 + one, since_ns=NOW_NS - 60 * SECOND, point="inlet.valve", recorded=one == 41
            )
            for one in self.retained_ids
        )

    async def retain(self, decision_id: int, request: RetainRequest, actor: Actor) -> RetentionAnswer | None:
        self.asked.append((request, actor))
        if decision_id not in (40, 41):
            return None
        self.retained_ids.append(decision_id)
        return RetentionAnswer(message=f"decision {decision_id} is retained", decision_id=decision_id)

    async def release(self, decision_id: int, request: RetainRequest, actor: Actor) -> RetentionAnswer:
        self.asked.append((request, actor))
        if decision_id not in self.retained_ids:
            raise RequestRefused(f"decision {decision_id} is not retained", remedy="Look at the list.")
        self.retained_ids.remove(decision_id)
        return RetentionAnswer(message=f"decision {decision_id} is released", decision_id=decision_id)

    async def overrides(self) -> tuple[OverrideView, ...]:
        return tuple(self.held)

    async def set_override(self, request: OverrideRequest, actor: Actor) -> OverrideAnswer:
        self.asked.append((request, actor))
        if request.value > 100:
            raise RequestRefused(
                f"{request.point}: {request.value:g} is above write_max 100", remedy="Ask for at most 100."
            )
        held = OverrideView(
            id=7,
            point=request.point,
            value=request.value,
            units="%",
            since_ns=NOW_NS,
            expires_ns=NOW_NS + round(request.duration_s * SECOND),
            remaining_s=request.duration_s,
            by=ActorView(uid=actor.uid, role=actor.role, method=actor.method, name=actor.name),
            reason=request.reason,
        )
        self.held.append(held)
        return OverrideAnswer(message=f"{request.point} is held at {request.value:g}", decision_id=42, override=held)

    async def clear_override(self, point: str, request: ClearRequest, actor: Actor) -> OverrideAnswer:
        self.asked.append((request, actor))
        if all(held.point != point for held in self.held):
            raise RequestRefused(f"no override holds {point}", remedy="`gatewayd override list` shows what is held.")
        self.held = [held for held in self.held if held.point != point]
        return OverrideAnswer(message=f"{point} is handed back to policy", decision_id=43)

    async def apply_rules(self, actor: Actor) -> RulesAnswer:
        self.asked.append(("apply_rules", actor))
        if self.fails is not None:
            raise self.fails
        return RulesAnswer(site="5e" * 32, rules=13, kept=12, ended=1, waited_ms=0.25)

    async def redact(self, request: RedactRequest, actor: Actor) -> RedactAnswer:
        self.asked.append((request, actor))
        if self.fails is not None:
            raise self.fails
        return RedactAnswer(records=3, texts=5)

    async def care(self, request: JournalRequest, actor: Actor) -> JournalAnswer:
        self.asked.append((request, actor))
        if self.fails is not None:
            raise self.fails
        return JournalAnswer(message="kept a checkpoint of 1290 records", size=1290)

    async def resume(self, request: ResumeRequest, actor: Actor) -> ResumeAnswer:
        self.asked.append((request, actor))
        if self.fails is not None:
            raise self.fails
        return ResumeAnswer(message="acknowledged; automatic writes are on again")

    async def sync_status(self) -> SyncView | None:
        return SYNC
