"""The services of subscriptions in OPC UA Binary (Part 4, 5.12 and 5.13): what is asked, and what was answered. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from msgspec import Struct

from gatewayd.device.opcua.fast_read import ATTRIBUTE_VALUE, TIMESTAMPS_SOURCE
from gatewayd.device.opcua.service import Reader, broken
from gatewayd.model.device import OpcuaScanClass, OpcuaTag

CREATE_SUBSCRIPTION, SUBSCRIPTION_CREATED = 787, 790
CREATE_ITEMS, ITEMS_CREATED = 751, 754
DELETE_ITEMS, ITEMS_DELETED = 781, 784
PUBLISH, PUBLISHED = 826, 829
REPUBLISH, REPUBLISHED = 832, 835

NOTIFICATIONS_PER_PUBLISH = 5000  # a message of some 200 kB; the rest follows in the next
LIFETIME_MS = 60_000  # a server may forget a subscription whose client is gone for so long
ACKNOWLEDGED_MAX = 100  # per request
AVAILABLE_MAX = 10_000

_DATA_CHANGE, _STATUS_CHANGE = 811, 820
_DATA_CHANGE_FILTER = 724
_STATUS_VALUE = 1  # the trigger: value or status, not the source time alone
_DEADBANDS = {"absolute": 1, "percent": 2}
_REPORTING = 2

_SUBSCRIPTION = struct.Struct("<dIIIBB")
_CREATED = struct.Struct("<IdII")
_ITEMS = struct.Struct("<Iii")
_READ_VALUE = struct.pack("<IiHi", ATTRIBUTE_VALUE, -1, 0, -1) + struct.pack("<i", _REPORTING)
_PARAMETERS = struct.Struct("<Id")
_FILTER = struct.Struct("<BBHBiiId")
_NO_FILTER = b"\x00\x00\x00"
_QUEUE = struct.Struct("<IB")
_ITEM_RESULT = struct.Struct("<IIdI")
_PAIR = struct.Struct("<II")
_COUNT = struct.Struct("<i")
_UINT = struct.Struct("<I")
_BOOL = struct.Struct("<B")
_MESSAGE = struct.Struct("<Iq")


class Granted(Struct, frozen=True):
    """What the server made of a subscription. Times in ms."""

    id: int
    publishing_ms: float
    lifetime_count: int
    keep_alive_count: int


class ItemResult(Struct, frozen=True):
    """What the server made of a monitored item; `id` means nothing when `status` is bad."""

    status: int
    id: int
    sampling_ms: float
    queue_size: int


class Notification(Struct, frozen=True):
    """One notification message.

    `changes` are its data changes: how many monitored-item notifications, and their bytes. Without any the message is a
    keep-alive, whose number is that of the next message. `ended` is why the server ended the subscription, 0 if not.
    """

    sequence: int
    is_keep_alive: bool
    changes: tuple[tuple[int, bytes], ...]
    ended: int = 0


class Published(Struct, frozen=True):
    """A PublishResponse."""

    subscription: int
    notification: Notification


def subscription_body(scan: OpcuaScanClass) -> bytes:
    """Encode the parameters of CreateSubscription for a scan class."""
    publishing_ms = scan.publishing_ms
    keep_alive_count = -(-scan.keep_alive_ms // publishing_ms)
    lifetime_count = max(3 * keep_alive_count, -(-LIFETIME_MS // publishing_ms))
    return _SUBSCRIPTION.pack(publishing_ms, lifetime_count, keep_alive_count, NOTIFICATIONS_PER_PUBLISH, 1, 0)


def granted(reader: Reader) -> Granted:
    """Read the result of CreateSubscription.

    Raises:
        DeviceProtocolError: no result, or intervals that make no sense.
    """
    result = Granted(*reader.take(_CREATED))
    if not 0 < result.publishing_ms <= 86_400_000 or not 0 < result.keep_alive_count <= 1_000_000:
        raise broken(f"a publishing interval of {result.publishing_ms} ms and {result.keep_alive_count} to keep alive")
    return result


def item_body(node: bytes, handle: int, tag: OpcuaTag, scan: OpcuaScanClass, *, with_deadband: bool) -> bytes:
    """Encode one item for CreateMonitoredItems.

    Args:
        node: the node's id in OPC UA Binary.
        handle: what its notifications shall carry: the position of the row in the plan.
        tag: its sampling, queue and deadband. An absolute deadband is in the tag's units, so its scale is undone.
        scan: its scan class.
        with_deadband: False = report every change.
    """
    sampling_ms = scan.publishing_ms if tag.sampling_interval_ms is None else tag.sampling_interval_ms
    selected = _NO_FILTER
    if with_deadband and tag.deadband:
        kind = _DEADBANDS[tag.deadband_type]
        selected = _FILTER.pack(1, 0, _DATA_CHANGE_FILTER, 1, 16, _STATUS_VALUE, kind, raw_deadband(tag))
    queue = _QUEUE.pack(tag.queue_size, tag.discard_oldest)
    return node + _READ_VALUE + _PARAMETERS.pack(handle, sampling_ms) + selected + queue


def raw_deadband(tag: OpcuaTag) -> float:
    """Return a tag's deadband as the server counts it: in the node's own units, or percent."""
    return tag.deadband if tag.deadband_type == "percent" else tag.deadband / abs(tag.scale)


def items_body(subscription: int, items: Sequence[bytes]) -> bytes:
    """Encode CreateMonitoredItems; source times only, as for Read."""
    return _ITEMS.pack(subscription, TIMESTAMPS_SOURCE, len(items)) + b"".join(items)


def item_results(reader: Reader, count: int) -> list[ItemResult]:
    """Read the results of CreateMonitoredItems, one for each item asked for.

    Raises:
        DeviceProtocolError: not `count` results.
    """
    found = reader.length()
    if found != count:
        raise broken(f"{found} results for {count} monitored items")
    results = []
    for _ in range(count):
        results.append(ItemResult(*reader.take(_ITEM_RESULT)))
        reader.structure()
    return results


def deletion_body(subscription: int, items: Sequence[int]) -> bytes:
    """Encode DeleteMonitoredItems."""
    return struct.pack(f"<Ii{len(items)}I", subscription, len(items), *items)


def publish_body(acknowledged: Sequence[tuple[int, int]]) -> bytes:
    """Encode a PublishRequest that acknowledges (subscription, sequence number)s."""
    return _COUNT.pack(len(acknowledged)) + b"".join(_PAIR.pack(*pair) for pair in acknowledged)


def republish_body(subscription: int, sequence: int) -> bytes:
    """Encode a request for a message that was missed."""
    return _PAIR.pack(subscription, sequence)


def published(reader: Reader) -> Published:
    """Read a PublishResponse.

    Raises:
        DeviceProtocolError: it is none.
    """
    (subscription,) = reader.take(_UINT)
    reader.bytes_of(_UINT.size * reader.length(AVAILABLE_MAX))  # what could be asked for again
    reader.take(_BOOL)  # more notifications: the next response brings them, as always
    return Published(subscription, notification(reader))


def notification(reader: Reader) -> Notification:
    """Read a NotificationMessage, as Publish and Republish bring it.

    Raises:
        DeviceProtocolError: it is none, or carries diagnostics that nobody asked for.
    """
    sequence, _ = reader.take(_MESSAGE)
    parts = [reader.structure() for _ in range(reader.length(1000))]
    changes = tuple(_changes(body) for kind, body in parts if kind == _DATA_CHANGE)
    ended = [body for kind, body in parts if kind == _STATUS_CHANGE]
    status = Reader(ended[0]).take(_UINT)[0] or 1 if ended else 0
    return Notification(sequence, not parts, changes, status)


def _changes(body: bytes) -> tuple[int, bytes]:
    """Return how many monitored-item notifications a DataChangeNotification announces, and their bytes."""
    reader = Reader(body)
    count = reader.length()
    records = reader.bytes_of(len(body) - 2 * _COUNT.size) if len(body) >= 2 * _COUNT.size else b""
    if reader.take(_COUNT)[0] not in (-1, 0):
        raise broken("diagnostics that were not asked for, or notifications cut short")
    return count, records
