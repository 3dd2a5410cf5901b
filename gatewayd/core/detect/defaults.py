"""What the detectors are set to unless somebody says otherwise; docs/anomaly.md says where the numbers come from."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from gatewayd.model.detectors import Committee

CHANNELS: Final = ("value", "spike", "drift", "spread", "season", "clock")  # as `committee.channel` numbers them


class AssetDefaults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One set for every asset: all is measured by what the calibration saw."""

    calibration: Annotated[int, Meta(ge=100, le=100_000)] = 400  # rows of sound operation; better a whole day of them
    limit: Annotated[float, Meta(gt=1.0)] = 1.65  # of the score, in what was usual; 1.55 to 1.75 do as well
    distance_limit: Annotated[float, Meta(gt=1.0)] = 2.2  # of the distance alone


COMMITTEE: Final = Committee()
ASSET = AssetDefaults()
