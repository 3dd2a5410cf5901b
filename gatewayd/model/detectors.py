"""The detectors that can watch one tag, by their settings: one frozen Struct per key of a contract.

What each does, and from which paper, is in docs/detectors.md. Bits of an anomaly are in this order.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from gatewayd.model.table import Config, Name

Alpha = Annotated[float, Meta(gt=0, le=1)]
Limit = Annotated[float, Meta(gt=0)]
Warmup = Annotated[int, Meta(ge=2, le=1_000_000)]
Seconds = Annotated[float, Meta(ge=0, le=604_800)]
Span = Annotated[str, Meta(pattern=r"^\d+(\.\d+)?(ms|s|m|h)$")]


class DetectorSettings(Config, frozen=True, kw_only=True):
    """What every detector may be told.

    Args:
        tail: alarm where a score is rarer than this part of all before, instead of where it exceeds the limit.
        hold_off_s: after an alarm, for so long only a higher score alarms again.
        hold_s: an alarm lasts at least so long.
    """

    tail: Annotated[float, Meta(ge=0.00001, le=0.1)] | None = None
    hold_off_s: Seconds = 0.0
    hold_s: Seconds = 0.0


class Ewma(DetectorSettings, frozen=True, kw_only=True):
    """Exponentially weighted mean and variance; alarms when |z| exceeds `z_max`."""

    alpha: Alpha = 0.05
    z_max: Limit = 6.0
    warmup: Warmup = 60


class Cusum(DetectorSettings, frozen=True, kw_only=True):
    """Two-sided cumulative sum of z; `k` and `h` in standard deviations."""

    k: Annotated[float, Meta(ge=0)] = 0.5
    h: Limit = 8.0
    alpha: Alpha = 0.02
    warmup: Warmup = 60


class PageHinkley(DetectorSettings, frozen=True, kw_only=True):
    """Tells once that the level has changed; `delta` and `limit` in standard deviations."""

    delta: Annotated[float, Meta(ge=0)] = 0.5
    limit: Limit = 25.0
    alpha: Alpha = 0.001
    warmup: Warmup = 120


class RobustZ(DetectorSettings, frozen=True, kw_only=True):
    """Distance from the running median in deviations that single wild samples do not widen."""

    step: Alpha = 0.01
    z_max: Limit = 8.0
    warmup: Warmup = 120


class RangeRecord(DetectorSettings, frozen=True, kw_only=True):
    """A sample outside everything seen so far, by more than `e_max` times `tolerance` of the range."""

    tolerance: Annotated[float, Meta(gt=0, le=1)] = 0.05
    e_max: Limit = 1.0
    leak: Annotated[float, Meta(ge=0, lt=0.5)] = 0.00001
    warmup: Warmup = 500


class Seasonal(DetectorSettings, frozen=True, kw_only=True):
    """A profile over a period of the clock; `warmup` counts visits of a bin, `r_max` mean deviations."""

    period: Span = "24h"
    bins: Annotated[int, Meta(ge=2, le=1008)] = 48
    r_max: Limit = 8.0
    alpha: Alpha = 0.1
    warmup: Annotated[int, Meta(ge=1, le=1000)] = 3


class Committee(DetectorSettings, frozen=True, kw_only=True):
    """Does it do what it never did, in any of six respects? One set for every tag, for it has no unit: docs/anomaly.md.

    Args:
        limit: of the score; 5.5 to 7 do as well.
        warmup: samples; its slowest mean takes 256.
        hold: samples for which the beginning of an event must beat the one before.
        mute: samples after an alarm in which no other event begins.
        clock_bins: of a day; 0 = the time of day says nothing.
    """

    limit: Limit = 6.5
    warmup: Warmup = 256
    hold: Annotated[int, Meta(ge=0, le=1_000_000)] = 120
    mute: Annotated[int, Meta(ge=0, le=1_000_000)] = 15
    clock_bins: Annotated[int, Meta(ge=0, le=1440)] = 48


DETECTORS: Final[dict[str, type[DetectorSettings]]] = {
    "ewma": Ewma,
    "cusum": Cusum,
    "page_hinkley": PageHinkley,
    "robust_z": RobustZ,
    "range_record": RangeRecord,
    "seasonal": Seasonal,
    "committee": Committee,
}


class AssetDetect(Config, frozen=True, kw_only=True):
    """The measured tags of an asset, watched together: all is measured by what the calibration saw; docs/anomaly.md.

    Args:
        calibration: rows of sound operation; better a whole day of them. They take 8 bytes a tag and row.
        limit: of the score, in what was usual; 1.55 to 1.75 do as well.
        distance_limit: of the distance alone.
        tags: members to watch; empty = every measured number with units.
    """

    calibration: Annotated[int, Meta(ge=100, le=100_000)] = 400
    limit: Annotated[float, Meta(gt=1.0)] = 1.65
    distance_limit: Annotated[float, Meta(gt=1.0)] = 2.2
    tags: Annotated[tuple[Name, ...], Meta(max_length=1000)] = ()


ASSET_BITS: Final = {32: "asset_levels", 33: "asset_distance"}  # of an asset's anomaly


def names_in(anomaly: int) -> tuple[str, ...]:
    """Return the names of the detectors in an anomaly mask."""
    bits = dict(enumerate(DETECTORS)) | ASSET_BITS
    return tuple(name for bit, name in bits.items() if anomaly > 0 and anomaly >> bit & 1)
