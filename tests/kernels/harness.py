"""Runs one kernel in all its forms on the same columns and compares every bit with a slow reference."""

from __future__ import annotations

import functools
import json
import math
import random
import struct
import tempfile
from array import array
from collections.abc import Callable
from pathlib import Path

from gatewayd.compiled import load_kernels
from gatewayd.core.kernels import FORMATS, Kernels
from gatewayd.errors import KernelRefused
from kernels.abi import library_path, sources_digest
from kernels.table import KERNELS, TABLES, VIEWS
from tests.kernels import emulated

Columns = dict[str, list]
FORMS = ("python", "jit", "aot", *(("aarch64",) if emulated.is_to_be_had() else ()))
NAN = math.nan
ADVERSARIAL = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    NAN,
    math.inf,
    -math.inf,
    5e-324,
    -5e-324,
    2.2e-308,
    1.7e308,
    -1.7e308,
    1e-12,
    1e16,
)
INT_MAX = 2**63 - 1
INT_MIN = -(2**63)
_BY_NAME = {kernel.name: kernel for kernel in KERNELS}


@functools.cache
def native_library() -> Path:
    """The library of `make kernels` if it was built from these sources, else one built now for this run."""
    built = library_path()
    described = built.with_suffix(".json")
    if built.exists() and described.exists():
        description = json.loads(described.read_text())
        if description["sources"] == sources_digest().hex():
            return built
    from kernels.build import build

    folder = tempfile.TemporaryDirectory(prefix="gwkernels-")
    _kept.append(folder)
    path = Path(folder.name) / "gwkernels.so"
    build(path, allow_missing=True, say=lambda line: None)
    return path


_kept: list[tempfile.TemporaryDirectory] = []


@functools.cache
def kernels(form: str) -> Kernels:
    if form == "aarch64":
        return emulated.EmulatedKernels()
    return load_kernels(form, library=native_library()) if form == "aot" else load_kernels(form)


def type_of(name: str) -> str:
    table, _, column = name.partition(".")
    return dict(TABLES[table])[column]


def filled(kernel: str, given: Columns, rows: dict[str, int] | None = None) -> Columns:
    """Complete the columns a kernel takes with zeros, as long as the other columns of their tables."""
    lengths = dict(rows or {})
    for name, cells in given.items():
        assert lengths.setdefault(name.partition(".")[0], len(cells)) == len(cells), name
    wanted = [f"{column.table}.{column.name}" for column in _BY_NAME[kernel].columns]
    blank = {name: [0] * lengths.get(name.partition(".")[0], 0) for name in wanted if name not in VIEWS}
    for name, cells in blank.items():
        if type_of(name) in ("f8", "f4"):
            cells[:] = [0.0] * len(cells)
    return blank | {name: list(cells) for name, cells in given.items()}


def buffers(kernel: str, given: Columns, rows: dict[str, int] | None = None) -> dict[str, memoryview]:
    """Complete the columns as `filled` does; return them as what a kernel is bound to, to be called again and again."""
    columns = filled(kernel, given, rows)
    return {name: memoryview(array(FORMATS[type_of(name)], cells)) for name, cells in columns.items()}


def run(kernel: str, form: str, columns: Columns, **scalars: float) -> tuple[int, dict[str, bytes]]:
    """Run one form on copies of the columns; return its result and every column's bytes afterwards."""
    buffers = {name: array(FORMATS[type_of(name)], cells) for name, cells in columns.items()}
    bound = kernels(form).bind(kernel, {name: memoryview(buffer) for name, buffer in buffers.items()})
    try:
        result = bound(*[scalars[name] for name, _ in _BY_NAME[kernel].scalars])
    except KernelRefused as error:  # the daemon stops; here a refusal is a result like any other
        result = error.result
    return result, {name: buffer.tobytes() for name, buffer in buffers.items()}


def agree(
    kernel: str,
    given: Columns,
    reference: Callable[..., int],
    rows: dict[str, int] | None = None,
    **scalars: float,
) -> tuple[int, Columns]:
    """Assert that the reference and all forms give one result and the same bits; return both.

    `reference(columns, **scalars)` changes the columns, lists by `table.column`, in place and returns the result.
    """
    columns = filled(kernel, given, rows)
    expected = {name: list(cells) for name, cells in columns.items()}
    expected_result = reference(expected, **scalars)
    expected_bytes = {name: array(FORMATS[type_of(name)], cells).tobytes() for name, cells in expected.items()}
    for form in FORMS:
        result, after = run(kernel, form, columns, **scalars)
        assert result == expected_result, f"{form}: {result}, reference {expected_result}"
        for name, cells in after.items():
            assert cells == expected_bytes[name], _difference(form, name, cells, expected_bytes[name])
    return expected_result, expected


def refused(kernel: str, given: Columns, rows: dict[str, int] | None = None, **scalars: float) -> set[int]:
    """Run all forms on columns or scalars that are outside a buffer; return the set of their results."""
    columns = filled(kernel, given, rows)
    return {run(kernel, form, columns, **scalars)[0] for form in FORMS}


def _difference(form: str, name: str, found: bytes, wanted: bytes) -> str:
    code = FORMATS[type_of(name)]
    a, b = array(code), array(code)
    a.frombytes(found)
    b.frombytes(wanted)
    size = a.itemsize
    rows = [i for i in range(len(a)) if found[i * size : i * size + size] != wanted[i * size : i * size + size]]
    first = rows[0]
    hexes = found[first * size :][:size].hex(), wanted[first * size :][:size].hex()
    return f"{form}: {name}[{first}] is {a[first]!r}, reference {b[first]!r} ({hexes}); rows {rows[:8]}"


def numbers(rng: random.Random, count: int, *, finite: bool = False) -> list[float]:
    """Values as plants and faults make them: mostly ordinary, some adversarial."""
    pool = [x for x in ADVERSARIAL if not finite or x - x == 0.0]
    return [rng.choice(pool) if rng.random() < 0.3 else rng.gauss(20.0, 5.0) for _ in range(count)]


def statuses(rng: random.Random, count: int) -> list[int]:
    codes = (0, 0, 0, 0x00960000, 0x40900000, 0x80070000, 0x808C0700, 0xC0000000, 0xFFFFFFFF)
    return [rng.choice(codes) for _ in range(count)]


def rows_of(rng: random.Random, count: int) -> list[int]:
    """A fresh list: some rows of a table, in any order, each once."""
    chosen = list(range(count))
    rng.shuffle(chosen)
    return chosen[: rng.randint(0, count)]


def canonical(x: float) -> float:
    """Every NaN as the one that is stored."""
    return struct.unpack("<d", bytes.fromhex("000000000000f87f"))[0] if x != x else x
