"""The running gateway as the local API sees it: live columns for status and tags, the journal for decisions."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING

from gatewayd.clock import Clock
from gatewayd.compiled import load_kernels
from gatewayd.control.facade import name_matcher
from gatewayd.core.assets import AssetPlan
from gatewayd.core.detectors import instances
from gatewayd.core.site import NS, Site
from gatewayd.core.state import State
from gatewayd.cycle import Cycle
from gatewayd.errors import RequestRefused
from gatewayd.inhibits import Inhibit
from gatewayd.journal.blocks.retention import RetentionDesk
from gatewayd.journal.care.door import Care
from gatewayd.journal.care.pruned import RecordPruned, refuse_pruned
from gatewayd.journal.care.redact import redact
from gatewayd.journal.care.witness import Exposure
from gatewayd.journal.log import Journal
from gatewayd.model import quality
from gatewayd.model.config import GatewayFile
from gatewayd.model.decision import Acknowledge, ClearOverride, Mode, Reply, SetOverride
from gatewayd.model.detectors import ASSET_BITS
from gatewayd.model.record import Actor
from gatewayd.model.retention_view import RetainedView, RetainRequest, RetentionAnswer
from gatewayd.model.view import (
    ActorView,
    ClearRequest,
    DecisionDetail,
    DecisionView,
    DeviceView,
    Explanation,
    JournalAnswer,
    JournalRequest,
    JournalView,
    KernelsView,
    LoopView,
    MemoryView,
    OverrideAnswer,
    OverrideRequest,
    OverrideSummary,
    OverrideView,
    RedactAnswer,
    RedactRequest,
    ResumeAnswer,
    ResumeRequest,
    RulesAnswer,
    StatusView,
    StorageView,
    StreamView,
    SyncView,
    TagCounts,
    TagView,
    number,
)
from gatewayd.model.wanted import Wanted
from gatewayd.rule_sets import RuleSets
from gatewayd.sense.poller import Poller
from gatewayd.unseen import Unseen
from gatewayd.version import __version__

if TYPE_CHECKING:
    from gatewayd.explain.gather import Explainer
    from gatewayd.sync.uplink import Uplink


class GatewayFacade:
    """Implements `control.facade.Facade` over the parts of a running daemon."""

    def __init__(
        self,
        cycle: Cycle,
        journal: Journal,
        pollers: tuple[Poller, ...],
        *,
        uplink: Uplink | None,
        clock: Clock,
        config: GatewayFile,
    ) -> None:
        self._cycle = cycle
        self._journal = journal
        self._pollers = pollers
        self._uplink = uplink
        self._clock = clock
        self._config = config
        self._started_mono_ns = clock.monotonic_ns()
        self._requests = 0
        self.warnings: tuple[str, ...] = ()
        self.notices: Callable[[], tuple[str, ...]] = lambda: ()
        self.is_recorded: Callable[[int], bool] = lambda cycle: False
        self.kernel_form = ""
        self.memory: MemoryView | None = None
        self.rule_sets: RuleSets | None = None
        self.journal_care: Care | None = None
        self.unseen: Unseen | None = None
        self.storage: Callable[[], StorageView | None] = lambda: None

    @property
    def _state(self) -> State:
        return self._cycle.plant.state

    @property
    def _site(self) -> Site:
        return self._cycle.plant.site

    @cached_property
    def _explainer(self) -> Explainer:
        from gatewayd.explain.gather import Explainer  # a start does not wait for what people ask later

        return Explainer(self._journal, self._journal.checkpoint)

    async def apply_rules(self, actor: Actor) -> RulesAnswer:
        """Take the rules as they stand in the site's folder now."""
        assert self.rule_sets is not None
        return await self.rule_sets.apply(actor)

    async def redact(self, request: RedactRequest, actor: Actor) -> RedactAnswer:
        """Delete a person's name and texts from the journal."""
        if held := [held.point for held in await self.overrides() if held.by.name == request.name]:
            raise RequestRefused(
                f"{request.name} holds {', '.join(held)}",
                remedy="Clear the override, or wait for its end; then ask again.",
            )
        found = await redact(self._journal, request.name, request.reason, actor)
        return RedactAnswer(records=found.records, texts=found.texts)

    async def care(self, request: JournalRequest, actor: Actor) -> JournalAnswer:
        """Do what is asked of the journal."""
        assert self.journal_care is not None
        return await self.journal_care.answer(request, actor)

    # --- status and tags --------------------------------------------------------------------------------------------

    async def status(self) -> StatusView:
        """Return the whole picture."""
        return StatusView(
            now_ns=self._clock.wall_ns(),
            gateway=self._config.gateway.name,
            version=__version__,
            mode=self._state.mode.value,
            mode_reason="; ".join(self._cycle.inhibits.reasons) if self._state.mode is Mode.MONITOR else "",
            uptime_s=(self._clock.monotonic_ns() - self._started_mono_ns) / NS,
            pid=os.getpid(),
            journal=self._journal_view(),
            devices=tuple(self._device_view(poller) for poller in self._pollers),
            tags=self._tag_counts(),
            overrides=self._override_summary(),
            sync=await self.sync_status(),
            kernels=KernelsView(form=self.kernel_form, digest=self._state.kernel_digest.hex()),
            memory=self.memory,
            loop=self._loop_view(),
            warnings=self._attention() + self.warnings + self.notices(),
            storage=self.storage(),
        )

    def _attention(self) -> tuple[str, ...]:
        """Return what a person must do before automatic writes come back."""
        if self.unseen is None or not self._cycle.inhibits.stands(Inhibit.EPOCH):
            return ()
        return tuple(self.unseen.warnings())

    def _journal_view(self) -> JournalView:
        size = self._journal.size
        acked = self._uplink.status().acked_upto if self._uplink else 0
        problem = self._journal_problem()
        care = self.journal_care
        exposure = care.witnesses.exposure(self._clock.wall_ns()) if care else Exposure(size, 0.0)
        witnessed = care.witnesses.newest if care else None
        return JournalView(
            size=size,
            healthy=not problem,
            unsent=size - acked,
            checkpoint_time_ns=self._journal.checkpoint_wall_ns,
            problem=problem,
            unwitnessed_entries=exposure.entries,
            unwitnessed_age_s=exposure.age_s,
            witnessed_size=witnessed.size if witnessed else 0,
            pruned=self._journal.pruned.words() if self._journal.first else "",
        )

    def _journal_problem(self) -> str:
        """Return why decisions cannot be recorded and what was lost by that, empty if all is well."""
        lost = self._cycle.records_lost
        is_full = not self._journal.problem and not self._journal.healthy
        why = "the journal is full; raise storage.quota_mb or free disk space" if is_full else self._journal.problem
        return "; ".join(part for part in (why, f"{lost} records could not be written" if lost else "") if part)

    def _device_view(self, poller: Poller) -> DeviceView:
        name = poller.link.name
        status = self._state.column("tag.status")
        rows = [tag.row for tag in self._site.tags if tag.device == name]
        return DeviceView(
            name=name,
            protocol=poller.protocol,
            state="connecting" if poller.state == "waiting" else poller.state,
            last_error="" if poller.state == "connected" else poller.last_error,
            tags=len(rows),
            good=sum(quality.is_good(status[row]) for row in rows),
            scans=poller.scans,
            overruns=poller.schedule.overruns,
            latency_ms=poller.scan_ns / 1e6 if poller.scans else None,
            units_demoted=poller.units.demoted if poller.units.are_many else (),
        )

    def _tag_counts(self) -> TagCounts:
        severities = [quality.severity(status) for status in self._state.column("tag.status")[: len(self._site.tags)]]
        return TagCounts(
            total=len(severities),
            good=severities.count("good"),
            uncertain=severities.count("uncertain"),
            bad=severities.count("bad"),
        )

    def _override_summary(self) -> OverrideSummary:
        held = sorted(self._state.overrides.values(), key=lambda override: override.set_wall_ns)
        if not held:
            return OverrideSummary(count=0)
        return OverrideSummary(
            count=len(held),
            oldest_point=self._site.points[held[0].point].name,
            oldest_by=held[0].actor.name,
            oldest_since_ns=held[0].set_wall_ns,
            oldest_expires_ns=held[0].expires_wall_ns,
        )

    def _loop_view(self) -> LoopView:
        pace = self._cycle.pace
        return LoopView(
            cycles=pace.cycles,
            busy_p50_ms=pace.busy.quantile_ms(0.5),
            busy_p99_ms=pace.busy.quantile_ms(0.99),
            commit_p50_ms=pace.commit.quantile_ms(0.5),
            commit_p99_ms=pace.commit.quantile_ms(0.99),
            decision_p50_ms=pace.decision.quantile_ms(0.5),
            decision_p99_ms=pace.decision.quantile_ms(0.99),
            decisions=pace.decision.count,
            blocks_dropped=self._cycle.blocks_dropped,
        )

    async def tags(self, match: str, limit: int) -> tuple[TagView, ...]:
        """Return at most `limit` tags whose name or alias matches."""
        matches = name_matcher(match)
        found = (tag.row for tag in self._site.tags if matches(tag.name, tag.alias))
        views = (self._tag_view(row) for row in found)
        assets = (self._asset_view(plan) for plan in self._site.assets if matches(plan.name, ""))
        return tuple(islice(chain(views, assets), limit))

    def _asset_view(self, plan: AssetPlan) -> TagView:
        """Return an asset that is watched as a whole; its value is its score."""
        column, row = self._state.column, plan.row
        anomaly, score = column("tag.anomaly")[row], number(column("tag.anomaly_score")[row])
        return TagView(
            name=plan.name,
            alias="",
            value=score,
            quality=quality.name(column("tag.status")[row]),
            status=column("tag.status")[row],
            units="",
            source_time_ns=column("tag.source_time")[row],
            ingest_time_ns=column("tag.ingest_time")[row],
            processing_time_ns=column("tag.processing_time")[row],
            anomaly=anomaly if anomaly >= 0 else None,
            score=score if anomaly >= 0 else None,
            detectors=tuple(ASSET_BITS.values()),
        )

    def _tag_view(self, row: int) -> TagView:
        tag, column = self._site.tags[row], self._state.column
        status, anomaly, value = column("tag.status")[row], column("tag.anomaly")[row], column("tag.value")[row]
        is_text = tag.config.type == "string"
        return TagView(
            name=tag.name,
            alias=tag.alias,
            value=None if is_text else number(value),
            text=self._state.texts.get(value) if is_text else None,
            quality=quality.name(status),
            status=status,
            units=tag.units,
            source_time_ns=column("tag.source_time")[row],
            ingest_time_ns=column("tag.ingest_time")[row],
            processing_time_ns=column("tag.processing_time")[row],
            anomaly=anomaly if anomaly >= 0 else None,
            score=number(column("tag.anomaly_score")[row]) if anomaly >= 0 else None,
            detectors=tuple(instance.detector.name for instance in instances(tag.contract)),
        )

    # --- decisions --------------------------------------------------------------------------------------------------

    async def decisions(self, limit: int, wanted: Wanted) -> tuple[DecisionView, ...]:
        """Return the newest decisions first; cycles have their turn meanwhile."""
        found = await self._explainer.decisions(limit, wanted, self._units(), self._turn)
        if not found and 0 < wanted.before <= self._journal.pruned.last_decision_id + 1:
            with told_when_pruned():
                raise refuse_pruned(f"what was decided before decision {wanted.before}", self._journal.pruned)
        return found

    async def _turn(self) -> None:
        await self._clock.sleep_until(self._clock.monotonic_ns())

    async def decision(self, decision_id: int) -> DecisionDetail | None:
        """Return a decision's record."""
        with told_when_pruned():
            return self._explainer.detail(decision_id, self._units())

    async def explain(self, decision_id: int, *, with_trend: bool = False) -> Explanation | None:
        """Return a decision with its evidence; the recorder's blocks are unpacked and decoded in a thread."""
        with told_when_pruned():
            found = self._explainer.explain(decision_id, self._units())
        if found is None or not with_trend:
            return found
        from gatewayd.explain.trend import with_history

        kernels = load_kernels(self.kernel_form or None)
        return await asyncio.to_thread(with_history, self._journal.store, found, kernels)

    def _units(self) -> dict[str, str]:
        return {point.name: self._site.tags[point.row].units for point in self._site.points}

    async def retained(self) -> tuple[RetainedView, ...]:
        """Return the decisions whose recorded inputs people want kept."""
        return self._retention.listed()

    async def retain(self, decision_id: int, request: RetainRequest, actor: Actor) -> RetentionAnswer | None:
        """Return once a decision is retained."""
        return await self._retention.retain(decision_id, request.reason, actor)

    async def release(self, decision_id: int, request: RetainRequest, actor: Actor) -> RetentionAnswer:
        """Return once a decision is retained no longer."""
        return await self._retention.release(decision_id, request.reason, actor)

    @property
    def _retention(self) -> RetentionDesk:
        return RetentionDesk(self._journal, self._clock, self.is_recorded)

    # --- overrides --------------------------------------------------------------------------------------------------

    async def overrides(self) -> tuple[OverrideView, ...]:
        """Return the overrides that hold now, oldest first."""
        now_mono_ns = self._clock.monotonic_ns()
        return tuple(
            OverrideView(
                id=held.id,
                point=self._site.points[held.point].name,
                value=number(held.value),
                units=self._site.tags[self._site.points[held.point].row].units,
                since_ns=held.set_wall_ns,
                expires_ns=held.expires_wall_ns,
                remaining_s=max(0, held.expires_mono_ns - now_mono_ns) / NS,
                by=ActorView(uid=held.actor.uid, role=held.actor.role, method=held.actor.method, name=held.actor.name),
                reason=held.reason,
            )
            for held in sorted(self._state.overrides.values(), key=lambda override: override.set_wall_ns)
        )

    async def set_override(self, request: OverrideRequest, actor: Actor) -> OverrideAnswer:
        """Return once the override is durable."""
        reply = await self._cycle.ask(
            SetOverride(
                point=request.point,
                value=request.value if math.isfinite(request.value) else math.nan,
                duration_ns=round(request.duration_s * NS),
                reason=request.reason,
                actor=actor,
                request_id=self._request_id(),
            )
        )
        held = [override for override in await self.overrides() if override.point == request.point]
        return _answer(reply, held[0] if held else None)

    async def clear_override(self, point: str, request: ClearRequest, actor: Actor) -> OverrideAnswer:
        """Return once the release is durable."""
        reply = await self._cycle.ask(
            ClearOverride(point=point, reason=request.reason, actor=actor, request_id=self._request_id())
        )
        return _answer(reply, None)

    async def resume(self, request: ResumeRequest, actor: Actor) -> ResumeAnswer:
        """Return once the acknowledgement is durable; say what still keeps automatic writes off."""
        asked = Acknowledge(reason=request.reason, actor=actor, request_id=self._request_id())
        reply = await self._cycle.acknowledge(asked)
        if not reply.accepted:
            raise RequestRefused(reply.message, remedy=reply.remedy)
        others = "; ".join(self._cycle.inhibits.reasons)
        return ResumeAnswer(
            message=f"acknowledged; automatic writes stay off: {others}"
            if others
            else "acknowledged; automatic writes are on again"
        )

    def _request_id(self) -> str:
        self._requests += 1
        return f"{self._requests}"

    # --- sync -------------------------------------------------------------------------------------------------------

    async def sync_status(self) -> SyncView | None:
        """Return the state of the link to the cloud."""
        if self._uplink is None or self._config.cloud is None:
            return None
        status, cloud = self._uplink.status(), self._config.cloud
        return SyncView(
            state="connected" if status.connected else "offline",
            broker=f"{cloud.host}:{cloud.port}",
            streams=(
                StreamView(
                    name=status.stream,
                    epoch=self._journal.epoch,
                    head=status.next_seq,
                    acked=status.acked_upto,
                    oldest_unacked_ns=self._time_of(status.acked_upto),
                ),
            ),
            last_ack_ns=status.last_ack_wall_ns,
            last_error=status.last_error,
        )

    def _time_of(self, seq: int) -> int:
        """Return when a record was written, 0 if there is none yet."""
        return self._journal.record(seq).leaf.wall_ns if seq < self._journal.size else 0


@contextmanager
def told_when_pruned() -> Iterator[None]:
    """Turn what the journal says of a record that was pruned into a refusal: nothing is wrong with the store."""
    try:
        yield
    except RecordPruned as error:
        raise RequestRefused(error.message, remedy=error.remedy) from error


def _answer(reply: Reply, override: OverrideView | None) -> OverrideAnswer:
    if not reply.accepted:
        raise RequestRefused(reply.message, remedy=reply.remedy)
    return OverrideAnswer(message=reply.message, decision_id=reply.decision_id, override=override)
