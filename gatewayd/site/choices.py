"""What watches the tags of each asset type, as `detect = "auto"` chose: for people who check a configuration."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET, Struct

from gatewayd.core.detectors import instances, with_choice
from gatewayd.model.config import AssetType, SiteConfig
from gatewayd.model.device import Tag


class TypeChoice(Struct, frozen=True, kw_only=True):
    """An asset type some tags of which leave the choice to the gateway.

    Args:
        asset_type: its name.
        chosen: member -> the detectors chosen, for any of its assets; empty = none fits.
    """

    asset_type: str
    chosen: dict[str, tuple[str, ...]]


def choices(config: SiteConfig) -> tuple[TypeChoice, ...]:
    """Return what was chosen, type by type; a type without an asset has no tags to choose for."""
    tags = {f"{device}/{tag.name}": tag for device, rows in config.tags.items() for tag in rows}
    found = (TypeChoice(asset_type=name, chosen=_of_type(config, name, tags)) for name in config.asset_types)
    return tuple(choice for choice in found if choice.chosen)


def said(choice: TypeChoice) -> str:
    """Return the line that people read."""
    by_detectors: dict[tuple[str, ...], list[str]] = {}
    for member, detectors in choice.chosen.items():
        by_detectors.setdefault(detectors, []).append(member)
    parts = [f"{'+'.join(names) or 'nothing'} for {', '.join(members)}" for names, members in by_detectors.items()]
    return f"{choice.asset_type}: detect = auto chose {'; '.join(parts)}"


def _of_type(config: SiteConfig, name: str, tags: dict[str, Tag]) -> dict[str, tuple[str, ...]]:
    kind, chosen = config.asset_types[name], dict[str, tuple[str, ...]]()
    for asset in config.assets.values():
        if asset.type != name:
            continue
        for member in _left_open(kind):
            contract = with_choice(kind.tags[member], tags[asset.tags[member]], default=kind.detect)
            names = tuple(instance.detector.name for instance in instances(contract))
            chosen[member] = tuple(dict.fromkeys((*chosen.get(member, ()), *names)))
    return chosen


def _left_open(kind: AssetType) -> Iterator[str]:
    """Yield the members that leave the choice to the gateway."""
    for member, contract in kind.tags.items():
        wanted = kind.detect if contract.detect is UNSET else contract.detect
        if wanted == "auto" and not any(True for _ in instances(contract)):
            yield member
