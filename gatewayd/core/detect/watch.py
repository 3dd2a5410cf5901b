"""Which samples are unusual: detectors run over the fresh rows, then one verdict per tag."""

from __future__ import annotations

from collections.abc import Mapping

from gatewayd.core.kernels import BoundKernel

DETECTOR_NAMES = {1: "ewma", 2: "cusum"}


def watch(kernels: Mapping[str, BoundKernel], fresh: int) -> None:
    """Advance every detector by the fresh samples; bad ones teach nothing."""
    if fresh:
        kernels["ewma"](fresh)
        kernels["cusum"](fresh)
        kernels["verdict"](fresh)


def detectors(anomaly: int) -> tuple[str, ...]:
    """Return the names of the detectors in an anomaly mask."""
    return tuple(name for bit, name in DETECTOR_NAMES.items() if anomaly > 0 and anomaly & bit)
