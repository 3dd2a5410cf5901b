"""What an explanation tells beside the decision's own record: found in the journal, the configuration cited, the recorder.

Times are UTC nanoseconds, 0 = never or not known; null is a number that is not known. Fields are only ever added.
"""

from __future__ import annotations

from msgspec import Struct

TREND_POINTS_MAX = 2_000  # of all trends of an explanation together


class Part(Struct, frozen=True, kw_only=True):
    """Base of every part."""


class RuleText(Part, frozen=True, kw_only=True):
    """The rule as the configuration cited by the decision has it, not as today's file does."""

    id: str
    when: str
    clear: str = ""
    set: str = ""
    to: str = ""
    ttl: str = ""
    on_unknown: str = ""


class Step(Part, frozen=True, kw_only=True):
    """One part of an expression: 1 true, 0 false, or a number; null = unknown."""

    text: str
    value: float | None
    is_condition: bool


class Trace(Part, frozen=True, kw_only=True):
    """An expression and its parts, in the order in which they were evaluated."""

    text: str
    steps: tuple[Step, ...]


class OverrideFact(Part, frozen=True, kw_only=True):
    """The person's hold that a decision carried out."""

    id: int
    event: str  # "set", "released", "expired": the newest event up to the decision
    value: float | None
    set_ns: int
    expires_ns: int
    uid: int
    role: str
    by: str = ""  # empty = redacted
    reason: str = ""  # empty = redacted


class Limits(Part, frozen=True, kw_only=True):
    """The guard list's numbers of the point, in its units, from the configuration cited; null = not set."""

    write_min: float | None = None
    write_max: float | None = None
    fail_safe_value: float | None = None
    readback: str = ""  # asset.member


class Neighbour(Part, frozen=True, kw_only=True):
    """Another decision on the same point."""

    id: int
    time_ns: int
    value: float | None
    write: bool
    reasons: tuple[str, ...]


class Attempt(Part, frozen=True, kw_only=True):
    """One outcome record: what was sent and what was read back."""

    result: str
    value: float | None
    read_back: float | None
    sent_ns: int
    answered_ns: int
    recorded_ns: int
    detail: str = ""
    recovered: bool = False


class Trend(Part, frozen=True, kw_only=True):
    """Values of a tag around the decision, oldest first; a null value is a sample without Good quality."""

    tag: str
    units: str
    source: str  # "recorder", "evidence"
    times_ns: tuple[int, ...]  # ingest time
    values: tuple[float | None, ...]


class TwinTag(Part, frozen=True, kw_only=True):
    """A tag of the asset as the twin held it right after the decision's cycle."""

    tag: str
    value: float | None
    units: str
    quality: str
    status: int


class Account(Part, frozen=True, kw_only=True):
    """Everything beside the record. `not_recorded` says in words what should stand here and does not."""

    rule: RuleText | None = None
    traces: tuple[Trace, ...] = ()
    override: OverrideFact | None = None
    limits: Limits | None = None
    attempts: tuple[Attempt, ...] = ()
    is_in_doubt: bool = False  # sent or about to be, and no outcome is journalled
    is_included: bool | None = None  # the audit path leads to the checkpoint's root; null = no checkpoint covers it yet
    gateway_version: str = ""  # of the newest start before the decision
    before: Neighbour | None = None
    after: Neighbour | None = None
    twin: tuple[TwinTag, ...] = ()
    trends: tuple[Trend, ...] = ()
    not_recorded: tuple[str, ...] = ()
