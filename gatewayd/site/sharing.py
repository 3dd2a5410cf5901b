"""One object for all contracts of a site that say the same: of 10,000 tags few differ in what they promise.

A parser makes an object for each, half a kilobyte of it. And what is the same object is compiled once.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from gatewayd.model.config import AssetType, Contract, SiteConfig
from gatewayd.model.detectors import DETECTORS, DetectorSettings


def share_equal(config: SiteConfig) -> SiteConfig:
    """Return the same site, to the byte, with equal contracts and equal settings of detectors as one object each."""
    known = _Known()
    return replace(config, asset_types={name: known.asset_type(kind) for name, kind in config.asset_types.items()})


class _Known:
    """What has been met, by its bytes: 0.0 and -0.0 are equal, and no digest takes them for the same."""

    def __init__(self) -> None:
        self._contracts: dict[bytes, Contract] = {}
        self._settings: dict[tuple[str, bytes], DetectorSettings] = {}

    def asset_type(self, kind: AssetType) -> AssetType:
        return replace(kind, tags={member: self.contract(each) for member, each in kind.tags.items()})

    def contract(self, contract: Contract) -> Contract:
        key = msgspec.json.encode(contract)
        found = self._contracts.get(key)
        if found is None:
            found = self._contracts[key] = self._with_shared_settings(contract)
        return found

    def _with_shared_settings(self, contract: Contract) -> Contract:
        asked = {name: settings for name in DETECTORS if (settings := getattr(contract, name)) is not None}
        return replace(contract, **{name: self._same(name, settings) for name, settings in asked.items()})

    def _same(self, name: str, settings: DetectorSettings) -> DetectorSettings:
        return self._settings.setdefault((name, msgspec.json.encode(settings)), settings)
