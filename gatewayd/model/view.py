"""What the local API answers with, as JSON objects for people and programs. NaN never goes to JSON: null and a quality.

Times ending in `_ns` are UTC nanoseconds since 1970; 0 means "never". Decoding ignores unknown fields, so that an older
command line can read a newer daemon; requests are the other way round and refuse what they do not know.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from msgspec import Meta, Struct

from gatewayd.model.account import Account

OVERRIDE_S_MAX = 259_200  # 72 h, the longest a person may ask for; a point's own limit is usually lower
NAME_CHARS_MAX = 256
REASON_CHARS_MAX = 500


class View(Struct, frozen=True, kw_only=True):
    """Base of every answer."""


# --- status -----------------------------------------------------------------------------------------------------------


class JournalView(View, frozen=True, kw_only=True):
    """State of the journal; `size` and `unsent` count leaves."""

    size: int
    healthy: bool
    unsent: int  # leaves that nobody outside this machine has acknowledged yet
    checkpoint_time_ns: int
    problem: str = ""  # why it is not healthy
    unwitnessed_entries: int = (
        0  # newest leaves that no witness has cosigned: whoever is root could cut them off unseen
    )
    unwitnessed_age_s: float = 0.0  # age of the oldest of them
    witnessed_size: int = 0  # leaves under the newest cosigned checkpoint, 0 = there is none
    pruned: str = ""  # how far the log was pruned here, when, and who has it


class DeviceView(View, frozen=True, kw_only=True):
    """One device and its link."""

    name: str
    protocol: str
    state: str  # "connected", "connecting", "lost", "demoted"
    last_error: str
    tags: int
    good: int
    scans: int
    overruns: int  # scans that started late because the one before had not ended
    latency_ms: float | None  # of the last scan, request sent to last byte
    units_demoted: tuple[int, ...] = ()  # unit ids behind it that are left alone for a while


class TagCounts(View, frozen=True, kw_only=True):
    """How many tags have which quality."""

    total: int
    good: int
    uncertain: int
    bad: int


class OverrideSummary(View, frozen=True, kw_only=True):
    """How many overrides hold, and the oldest of them."""

    count: int
    oldest_point: str = ""
    oldest_by: str = ""
    oldest_since_ns: int = 0
    oldest_expires_ns: int = 0


class StreamView(View, frozen=True, kw_only=True):
    """One stream of the outbox; sequence numbers count leaves."""

    name: str
    epoch: int
    head: int  # next sequence number to be written here
    acked: int  # everything below this is in the cloud's store
    oldest_unacked_ns: int = 0


class SyncView(View, frozen=True, kw_only=True):
    """The link to the cloud and what waits for it."""

    state: str  # "connected", "connecting", "offline"
    broker: str
    streams: tuple[StreamView, ...]
    last_ack_ns: int = 0
    last_error: str = ""
    reconnects: int = 0

    @property
    def waiting(self) -> int:
        """Return how many leaves the cloud does not have yet."""
        return sum(stream.head - stream.acked for stream in self.streams)


class KernelsView(View, frozen=True, kw_only=True):
    """Which compiled code runs."""

    form: str  # "aot", "jit", "python"
    digest: str  # SHA-256, hexadecimal


class MemoryView(View, frozen=True, kw_only=True):
    """Whether memory of the daemon can be written and then executed, and what keeps it from that."""

    guard: str  # "prctl" (PR_SET_MDWE), "filter" (systemd's), "system" (another), "" = nothing does
    reason: str = ""  # why it is not "prctl"


class LoopView(View, frozen=True, kw_only=True):
    """How fast the control loop runs; quantiles over its newest thousand turns, null before the first."""

    cycles: int
    busy_p50_ms: float | None  # a cycle without its commit
    busy_p99_ms: float | None
    commit_p50_ms: float | None  # making a cycle's records durable
    commit_p99_ms: float | None
    decision_p50_ms: float | None  # last response byte to write sent
    decision_p99_ms: float | None
    decisions: int
    blocks_dropped: int


class StorageStream(View, frozen=True, kw_only=True):
    """One of the streams that share the store."""

    name: str  # "journal", "blocks", "state"
    used_bytes: int
    limit_bytes: int
    when_full: str  # what happens then, in words

    @property
    def fill(self) -> float:
        """Return the share of its limit, 0 to 1 and a little more."""
        return self.used_bytes / max(1, self.limit_bytes)


class StorageView(View, frozen=True, kw_only=True):
    """How much room the store has."""

    level: str  # "ample", "warning", "monitor"
    fill: float  # share of the limit, 0 to 1
    used_bytes: int
    limit_bytes: int  # the quota, or what the disk has for the store
    disk_free_bytes: int
    is_disk_nearer: bool  # the disk ends before the quota does
    remedy: str = ""  # what to do; empty = nothing
    streams: tuple[StorageStream, ...] = ()


class StatusView(View, frozen=True, kw_only=True):
    """The gateway at a glance."""

    now_ns: int
    gateway: str
    version: str
    mode: str  # "monitor", "auto"
    mode_reason: str = ""
    uptime_s: float
    pid: int
    journal: JournalView
    devices: tuple[DeviceView, ...]
    tags: TagCounts
    overrides: OverrideSummary
    sync: SyncView | None
    kernels: KernelsView
    memory: MemoryView | None = None
    loop: LoopView | None = None
    warnings: tuple[str, ...] = ()  # read-only points, accepted relaxations, anything a technician should know
    storage: StorageView | None = None


# --- tags -------------------------------------------------------------------------------------------------------------


class TagView(View, frozen=True, kw_only=True):
    """One tag as the twin holds it."""

    name: str  # device/tag
    alias: str  # asset.member, or empty
    value: float | None  # in `units`; null when there is no number to show
    text: str | None = None  # of a tag that holds a text; its value is null
    quality: str  # the standard's name of `status`
    status: int  # OPC UA status code, all 32 bits
    units: str
    source_time_ns: int
    ingest_time_ns: int
    processing_time_ns: int
    anomaly: int | None = None  # null unknown, 0 none, else the bit mask of the detectors that fired
    score: float | None = None
    detectors: tuple[str, ...] = ()  # those that watch it, as configured or as `detect = "auto"` chose


class TagList(View, frozen=True, kw_only=True):
    """Answer to /v1/tags; `truncated` says that more tags match than `limit` let through."""

    now_ns: int
    tags: tuple[TagView, ...]
    truncated: bool = False


# --- decisions --------------------------------------------------------------------------------------------------------


class ActorView(View, frozen=True, kw_only=True):
    """Who asked or approved. `name` is empty once it has been redacted."""

    uid: int
    role: str
    method: str
    name: str = ""


class DecisionView(View, frozen=True, kw_only=True):
    """One decision in one line."""

    id: int
    time_ns: int
    point: str
    value: float | None
    previous: float | None
    write: bool
    reasons: tuple[str, ...]
    slot: int  # of the priority array; 0 = relinquish default
    rule: str = ""
    actor: ActorView | None = None
    outcome: str = ""  # "verified", "mismatch", "unknown", "refused"; empty = no outcome on record
    read_back: float | None = None
    units: str = ""


class DecisionList(View, frozen=True, kw_only=True):
    """Answer to /v1/decisions, newest first."""

    now_ns: int
    decisions: tuple[DecisionView, ...]


class GuardView(View, frozen=True, kw_only=True):
    """What one guard said of the proposed value."""

    guard: str
    verdict: str  # "pass", "clamp", "hold", "block"
    before: float | None
    after: float | None
    limit: float | None = None
    detail: str = ""


class WriteView(View, frozen=True, kw_only=True):
    """What became of the write."""

    result: str
    value: float | None
    read_back: float | None
    sent_ns: int  # 0 = never sent
    answered_ns: int
    detail: str = ""
    recovered: bool = False  # found in doubt after a restart and settled by reading back


class VersionsView(View, frozen=True, kw_only=True):
    """What the decision was made under; SHA-256 digests, hexadecimal."""

    site: str
    policy: str
    model: str
    kernel: str


class ProofView(View, frozen=True, kw_only=True):
    """Where the decision stands in the journal."""

    seq: int
    leaf_hash: str  # RFC 6962 leaf hash, hexadecimal
    evidence: str  # SHA-256 of the evidence slice, hexadecimal; empty = no evidence was cited
    checkpoint: str = ""  # "ORIGIN SIZE ROOT" of the newest signed checkpoint that covers the leaf


class DecisionDetail(View, frozen=True, kw_only=True):
    """Everything the decision's record and its outcome say."""

    decision: DecisionView
    cycle: int
    proposed: float | None
    guards: tuple[GuardView, ...]
    slots_before: tuple[float | None, ...]  # 16 slots, first is slot 1; null = relinquished
    slots_after: tuple[float | None, ...]
    override_id: int
    parent: int  # decision this one continues, 0 = none
    approvals: tuple[ActorView, ...]
    reason_text: str  # what the person wrote; empty when redacted or when no person asked
    versions: VersionsView
    write: WriteView | None
    proof: ProofView


