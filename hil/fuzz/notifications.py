"""Notifications of a hostile OPC UA server: straight into the kernel, and the whole way from the response."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence

from gatewayd.compiled import load_kernels
from gatewayd.core.contract.decode import TURNS_MAX
from gatewayd.device.opcua.monitoring import PUBLISHED, published
from gatewayd.device.opcua.notification_screen import NotificationScreen
from gatewayd.device.opcua.service import body_of
from gatewayd.errors import DeviceError
from hil.fuzz.columns import GuardedKernel
from kernels.table import ERROR_FORMAT, NEST_CELLS, OUT_CELLS

INBOX, ROWS = 4096, 8
HANDLE = 7
COMPARED_ONE_IN = 16  # plain code is some hundred times as slow; the first input is compared, so a replayed one is
_COUNTS = {"inbox": INBOX, "plan": ROWS, "tag": ROWS, "fresh": ROWS, "nest": NEST_CELLS, "out": OUT_CELLS}
_COMPARED = ("tag.value_bits", "tag.bits", "tag.status", "tag.source_time", "tag.sequence", "fresh.row", "out.value")


def corpus(values: Sequence[bytes]) -> list[bytes]:
    """Return notifications of these DataValues, each item once and one of them twice."""
    handled = [struct.pack("<I", place % ROWS) + value for place, value in enumerate(values)]
    return [b"".join(handled[start:] + handled[:start]) for start in range(len(handled))]


def responses(values: Sequence[bytes]) -> list[bytes]:
    """Return PublishResponses: with changes, as a keep-alive, and as the end of a subscription."""
    head = struct.pack("<BBHqIIBiBBB", 1, 0, PUBLISHED, 0, HANDLE, 0, 0, -1, 0, 0, 0)
    message = head + struct.pack("<IiIBIq", 5, 1, 7, 0, 8, 0)
    tail = struct.pack("<iIi", 1, 0, -1)
    bodies = [struct.pack("<i", len(values)) + changes + struct.pack("<i", -1) for changes in corpus(values)]
    told = [struct.pack("<BBHBi", 1, 0, 811, 1, len(body)) + body for body in bodies]
    ended = struct.pack("<BBHBiIB", 1, 0, 820, 1, 5, 0x800A0000, 0)
    return [
        message + struct.pack("<i", len(parts)) + b"".join(parts) + tail
        for parts in ([], [ended], *([t] for t in told))
    ]


def into_the_kernel() -> Callable[[bytes], str]:
    """As if no driver had looked, in every turn; in one input of COMPARED_ONE_IN, plain code must agree in every byte."""
    name = "decode_opcua_notification"
    compiled, plain = (GuardedKernel(load_kernels(form), name, _COUNTS) for form in ("aot", "python"))
    passes = inputs = 0

    def run(content: bytes) -> str:
        nonlocal passes, inputs
        payload, behaviour = content[:INBOX], ""
        is_compared = inputs % COMPARED_ONE_IN == 0
        inputs += 1
        if is_compared:
            for held, column in plain.columns.items():
                column[:] = compiled.columns[held]
        for turn in range(TURNS_MAX):
            passes += 1
            results = []
            for kernel in (compiled, plain) if is_compared else (compiled,):
                kernel.columns["plan.row"][:] = memoryview(bytearray(struct.pack(f"{ROWS}q", *range(ROWS)))).cast("q")
                at = INBOX - len(payload)
                kernel.columns["inbox.byte"][at:] = payload
                where = {"at": at, "size": len(payload), "first": 0, "count": ROWS, "fresh_count": 0}
                times = {"response_time": 10, "response_mono": 20, "now": 30, "pass_number": passes, "turn": turn}
                results.append(kernel(**where, **times))
            for column in _COMPARED if is_compared else ():
                assert results[0] == results[1], f"compiled {results[0]}, plain {results[1]}"
                assert compiled.columns[column].tobytes() == plain.columns[column].tobytes(), f"{column} differs"
            behaviour += f" {results[0]}"
            if results[0] < 0 or not compiled.columns["out.value"][1]:
                break
        return behaviour

    return run


def from_the_response() -> Callable[[bytes], str]:
    """Header, message, screen, kernel. What the screen lets pass, the kernel takes."""
    screen = NotificationScreen(load_kernels("aot"), INBOX)
    decode = into_the_kernel()

    def run(content: bytes) -> str:
        try:
            reader = body_of(content, kind=PUBLISHED, handle=HANDLE, doing="to publish")
            message = published(reader).notification
            passed = [
                each.payload
                for count, records in message.changes
                for each in screen.passed(records, count, handles=ROWS)
            ]
        except DeviceError as error:
            return type(error).__name__ + re.sub(r"[0-9a-fx]*[0-9][0-9a-fx]*", "#", str(error))[:80]
        behaviours = [decode(payload) for payload in passed]
        assert not any(str(ERROR_FORMAT) in behaviour.split() for behaviour in behaviours), "refused after the screen"
        return f"ok {message.is_keep_alive} {bool(message.ended)}" + "".join(behaviours)

    return run
