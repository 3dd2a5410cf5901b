"""The site configuration as people write it: one frozen Struct per table of a TOML file.

Unknown keys are errors. Ranges stand beside the fields; `gatewayd.site` turns a violation into a message with file, key
path, found, allowed, nearest right name and remedy. Durations are seconds unless the name ends in `_ms`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from gatewayd.model.detectors import AssetDetect, Committee, Cusum, Ewma, PageHinkley, RangeRecord, RobustZ, Seasonal
from gatewayd.model.device import Device, Tag
from gatewayd.model.table import Config, Duration, Name, Port

Detect = Literal["auto", "off"]


# --- gateway.toml -----------------------------------------------------------------------------------------------------


class Gateway(Config, frozen=True, kw_only=True):
    """Who this gateway is. `name` is the origin of its journal, e.g. `acme.example/gw/station-1`."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9./-]{0,126}[a-z0-9]$")]
    settle_s: Annotated[float, Meta(ge=0, le=3600)] = 5.0  # MONITOR for this long after a start
    utc_offset_min: Annotated[int, Meta(ge=-720, le=840)] = 0  # of the clock that rules mean by a time of the day


class Storage(Config, frozen=True, kw_only=True):
    """Where the store lives and how much it may take."""

    path: str = "/var/lib/gatewayd"
    quota_mb: Annotated[int, Meta(ge=16, le=1_000_000)] = 1024
    commit: Literal["auto", "inline", "thread"] = "auto"
    evidence_mb: Annotated[int, Meta(ge=4, le=1_000_000)] = 256
    evidence_block_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    evidence_days: Annotated[float, Meta(ge=0, le=36_500)] = 0.0  # recorded cycles older than this go; 0 = no limit
    # Of quota_mb, or of what the disk has for the store, whichever is nearer; each limit with its way back.
    warn_percent: Annotated[int, Meta(ge=10, le=94)] = 70
    warn_clear_percent: Annotated[int, Meta(ge=5, le=93)] = 65
    monitor_percent: Annotated[int, Meta(ge=20, le=95)] = 95  # automatic writes stop; the reserve begins at 95
    resume_percent: Annotated[int, Meta(ge=15, le=94)] = 90


class Journal(Config, frozen=True, kw_only=True):
    """Who watches over the journal from outside, as verifier keys `name+hash+key` of type 0x04 (C2SP tlog-cosignature)."""

    witnesses: tuple[str, ...] = ()  # vouch for the size and root of the log that they saw
    mirrors: tuple[str, ...] = ()  # hold the records besides
    retention_d: Annotated[float, Meta(ge=1, le=36_500)] | UnsetType = UNSET  # older records go once a mirror has them


class Cloud(Config, frozen=True, kw_only=True):
    """The MQTT 5 broker towards the cloud; without this table the gateway keeps everything to itself."""

    host: str
    port: Port = 8883
    tls: bool = True
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 120
    insecure: str | None = None  # "accepted-by=NAME": plain MQTT, named and journalled
    batch_records: Annotated[int, Meta(ge=1, le=4096)] = 256
    window: Annotated[int, Meta(ge=1, le=64)] = 8
    reconnect_max_s: Annotated[float, Meta(ge=1, le=3600)] = (
        300.0  # longest wait between attempts, drawn at random below
    )


class Control(Config, frozen=True, kw_only=True):
    """The local API."""

    socket: str = "/run/gatewayd/control.sock"


class Roles(Config, frozen=True, kw_only=True):
    """Role -> groups of the system's user database. Root and the daemon's own uid are always operator."""

    viewer: tuple[str, ...] = ()
    operator: tuple[str, ...] = ()
    engineer: tuple[str, ...] = ()


class GatewayFile(Config, frozen=True, kw_only=True):
    """gateway.toml"""

    gateway: Gateway
    storage: Storage = Storage()
    journal: Journal = Journal()
    cloud: Cloud | None = None
    control: Control = Control()
    roles: Roles = Roles()


# --- twins/*.toml -----------------------------------------------------------------------------------------------------


# Its hash is kept: what follows from a contract is looked up by it, several times for each tag of a start.
class Contract(Config, frozen=True, kw_only=True, cache_hash=True):
    """What a tag of an asset promises; a sample that breaks it loses its Good quality."""

    units: str = ""
    low: float | UnsetType = UNSET  # physically possible range; outside = Bad_OutOfRange
    high: float | UnsetType = UNSET
    max_rate: Annotated[float, Meta(gt=0)] | UnsetType = UNSET  # per second; faster = Uncertain_SensorNotAccurate
    stuck_after_s: Duration | UnsetType = UNSET  # no change beyond stuck_deadband = Bad_SensorFailure
    stuck_deadband: Annotated[float, Meta(ge=0)] = 0.0
    stale_after_s: Duration | UnsetType = UNSET  # no sample for so long; default 3 scans, at least 1 s
    source_age_max_s: Duration | UnsetType = UNSET  # older by its own source time = Uncertain_LastUsableValue
    detect: Detect | UnsetType = UNSET  # "auto" chooses detectors by the contract; one named here by its key wins
    ewma: Ewma | None = None
    cusum: Cusum | None = None
    page_hinkley: PageHinkley | None = None
    robust_z: RobustZ | None = None
    range_record: RangeRecord | None = None
    seasonal: Seasonal | None = None
    committee: Committee | None = None
    description: str = ""