class SampleView(View, frozen=True, kw_only=True):
    """One sample as the decision saw it."""

    tag: str
    device: str
    value: float | None
    quality: str
    status: int
    units: str
    source_time_ns: int
    ingest_time_ns: int
    processing_time_ns: int
    anomaly: int | None = None
    score: float | None = None
    unusual: tuple[str, ...] = ()  # which detectors alarm and why, e.g. "ewma: 5.2 sigma above its mean of 61.3"


class TermView(View, frozen=True, kw_only=True):
    """One term of the expression and its value; null = unknown."""

    text: str
    value: float | None


class Explanation(View, frozen=True, kw_only=True):
    """Why: the decision, the samples it read and the words it was made from."""

    detail: DecisionDetail
    why: str  # the rule author's own reason
    expression: str  # as written, one program per line: condition, then value
    filled_in: str  # the same with the value behind each term
    terms: tuple[TermView, ...]
    samples: tuple[SampleView, ...]
    evidence_intact: bool | None  # the stored slice hashes to the cited digest; null = none was cited
    account: Account | None = None  # null from a daemon of before


# --- overrides and probes ---------------------------------------------------------------------------------------------


class OverrideView(View, frozen=True, kw_only=True):
    """A person holds a point."""

    id: int
    point: str
    value: float | None
    units: str
    since_ns: int
    expires_ns: int  # wall time, for people; `remaining_s` comes from the boot clock and decides
    remaining_s: float
    by: ActorView
    reason: str


