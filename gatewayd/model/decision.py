"""What the core decides, asks for and is told: the values that cross the boundary of `core.step`."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct

from gatewayd.model.block import Block
from gatewayd.model.record import Actor, Body


class Reason(StrEnum):
    """Why a decision came out as it did. A decision carries all that apply, in order."""

    RULE = "rule"  # a rule's condition became true
    RULE_CLEARED = "rule_cleared"
    TTL = "ttl"  # a proposal's time to live ended
    OVERRIDE = "override"
    OVERRIDE_RELEASED = "override_released"
    OVERRIDE_EXPIRED = "override_expired"
    RELINQUISH = "relinquish"  # no slot is held: the relinquish default applies
    FAIL_SAFE = "fail_safe"
    INPUTS_LOST = "inputs_lost"
    STOPPING = "stopping"
    CLAMP_RANGE = "clamp_range"
    CLAMP_STEP = "clamp_step"
    CLAMP_RATE = "clamp_rate"
    RAMP = "ramp"  # the next step towards a target that step or rate limits cut short
    HOLD_MIN_ON = "hold_min_on"
    HOLD_MIN_OFF = "hold_min_off"
    INTERLOCK = "interlock"
    PERMISSIVE = "permissive"
    INPUT_QUALITY = "input_quality"
    INPUT_AGE = "input_age"
    MONITOR = "monitor"  # automatic writes are held back: settling after a start, or the journal is lost
    IN_FORCE = "in_force"  # the plant already holds the value
    NO_PRESENT_VALUE = "no_present_value"  # step and rate cannot be judged without knowing where the point stands
    LOCKED_OUT = "locked_out"  # three mismatches in ten minutes; a person must reset
    MISMATCH_RETRY = "mismatch_retry"


class Mode(StrEnum):
    """Whether automatic writes happen."""

    MONITOR = "monitor"
    AUTO = "auto"


class OutcomeResult(StrEnum):
    """What became of a write."""

    VERIFIED = "verified"
    MISMATCH = "mismatch"
    UNKNOWN = "unknown"
    REFUSED = "refused"  # the device said no, or the command expired before it was sent


class Command(Struct, frozen=True, array_like=True):
    """One write, handed to `act` only after its decision is durable.

    `value` and `readback_tolerance` are in contract units; the driver inverts scale and offset.
    """

    decision_id: int
    point: int  # index into Site.points
    row: int  # row of the tag to write
    readback_row: int
    value: float
    previous: float  # value believed to be in force before, NaN if unknown
    readback_tolerance: float
    readback_within_ns: int
    expires_mono_ns: int  # not sent after this


WITHHELD = "-"  # stands where a person's text was


class WriteOutcome(Struct, frozen=True, array_like=True):
    """What `act` reports back into the next cycle; also the body of the outcome record."""

    decision_id: int
    point: int
    result: OutcomeResult
    value: float
    read_back: float  # NaN if unknown
    sent_ns: int  # wall; 0 = never sent
    answered_ns: int
    detail: str = ""


class SetOverride(Struct, frozen=True, array_like=True, tag="set_override"):
    """A person holds a point at a value, for a time. `reason` is personal: it enters the journal as a salted hash."""

    point: str  # asset.member
    value: float
    duration_ns: int
    reason: str
    actor: Actor
    request_id: str = ""


class ClearOverride(Struct, frozen=True, array_like=True, tag="clear_override"):
    """A person hands a point back to policy."""

    point: str
    reason: str
    actor: Actor
    request_id: str = ""


class SetMode(Struct, frozen=True, array_like=True, tag="set_mode"):
    """The shell changes mode: MONITOR after a start or when the journal is lost, AUTO when settled."""

    mode: Mode
    reason: str


class Acknowledge(Struct, frozen=True, array_like=True, tag="acknowledge"):
    """A person has seen that a damaged journal was given up. `reason` is personal, as in `SetOverride`."""

    reason: str
    actor: Actor
    request_id: str = ""


class Stop(Struct, frozen=True, array_like=True, tag="stop"):
    """The daemon is stopping: points go to their fail-safe values by journalled decisions."""

    reason: str


Request = SetOverride | ClearOverride | SetMode | Stop | Acknowledge


RUN_SHIFT = 40  # a cycle's number is 2^40 times that of the run, and its place in the run


class Inputs(Struct, frozen=True, array_like=True):
    """Everything a cycle may depend on. This is what the flight recorder keeps and replay feeds."""

    cycle: int
    wall_ns: int
    mono_ns: int
    blocks: tuple[Block, ...] = ()
    outcomes: tuple[WriteOutcome, ...] = ()
    requests: tuple[Request, ...] = ()


class NewRecord(Struct, frozen=True):
    """A record the core wants journalled.

    Args:
        body: the leaf's body, whose personal fields (bytes) are still empty.
        personal: field name of the body -> plain text; the journal stores a salted hash in the leaf.
        evidence: canonical bytes of the evidence slice, stored beside and cited by the body's `evidence` field.
    """

    body: Body
    personal: dict[str, str] = {}
    evidence: bytes = b""


class Reply(Struct, frozen=True):
    """Answer to one Request."""

    request_id: str
    accepted: bool
    message: str
    remedy: str = ""
    decision_id: int = 0


class Effects(Struct, frozen=True):
    """What one cycle wants done. Records are committed first; commands are handed over only after that.

    Args:
        saves: state that must survive a restart, key -> bytes; an empty value deletes.
        next_mono_ns: the cycle must run again by then even if nothing arrives; 0 = no deadline.
    """

    records: tuple[NewRecord, ...] = ()
    commands: tuple[Command, ...] = ()
    replies: tuple[Reply, ...] = ()
    saves: dict[str, bytes] = {}
    next_mono_ns: int = 0


def without_texts(request: Request) -> Request:
    """Return a request without a person's name and words: all that the flight recorder may keep, for its blocks are sealed.

    The core decides the same from it, for of a text it only asks whether there is one.
    """
    if not isinstance(request, SetOverride | ClearOverride | Acknowledge):
        return request
    actor, reason = request.actor.without_name(), WITHHELD if request.reason.strip() else ""
    return msgspec.structs.replace(request, actor=actor, reason=reason)
