"""Plain functions that call plain functions, made ready for numba.

Kernels and the steps they share stay undecorated, so that they run and can be stepped through as they are. Before a
compilation every project function that a kernel names is handed to numba marked for inlining: its code becomes part of
the kernel's own before anything is typed, so nothing compiled for the build machine can slip into another target.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numba
import numba.core.ir

# numba copies a function that it inlines block by block, twice, and with every block the scope, which holds each of the
# function's variables: more than half of the time that the largest kernel took. The scope itself does as well: this copy
# of the function was made for this one place, its variables are about to be renamed, and its blocks to get the caller's.
_scope: Any = numba.core.ir.Scope
_scope.__deepcopy__ = lambda scope, _memo: scope


def compilable(function: Callable[..., int]) -> Callable[..., int]:
    """Return a copy of `function` whose own project functions numba will inline; the original is left alone."""
    assert isinstance(function, FunctionType)
    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        step = scope.get(name)
        if isinstance(step, FunctionType):
            scope[name] = numba.njit(inline="always", error_model="numpy")(compilable(step))
    return FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
