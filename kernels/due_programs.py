"""Which programs must run in this pass."""

from __future__ import annotations

from kernels.columns import I8
from kernels.table import ERROR_BOUNDS


def due_programs(
    fresh: I8,
    dependency_first: I8,
    dependency_count: I8,
    dependency: I8,
    deadline: I8,
    mark: I8,
    due: I8,
    fresh_count: int,
    program_count: int,
    now_mono: int,
    pass_number: int,
    fresh_size: int,
    tag_size: int,
    dependency_size: int,
    program_size: int,
    due_size: int,
) -> int:
    """List the programs that read a fresh row, then those whose deadline has come, each once.

    `fresh` (fresh_size,) holds rows; `dependency_first` and `dependency_count` (tag_size,) are runs of `dependency`
    (dependency_size,), which holds programs; `deadline` (boot-clock ns, 0 = none) and `mark` are (program_size,), of
    which the first `program_count` exist; `due` is (due_size,).

    Returns:
        Programs on the due list; ERROR_BOUNDS when a row, run or program is outside its table.
    """
    if fresh_count < 0 or fresh_count > fresh_size or program_count < 0 or program_count > program_size:
        return ERROR_BOUNDS
    if due_size < program_count:
        return ERROR_BOUNDS
    listed = 0
    for i in range(fresh_count):
        row = fresh[i]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        first = dependency_first[row]
        count = dependency_count[row]
        if count < 0 or count > dependency_size or first < 0 or first > dependency_size - count:
            return ERROR_BOUNDS
        for j in range(first, first + count):
            program = dependency[j]
            if program < 0 or program >= program_count:
                return ERROR_BOUNDS
            if mark[program] != pass_number:
                mark[program] = pass_number
                due[listed] = program
                listed += 1
    for program in range(program_count):
        if deadline[program] != 0 and deadline[program] <= now_mono and mark[program] != pass_number:
            mark[program] = pass_number
            due[listed] = program
            listed += 1
    return listed
