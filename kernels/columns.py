"""Names for the flat buffers that kernels take: typed memoryviews in plain Python, arrays under JIT, pointers ahead of time."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import TypeAlias

F8: TypeAlias = MutableSequence[float]  # float64
F4: TypeAlias = MutableSequence[float]  # float32; computed with as float64: multiply by 1.0 to read one
I8: TypeAlias = MutableSequence[int]  # int64
I4: TypeAlias = MutableSequence[int]  # int32
U1: TypeAlias = MutableSequence[int]  # byte
