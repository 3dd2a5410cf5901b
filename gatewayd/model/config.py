"""The site configuration as people write it: one frozen Struct per table of a TOML file.

Unknown keys are errors. Ranges stand beside the fields; `gatewayd.site` turns a violation into a message with file, key
path, found, allowed, nearest right name and remedy. Durations are seconds unless the name ends in `_ms`.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType, field

Name = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Duration = Annotated[float, Meta(gt=0, le=31_536_000)]
Port = Annotated[int, Meta(ge=1, le=65_535)]
Milliseconds = Annotated[int, Meta(ge=0, le=3_600_000)]
TagType = Literal[
    "bool",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float32",
    "float64",
]
RegisterValueType = Literal[
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    "bcd16",
    "bcd32",
    "bcd64",
    "string",
]
RegisterType = Literal["coil", "discrete", "input", "holding"]
ByteOrder = Literal["ABCD", "BADC", "CDAB", "DCBA"]
Access = Literal["r", "rw", "w"]
DetectorName = Literal["ewma", "cusum"]


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table."""


# --- gateway.toml -----------------------------------------------------------------------------------------------------


class Gateway(Config, frozen=True, kw_only=True):
    """Who this gateway is. `name` is the origin of its journal, e.g. `acme.example/gw/station-1`."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9./-]{0,126}[a-z0-9]$")]
    settle_s: Annotated[float, Meta(ge=0, le=3600)] = 5.0  # MONITOR for this long after a start


class Storage(Config, frozen=True, kw_only=True):
    """Where the store lives and how much it may take."""

    path: str = "/var/lib/gatewayd"
    quota_mb: Annotated[int, Meta(ge=16, le=1_000_000)] = 1024
    commit: Literal["auto", "inline", "thread"] = "auto"
    evidence_mb: Annotated[int, Meta(ge=4, le=1_000_000)] = 256
    evidence_block_s: Annotated[float, Meta(ge=1, le=3600)] = 60.0


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
    cloud: Cloud | None = None
    control: Control = Control()
    roles: Roles = Roles()


# --- devices/*.toml ---------------------------------------------------------------------------------------------------


class ScanClass(Config, frozen=True, kw_only=True):
    """How often a group of tags is read."""

    scan_rate_ms: Annotated[int, Meta(ge=10, le=3_600_000)] = 1000

    @property
    def period_ms(self) -> int:
        """Return how often the group is seen to."""
        return self.scan_rate_ms


KEEP_ALIVE_MS_MIN = 1000  # a keep-alive costs less than reading one tag, but not nothing
LOOK_AFTER_MS = 1000  # how often a subscription is looked after


def _one_scan_class() -> dict[str, ScanClass]:
    return {"default": ScanClass()}


class OpcuaScanClass(ScanClass, frozen=True, kw_only=True):
    """How a group of OPC UA tags is kept up to date: read every `scan_rate_ms`, or told by the server when they change."""

    mode: Literal["poll", "subscribe"] = "poll"
    publishing_interval_ms: Annotated[int, Meta(ge=10, le=60_000)] | None = None  # default: scan_rate_ms

    @property
    def period_ms(self) -> int:
        """Return how often the group is read, or its subscription looked after."""
        return self.scan_rate_ms if self.mode == "poll" else LOOK_AFTER_MS

    @property
    def publishing_ms(self) -> int:
        """Return how often the server may tell what changed."""
        return self.publishing_interval_ms or min(self.scan_rate_ms, 60_000)

    @property
    def keep_alive_ms(self) -> int:
        """Return how often the server shall say that nothing changed; this is what staleness is counted in."""
        return max(self.publishing_ms, KEEP_ALIVE_MS_MIN)


def _one_opcua_scan_class() -> dict[str, OpcuaScanClass]:
    return {"default": OpcuaScanClass()}


class ModbusDevice(Config, frozen=True, kw_only=True):
    """What every Modbus device has, whatever its protocol: a unit, or many units behind one connection.

    A row of the tag list may name another unit in its column `unit_id`.
    """

    name: Name
    unit_id: Annotated[int, Meta(ge=0, le=255)] = 1
    address_base: Literal[0, 1] = 0
    timeout_ms: Annotated[int, Meta(ge=10, le=60_000)] = 1000
    max_registers: Annotated[int, Meta(ge=1, le=125)] = 125
    max_gap: Annotated[int, Meta(ge=0, le=120)] = 8
    inter_request_delay_ms: Milliseconds = 0
    demote_after: Annotated[int, Meta(ge=1, le=1000)] = 3
    demote_for_s: Duration = 10.0
    one_request_per_tag: bool = False  # for devices that answer only what begins where one of their values begins
    write_multiple: bool = True  # FC 16/15; False = FC 6/5 for single registers and coils
    bit_write: Literal["mask", "read-modify-write"] = "mask"  # of a bit or byte of a register: FC 22, or as said
    scan_classes: dict[Name, ScanClass] = field(default_factory=_one_scan_class)
    tags: str | None = None  # CSV beside the file; default: same stem + .tags.csv


class ModbusTcpDevice(ModbusDevice, frozen=True, kw_only=True, tag_field="protocol", tag="modbus-tcp"):
    """A Modbus TCP server, or a gateway with units behind it."""

    host: str
    port: Port = 502
    max_outstanding: Annotated[int, Meta(ge=1, le=16)] = 1


class ModbusTlsDevice(ModbusDevice, frozen=True, kw_only=True, tag_field="protocol", tag="modbus-tls"):
    """Modbus/TCP Security: TLS in which both sides show a certificate. One of `server_certificate` and `ca_file`."""

    host: str
    port: Port = 802
    max_outstanding: Annotated[int, Meta(ge=1, le=16)] = 1
    server_certificate: str | None = None  # pinned: this certificate and no other; PEM file
    ca_file: str | None = None  # or: any certificate of these issuers that names the server; PEM file
    server_name: str | None = None  # the name in the server's certificate; default: host
    certificate: str | None = None  # ours, PEM file, its issuers below it
    private_key: str | None = None


class ModbusUdpDevice(ModbusDevice, frozen=True, kw_only=True, tag_field="protocol", tag="modbus-udp"):
    """Modbus TCP frames in UDP datagrams, one request at a time."""

    host: str
    port: Port = 502
    retries: Annotated[int, Meta(ge=0, le=5)] = 1  # of a read, by a unit that answered its last request


class ModbusBusDevice(ModbusDevice, frozen=True, kw_only=True):
    """What a serial bus has, whether its port is ours or a converter's. Unit 0 is broadcast: nobody answers."""

    unit_id: Annotated[int, Meta(ge=1, le=255)] = 1
    timeout_ms: Annotated[int, Meta(ge=10, le=60_000)] = 500  # from the last byte of the request on
    framing: Literal["rtu", "ascii"] = "rtu"
    local_echo: bool = False  # the adapter repeats what we send
    retries: Annotated[int, Meta(ge=0, le=5)] = 1  # of a read, by a unit that answered its last request


