"""Texts out of a block of Modbus registers. The one decoding that is no kernel's: texts are few, and never numbers."""

from __future__ import annotations

from collections.abc import Sequence

from gatewayd.core.state import State
from gatewayd.core.texts import NO_ROOM
from gatewayd.model import quality
from gatewayd.model.block import PlanRow, WireOrder


def take_texts(state: State, payload: bytes, rows: Sequence[PlanRow]) -> None:
    """Give rows that the decoding kernel has stamped their texts.

    Args:
        state: a row's value becomes the id of its text; one that does not fit the payload keeps Bad_DecodingError.
        payload: a response of registers; of several, from here on.
        rows: the texts of its plan that were read.
    """
    value, status = state.column("tag.value"), state.column("tag.status")
    for row in rows:
        wire = payload[row.offset : row.offset + row.length]
        if len(wire) != row.length or row.offset < 0:
            continue
        text_id = state.texts.hold(row.row, decode_text(wire, row.order))
        if text_id == NO_ROOM:
            status[row.row] = quality.BAD_OUT_OF_MEMORY
        else:
            value[row.row] = text_id
            status[row.row] = quality.GOOD


def decode_text(wire: bytes, order: WireOrder) -> str:
    """Return the text in registers: up to the first NUL, without the spaces it is padded with.

    It is UTF-8; what is not valid UTF-8 is read as Latin-1, of which every byte is a character.

    Args:
        wire: an even number of bytes.
        order: BADC when the second character of each register comes first.
    """
    if order in (WireOrder.BADC, WireOrder.DCBA):
        swapped = bytearray(wire)
        swapped[0::2], swapped[1::2] = wire[1::2], wire[0::2]
        wire = bytes(swapped)
    text = wire.partition(b"\0")[0].rstrip(b" ")
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")
