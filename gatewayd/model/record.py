"""Journal records in their final form: one Struct per kind, array-like, fields only ever appended with defaults.

A leaf is `schema byte || flag byte ||
msgpack([seq, wall_ns, boot_ns, boot_id, clock_quality, body])`; the first
element of a body is its kind.
Personal fields (who, why, free text) are 32-byte salted hashes here; the plain text stands in a side table.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import get_args

from msgspec import Struct

SCHEMA = 1
FLAG_SEALED = 0x01  # the body is ciphertext (bytes), reserved for exports with sealed bodies

PersonalHash = bytes  # SHA-256(salt32 || UTF-8 text); empty = no text was given


class Kind(IntEnum):
    """The kinds of record; numbers are for ever."""

    GENESIS = 1
    START = 2
    STOP = 3
    CONFIG = 4
    DECISION = 5
    OUTCOME = 6
    OVERRIDE = 7
    ALARM = 8
    RULE = 9
    BLOCK = 10
    GAP = 11
    DEVICE = 12
    CLOCK_STEP = 13
    MODE = 14
    QUALITY = 15
    TRUST = 16
    REDACTED = 17
    KEY_ROTATED = 20
    PRUNED = 21
    RETENTION = 25


class ClockQuality(StrEnum):
    """How far wall time can be believed."""

    UNSYNCED = "unsynced"
    RTC = "rtc"
    NTP = "ntp"
    PTP = "ptp"
    GNSS = "gnss"


class Actor(Struct, frozen=True, array_like=True, gc=False):
    """Who asked. `name` is personal and empty in a leaf; `uid`, `role` and `method` stay."""

    uid: int
    role: str
    method: str  # "socket", "core"
    name: str = ""

    def without_name(self) -> Actor:
        """Return who it was as a leaf keeps it."""
        return Actor(self.uid, self.role, self.method)


class GuardResult(Struct, frozen=True, array_like=True, gc=False):
    """What one guard said of a proposed value."""

    guard: str  # "range", "step", "rate", "min_on", "min_off", "interlock:NAME", "permissive:NAME", "quality", "age"
    verdict: str  # "pass", "clamp", "hold", "block"
    before: float
    after: float
    limit: float | None = None
    detail: str = ""


class Body(Struct, frozen=True, array_like=True, gc=False):
    """Base of every record body."""


class Genesis(Body, frozen=True, tag=int(Kind.GENESIS)):
    """First leaf of an epoch."""

    origin: str
    epoch: int
    vkey: str
    previous_origin: str = ""
    previous_checkpoint: str = ""
    reason: str = ""


class Start(Body, frozen=True, tag=int(Kind.START)):
    """The daemon started; what it found."""

    version: str
    kernel_digest: bytes
    in_doubt: int = 0
    clean: bool = True  # the previous run ended with a STOP record


class Stopped(Body, frozen=True, tag=int(Kind.STOP)):
    """The daemon stopped on purpose."""

    reason: str


class ConfigLoaded(Body, frozen=True, tag=int(Kind.CONFIG)):
    """The configuration in force from here on; its bytes are stored by digest."""

    site_digest: bytes
    policy_digest: bytes
    model_digest: bytes
    insecure: tuple[str, ...] = ()  # every relaxation somebody accepted, in so many words
    actor: Actor | None = None  # who applied it while the gateway ran; None = it was there at the start
    actor_name: PersonalHash = b""


class Decision(Body, frozen=True, tag=int(Kind.DECISION)):
    """One decision on one point, durable before its write is sent. Array of 16 slots, None = relinquished."""

    decision_id: int
    cycle: int
    point: str
    proposed: float
    value: float  # after the guards; what is written
    previous: float
    write: bool  # False: decided, but held back or blocked; `reasons` says why
    reasons: tuple[str, ...]
    slot: int  # the winning slot, 0 = relinquish default
    slots_before: tuple[float | None, ...]
    slots_after: tuple[float | None, ...]
    guards: tuple[GuardResult, ...]
    rule: str = ""
    override_id: int = 0
    actor: Actor | None = None
    approvals: tuple[Actor, ...] = ()
    parent: int = 0  # decision this one continues (ramp, retry, relinquish)
    evidence: bytes = b""  # SHA-256 of the evidence slice
    evidence_stream: str = "blocks"
    site_digest: bytes = b""
    policy_digest: bytes = b""
    model_digest: bytes = b""
    kernel_digest: bytes = b""
    expires_mono_ns: int = 0
    reason_text: PersonalHash = b""
    actor_name: PersonalHash = b""


class Outcome(Body, frozen=True, tag=int(Kind.OUTCOME)):
    """What became of a decision's write."""

    decision_id: int
    result: str
    value: float
    read_back: float
    sent_ns: int
    answered_ns: int
    detail: str = ""
    recovered: bool = False  # found in doubt after a restart and resolved by reading back


class OverrideEvent(Body, frozen=True, tag=int(Kind.OVERRIDE)):
    """An override began, ended or was refused."""

    override_id: int
    event: str  # "set", "released", "expired", "refused"; "acknowledged": a person saw a new epoch, of no point
    point: str
    value: float
    expires_ns: int  # wall, for people; the boot clock decides
    actor: Actor
    reason_text: PersonalHash = b""
    actor_name: PersonalHash = b""


class AlarmEvent(Body, frozen=True, tag=int(Kind.ALARM)):
    """An alarm changed state (ISA-18.2)."""

    alarm: str
    state: str  # "unack", "normal", "stale"
    priority: str
    text: str
    evidence: bytes = b""


