"""Assets that are watched as a whole: which tags belong together, and what that becomes in the tables.

An asset's verdict stands in a row of table tag of its own, behind those of the tags. So `anomaly(asset)` is what
`anomaly(tag)` is to rules, to evidence and to the backtest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Protocol

from msgspec import Struct

from gatewayd.core.detectors import is_measured
from gatewayd.model import quality
from gatewayd.model.config import AssetType, Contract, SiteConfig
from gatewayd.model.detectors import AssetDetect
from gatewayd.model.device import Tag

MEMBERS_MIN = 2  # one tag has nobody to go together with


class AssetPlan(Struct, frozen=True):
    """One asset that is watched as a whole. `row` is its own in table tag, `members` are those of its tags."""

    index: int
    row: int
    name: str
    members: tuple[int, ...]
    settings: AssetDetect

    @property
    def triangle(self) -> int:
        """Return how many cells its Cholesky factor has."""
        return len(self.members) * (len(self.members) + 1) // 2

    @property
    def samples(self) -> int:
        """Return how many cells its calibration has."""
        return self.settings.calibration * len(self.members)


class Named(Protocol):
    """What is needed of a tag's plan."""

    @property
    def row(self) -> int:
        """Return its row."""
        ...

    @property
    def contract(self) -> Contract:
        """Return its contract."""
        ...

    @property
    def config(self) -> Tag:
        """Return its row of the tag list."""
        ...


def asset_plans(config: SiteConfig, tags: Mapping[str, Named], tag_count: int) -> tuple[AssetPlan, ...]:
    """Return the assets to watch, in file order.

    Args:
        config: a site whose cross-references hold.
        tags: alias -> tag.
        tag_count: rows of table tag before the first asset's.
    """
    plans: list[AssetPlan] = []
    for name, asset in config.assets.items():
        kind = config.asset_types[asset.type]
        if kind.together is None:
            continue
        bound = {member: tags[f"{name}.{member}"] for member in kind.tags if member in asset.tags}
        chosen = watched_members(kind, {member: tag.config for member, tag in bound.items()})
        rows = tuple(bound[member].row for member in chosen)
        plans.append(AssetPlan(len(plans), tag_count + len(plans), name, rows, kind.together))
    return tuple(plans)


def watched_members(kind: AssetType, tags: Mapping[str, Tag]) -> tuple[str, ...]:
    """Return the members that are watched together: those named, else all measured numbers with units."""
    named = kind.together.tags if kind.together is not None else ()
    return named or tuple(member for member, tag in tags.items() if is_measured(kind.tags[member], tag))


def asset_rows(plans: Sequence[AssetPlan]) -> dict[str, int]:
    """Return how many rows the tables of assets have."""
    return {
        "asset": len(plans),
        "member": sum(len(plan.members) for plan in plans),
        "sample": sum(plan.samples for plan in plans),
        "factor": sum(plan.triangle for plan in plans),
        "order": max((plan.settings.calibration for plan in plans), default=0),
    }


def asset_columns(plans: Sequence[AssetPlan]) -> dict[str, dict[str, list[float | int]]]:
    """Return table -> column -> cells of assets that know nothing yet."""
    return {
        "asset": {
            "row": [plan.row for plan in plans],
            "first": _firsts([len(plan.members) for plan in plans]),
            "members": [len(plan.members) for plan in plans],
            "samples_first": _firsts([plan.samples for plan in plans]),
            "factor_first": _firsts([plan.triangle for plan in plans]),
            "calibration": [plan.settings.calibration for plan in plans],
            "limit": [plan.settings.limit for plan in plans],
            "distance_limit": [plan.settings.distance_limit for plan in plans],
            "alarm": [-1] * len(plans),
            "score": [math.nan] * len(plans),
        },
        "member": {"tag": [row for plan in plans for row in plan.members]},
    }


def verdict_columns(count: int, detectors: Sequence[str]) -> dict[str, list[float | int]]:
    """Return the cells of the assets' own rows of table tag: a tag that nothing is asked of."""
    same: dict[str, float | int] = {
        "value": math.nan,
        "status": quality.BAD_WAITING_FOR_INITIAL_DATA,
        "scale": 1.0,
        "range_low": math.nan,
        "range_high": math.nan,
        "rate_max": math.nan,
        "rate_value": math.nan,
        "stuck_value": math.nan,
        "window_first": -1,
        "anomaly": -1,
        "anomaly_score": math.nan,
        **{f"{name}_row": -1 for name in detectors},
    }
    return {name: [cell] * count for name, cell in same.items()}


def _firsts(sizes: Sequence[float | int]) -> list[float | int]:
    return list(accumulate(sizes, initial=0))[:-1]