class ModbusSerialDevice(ModbusBusDevice, frozen=True, kw_only=True, tag_field="protocol", tag="modbus-rtu"):
    """A serial bus at a port of this machine, and the units on it."""

    serial_port: Annotated[str, Meta(pattern=r"^/.")]
    baud_rate: Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600] = 19200
    parity: Literal["none", "even", "odd"] = "even"
    stop_bits: Literal[1, 2] = 1
    data_bits: Literal[7, 8] = 8


class ModbusRtuOverTcpDevice(
    ModbusBusDevice, frozen=True, kw_only=True, tag_field="protocol", tag="modbus-rtu-over-tcp"
):
    """A serial bus behind a converter that passes bytes through, and the units on it."""

    host: str
    port: Port


class OpcuaDevice(Config, frozen=True, kw_only=True, tag_field="protocol", tag="opcua"):
    """An OPC UA server. `security = "None"` needs `insecure = "accepted-by=NAME"`."""

    name: Name
    endpoint: Annotated[str, Meta(pattern=r"^opc\.tcp://")]
    security: Literal["None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"] = (
        "Aes256_Sha256_RsaPss"
    )
    mode: Literal["None", "Sign", "SignAndEncrypt"] = "SignAndEncrypt"
    server_certificate: str | None = None  # pinned, PEM or DER file; without it the gateway's trust list decides
    certificate: str | None = None
    private_key: str | None = None
    application_uri: str = "urn:gatewayd"
    user: str | None = None
    password_file: str | None = None
    user_certificate: str | None = None  # a user of the server proved by certificate and key instead of a password
    user_private_key: str | None = None
    insecure: str | None = None
    timeout_ms: Annotated[int, Meta(ge=10, le=60_000)] = 4000
    max_nodes_per_read: Annotated[int, Meta(ge=0, le=100_000)] = 0  # 0 = the server's own limit
    demote_after: Annotated[int, Meta(ge=1, le=1000)] = 3
    demote_for_s: Duration = 10.0
    scan_classes: dict[Name, OpcuaScanClass] = field(default_factory=_one_opcua_scan_class)
    tags: str | None = None


Device = ModbusTcpDevice | ModbusTlsDevice | ModbusUdpDevice | ModbusSerialDevice | ModbusRtuOverTcpDevice | OpcuaDevice


class DeviceFile(Config, frozen=True, kw_only=True):
    """devices/*.toml"""

    device: Device


