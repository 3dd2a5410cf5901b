"""How much a figure owes to the files it happens to be made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def interval(
    count: int, figure: Callable[[Sequence[int]], float], *, draws: int = 1000, seed: int = 1
) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % quantiles of a figure over files drawn with replacement.

    Args:
        count: how many files there are.
        figure: makes the figure of the files with these numbers, some more than once.
        draws: how often files are drawn.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    found: Any = [figure(rng.integers(0, count, count).tolist()) for _ in range(draws)]
    low, high = np.nanquantile(found, (0.025, 0.975))
    return float(low), float(high)
