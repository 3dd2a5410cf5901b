"""Does a row of a Modbus tag list make sense in itself? What one cell says of another, each with its cure."""

from __future__ import annotations

from collections.abc import Iterator

from gatewayd.model.device import ModbusDevice, ModbusTag
from gatewayd.model.registers import BYTES, FLOATS, SINGLE_BITS, span, words
from gatewayd.site.address import ADDRESS_MAX
from gatewayd.site.problem import Problem
from gatewayd.site.source import Origin

TEXT_ORDERS = ("ABCD", "BADC")


def register_problems(tag: ModbusTag, device: ModbusDevice, at: Origin) -> Iterator[Problem]:
    """Yield what is wrong with a row.

    Args:
        tag: the row, each of its cells sound by itself.
        device: whose tag list it stands in.
        at: the row.
    """
    if tag.register_type in SINGLE_BITS and tag.type != "bool":
        yield at.child("type").refused(
            tag.type, allowed=f"bool for a {tag.register_type}", remedy="Leave the cell empty; it holds one bit."
        )
        return
    if tag.register_type in ("discrete", "input") and tag.access != "r":
        yield at.child("access").refused(
            tag.access,
            allowed=f"r for {tag.register_type}",
            remedy="Modbus cannot write it; use the coil or holding register if the device has one.",
        )
    yield from _place_problems(tag, at)
    yield from _text_problems(tag, at)
    yield from _meaning_problems(tag, at)
    yield from _size_problems(tag, device, at)


def _place_problems(tag: ModbusTag, at: Origin) -> Iterator[Problem]:
    if tag.bit is not None and (tag.type != "bool" or tag.register_type in SINGLE_BITS):
        yield at.child("bit").refused(
            tag.bit, allowed="empty, but for a bool in an input or holding register", remedy="Leave the cell empty."
        )
    if tag.byte == "high" and tag.type not in BYTES:
        yield at.child("byte").refused(
            tag.byte,
            allowed="empty, but for an int8 or uint8",
            remedy="Leave the cell empty; byte_order says how the bytes of a larger value are placed.",
        )


def _text_problems(tag: ModbusTag, at: Origin) -> Iterator[Problem]:
    if tag.type != "string":
        if tag.length is not None:
            yield at.child("length").refused(
                tag.length, allowed="empty, but for a string", remedy=f"Leave it empty: {tag.type} says its length."
            )
        return
    if tag.length is None:
        yield at.child("length").refused(
            "empty",
            allowed="1 to 125 registers for a string",
            remedy="Write how many registers the text takes; each holds two characters.",
        )
    if tag.access != "r":
        yield at.child("access").refused(tag.access, allowed="r for a string", remedy="Texts are only read.")
    if tag.byte_order not in TEXT_ORDERS:
        yield at.child("byte_order").refused(
            tag.byte_order,
            allowed="ABCD, or BADC if the second character of each register comes first",
            remedy="Write ABCD or BADC; the registers of a text are never reversed.",
        )
    if tag.scale != 1 or tag.offset != 0:
        column = "scale" if tag.scale != 1 else "offset"
        yield at.child(column).refused(
            getattr(tag, column), allowed="empty for a string", remedy="Leave it empty: a text has no scale."
        )


def _meaning_problems(tag: ModbusTag, at: Origin) -> Iterator[Problem]:
    if tag.not_a_value is not None and tag.register_type in SINGLE_BITS:
        yield at.child("not_a_value").refused(
            tag.not_a_value,
            allowed="empty for a single bit",
            remedy="Leave the cell empty: a bit has no code to spare.",
        )
    if tag.scale_register is not None and (tag.type in (*FLOATS, "bool", "string")):
        yield at.child("scale_register").refused(
            tag.scale_register,
            allowed=f"empty for a {tag.type}",
            remedy="Only integers and BCD have a power of ten beside them; use scale for a fixed factor.",
        )
    elif tag.scale_register is not None and tag.address <= tag.scale_register < tag.address + words(tag):
        yield at.child("scale_register").refused(
            tag.scale_register, allowed="a register beside the value", remedy="Correct one of the two addresses."
        )


def _size_problems(tag: ModbusTag, device: ModbusDevice, at: Origin) -> Iterator[Problem]:
    last = tag.address + words(tag) - 1
    if last > ADDRESS_MAX:
        yield at.child("address").refused(
            tag.address,
            allowed=f"at most {ADDRESS_MAX + 1 - words(tag)} for {tag.type}",
            remedy="Correct the address or type.",
        )
        return
    start, end = span(tag)
    if tag.register_type in SINGLE_BITS or end - start <= device.max_registers:
        return
    if tag.scale_register is not None and words(tag) <= device.max_registers:
        yield at.child("scale_register").refused(
            tag.scale_register,
            allowed=f"within {device.max_registers} registers (max_registers of {device.name}) of the value",
            remedy="Value and factor are read in one request, so that they are of one moment. Raise max_registers if "
            "the device takes it; else leave scale_register empty, and write the factor in scale if it never changes.",
        )
        return
    yield at.child("length" if tag.type == "string" else "type").refused(
        tag.length if tag.type == "string" else tag.type,
        allowed=f"at most {device.max_registers} registers, max_registers of {device.name}",
        remedy=f"Set max_registers to at least {end - start}: a value is never read in parts.",
    )