class ModbusTag(Config, frozen=True, kw_only=True, tag_field="kind", tag="modbus"):
    """One row of a Modbus tag list. `address` is as written; `gatewayd.site` applies `address_base` and 4xxxx."""

    name: Name
    register_type: RegisterType
    address: Annotated[int, Meta(ge=0, le=65_535)]  # 0-based, after address_base
    type: RegisterValueType = "uint16"
    unit_id: Annotated[int, Meta(ge=0, le=255)] | None = None  # default: the device's
    bit: Annotated[int, Meta(ge=0, le=15)] | None = None
    byte: Literal["low", "high"] = "low"  # which half of the register an int8 or uint8 is
    length: Annotated[int, Meta(ge=1, le=125)] | None = None  # registers of a string
    byte_order: ByteOrder = "ABCD"
    scale: float = 1.0
    offset: float = 0.0
    scale_register: Annotated[int, Meta(ge=0, le=65_535)] | None = None  # int16 there = power of ten; read along
    not_a_value: int | None = None  # raw bits, as a signed number, by which the device says "no value"
    own_request: bool = False  # never read together with others
    units: str = ""
    scan_class: Name = "default"
    access: Access = "r"
    description: str = ""


QUEUE_SIZE_MAX = 100


class OpcuaTag(Config, frozen=True, kw_only=True, tag_field="kind", tag="opcua"):
    """One row of an OPC UA tag list. `node_id` is `nsu=URI;s=NAME` (preferred) or `ns=2;s=NAME`.

    The columns from `sampling_interval_ms` on are for tags of a scan class with mode = "subscribe".
    """

    name: Name
    node_id: str
    element: str = ""  # part of the node's value: `3`, `2,1`, `.Speed`, `Motor[2].Speed`; empty = all of it
    type: TagType = "float64"
    scale: float = 1.0
    offset: float = 0.0
    units: str = ""
    scan_class: Name = "default"
    access: Access = "r"
    description: str = ""
    sampling_interval_ms: Annotated[int, Meta(ge=0, le=3_600_000)] | None = None  # default: the publishing interval
    queue_size: Annotated[int, Meta(ge=1, le=QUEUE_SIZE_MAX)] = 1  # changes the server keeps between two publishings
    discard_oldest: bool = True
    deadband: Annotated[float, Meta(ge=0)] = 0.0  # in the tag's units, or percent of the node's EURange
    deadband_type: Literal["absolute", "percent"] = "absolute"
    max_report_interval_s: Duration = 60.0  # read at least so often, changed or not


SUBSCRIBED_ONLY = (
    "sampling_interval_ms",
    "queue_size",
    "discard_oldest",
    "deadband",
    "deadband_type",
    "max_report_interval_s",
)


Tag = ModbusTag | OpcuaTag


def unit_of(device: ModbusDevice, tag: ModbusTag) -> int:
    """Return the unit id that holds a tag."""
    return device.unit_id if tag.unit_id is None else tag.unit_id


class Periods(NamedTuple):
    """How often something is heard of a tag."""

    shortest_ms: int  # between two samples
    longest_ms: int  # between two samples
    heard_ms: int  # between two signs of life: a sample, or a keep-alive of its subscription


def periods_of(device: Device, tag: Tag) -> Periods:
    """Return how often a tag of a device is sampled and heard of."""
    scan = device.scan_classes[tag.scan_class]
    if not isinstance(scan, OpcuaScanClass) or not isinstance(tag, OpcuaTag) or scan.mode == "poll":
        return Periods(scan.scan_rate_ms, scan.scan_rate_ms, scan.scan_rate_ms)
    longest_ms = max(round(tag.max_report_interval_s * 1000), scan.publishing_ms)
    return Periods(scan.publishing_ms, longest_ms, scan.keep_alive_ms)


# --- twins/*.toml -----------------------------------------------------------------------------------------------------


class Ewma(Config, frozen=True, kw_only=True):
    """Exponentially weighted mean and variance; alarms when |z| exceeds `z_max`."""

    alpha: Annotated[float, Meta(gt=0, le=1)] = 0.05
    z_max: Annotated[float, Meta(gt=0)] = 6.0
    warmup: Annotated[int, Meta(ge=2, le=1_000_000)] = 60


class Cusum(Config, frozen=True, kw_only=True):
    """Two-sided cumulative sum of z; `k` and `h` in standard deviations."""

    k: Annotated[float, Meta(ge=0)] = 0.5
    h: Annotated[float, Meta(gt=0)] = 8.0
    alpha: Annotated[float, Meta(gt=0, le=1)] = 0.02
    warmup: Annotated[int, Meta(ge=2, le=1_000_000)] = 60


class Contract(Config, frozen=True, kw_only=True):
    """What a tag of an asset promises; a sample that breaks it loses its Good quality."""

    units: str = ""
    low: float | UnsetType = UNSET  # physically possible range; outside = Bad_OutOfRange
    high: float | UnsetType = UNSET
    max_rate: Annotated[float, Meta(gt=0)] | UnsetType = UNSET  # per second; faster = Uncertain_SensorNotAccurate
    stuck_after_s: Duration | UnsetType = UNSET  # no change beyond stuck_deadband = Bad_SensorFailure
    stuck_deadband: Annotated[float, Meta(ge=0)] = 0.0
    stale_after_s: Duration | UnsetType = UNSET  # no sample for so long; default 3 scans, at least 1 s
    source_age_max_s: Duration | UnsetType = UNSET  # older by its own source time = Uncertain_LastUsableValue
    ewma: Ewma | None = None
    cusum: Cusum | None = None
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
