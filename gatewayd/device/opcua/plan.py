"""Which nodes are read together. Pure, and free of asyncua: a site is checked on machines that never open a link."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gatewayd.device.opcua.elements import index_range, parse_element
from gatewayd.device.opcua.node_id import parse_node_id
from gatewayd.errors import ConfigError
from gatewayd.model.block import Codec, PlanRow, ReadPlan, WireType
from gatewayd.model.device import OpcuaDevice, OpcuaScanClass, OpcuaTag

# When the configuration leaves it to the server, whose limit only a connection knows. Request and response fit in one chunk
# of the usual 64 KiB, and a server is not busy with one Read for so long that a write has to wait for it.
NODES_PER_READ_DEFAULT = 2000
NODES_PER_PLAN_MAX = 10_000  # keeps a block's payload well below the 1 MiB that the core takes

WIRE_TYPES = {
    "bool": WireType.BOOL,
    "int16": WireType.INT16,
    "uint16": WireType.UINT16,
    "int32": WireType.INT32,
    "uint32": WireType.UINT32,
    "int64": WireType.INT64,
    "uint64": WireType.UINT64,
    "float32": WireType.FLOAT32,
    "float64": WireType.FLOAT64,
}

_Numbered = tuple[int, OpcuaTag]


def plan_reads(device: OpcuaDevice, tags: Sequence[_Numbered], first_index: int) -> tuple[ReadPlan, ...]:
    """Plan the reads and subscriptions of one device: by scan class in the device's order, then in the tags' order.

    Tags that are elements have plans of their own, arrays and structures apart: a server that is slow or wrong about them
    costs the plain ones nothing.

    Args:
        device: the device; `max_nodes_per_read` 0 means chunks of 2000, and no chunk exceeds 10,000. The link splits
            a plan further when the server's own limit is lower.
        tags: (row of the twin, tag); write-only tags are left out.
        first_index: `index` of the first plan.

    Raises:
        ConfigError: a node id is no node id, or a tag names a scan class the device does not have.
    """
    chunks = [
        (scan_class, codec, chunk)
        for scan_class, members in _by_scan_class(device, tags).items()
        for codec, alike in _by_shape(members, device.scan_classes[scan_class])
        for chunk in _chunks(alike, _nodes_per_plan(device, codec))
    ]
    return tuple(
        ReadPlan(
            index=index,
            device=device.name,
            scan_class=scan_class,
            codec=codec,
            rows=tuple(PlanRow(row, 0, WIRE_TYPES[tag.type]) for row, tag in chunk),
            request=tuple(tag.node_id for _, tag in chunk),
        )
        for index, (scan_class, codec, chunk) in enumerate(chunks, first_index)
    )


def _nodes_per_plan(device: OpcuaDevice, codec: Codec) -> int:
    """Return the most nodes of a plan: those of one Read, or of one subscription, of which servers allow only a few."""
    if codec is Codec.OPCUA_NOTIFICATION:
        return NODES_PER_PLAN_MAX
    return min(device.max_nodes_per_read or NODES_PER_READ_DEFAULT, NODES_PER_PLAN_MAX)


def _by_scan_class(device: OpcuaDevice, tags: Sequence[_Numbered]) -> dict[str, list[_Numbered]]:
    members: dict[str, list[_Numbered]] = {name: [] for name in device.scan_classes}
    for row, tag in tags:
        parse_node_id(tag.node_id)
        if tag.access == "w":
            continue
        if tag.scan_class not in members:
            raise ConfigError(
                f"{device.name}/{tag.name}: scan class {tag.scan_class!r} is not one of the device's",
                remedy=f"Use one of {', '.join(members)}, or add [device.scan_classes.{tag.scan_class}].",
            )
        members[tag.scan_class].append((row, tag))
    return members


def _by_shape(members: list[_Numbered], scan: OpcuaScanClass) -> Iterator[tuple[Codec, list[_Numbered]]]:
    """Yield the whole nodes, the elements of arrays, and what lies in structures, with what a good answer is encoded as."""
    paths = {row: parse_element(tag.element) for row, tag in members if tag.element}
    whole = Codec.OPCUA_READ if scan.mode == "poll" else Codec.OPCUA_NOTIFICATION
    yield whole, [(row, tag) for row, tag in members if row not in paths]
    for codec, is_array in ((Codec.OPCUA_READ, True), (Codec.COLUMNS, False)):
        yield codec, [(row, tag) for row, tag in members if row in paths and bool(index_range(paths[row])) is is_array]


def _chunks(members: list[_Numbered], size: int) -> Iterator[list[_Numbered]]:
    for start in range(0, len(members), size):
        yield members[start : start + size]
