"""The columns of one programme, made beside the loop and put into a state by reference."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any

from gatewayd.core.expr.lowering import lower
from gatewayd.core.expr.programme import Programme
from gatewayd.core.kernels import Kernels
from gatewayd.core.state import State

KERNELS = ("window_update", "due_programs", "rules")  # to be bound anew after a swap

_FORMAT = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "u1": "B"}
_UNKNOWN = ("program.result", "register.value", "register.previous", "register.result")


def programme_tables(programme: Programme, kernels: Kernels, *, tag_count: int) -> dict[str, memoryview[Any]]:
    """Return every column that a programme decides, as `table.column`, with nothing remembered and every window empty.

    Args:
        programme: verified.
        kernels: whose table lays the columns out.
        tag_count: rows of the twin.
    """
    lowered = lower(programme)
    ring = sum(window.ring_size for window in programme.windows)
    programs = len(programme.programs)
    rows = {
        "window": len(programme.windows),
        "ring": ring,
        "program": programs,
        "code": len(lowered.words),
        "register": programme.registers,
        "due": programs,
        "changed": programs,
    }
    first, count, readers = programme.dependencies(tag_count)
    filled: dict[str, list[int]] = {
        "program.start": list(lowered.start),
        "program.length": list(lowered.length),
        "program.deadline": [1] * programs,  # due in the first pass, so that every expression runs at least once
        "code.word": list(lowered.words),
        "dependency.program": readers,
        "tag.dependency_first": first,
        "tag.dependency_count": count,
        **_windows(programme, tag_count),
    }
    columns: dict[str, memoryview[Any]] = {}
    for table, size in rows.items():
        for name, kind in kernels.tables[table]:
            blank = math.nan if f"{table}.{name}" in _UNKNOWN else 0
            columns[f"{table}.{name}"] = (
                memoryview(array(_FORMAT[kind], [blank])) if size == 0 else _blank(kind, blank, size)
            )
    for name, cells in filled.items():
        if cells:
            columns[name] = memoryview(array("q", cells))
    columns.setdefault("dependency.program", memoryview(array("q", [0])))
    return columns


def swap(state: State, columns: Mapping[str, memoryview[Any]]) -> None:
    """Let a state run another programme. Bind `KERNELS` anew afterwards; the old columns may go when that is done."""
    state.columns.update(columns)
    state.next_program_mono_ns = 1


def _blank(kind: str, value: float, size: int) -> memoryview[Any]:
    return memoryview(array(_FORMAT[kind], [value]) * size)


def _windows(programme: Programme, tag_count: int) -> dict[str, list[int]]:
    heads, following, ring_first = [-1] * tag_count, [], []
    at = 0
    for index, window in enumerate(programme.windows):
        following.append(heads[window.row])
        heads[window.row] = index
        ring_first.append(at)
        at += window.ring_size
    return {
        "window.tag": [window.row for window in programme.windows],
        "window.duration": [window.duration_ns for window in programme.windows],
        "window.ring_size": [window.ring_size for window in programme.windows],
        "window.patience": [window.patience_ns for window in programme.windows],
        "window.next": following,
        "window.ring_first": ring_first,
        "tag.window_first": heads,
    }
