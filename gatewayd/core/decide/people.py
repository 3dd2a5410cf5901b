"""What people ask for: overrides and their ends. Every override expires; the boot clock decides when."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
from msgspec import Struct

from gatewayd.core.decide.draft import Draft
from gatewayd.core.decide.outcomes import reset
from gatewayd.core.site import NS, PointPlan, Site
from gatewayd.core.state import Claim, Override, State
from gatewayd.model.decision import ClearOverride, Reason, Reply, SetOverride
from gatewayd.model.record import Actor, OverrideEvent

SLOT_OPERATOR = 8


class SavedOverride(Struct, frozen=True, array_like=True):
    """An override as it survives a restart. The boot clock says how much of it is left, on the same boot."""

    id: int
    point: str
    value: float
    expires_mono_ns: int
    expires_wall_ns: int
    actor: Actor
    reason: str
    set_wall_ns: int
    boot_id: bytes = b""


class Ending(NamedTuple):
    """What happened to an override."""

    event: str  # "set", "released", "expired"
    actor: Actor
    reason: str


def set_override(state: State, site: Site, draft: Draft, request: SetOverride) -> None:
    """Hold a point for a person, or say why not."""
    index = site.point_of.get(request.point)
    refusal = _refusal(site, index, request)
    if refusal or index is None:
        _refuse(draft, request, *refusal)
        return
    if index in state.overrides:
        _end(state, site, draft, index, Ending("released", request.actor, request.reason))
    override = Override(
        id=state.next_override_id,
        point=index,
        value=request.value,
        expires_mono_ns=draft.mono_ns + request.duration_ns,
        expires_wall_ns=draft.wall_ns + request.duration_ns,
        actor=request.actor,
        reason=request.reason,
        set_wall_ns=draft.wall_ns,
    )
    state.next_override_id += 1
    hold(state, override, now_mono_ns=draft.mono_ns)
    reset(state, site, draft, index)
    point = state.points[index]
    point.because, point.retry_mono_ns, point.failures = None, 0, 0  # a person does not wait for our last failure
    _record(draft, site.points[index], override, Ending("set", request.actor, request.reason))
    _save(state, draft, site.points[index], override)
    draft.answer(Reply(request.request_id, True, f"{request.point} is held at {request.value:g}"), index)


def clear_override(state: State, site: Site, draft: Draft, request: ClearOverride) -> None:
    """Hand a point back to policy; what tripped or locked out is reset, with or without an override."""
    index = site.point_of.get(request.point)
    was_held = index is not None and index in state.overrides
    was_reset = index is not None and reset(state, site, draft, index)
    if index is None or not (was_held or was_reset):
        message, remedy = f"{request.point} has no override", "`gatewayd override list` shows what is held."
        draft.replies.append(Reply(request.request_id, False, message, remedy))
        return
    if was_held:
        _end(state, site, draft, index, Ending("released", request.actor, request.reason))
    else:
        _record_reset(draft, site.points[index], request)
    draft.answer(Reply(request.request_id, True, f"{request.point} is back with policy"), index)


def expire_overrides(state: State, site: Site, draft: Draft) -> None:
    """End the overrides whose time is up."""
    for index, override in list(state.overrides.items()):
        if draft.mono_ns >= override.expires_mono_ns:
            _end(state, site, draft, index, Ending("expired", override.actor, ""))


def hold(state: State, override: Override, *, now_mono_ns: int) -> None:
    """Put an override into its slot."""
    state.overrides[override.point] = override
    point = state.points[override.point]
    point.claims["override"] = Claim(
        slot=SLOT_OPERATOR,
        order=0,
        value=override.value,
        reason=Reason.OVERRIDE,
        since_mono_ns=now_mono_ns,
        expires_mono_ns=override.expires_mono_ns,
        override_id=override.id,
        actor=override.actor,
        text=override.reason,
    )
    state.dirty.add(override.point)


def _refusal(site: Site, index: int | None, request: SetOverride) -> tuple[str, str] | tuple[()]:
    if index is None:
        if request.point in site.read_only:
            return (f"{request.point} is read-only: its guard list is incomplete", "Complete it in policies/.")
        if request.point in site.rows:
            return (f"{request.point} is not a writable point", "`gatewayd config check` lists the points.")
        return (f"no point is called {request.point}", "`gatewayd tags list` shows the names.")
    plan = site.points[index]
    if math.isnan(request.value) or not plan.write_min <= request.value <= plan.write_max:
        return (
            f"{request.value:g} is outside {plan.write_min:g} to {plan.write_max:g}",
            "Nobody writes outside a point's declared limits; choose a value inside.",
        )
    if not 0 < request.duration_ns <= plan.override_max_ns:
        return (
            f"an override of {request.point} may last {plan.override_max_ns / NS:g} s at most",
            "Give a shorter time; it can be set again.",
        )
    return () if request.reason.strip() else ("an override needs a reason", "Say why in a few words.")


def _refuse(draft: Draft, request: SetOverride, message: str = "", remedy: str = "") -> None:
    draft.record(
        OverrideEvent(
            override_id=0,
            event="refused",
            point=request.point[:128],
            value=request.value,
            expires_ns=0,
            actor=request.actor.without_name(),
        ),
        reason_text=request.reason,
        actor_name=request.actor.name,
    )
    draft.replies.append(Reply(request.request_id, False, message, remedy))


def _end(state: State, site: Site, draft: Draft, index: int, ending: Ending) -> None:
    override = state.overrides.pop(index)
    point = state.points[index]
    point.claims.pop("override", None)
    point.because = Reason.OVERRIDE_EXPIRED if ending.event == "expired" else Reason.OVERRIDE_RELEASED
    state.dirty.add(index)
    _record(draft, site.points[index], override, ending)
    draft.saves[f"override/{site.points[index].name}"] = b""


def _record(draft: Draft, plan: PointPlan, override: Override, ending: Ending) -> None:
    draft.record(
        OverrideEvent(
            override_id=override.id,
            event=ending.event,
            point=plan.name,
            value=override.value,
            expires_ns=override.expires_wall_ns,
            actor=ending.actor.without_name(),
        ),
        reason_text=ending.reason,
        actor_name=ending.actor.name,
    )


def _record_reset(draft: Draft, plan: PointPlan, request: ClearOverride) -> None:
    """Say who reset a point that nobody held."""
    draft.record(
        OverrideEvent(
            override_id=0,
            event="released",
            point=plan.name,
            value=math.nan,
            expires_ns=0,
            actor=request.actor.without_name(),
        ),
        reason_text=request.reason,
        actor_name=request.actor.name,
    )


def _save(state: State, draft: Draft, plan: PointPlan, override: Override) -> None:
    draft.saves[f"override/{plan.name}"] = msgspec.msgpack.encode(
        SavedOverride(
            id=override.id,
            point=plan.name,
            value=override.value,
            expires_mono_ns=override.expires_mono_ns,
            expires_wall_ns=override.expires_wall_ns,
            actor=override.actor,
            reason=override.reason,
            set_wall_ns=override.set_wall_ns,
            boot_id=state.boot_id,
        )
    )
