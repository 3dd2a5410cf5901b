"""The only door to compiled code: the native library by ctypes, or JIT and plain Python for development.

All three forms run the same functions, `kernels/*.py`, and give the same bits. The ahead-of-time form, the only one a
gateway runs, imports neither numba nor numpy, and works where memory may not be both writable and executable.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib
import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gatewayd.core.kernels import FORMATS, BoundKernel, Kernels
from gatewayd.errors import KernelError, KernelRefused
from kernels.abi import (
    ABI,
    ABI_SYMBOL,
    FOLDER,
    PREFIX,
    TABLE_SYMBOL,
    library_path,
    slot_count,
    sources_digest,
    table_digest,
)
from kernels.table import ERROR_INTERNAL, ERRORS, KERNELS, TABLES, VIEWS, Column, Kernel

FORMS = ("aot", "jit", "python")

_BY_NAME = {kernel.name: kernel for kernel in KERNELS}


def load_kernels(form: str | None = None, *, library: Path | None = None) -> Kernels:
    """Return the kernels in one form.

    Args:
        form: `aot`, `jit` or `python`; default: the environment's GATEWAYD_KERNELS, else `aot`.
        library: the native library; default: the one for this machine beside the kernels.

    Raises:
        KernelError: the form is unknown, or the library is missing, damaged, or built for another table.
    """
    chosen = form or os.environ.get("GATEWAYD_KERNELS") or "aot"
    if chosen == "aot":
        return NativeKernels(library or library_path())
    if chosen == "jit":
        return JitKernels()
    if chosen == "python":
        return PlainKernels()
    raise KernelError(
        f"GATEWAYD_KERNELS is {chosen!r}; there is no such form of the kernels",
        remedy=f"Use one of {', '.join(FORMS)}; a gateway uses aot.",
    )


class _Form:
    """What the three forms share: the table, and the check of what is bound."""

    tables: Mapping[str, tuple[tuple[str, str], ...]] = TABLES
    form: str
    digest: bytes

    def bind(self, name: str, columns: Mapping[str, memoryview]) -> BoundKernel:
        """Fix a kernel's columns; see `gatewayd.core.kernels.Kernels.bind`.

        The result is for one thread and is not to be called from within itself. A negative result raises KernelRefused.
        A kernel that reads bytes from outside is the exception: its negative result is handed back, for the bytes may be
        to blame, but for ERROR_INTERNAL. The plain Python and JIT forms let an exception of a kernel itself through.
        """
        kernel = _BY_NAME.get(name)
        if kernel is None:
            raise KernelError(
                f"the kernel table has no {name!r}",
                remedy="Use a name of kernels/table.py; rebuild with `make kernels`.",
            )
        buffers = [_column(kernel, column, columns) for column in kernel.columns]
        return self._bind(kernel, buffers, _sizes(kernel, buffers))

    def _bind(self, kernel: Kernel, buffers: list[memoryview], sizes: tuple[int, ...]) -> BoundKernel:
        raise NotImplementedError


def judged(kernel: Kernel, result: int) -> int:
    """Return a negative result that is an answer about bytes from outside; raise any other."""
    takes_bytes = any(column.table == "inbox" for column in kernel.columns)
    if takes_bytes and result in ERRORS and result != ERROR_INTERNAL:
        return result
    raise KernelRefused(
        f"kernel {kernel.name} returned {result}: {ERRORS.get(result, 'no such error in kernels/table.py')}",
        remedy="This is a bug; run the same input with GATEWAYD_KERNELS=python to see where, and report it.",
        result=result,
    )


def _refuse(kernel: Kernel, column: Column, found: str) -> KernelError:
    wanted = FORMATS[column.type]
    return KernelError(
        f"kernel {kernel.name}: column {column.table}.{column.name} {found}; it takes a memoryview of {wanted!r}",
        remedy="Allocate the tables as kernels.tables says, one writable contiguous buffer per column.",
    )


def _column(kernel: Kernel, column: Column, columns: Mapping[str, memoryview]) -> memoryview[Any]:
    """Return the buffer for one argument, made from its owner if it is a view, and checked."""
    name = f"{column.table}.{column.name}"
    if name in VIEWS and VIEWS[name][0] in columns:
        buffer: memoryview[Any] = columns[VIEWS[name][0]].cast("B").cast(FORMATS[column.type])
    elif name in columns:
        buffer = columns[name]
    else:
        raise _refuse(kernel, column, "is missing")
    assert isinstance(buffer, memoryview)
    if buffer.format != FORMATS[column.type]:
        raise _refuse(kernel, column, f"is of {buffer.format!r}")
    if buffer.ndim != 1 or not buffer.c_contiguous:
        raise _refuse(kernel, column, "is not one contiguous run")
    if buffer.readonly:  # even of columns only read: ctypes and numba want no two kinds
        raise _refuse(kernel, column, "is read-only")
    return buffer


def _sizes(kernel: Kernel, buffers: Sequence[memoryview]) -> tuple[int, ...]:
    """Return the row counts the kernel wants, after checking that the columns of a table have one length."""
    lengths: dict[str, int] = {}
    for column, buffer in zip(kernel.columns, buffers, strict=True):
        if lengths.setdefault(column.table, len(buffer)) != len(buffer):
            raise _refuse(kernel, column, f"has {len(buffer)} rows, its table {lengths[column.table]}")
    return tuple(lengths[table] for table in kernel.sizes)


# --- ahead of time ------------------------------------------------------------------------------------------------------


class NativeKernels(_Form):
    """The library built by `make kernels`.

    Args:
        path: the library.

    Raises:
        KernelError: it is missing, damaged, or built for another table or calling convention.
    """

    form = "aot"

    def __init__(self, path: Path) -> None:
        self.digest = _read_digest(path)
        try:
            self._library = ctypes.CDLL(str(path))
        except OSError as error:
            raise _unusable(path, f"cannot be loaded: {error}") from error
        self._check(path)

    def _check(self, path: Path) -> None:
        try:
            abi = ctypes.c_int64.in_dll(self._library, ABI_SYMBOL).value
            table = bytes((ctypes.c_uint8 * 32).in_dll(self._library, TABLE_SYMBOL))
        except ValueError as error:
            raise _unusable(path, "is not a kernel library") from error
        if abi != ABI:
            raise _unusable(path, f"has calling convention {abi}, not {ABI}")
        if table != table_digest():
            raise _unusable(path, f"was built for another table ({table.hex()[:12]}, not {table_digest().hex()[:12]})")

    def _bind(self, kernel: Kernel, buffers: list[memoryview], sizes: tuple[int, ...]) -> BoundKernel:
        try:
            # Indexing, unlike attribute access, makes a function object of our own, whose restype nobody else sets.
            function = self._library[PREFIX + kernel.name]
        except AttributeError as error:
            raise KernelError(
                f"the native library lacks kernel {kernel.name}", remedy="Run `make kernels` and look at its last line."
            ) from error
        function.restype = ctypes.c_int64
        slots = ctypes.create_string_buffer(8 * max(1, slot_count(kernel)))
        pinned = [_pin(kernel, column, buffer) for column, buffer in zip(kernel.columns, buffers, strict=True)]
        struct.pack_into(f"={len(pinned)}Q", slots, 0, *(_address(pin) for pin in pinned))
        struct.pack_into(f"={len(sizes)}q", slots, 8 * (len(pinned) + len(kernel.scalars)), *sizes)
        return _native_call(kernel, function, slots, pinned)


_Pin = ctypes.c_char | None


def _pin(kernel: Kernel, column: Column, buffer: memoryview) -> _Pin:
    """Return an object that holds the buffer in place (it cannot be resized or freed), None for an empty one."""
    if not len(buffer):
        return None
    pin = ctypes.c_char.from_buffer(buffer.cast("B"))
    if ctypes.addressof(pin) % buffer.itemsize:
        raise _refuse(kernel, column, "is not aligned")
    return pin


def _address(pin: _Pin) -> int:
    return 0 if pin is None else ctypes.addressof(pin)


def _native_call(kernel: Kernel, function: Any, slots: Any, pinned: list[_Pin]) -> BoundKernel:
    """Make the callable: one pack of the scalars and one call with one integer; nothing is allocated that stays."""
    scalars = struct.Struct("=" + "".join(FORMATS[kind] for _, kind in kernel.scalars))
    pack = functools.partial(scalars.pack_into, slots, 8 * len(kernel.columns))
    argument = ctypes.c_void_p(ctypes.addressof(slots))  # made once: cheaper to pass than an integer to convert

    def call(*values: float, _alive: object = pinned) -> int:
        pack(*values)
        result: int = function(argument)
        return result if result >= 0 else judged(kernel, result)

    return call


def _unusable(path: Path, why: str) -> KernelError:
    return KernelError(f"the kernel library {path} {why}", remedy="Run `make kernels` for this version and machine.")


def _read_digest(path: Path) -> bytes:
    """Return the SHA-256 of the library, which must be the one in the description beside it, if there is one."""
    try:
        digest = hashlib.sha256(path.read_bytes())
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror})") from error
    described = path.with_suffix(".json")
    if described.exists() and _described_digest(path, described) != digest.hexdigest():
        raise _unusable(path, f"is not the one {described.name} describes: half built, or damaged")
    return digest.digest()


def _described_digest(path: Path, described: Path) -> object:
    try:
        description = json.loads(described.read_bytes())
    except (OSError, ValueError) as error:
        raise _unusable(path, f"has an unreadable description: {error}") from error
    return description.get("digest") if isinstance(description, dict) else None


# --- from source, for development ---------------------------------------------------------------------------------------


class PlainKernels(_Form):
    """The undecorated functions on memoryviews: slow, and their own debugger."""

    form = "python"

    def __init__(self) -> None:
        self.digest = sources_digest()

    def _bind(self, kernel: Kernel, buffers: list[memoryview], sizes: tuple[int, ...]) -> BoundKernel:
        function = _function(kernel)

        def call(*values: float) -> int:
            result = function(*buffers, *values, *sizes)
            return result if result >= 0 else judged(kernel, result)

        return call


class JitKernels(_Form):
    """The same functions compiled by numba on first use, and kept beside the native library for the next process."""

    form = "jit"

    def __init__(self) -> None:
        self.digest = sources_digest()
        self._compiled: dict[str, Callable[..., int]] = {}

    def _bind(self, kernel: Kernel, buffers: list[memoryview], sizes: tuple[int, ...]) -> BoundKernel:
        import numpy as np  # development only: a gateway has none

        function = self._compiled.get(kernel.name)
        if function is None:
            function = self._compiled[kernel.name] = _jit(kernel)
        arrays = [np.asarray(buffer) for buffer in buffers]

        def call(*values: float) -> int:
            result = int(function(*arrays, *values, *sizes))
            return result if result >= 0 else judged(kernel, result)

        return call


def _function(kernel: Kernel) -> Callable[..., int]:
    try:
        module = importlib.import_module(f"kernels.{kernel.module}")
    except ImportError as error:
        raise KernelError(
            f"kernel {kernel.name} has no source here: {error}",
            remedy="Only aot runs on a gateway; unset GATEWAYD_KERNELS.",
        ) from error
    function: Callable[..., int] = getattr(module, kernel.name)
    return function


def _jit(kernel: Kernel) -> Callable[..., int]:
    import numba  # development only: a gateway has none

    inlining = importlib.import_module("kernels.inlining")
    signature = numba.int64(*_jit_types(kernel, numba))
    # numba looks at the code of the kernel alone, not at what is inlined into it; hence a folder per state of all sources.
    setattr(numba.config, "CACHE_DIR", str(_jit_folder()))  # noqa: B010 # numba sets it up as it is imported, unseen by mypy
    compile_ = numba.njit(signature, nogil=True, error_model="numpy", cache=True)
    compiled = compile_(inlining.compilable(_function(kernel)))
    result: Callable[..., int] = compiled
    return result


@functools.cache
def _jit_folder() -> Path:
    """Return where numba keeps what it compiled from these sources; what it made of others is removed."""
    import shutil  # development only

    folder = FOLDER / f"jit-{sources_digest().hex()[:16]}"
    for old in FOLDER.glob("jit-*"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)
    return folder


def _jit_types(kernel: Kernel, numba: Any) -> Iterator[Any]:
    kinds = {"f8": numba.float64, "f4": numba.float32, "i8": numba.int64, "i4": numba.int32, "u1": numba.uint8}
    for column in kernel.columns:
        yield kinds[column.type][::1]
    for _, kind in kernel.scalars:
        yield kinds[kind]
    for _ in kernel.sizes:
        yield numba.int64
