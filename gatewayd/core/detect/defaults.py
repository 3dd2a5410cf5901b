"""What the detectors are set to unless somebody says otherwise; docs/anomaly.md says where the numbers come from."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

CHANNELS = ("value", "spike", "drift", "spread", "season", "clock")  # as `committee.channel` numbers them


class CommitteeDefaults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One set for every tag: the record committee has no unit."""

    limit: Annotated[float, Meta(gt=0.0)] = 6.5  # of the score; 5.5 to 7 do as well
    warmup: Annotated[int, Meta(ge=2, le=1_000_000)] = 256  # samples: its slowest mean
    hold: Annotated[int, Meta(ge=0, le=1_000_000)] = 120  # samples for which a novelty must beat the one before
    mute: Annotated[int, Meta(ge=0, le=1_000_000)] = 15  # samples after an alarm without another
    clock_bins: Annotated[int, Meta(ge=0, le=1440)] = 48  # of a day; 0 = the time of day says nothing


class AssetDefaults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One set for every asset: all is measured by what the calibration saw."""

    calibration: Annotated[int, Meta(ge=100, le=100_000)] = 400  # rows of sound operation; better a whole day of them
    limit: Annotated[float, Meta(gt=1.0)] = 1.65  # of the score, in what was usual; 1.55 to 1.75 do as well
    distance_limit: Annotated[float, Meta(gt=1.0)] = 2.2  # of the distance alone


COMMITTEE = CommitteeDefaults()
ASSET = AssetDefaults()
