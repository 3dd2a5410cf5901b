"""What an asset that alarms says, in words: how far its tags stand off, which one most, alone or beside the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gatewayd.core.assets import AssetPlan
from gatewayd.model.detectors import ASSET_BITS
from gatewayd.model.record import DetectorEvidence

Columns: TypeAlias = "Mapping[str, memoryview[Any]]"

_OWN_MAX = 3.0  # usual deviations that a tag may stand off and yet be where it may stand
_LEVELS, _DISTANCE = ASSET_BITS


def asset_alarming(columns: Columns, plan: AssetPlan, labels: Sequence[str]) -> tuple[DetectorEvidence, ...]:
    """Return the detectors of an asset that alarm.

    Args:
        columns: of the state.
        plan: of the asset.
        labels: of its members, in their order.
    """
    mask = columns["tag.anomaly"][plan.row]
    found = []
    if mask > 0 and mask >> _LEVELS & 1:
        words = _levels(columns, plan, labels)
        found.append(DetectorEvidence(ASSET_BITS[_LEVELS], columns["asset.level_ratio"][plan.index], words))
    if mask > 0 and mask >> _DISTANCE & 1:
        words = _distance(columns, plan, labels)
        found.append(DetectorEvidence(ASSET_BITS[_DISTANCE], columns["asset.distance_ratio"][plan.index], words))
    return tuple(found)


def _levels(columns: Columns, plan: AssetPlan, labels: Sequence[str]) -> str:
    furthest, z = columns["asset.furthest"][plan.index], columns["asset.z"][plan.index]
    label = labels[plan.members.index(furthest)]
    ratio = columns["asset.level_ratio"][plan.index]
    return f"{label} stands {z:.1f} usual deviations from where it stood; levels are {ratio:.2f} times the usual"


def _distance(columns: Columns, plan: AssetPlan, labels: Sequence[str]) -> str:
    """Tell a tag that left its own place (T2) from one that no longer goes with the others (Q)."""
    parts = contributions(columns, plan)
    most = max(range(len(parts)), key=parts.__getitem__)
    total, own = sum(parts), _own(columns, columns["asset.first"][plan.index] + most)
    share = 100 * parts[most] / total if total > 0 else 0.0
    ratio = columns["asset.distance_ratio"][plan.index]
    how = (
        f"it left its own place by {own:.1f} usual deviations (T2)"
        if own > _OWN_MAX
        else f"it stands where it may ({own:.1f} usual deviations) but no longer goes with the others (Q)"
    )
    return (
        f"the tags together are {ratio:.2f} times as far off as usual; {labels[most]} makes {share:.0f} % of it: {how}"
    )


def contributions(columns: Columns, plan: AssetPlan) -> list[float]:
    """Return what each member adds to w'w = d' S^-1 d: d_i (S^-1 d)_i, with S = L L' and w from L w = d.

    Source: Mason, Tracy and Young 1995, J. Quality Technology 27(2), for reading T2 by its tags.
    """
    count, first = len(plan.members), columns["asset.first"][plan.index]
    at, factor = columns["asset.factor_first"][plan.index], columns["factor.value"]
    solved = [0.0] * count
    for i in reversed(range(count)):
        own = factor[at + i * (i + 1) // 2 + i]
        if not own > 0.0:
            continue  # it did not move while the asset was learnt
        rest = columns["member.white"][first + i]
        rest -= sum(factor[at + j * (j + 1) // 2 + i] * solved[j] for j in range(i + 1, count))
        solved[i] = rest / own
    fast, mean = columns["member.fast"], columns["member.mean"]
    return [(fast[first + i] - mean[first + i]) * solved[i] for i in range(count)]


def _own(columns: Columns, m: int) -> float:
    scale = columns["member.fast_scale"][m]
    off: float = abs(columns["member.fast"][m] - columns["member.fast_middle"][m])
    return off / scale if scale > 0 else 0.0
