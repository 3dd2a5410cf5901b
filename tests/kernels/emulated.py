"""A fourth form of the kernels, which no gateway has: those of aarch64, called through qemu on copies of the columns."""

from __future__ import annotations

import functools
import hashlib
import struct
import subprocess
from collections.abc import Iterator, Mapping

from gatewayd.compiled import judged
from gatewayd.core.kernels import BoundKernel
from kernels.abi import PREFIX
from kernels.table import KERNELS, TABLES, VIEWS, Kernel
from tests.foreign.aarch64.build import absent, build_emulated

_SCALARS = {"f8": "<d", "i8": "<q"}
_BY_NAME = {kernel.name: kernel for kernel in KERNELS}


def is_to_be_had() -> bool:
    """Say whether what it takes is installed; a test of its own says what to install."""
    return not absent()


class EmulatedKernels:
    """One process that serves calls, see `tests/foreign/aarch64/runner.c`; to the callers as `gatewayd.core.kernels.Kernels`."""

    form = "aarch64"
    tables: Mapping[str, tuple[tuple[str, str], ...]] = TABLES

    def __init__(self) -> None:
        emulated = build_emulated()
        self.digest = hashlib.sha256(emulated.library.read_bytes()).digest()
        self._process = subprocess.Popen(emulated.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def bind(self, name: str, columns: Mapping[str, memoryview]) -> BoundKernel:
        kernel = _BY_NAME[name]
        buffers = {place: columns[place] for place in map(_place, kernel.columns) if place not in VIEWS}
        return functools.partial(self._call, kernel, buffers)

    def _call(self, kernel: Kernel, buffers: Mapping[str, memoryview], *scalars: float) -> int:
        stdin = self._process.stdin
        assert stdin is not None
        name = (PREFIX + kernel.name).encode()
        slots = list(_slots(kernel, buffers, scalars))
        stdin.write(struct.pack("<I", len(name)) + name + struct.pack("<I", len(slots)) + b"".join(slots))
        stdin.flush()
        (result,) = struct.unpack("<q", self._read(8))
        for buffer in buffers.values():
            buffer.cast("B")[:] = self._read(buffer.nbytes)
        return int(result) if result >= 0 else judged(kernel, result)

    def _read(self, size: int) -> bytes:
        assert self._process.stdout is not None
        came = self._process.stdout.read(size)
        assert len(came) == size, f"the emulated kernels ended with {self._process.wait()}"
        return came


def _place(column: object) -> str:
    return f"{column.table}.{column.name}"


def _slots(kernel: Kernel, buffers: Mapping[str, memoryview], scalars: tuple[float, ...]) -> Iterator[bytes]:
    places = {_place(column): number for number, column in enumerate(kernel.columns)}
    rows = {place.partition(".")[0]: len(buffer) for place, buffer in buffers.items()}
    for place in places:
        if place in VIEWS:
            yield b"v" + struct.pack("<I", places[VIEWS[place][0]])
        else:
            yield b"b" + struct.pack("<Q", buffers[place].nbytes) + buffers[place].tobytes()
    for (_, kind), scalar in zip(kernel.scalars, scalars, strict=True):
        yield b"s" + struct.pack(_SCALARS[kind], scalar)
    for table in kernel.sizes:
        yield b"s" + struct.pack("<q", rows[table])
