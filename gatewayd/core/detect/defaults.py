"""What the detectors are set to unless somebody says otherwise; docs/anomaly.md says where the numbers come from."""

from __future__ import annotations

from typing import Final

from gatewayd.model.detectors import AssetDetect, Committee

CHANNELS: Final = ("value", "spike", "drift", "spread", "season", "clock")  # as `committee.channel` numbers them
COMMITTEE: Final = Committee()
ASSET: Final = AssetDetect()
