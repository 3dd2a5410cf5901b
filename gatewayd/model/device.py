"""devices/*.toml and their tag lists, as people write them; see `gatewayd.model.config` for the rest of a site."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, field

from gatewayd.model.table import Config, Duration, Milliseconds, Name, Port

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
    max_nodes_per_read: Annotated[int, Meta(ge=0, le=100_000)] = 0  # 0 = 2,000, or what the server takes
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
