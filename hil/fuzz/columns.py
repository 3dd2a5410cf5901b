"""Columns for a compiled kernel, each ending where a page begins that nobody may touch: one byte too far is a crash."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Mapping

from gatewayd.core.kernels import FORMATS, Kernels
from kernels.table import KERNELS, TABLES

_WIDTHS = {"f8": 8, "i8": 8, "i4": 4, "u1": 1}
_BY_NAME = {kernel.name: kernel for kernel in KERNELS}
_PROT_NONE = 0

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def guarded(size: int) -> memoryview:
    """Return `size` zero bytes that end at a page without any access."""
    pages = -(-max(size, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
    region = mmap.mmap(-1, pages + mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(region))
    if _libc.mprotect(address + pages, mmap.PAGESIZE, _PROT_NONE) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    return memoryview(region)[pages - size : pages]


class GuardedKernel:
    """One kernel bound to columns of its own.

    Args:
        kernels: the form to run.
        name: of the kernel.
        rows: table -> number of rows; tables not named have none.
    """

    def __init__(self, kernels: Kernels, name: str, rows: Mapping[str, int]) -> None:
        self._kernel = _BY_NAME[name]
        self.columns: dict[str, memoryview] = {}
        for column in self._kernel.columns:
            table, _, field = f"{column.table}.{column.name}".partition(".")
            if field.endswith("_bits"):  # the integer view of another column
                continue
            kind = dict(TABLES[table])[field]
            count = rows.get(table, 0)
            self.columns[f"{table}.{field}"] = guarded(count * _WIDTHS[kind]).cast(FORMATS[kind])
        for column in self._kernel.columns:
            whole = f"{column.table}.{column.name}"
            if whole not in self.columns:
                viewed = self.columns[f"{column.table}.{column.name.removesuffix('_bits')}"]
                self.columns[whole] = viewed.cast("B").cast("q")
        self._call: Callable[..., int] = kernels.bind(name, self.columns)
        self._scalars = [scalar for scalar, _ in self._kernel.scalars]

    def __call__(self, **scalars: int) -> int:
        """Run it."""
        return self._call(*(scalars[name] for name in self._scalars))

    def written(self) -> bytes:
        """Return the bytes of every column that it may write."""
        names = [f"{column.table}.{column.name}" for column in self._kernel.columns if column.access == "w"]
        return b"".join(self.columns[name].tobytes() for name in names)
