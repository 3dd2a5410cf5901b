"""The Tennessee Eastman process: how much of a fault is in alarm, and how soon.

Source: Downs and Vogel 1993, Computers and Chemical Engineering 17(3); Russell, Chiang and Braatz 2000 for the files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

TAGS = 52
FAULT_AT = 160  # row of a fault's file where the fault begins
HARDLY_SEEN = ("d03", "d09", "d15")  # faults that nobody's detector sees


def load(folder: Path) -> dict[str, Any]:
    """Return rows (rows, 52) by file: `d00` to learn from, `d00_te` sound, `dNN_te` with a fault."""
    found = {path.stem: np.loadtxt(path) for path in sorted(folder.glob("d*.dat"))}
    return {name: np.ascontiguousarray(rows if rows.shape[1] == TAGS else rows.T) for name, rows in found.items()}


def faults(names: Any) -> list[str]:
    """The names of the files with a fault."""
    return sorted(name for name in names if name.endswith("_te") and name != "d00_te")


def detected(scores: Any, limit: float) -> float:
    """% of the rows with the fault whose score is over the limit."""
    return 100.0 * float(np.mean(np.asarray(scores)[FAULT_AT:] > limit))


def delay(scores: Any, limit: float) -> int:
    """Rows from the fault to the first of three in alarm one after the other; -1 = never."""
    over = (np.asarray(scores)[FAULT_AT:] > limit).astype(int)
    three = np.flatnonzero(np.convolve(over, np.ones(3, int), "valid") == 3)
    return int(three[0]) if len(three) else -1
