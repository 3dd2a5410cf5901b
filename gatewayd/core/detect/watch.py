"""Which samples are unusual: detectors run over the fresh rows, then one verdict per tag."""

from __future__ import annotations

from collections.abc import Mapping

from gatewayd.core.detectors import CATALOGUE
from gatewayd.core.kernels import BoundKernel

STEPS = (*(detector.name for detector in CATALOGUE), "tail", "hold", "verdict")  # kernels, in this order


def watch(kernels: Mapping[str, BoundKernel], fresh: int) -> None:
    """Advance every detector by the fresh samples; bad ones teach nothing."""
    if fresh:
        for name in STEPS:
            kernels[name](fresh)
