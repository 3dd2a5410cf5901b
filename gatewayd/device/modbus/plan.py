"""Which requests read a device's tags: the fewest that its limits allow. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from gatewayd.device.modbus import pdu
from gatewayd.device.modbus.values import first_bit, wire_type
from gatewayd.errors import ConfigError
from gatewayd.model.block import Codec, PlanRow, ReadPlan, WireOrder
from gatewayd.model.device import ModbusDevice, ModbusTag, unit_of
from gatewayd.model.registers import SINGLE_BITS, span, words

_TYPE_ORDER: Final = ("coil", "discrete", "input", "holding")
_ORDERS: Final = {order.name: order for order in WireOrder}  # Python 3.11 takes three times as long to look a member up


class _Place(NamedTuple):
    """A tag and the addresses [start, end) of its register type that one request must cover for it; sorted as it stands."""

    start: int
    end: int
    row: int  # no two have the same
    tag: ModbusTag
    unit: int


def plan_reads(device: ModbusDevice, tags: Sequence[tuple[int, ModbusTag]], first_index: int) -> tuple[ReadPlan, ...]:
    """Plan the scans of one device.

    Per scan class, unit and register type, values are covered from the lowest address on, each request reaching as far as
    `max_registers` and `max_gap` let it; no other cover needs fewer requests. A value is never split, nor parted from
    its scale register, since a device may change it between two requests. For bits the largest request is 16 times
    `max_registers`, as 2000 is to 125 in the protocol. With `one_request_per_tag`, or `own_request` of a tag, only tags
    of the very same addresses share a request. `request` of a plan is (function, start, count). Write-only tags are not
    planned.

    Args:
        device: its limits.
        tags: (row of the twin, tag); several tags may share registers.
        first_index: `ReadPlan.index` of the first plan.

    Raises:
        ConfigError: a value that does not fit into a request or into the address space.
    """
    groups: dict[tuple[str, int, int], list[_Place]] = {}
    for row, tag in tags:
        if tag.access != "w":
            place = _place(device, row, tag)
            group = tag.scan_class, place.unit, _TYPE_ORDER.index(tag.register_type)
            groups.setdefault(group, []).append(place)
    requests = (run for group in sorted(groups) for run in _runs(device, sorted(groups[group])))
    return tuple(_plan(device, index, run) for index, run in enumerate(requests, first_index))


def _place(device: ModbusDevice, row: int, tag: ModbusTag) -> _Place:
    start, end = span(tag)
    is_too_wide = tag.register_type not in SINGLE_BITS and end - start > device.max_registers
    if end > pdu.ADDRESSES or is_too_wide:
        raise _misplaced(device, tag, end)
    return _Place(start, end, row, tag, unit_of(device, tag))


def _misplaced(device: ModbusDevice, tag: ModbusTag, end: int) -> ConfigError:
    what = f"a {tag.type}" if tag.scale_register is None else f"{tag.type} with its scale register"
    where = f"{device.name}/{tag.name}: {pdu.reference(tag.register_type, tag.address)}"
    width = end - span(tag)[0]
    if end > pdu.ADDRESSES:
        return ConfigError(
            f"{where}: {what} takes {width} registers and the last one there is has address 65535",
            remedy="Correct the address or the type in the tag list.",
        )
    return ConfigError(
        f"{where}: {what} takes {width} registers, max_registers is {device.max_registers}",
        remedy=f"Set max_registers of {device.name} to at least {width}: a value is never read in parts.",
    )


def _runs(device: ModbusDevice, places: list[_Place]) -> Iterator[list[_Place]]:
    """Cut places, in order of their start, into one list per request."""
    is_bits = places[0].tag.register_type in SINGLE_BITS
    reach = device.max_registers * pdu.READ_BITS_MAX // pdu.READ_REGISTERS_MAX if is_bits else device.max_registers
    shared = [place for place in places if not _is_alone(device, place)]
    run: list[_Place] = []
    end = 0
    for place in shared:
        if run and (place.end - run[0].start > reach or place.start - end > device.max_gap):
            yield run
            run = []
            end = 0
        run.append(place)
        end = max(end, place.end)
    if run:
        yield run
    alone = (place for place in places if _is_alone(device, place))
    for _, same in groupby(alone, lambda place: (place.start, place.end)):
        yield list(same)


def _is_alone(device: ModbusDevice, place: _Place) -> bool:
    return device.one_request_per_tag or place.tag.own_request


def _plan(device: ModbusDevice, index: int, run: list[_Place]) -> ReadPlan:
    tag = run[0].tag
    start = run[0].start
    count = max(place.end for place in run) - start
    is_bits = tag.register_type in SINGLE_BITS
    return ReadPlan(
        index=index,
        device=device.name,
        scan_class=tag.scan_class,
        codec=Codec.MODBUS_BITS if is_bits else Codec.MODBUS_REGISTERS,
        rows=tuple(_bit_row(place, start) if is_bits else _register_row(place, start) for place in run),
        request=(pdu.READ_FUNCTION[tag.register_type], start, count),
        unit=run[0].unit,
        size=0 if is_bits else 2 * count,
    )


def _bit_row(place: _Place, start: int) -> PlanRow:
    byte, bit = divmod(place.start - start, 8)
    return PlanRow(place.row, byte, wire_type(place.tag), bit=bit)


def _register_row(place: _Place, start: int) -> PlanRow:
    tag = place.tag
    return PlanRow(
        place.row,
        2 * (tag.address - start),
        wire_type(tag),
        _ORDERS[tag.byte_order],
        bit=first_bit(tag),
        scale_offset=-1 if tag.scale_register is None else 2 * (tag.scale_register - start),
        not_a_value=tag.not_a_value,
        length=2 * words(tag) if tag.type == "string" else 0,
    )
