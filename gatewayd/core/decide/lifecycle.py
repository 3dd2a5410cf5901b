"""Starting, stopping and changing mode: what the shell asks of the core."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec

from gatewayd.core.decide.draft import Draft
from gatewayd.core.decide.guards import SLOT_FAIL_SAFE
from gatewayd.core.decide.outcomes import SavedPoint
from gatewayd.core.decide.people import SavedOverride, hold
from gatewayd.core.site import Site
from gatewayd.core.state import Claim, Override, State
from gatewayd.model.decision import Acknowledge, Reason, Reply, SetMode, Stop
from gatewayd.model.record import Actor, ModeChanged, OverrideEvent

UNSEEN_KEY = "unseen"  # of the saved state: a new epoch that nobody has acknowledged yet


def restore(state: State, site: Site, draft: Draft, saves: Mapping[str, bytes]) -> None:
    """Take up overrides and owned points where the last run left them.

    An override continues with its remaining time on the same boot only: across a reboot nobody can say how long the
    gap was, so it is released, and the journal says so.
    """
    for key, saved in saves.items():
        kind, _, name = key.partition("/")
        index = site.point_of.get(name)
        if kind == "point" and index is not None:
            _restore_point(state, draft, index, msgspec.msgpack.decode(saved, type=SavedPoint))
        elif kind == "override":
            _restore_override(state, draft, index, msgspec.msgpack.decode(saved, type=SavedOverride))


def await_outcomes(state: State, site: Site, in_doubt: Iterable[tuple[str, int]]) -> None:
    """Hold points whose last write is in doubt as if it were under way: nobody writes before it has been read back.

    Args:
        state: of the new run.
        site: its configuration.
        in_doubt: (point name, decision id), oldest first; of two on one point the newest counts.
    """
    for name, decision_id in in_doubt:
        index = site.point_of.get(name)
        if index is not None:
            state.points[index].in_flight = decision_id


def _restore_point(state: State, draft: Draft, index: int, saved: SavedPoint) -> None:
    """Times of another boot cannot be compared, so a minimum time then counts in full from this start.

    When it was last written is not saved: `max_rate`, too, counts from this start, else each restart would be a step.
    """
    point = state.points[index]
    point.owned, point.locked_out = saved.owned, saved.locked_out
    point.wrote_mono_ns = draft.mono_ns
    if saved.switched_mono_ns:
        point.switched_mono_ns = saved.switched_mono_ns if saved.boot_id == state.boot_id else draft.mono_ns


def _restore_override(state: State, draft: Draft, index: int | None, saved: SavedOverride) -> None:
    state.next_override_id = max(state.next_override_id, saved.id + 1)
    alive = saved.boot_id == state.boot_id and draft.mono_ns < saved.expires_mono_ns
    if index is not None and alive:
        override = Override(
            id=saved.id,
            point=index,
            value=saved.value,
            expires_mono_ns=saved.expires_mono_ns,
            expires_wall_ns=saved.expires_wall_ns,
            actor=saved.actor,
            reason=saved.reason,
            set_wall_ns=saved.set_wall_ns,
        )
        hold(state, override, now_mono_ns=draft.mono_ns)
        return
    draft.record(
        OverrideEvent(
            override_id=saved.id,
            event="released",
            point=saved.point,
            value=saved.value,
            expires_ns=saved.expires_wall_ns,
            actor=Actor(uid=saved.actor.uid, role="core", method="restart"),
        )
    )
    draft.saves[f"override/{saved.point}"] = b""


def set_mode(state: State, draft: Draft, request: SetMode) -> None:
    """Change mode; in AUTO every point is looked at afresh."""
    if request.mode is state.mode:
        return
    state.mode = request.mode
    state.dirty.update(range(len(state.points)))
    draft.record(ModeChanged(mode=request.mode.value, reason=request.reason))


def acknowledge(draft: Draft, request: Acknowledge) -> None:
    """Journal that a person has seen what was lost, and wait for nobody at the next start."""
    actor = request.actor
    draft.record(
        OverrideEvent(
            override_id=0,
            event="acknowledged",
            point="",
            value=math.nan,
            expires_ns=0,
            actor=actor.without_name(),
        ),
        reason_text=request.reason,
        actor_name=actor.name,
    )
    draft.saves[UNSEEN_KEY] = b""
    draft.replies.append(Reply(request.request_id, True, "acknowledged"))


def stop(state: State, site: Site, draft: Draft, request: Stop) -> None:
    """Send every point that we command to its fail-safe value."""
    state.stopping = True
    for plan in site.points:
        point = state.points[plan.index]
        if point.owned:
            point.retry_mono_ns = 0  # there is no later
            point.claims["stop"] = Claim(
                slot=SLOT_FAIL_SAFE,
                order=-2,
                value=plan.fail_safe_value,
                reason=Reason.STOPPING,
                since_mono_ns=draft.mono_ns,
                expires_mono_ns=0,
                text=request.reason,
            )
            state.dirty.add(plan.index)