class RuleEvent(Body, frozen=True, tag=int(Kind.RULE)):
    """A rule changed state."""

    rule: str
    state: str  # "active", "inactive", "unknown"
    previous: str
    evidence: bytes = b""


class BlockSealed(Body, frozen=True, tag=int(Kind.BLOCK)):
    """A flight-recorder block was sealed: cycles [first, last], SHA-256 of its stored bytes.

    `state` is SHA-256 of a snapshot of the core before the first cycle, empty if none is kept beside the block.
    """

    digest: bytes
    first_cycle: int
    last_cycle: int
    samples: int
    size: int
    plans_digest: bytes = b""
    state: bytes = b""
    state_size: int = 0
    records: int = 0  # the first record that its cycles can have made; 0 = not known


class Gap(Body, frozen=True, tag=int(Kind.GAP)):
    """Something was lost, and how much."""

    stream: str
    first: int
    last: int
    count: int
    reason: str


class DeviceEvent(Body, frozen=True, tag=int(Kind.DEVICE)):
    """A device was lost or came back, or one of the units behind it."""

    device: str  # its name; `NAME/unit 7` for a unit
    state: str  # "connected", "lost", "demoted"
    status: int
    detail: str = ""


class ClockStep(Body, frozen=True, tag=int(Kind.CLOCK_STEP)):
    """Wall time jumped by more than a second."""

    old_ns: int
    new_ns: int
    source: str = ""


class ModeChanged(Body, frozen=True, tag=int(Kind.MODE)):
    """MONITOR or AUTO."""

    mode: str
    reason: str


class QualityEvent(Body, frozen=True, tag=int(Kind.QUALITY)):
    """A tag that a rule or point depends on lost or regained Good quality."""

    tag: str
    status: int
    previous: int


class TrustUsed(Body, frozen=True, tag=int(Kind.TRUST)):
    """A session opened under other trust than the one before: SHA-256 of certificates, and over the device's trust list."""

    device: str
    by: str  # "pinned", "trust list"
    server: bytes  # of the certificate the server proved
    identity: bytes  # of ours
    trusted: bytes = b""  # over the sorted fingerprints that count for this device; empty when pinned


class Redacted(Body, frozen=True, tag=int(Kind.REDACTED)):
    """Personal texts of some records between two were deleted; their hashes stand."""

    first_seq: int
    last_seq: int
    records: int
    texts: int
    actor: Actor
    reason_text: PersonalHash = b""
    actor_name: PersonalHash = b""


class KeyRotated(Body, frozen=True, tag=int(Kind.KEY_ROTATED)):
    """The log is handed over: a checkpoint of this record's place plus one, or of more, counts under `vkey` alone."""

    vkey: str  # verifier key of the new key
    previous: str  # and of the one before
    actor: Actor


class Pruned(Body, frozen=True, tag=int(Kind.PRUNED)):
    """Records `first` to `end` - 1 were removed here; a mirror has them. The tree above them stays."""

    first: int
    end: int  # a multiple of 256
    older_than_ns: int  # wall; each bundle that went ended before
    last_decision_id: int  # greatest one that is gone
    mirror: str  # its verifier key
    mirrored_size: int  # records under the checkpoint that it cosigned
    actor: Actor


class Retention(Body, frozen=True, tag=int(Kind.RETENTION)):
    """A person wants the recorded inputs of a decision's cycle kept, or lets them go."""

    decision_id: int
    cycle: int
    event: str  # "retained", "released"
    actor: Actor
    reason_text: PersonalHash = b""
    actor_name: PersonalHash = b""


def kind_of(body: Body) -> Kind:
    """Return the kind of a body, which is its tag."""
    return _KINDS[type(body)]


AnyBody = (
    Genesis
    | Start
    | Stopped
    | ConfigLoaded
    | Decision
    | Outcome
    | OverrideEvent
    | AlarmEvent
    | RuleEvent
    | BlockSealed
    | Gap
    | DeviceEvent
    | ClockStep
    | ModeChanged
    | QualityEvent
    | TrustUsed
    | Redacted
    | KeyRotated
    | Pruned
    | Retention
)


_KINDS: dict[type[Body], Kind] = {body: Kind(body.__struct_config__.tag) for body in get_args(AnyBody)}


class Leaf(Struct, frozen=True, array_like=True, gc=False):
    """What follows the schema and flag bytes."""

    seq: int
    wall_ns: int
    boot_ns: int
    boot_id: bytes  # 16 bytes
    clock_quality: ClockQuality
    body: AnyBody


class EvidenceTerm(Struct, frozen=True, array_like=True):
    """One term of an expression as the decision saw it, e.g. `rate(bearing_temp, 60s)` = 0.72. NaN = unknown."""

    text: str
    value: float


class DetectorEvidence(Struct, frozen=True, array_like=True):
    """A detector that found a sample unusual: `score` in its own measure, `words` for people."""

    name: str
    score: float
    words: str


class EvidenceRow(Struct, frozen=True, array_like=True, gc=False):
    """One sample as a decision saw it. For records and people; the hot path moves columns."""

    tag: str
    device: str
    value: float
    status: int
    source_time_ns: int
    ingest_time_ns: int
    processing_time_ns: int
    units: str = ""
    anomaly: int = -1  # -1 unknown, 0 none, else bit mask of detectors
    anomaly_score: float = 0.0
    unusual: tuple[DetectorEvidence, ...] = ()


class EvidenceSlice(Struct, frozen=True, array_like=True):
    """The rows a decision read, windows included; its msgpack bytes are cited by SHA-256."""

    cycle: int
    expression: str
    rows: tuple[EvidenceRow, ...]
    terms: tuple[EvidenceTerm, ...]
