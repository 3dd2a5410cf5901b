"""Which samples are unusual: detectors run over the fresh rows, then one verdict per tag, and per asset."""

from __future__ import annotations

from collections.abc import Mapping

from gatewayd.core.detectors import CATALOGUE
from gatewayd.core.kernels import BoundKernel

# Kernels, in this order.
STEPS = (*(detector.name for detector in CATALOGUE), "tail", "hold", "verdict")
ASSET_STEPS = ("asset_levels", "asset_distance", "asset_verdict")


def watch(kernels: Mapping[str, BoundKernel], fresh: int) -> None:
    """Advance every detector by the fresh samples; bad ones teach nothing."""
    if fresh:
        for name in STEPS:
            kernels[name](fresh)


def watch_assets(
    kernels: Mapping[str, BoundKernel], assets: int, fresh: int, *, wall_ns: int, mono_ns: int, pass_number: int
) -> int:
    """Let every asset of which one of the `fresh` tags is a member take a row; return the new length of the fresh list, verdicts included.

    The last row of a calibration takes milliseconds once, within its cycle.
    """
    kernels["asset_levels"](assets, pass_number)
    kernels["asset_distance"](assets, pass_number)
    return kernels["asset_verdict"](assets, fresh, wall_ns, mono_ns, pass_number)
