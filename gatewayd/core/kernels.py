"""What the core needs of compiled code, as a value handed to it. `gatewayd.compiled` makes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol

BoundKernel = Callable[..., int]

# The types of columns, as `array` and memoryviews name them.
FORMATS: Final[dict[str, Literal["d", "f", "q", "i", "B"]]] = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "u1": "B"}


class Kernels(Protocol):
    """Bound callables and the table that describes them.

    Attributes:
        tables: table name -> ((column, type), ...); the layout of every buffer the core allocates.
        digest: SHA-256 of the code that runs, cited by every decision.
        form: `aot`, `jit` or `python`.
    """

    tables: Mapping[str, tuple[tuple[str, str], ...]]
    digest: bytes
    form: str

    def bind(self, name: str, columns: Mapping[str, memoryview]) -> BoundKernel:
        """Fix a kernel's columns once; the result takes the kernel's scalars, in table order, and returns its int64.

        Args:
            name: a kernel of the table.
            columns: `table.column` -> writable memoryview of the column's type (see `FORMATS`). The caller keeps
                the buffers alive and never resizes them.

        Raises:
            KernelError: the library lacks the kernel, or a column is missing or of another type.
        """
        ...
