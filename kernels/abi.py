"""What the native library and its callers must agree on, and where the library lies. No numba here."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

from kernels.table import ERRORS, KERNELS, TABLES, VIEWS, Kernel

# Version 1: `int64 gw_<name>(int64 slots[])`. A slot is 8 bytes: one pointer per column, then the scalars as int64 or
# float64, then one int64 row count per table named in `sizes`. A count or negative error comes back.
ABI = 1

PREFIX = "gw_"
ABI_SYMBOL = PREFIX + "abi"  # int64
TABLE_SYMBOL = PREFIX + "table_digest"  # 32 bytes

FOLDER = Path(__file__).parent / "lib"


def table_digest() -> bytes:
    """Return the SHA-256 of the table and the calling convention; a library built for another is refused."""
    described = [ABI, TABLES, VIEWS, sorted(ERRORS.items()), KERNELS]
    return hashlib.sha256(json.dumps(described, separators=(",", ":"), allow_nan=False).encode()).digest()


def sources_digest() -> bytes:
    """Return the SHA-256 of every kernel's source text, for the forms that run from source."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        text = path.read_bytes()
        digest.update(f"{path.name} {len(text)}\n".encode() + text)
    return digest.digest()


def library_path(machine: str = "") -> Path:
    """Return where the library of a machine (`x86_64`, `aarch64`; default this one) is built and looked for."""
    return FOLDER / f"gwkernels-{machine or platform.machine()}.so"


def slot_count(kernel: Kernel) -> int:
    """Return how many slots a call of the kernel takes."""
    return len(kernel.columns) + len(kernel.scalars) + len(kernel.sizes)
