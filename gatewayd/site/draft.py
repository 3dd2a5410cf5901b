"""A site while it is being loaded: what could be read so far, where each part stands, and which names are known bad.

A name whose table or row is broken is remembered, so that what refers to it is not reported as unknown on top.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from gatewayd.model.config import Asset, AssetType, Contract, GatewayFile, Point, Rule, SiteConfig, missing_guards
from gatewayd.model.device import Device, Tag
from gatewayd.site.problem import Findings
from gatewayd.site.source import Origin
from gatewayd.site.tag_list import TagRow

T = TypeVar("T")


class Located(NamedTuple, Generic[T]):
    """A part of the site and where it stands."""

    value: T
    at: Origin


class Member(NamedTuple):
    """A tag as an asset sees it."""

    alias: str
    device: Device
    tag: Tag
    contract: Contract

    @property
    def units(self) -> str:
        """Return the units people see: the contract's, else the tag list's."""
        return self.contract.units or self.tag.units


@dataclass(slots=True)
class Draft:
    """Everything read from a folder, sound or not.

    Attributes:
        tags: device -> tag -> its row.
        type_rules: asset type -> its sound rules.
        broken: what exists but could not be read: `device NAME`, `tag DEVICE/TAG`, `type NAME`, `asset NAME`.
        broken_members: asset type or asset -> its members that could not be read.
    """

    folder: Path
    findings: Findings = field(default_factory=Findings)
    gateway: Located[GatewayFile] | None = None
    devices: dict[str, Located[Device]] = field(default_factory=dict)
    tags: dict[str, dict[str, TagRow]] = field(default_factory=dict)
    asset_types: dict[str, Located[AssetType]] = field(default_factory=dict)
    type_rules: dict[str, list[Located[Rule]]] = field(default_factory=dict)
    assets: dict[str, Located[Asset]] = field(default_factory=dict)
    points: list[Located[Point]] = field(default_factory=list)
    rules: list[Located[Rule]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    broken_members: dict[str, set[str]] = field(default_factory=dict)

    def resolve(self, alias: str) -> Member | None:
        """Return the tag behind `asset.member`; None if any step of the way does not exist."""
        asset_name, _, member = alias.partition(".")
        asset = self.assets.get(asset_name)
        reference = asset.value.tags.get(member) if asset else None
        if asset is None or reference is None:
            return None
        device_name, _, tag_name = reference.partition("/")
        device, row = self.devices.get(device_name), self.tags.get(device_name, {}).get(tag_name)
        asset_type = self.asset_types.get(asset.value.type)
        if device is None or row is None or asset_type is None or member not in asset_type.value.tags:
            return None
        return Member(alias, device.value, row.tag, asset_type.value.tags[member])

    def is_excused(self, alias: str) -> bool:
        """Say whether `asset.member` may be unknown only because something already reported is broken."""
        asset_name, _, member = alias.partition(".")
        if f"asset {asset_name}" in self.broken:
            return True
        asset = self.assets.get(asset_name)
        if asset is None:
            return False
        if asset.value.type not in self.asset_types or member in self.broken_members_of(asset_name):
            return True
        # Bound, or promised by the type: whatever is wrong with it has its own problem.
        return member in asset.value.tags or member in self.asset_types[asset.value.type].value.tags

    def broken_members_of(self, asset_name: str) -> set[str]:
        """Return the members of an asset that its own table or its type's could not say."""
        asset_type = self.assets[asset_name].value.type
        return self.broken_members.get(f"asset {asset_name}", set()) | self.broken_members.get(
            f"type {asset_type}", set()
        )

    def aliases(self) -> list[str]:
        """Return every `asset.member` that could be meant."""
        return [f"{name}.{member}" for name, asset in self.assets.items() for member in asset.value.tags]

    def writable(self) -> set[str]:
        """Return the points with a complete guard list."""
        return {point.value.tag for point in self.points if not missing_guards(point.value)}

    def config(self) -> SiteConfig:
        """Return the finished site. Only for a draft without errors."""
        assert self.gateway is not None
        return SiteConfig(
            gateway=self.gateway.value,
            devices={name: device.value for name, device in self.devices.items()},
            tags={name: tuple(row.tag for row in self.tags.get(name, {}).values()) for name in self.devices},
            asset_types={name: located.value for name, located in self.asset_types.items()},
            assets={name: asset.value for name, asset in self.assets.items()},
            points=tuple(point.value for point in self.points),
            rules=tuple(rule.value for rule in self.rules),
            folder=str(self.folder),
        )
