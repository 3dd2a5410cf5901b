"""What the local API asks of the running gateway. The app implements it; the server knows nothing else of the app."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import Protocol

from gatewayd.model.record import Actor
from gatewayd.model.retention_view import RetainedView, RetainRequest, RetentionAnswer
from gatewayd.model.view import (
    ClearRequest,
    DecisionDetail,
    DecisionView,
    Explanation,
    JournalAnswer,
    JournalRequest,
    OverrideAnswer,
    OverrideRequest,
    OverrideView,
    RedactAnswer,
    RedactRequest,
    ResumeAnswer,
    ResumeRequest,
    RulesAnswer,
    StatusView,
    SyncView,
    TagView,
)
from gatewayd.model.wanted import Wanted


class Facade(Protocol):
    """Answers are views; what cannot be answered or done raises a GatewayError with its remedy.

    Methods run on the daemon's event loop beside the control cycle: none may block, and lists keep to their `limit`.
    """

    async def status(self) -> StatusView:
        """Return the whole picture; the server removes what a caller without a role may not see."""
        ...

    async def tags(self, match: str, limit: int) -> tuple[TagView, ...]:
        """Return at most `limit` tags whose name or alias satisfies `name_matcher(match)`, in twin order."""
        ...

    async def decisions(self, limit: int, wanted: Wanted) -> tuple[DecisionView, ...]:
        """Return the newest decisions first.

        Args:
            limit: at most so many, 1 to 1,000.
            wanted: what they must have in common.
        """
        ...

    async def decision(self, decision_id: int) -> DecisionDetail | None:
        """Return a decision's record, or None if the journal holds no such decision."""
        ...

    async def explain(self, decision_id: int, *, with_trend: bool = False) -> Explanation | None:
        """Return a decision with its evidence, or None if the journal holds no such decision.

        Args:
            decision_id: which.
            with_trend: also how its tags went around it; this reads the flight recorder, beside the loop.
        """
        ...

    async def retained(self) -> tuple[RetainedView, ...]:
        """Return the decisions whose recorded inputs people want kept."""
        ...

    async def retain(self, decision_id: int, request: RetainRequest, actor: Actor) -> RetentionAnswer | None:
        """Return once it is durable that a decision is retained, or None if the journal holds no such decision.

        Raises:
            RequestRefused: it is already, or too many are.
        """
        ...

    async def release(self, decision_id: int, request: RetainRequest, actor: Actor) -> RetentionAnswer:
        """Return once it is durable that a decision is retained no longer.

        Raises:
            RequestRefused: it is not retained.
        """
        ...

    async def overrides(self) -> tuple[OverrideView, ...]:
        """Return the overrides that hold now, oldest first."""
        ...

    async def set_override(self, request: OverrideRequest, actor: Actor) -> OverrideAnswer:
        """Return once the override is durable.

        Raises:
            RequestRefused: unknown or read-only point, value outside its limits, duration beyond the point's maximum.
        """
        ...

    async def clear_override(self, point: str, request: ClearRequest, actor: Actor) -> OverrideAnswer:
        """Return once the release is durable.

        Raises:
            RequestRefused: no override holds the point.
        """
        ...

    async def apply_rules(self, actor: Actor) -> RulesAnswer:
        """Take the rules and guard lists as they stand in the daemon's site folder now; return once they are in force.

        Raises:
            ConfigError: the site has errors, or changes more than that; nothing changed.
            RequestRefused: not now; nothing changed.
            StoreError: it could not be journalled; nothing changed.
        """
        ...

    async def redact(self, request: RedactRequest, actor: Actor) -> RedactAnswer:
        """Delete a person's name and texts from the journal; return once that is durable.

        Raises:
            RequestRefused: the person holds a point now.
            StoreError: not all of it could be made durable.
        """
        ...

    async def care(self, request: JournalRequest, actor: Actor) -> JournalAnswer:
        """Do what is asked of the journal; return once it is durable.

        Raises:
            RequestRefused, NoteError: it will not be done.
            StoreError: it could not be.
        """
        ...

    async def resume(self, request: ResumeRequest, actor: Actor) -> ResumeAnswer:
        """Return once it is durable that a person has seen the new epoch.

        Raises:
            RequestRefused: nothing waits for a person, or it could not be journalled.
        """
        ...

    async def sync_status(self) -> SyncView | None:
        """Return the state of the link to the cloud, or None if none is configured."""
        ...


def name_matcher(match: str) -> Callable[[str, str], bool]:
    """Return a predicate on (name, alias) for a glob; `*` crosses `/` and `.`, an empty glob takes everything."""
    if match in ("", "*"):
        return lambda name, alias: True
    pattern = re.compile(fnmatch.translate(match))
    return lambda name, alias: bool(pattern.match(name) or (alias and pattern.match(alias)))