class OverrideList(View, frozen=True, kw_only=True):
    """Answer to GET /v1/overrides, oldest first."""

    now_ns: int
    overrides: tuple[OverrideView, ...]


class OverrideAnswer(View, frozen=True, kw_only=True):
    """Answer to a request that was carried out."""

    message: str
    decision_id: int = 0
    override: OverrideView | None = None


class RulesAnswer(View, frozen=True, kw_only=True):
    """Answer to POST /v1/rules: another rule set is in force."""

    site: str  # hex SHA-256
    rules: int
    kept: int  # rules that did not change and go on where they stood
    ended: int  # rules of before that changed or are gone
    waited_ms: float  # how long cycles waited for the change


class JournalRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /v1/journal: care for the journal."""

    do: Literal["cosign", "rotate_key", "prune"]
    note: Annotated[str, Meta(max_length=65_536)] = ""  # to cosign: the cosigned checkpoint
    older_than_s: Annotated[float, Meta(ge=86_400)] = 86_400.0  # to prune: only what is older
    dry_run: bool = False  # to prune: only say what would go


class JournalAnswer(View, frozen=True, kw_only=True):
    """Answer to POST /v1/journal: what was done."""

    message: str
    size: int = 0  # records under the checkpoint that this is about
    vkey: str = ""  # the new verifier key, after a rotation
    first: int = 0  # records from here
    end: int = 0  # to before here were pruned, or would be


class OverrideRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /v1/overrides. Reason and duration have no default: no override without them."""

    point: Annotated[str, Meta(min_length=3, max_length=130)]
    value: float
    duration_s: Annotated[float, Meta(ge=1, le=OVERRIDE_S_MAX)]
    reason: Annotated[str, Meta(min_length=3, max_length=REASON_CHARS_MAX)]


class ClearRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of DELETE /v1/overrides/POINT."""

    reason: Annotated[str, Meta(min_length=3, max_length=REASON_CHARS_MAX)]


class RedactRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /v1/journal/redactions."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]  # exactly as journalled
    reason: Annotated[str, Meta(min_length=3, max_length=REASON_CHARS_MAX)]


class RedactAnswer(View, frozen=True, kw_only=True):
    """Answer to it: what was deleted. The hashes in the records stay."""

    records: int
    texts: int


class ResumeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /v1/resume."""

    reason: Annotated[str, Meta(min_length=3, max_length=REASON_CHARS_MAX)]


class ResumeAnswer(View, frozen=True, kw_only=True):
    """Answer to POST /v1/resume."""

    message: str


class ErrorView(View, frozen=True, kw_only=True):
    """Every refusal: what happened, what to do, and the exit code a command ends with."""

    error: str
    remedy: str
    code: int


def number(value: float) -> float | None:
    """Return a value that JSON can carry: null for NaN and infinities."""
    return value if math.isfinite(value) else None