class Then(Config, frozen=True, kw_only=True):
    """What a rule proposes. `to` is an expression; `slot` a BACnet priority (12 policy, 15 schedule, 16 default)."""

    set: str
    to: str
    slot: Literal[11, 12, 13, 14, 15, 16] = 12
    approval: Literal["auto"] = "auto"
    ttl: Annotated[str, Meta(pattern=r"^\d+(\.\d+)?(ms|s|m|h)$")] = "10m"


class Alarm(Config, frozen=True, kw_only=True):
    """What people see when the rule is active."""

    priority: Literal["low", "medium", "high", "critical"] = "medium"
    text: str


class Rule(Config, frozen=True, kw_only=True):
    """A rule of an asset type (member names) or of the site (`asset.member` names)."""

    id: Name
    when: str
    clear: str | None = None
    then: Then | None = None
    alarm: Alarm | None = None
    on_unknown: Literal["hold", "release", "fail_safe"] = "hold"  # effect on a rule that is already active
    why: str = ""


class AssetType(Config, frozen=True, kw_only=True):
    """A kind of asset: its tags with their contracts, and the rules every instance gets."""

    tags: dict[Name, Contract]
    detect: Detect = "off"  # of every tag that does not say
    together: AssetDetect | None = (
        None  # the asset watched as a whole; `anomaly(asset)` in rules, `anomaly(self)` in its own
    )
    rule: tuple[Rule, ...] = ()
    description: str = ""


class Asset(Config, frozen=True, kw_only=True):
    """One asset of the plant: member -> `device/tag`."""

    type: Name
    tags: dict[Name, Annotated[str, Meta(pattern=r"^[^/]+/[^/]+$")]]
    description: str = ""


class TwinFile(Config, frozen=True, kw_only=True):
    """twins/*.toml"""

    asset_type: dict[Name, AssetType] = {}
    asset: dict[Name, Asset] = {}


# --- policies/*.toml --------------------------------------------------------------------------------------------------


class Point(Config, frozen=True, kw_only=True):
    """A writable tag and its guard list. Without every key that has no default the point stays read-only."""

    tag: str  # asset.member
    write_min: float | UnsetType = UNSET
    write_max: float | UnsetType = UNSET
    write_step: Annotated[float, Meta(gt=0)] | UnsetType = UNSET  # largest change in one write
    max_rate: Annotated[float, Meta(gt=0)] | UnsetType = UNSET  # per second
    min_on_s: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    min_off_s: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    fail_safe_value: float | UnsetType = UNSET
    relinquish_default: float | UnsetType = UNSET  # default: fail_safe_value
    readback: str | UnsetType = UNSET  # asset.member that shows the effect; "self" = the tag itself
    readback_tolerance: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    readback_within_s: Duration = 5.0
    input_age_max_s: Duration | UnsetType = UNSET  # rule inputs older than this may not write
    interlocks: dict[Name, str] = {}  # must not be true (unknown blocks)
    permissives: dict[Name, str] = {}  # must be true (unknown blocks)
    deadband: Annotated[float, Meta(ge=0)] = 0.0
    fail_safe_after_s: Duration = 60.0  # inputs of the winning rule unknown for so long -> fail-safe value
    override_max_s: Duration = 28_800.0
    owner: str = ""


class PolicyFile(Config, frozen=True, kw_only=True):
    """policies/*.toml"""

    point: tuple[Point, ...] = ()
    rule: tuple[Rule, ...] = ()


class SiteConfig(Config, frozen=True, kw_only=True):
    """A whole site, loaded and decoded; cross-references are checked by `gatewayd.core.site.compile_site`.

    `source` maps a dotted path into this value to the file it came from, for messages.
    """

    gateway: GatewayFile
    devices: dict[Name, Device]
    tags: dict[Name, tuple[Tag, ...]]  # device -> its tag list, in file order
    asset_types: dict[Name, AssetType]
    assets: dict[Name, Asset]
    points: tuple[Point, ...]
    rules: tuple[Rule, ...]
    folder: str = ""


POINT_GUARDS_REQUIRED = (
    "write_min",
    "write_max",
    "write_step",
    "max_rate",
    "min_on_s",
    "min_off_s",
    "fail_safe_value",
    "readback",
    "readback_tolerance",
    "input_age_max_s",
)


def missing_guards(point: Point) -> tuple[str, ...]:
    """Return the guards a point lacks; a point that lacks any is read-only."""
    return tuple(key for key in POINT_GUARDS_REQUIRED if getattr(point, key) is UNSET)
