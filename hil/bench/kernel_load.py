"""One cycle's worth of samples in columns, and the kernels that a cycle calls over them."""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable

from gatewayd.core.kernels import FORMATS, BoundKernel, Kernels
from kernels.table import CHECK_AGE, CHECK_RANGE, CHECK_RATE, CHECK_STUCK, NEST_CELLS, OUT_CELLS, RESPONSE_CELLS

SECOND = 1_000_000_000
WALL = 1_750_000_000 * SECOND
REGISTERS = 125  # to a response
RING = 16  # samples in the window of each tag
CYCLE = (
    "decode_modbus_registers",
    "decode_opcua",
    "scale",
    "judge",
    "ewma",
    "cusum",
    "verdict",
    "window_update",
)
_UINT16 = 3  # as in kernels/decode_modbus_registers.py
_ALL_CHECKS = CHECK_RANGE | CHECK_AGE | CHECK_RATE | CHECK_STUCK
_TICKS_1601 = 116_444_736_000_000_000  # of 100 ns, from 1601 to 1970
_OPCUA_SIZE = 18  # mask, Variant of Double, SourceTimestamp


class KernelLoad:
    """Tags of which every one is checked for everything, watched by both detectors and held in a window.

    Args:
        kernels: in one form.
        tags: how many; all of them get a sample in each pass.
    """

    def __init__(self, kernels: Kernels, tags: int) -> None:
        self.tags = tags
        self._pass = 0
        rows = {"response": RESPONSE_CELLS * math.ceil(tags / REGISTERS), "inbox": 2 * tags, "ring": RING * tags}
        rows |= {"nest": NEST_CELLS, "out": OUT_CELLS}
        rows |= dict.fromkeys(("tag", "plan", "fresh", "ewma", "cusum", "window"), tags) | {"detector": 2 * tags}
        self.columns = {
            f"{table}.{column}": memoryview(array(FORMATS[kind], [0]) * rows.get(table, 1))
            for table, columns in kernels.tables.items()
            for column, kind in columns
        }
        # A payload of its own for each codec; the inbox of the daemon holds one after the other.
        self._opcua = dict(self.columns) | {"inbox.byte": memoryview(bytearray(_OPCUA_SIZE * tags))}
        self._fill()
        self._bound = {
            name: kernels.bind(name, self._opcua if name == "decode_opcua" else self.columns) for name in CYCLE
        }

    def _fill(self) -> None:
        self._set("plan.offset", range(0, 2 * self.tags, 2))
        self._set("plan.type", [_UINT16] * self.tags)
        self._set("plan.bit", [-1] * self.tags)
        for name in ("plan.row", "fresh.row", "tag.ewma_row", "tag.cusum_row", "tag.window_first", "window.tag"):
            self._set(name, range(self.tags))
        settings: dict[str, float] = {
            "tag.scale": 0.5,
            "tag.range_low": -1.0,
            "tag.range_high": 1e6,
            "tag.rate_max": 1e9,
        }
        settings |= {"ewma.alpha": 0.1, "ewma.z_max": 6.0, "cusum.alpha": 0.1, "cusum.k": 0.5, "cusum.h": 8.0}
        settings |= {
            "ewma.mean": math.nan,
            "cusum.mean": math.nan,
            "tag.rate_value": math.nan,
            "tag.stuck_value": math.nan,
        }
        for name, number in settings.items():
            self._set(name, [number] * self.tags)
        counts = {
            "tag.source_age_max": 60 * SECOND,
            "tag.stuck_after": 3600 * SECOND,
            "ewma.warmup": 4,
            "cusum.warmup": 4,
        }
        counts |= {"window.duration": 10 * SECOND, "window.next": -1, "window.ring_size": RING}
        for name, count in counts.items():
            self._set(name, [count] * self.tags)
        self._set("window.ring_first", range(0, RING * self.tags, RING))
        self._set("tag.detector_first", range(0, 2 * self.tags, 2))
        self._set("tag.detector_count", [2] * self.tags)
        self._set("ewma.detector", range(0, 2 * self.tags, 2))
        self._set("cusum.detector", range(1, 2 * self.tags, 2))
        self._set("detector.kind", [0, 1] * self.tags)
        self._set("detector.alarm", [-1] * 2 * self.tags)

    def _set(self, name: str, cells: object) -> None:
        column = self.columns[name]
        column[:] = memoryview(array(column.format or "", cells))  # type: ignore[arg-type]

    def arrive(self) -> None:
        """Put new payloads into the inboxes: what the kernels are not timed for."""
        self._pass += 1
        numbers = array("H", [1000 + (tag * 7919 + self._pass * 104_729) % 61 for tag in range(self.tags)])
        numbers.byteswap()
        self.columns["inbox.byte"][:] = numbers.tobytes()
        ticks = _TICKS_1601 + (WALL + self._pass * SECOND) // 100
        one = struct.Struct("<BBdq")
        cells = b"".join([one.pack(5, 11, 20.0 + tag % 7 + self._pass % 5, ticks) for tag in range(self.tags)])
        self._opcua["inbox.byte"][:] = cells
        response = array("q")
        for first in range(0, self.tags, REGISTERS):
            count = min(REGISTERS, self.tags - first)
            response.extend((first, count, 2 * count, 2 * first, self._wall, self._mono))
        self.columns["response.cell"][:] = memoryview(response)

    @property
    def _wall(self) -> int:
        return WALL + self._pass * SECOND

    @property
    def _mono(self) -> int:
        return (1000 + self._pass) * SECOND

    def calls(self) -> dict[str, Callable[[], int]]:
        """Return the calls of one cycle after `arrive`, in order; each takes every tag and says how many it took."""
        tags, wall, mono, number = self.tags, self._wall, self._mono, 2 * self._pass
        responses = math.ceil(tags / REGISTERS)
        opcua = (0, _OPCUA_SIZE * tags, 0, tags, 0, wall, mono, wall, number + 1)
        arguments: dict[str, tuple[int, ...]] = {
            "decode_opcua": opcua,
            "decode_modbus_registers": (responses, 0, wall, number),
            "judge": (_ALL_CHECKS, tags, wall),
        }
        return {name: _call(bound, arguments.get(name, (tags,))) for name, bound in self._bound.items()}


def _call(bound: BoundKernel, arguments: tuple[int, ...]) -> Callable[[], int]:
    return lambda: bound(*arguments)
