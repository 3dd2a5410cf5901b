"""What watched assets have learned, as bytes that outlive a restart: a calibration may have taken a day.

An asset is known by its name, its members and its calibration: one of which any changed learns anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from gatewayd.core.assets import AssetPlan
from gatewayd.core.site import Site
from gatewayd.core.state import State
from gatewayd.errors import UNDECODABLE

KIND: Final = "assets"  # beside the kinds of detectors
SCHEMA: Final = 1
_OWN: Final = ("count", "level", "level_usual", "distance", "distance_usual")
_MEMBER: Final = ("fast", "slow", "fast_middle", "fast_scale", "slow_middle", "slow_scale", "mean")


class AssetLearned(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One asset.

    Args:
        key: who it is.
        own: its cells, in the order of `_OWN`; the first is a count.
        members: the cells of its members, column by column in the order of `_MEMBER`.
        factor: its Cholesky factor.
        samples: rows taken so far while it is still being learnt, else nothing.
    """

    key: bytes
    own: tuple[float, ...]
    members: bytes
    factor: bytes
    samples: bytes


class AssetsLearned(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """All assets of a site."""

    schema: int
    assets: tuple[AssetLearned, ...]


_DECODE: Final = msgspec.msgpack.Decoder(AssetsLearned).decode


def learned_assets(state: State, site: Site) -> dict[str, bytes]:
    """Return what the assets have learned, kind -> bytes; nothing if none is watched."""
    if not site.assets:
        return {}
    assets = tuple(_of(state, site, plan) for plan in site.assets)
    return {KIND: msgspec.msgpack.encode(AssetsLearned(SCHEMA, assets))}


def restore_assets(state: State, site: Site, saved: bytes) -> int | None:
    """Take up what an earlier run learned; return how many assets go on where they were, None if it is damaged."""
    try:
        past = _DECODE(saved)
    except UNDECODABLE:
        return None
    if past.schema != SCHEMA:
        return None
    known = {asset.key: asset for asset in past.assets}
    return sum(_take(state, plan, known.get(_key(site, plan))) for plan in site.assets)


def _key(site: Site, plan: AssetPlan) -> bytes:
    said = (plan.name, plan.settings.calibration, [site.label(row) for row in plan.members])
    return hashlib.sha256(msgspec.json.encode(said)).digest()[:16]


def _of(state: State, site: Site, plan: AssetPlan) -> AssetLearned:
    count = state.column("asset.count")[plan.index]
    is_learning = count < plan.settings.calibration
    return AssetLearned(
        key=_key(site, plan),
        own=tuple(float(state.column(f"asset.{name}")[plan.index]) for name in _OWN),
        members=b"".join(bytes(cells) for cells in _member_cells(state, plan)),
        factor=bytes(_factor(state, plan)),
        samples=bytes(_samples(state, plan, count)) if is_learning else b"",
    )


def _take(state: State, plan: AssetPlan, past: AssetLearned | None) -> bool:
    """Copy what an asset learned if all of it can be; say whether."""
    if past is None or len(past.own) != len(_OWN) or not _is_count(past.own[0]):
        return False
    count = int(past.own[0])
    kept = count if count < plan.settings.calibration else 0
    targets = [*_member_cells(state, plan), _factor(state, plan), _samples(state, plan, kept)]
    content = past.members + past.factor + past.samples
    if sum(target.nbytes for target in targets) != len(content) or not _is_sound(content, past.own):
        return False
    at = 0
    for target in targets:
        target[:] = memoryview(content)[at : at + target.nbytes].cast("d")
        at += target.nbytes
    state.column("asset.count")[plan.index] = count
    for name, cell in zip(_OWN[1:], past.own[1:], strict=True):
        state.column(f"asset.{name}")[plan.index] = cell
    return True


def _is_count(cell: float) -> bool:
    return 0 <= cell < 2**53 and cell == int(cell)


def _is_sound(content: bytes, own: tuple[float, ...]) -> bool:
    """All numbers are finite."""
    return all(cell - cell == 0 for cell in (*memoryview(content).cast("d"), *own))


def _member_cells(state: State, plan: AssetPlan) -> Iterator[memoryview[Any]]:
    first = state.column("asset.first")[plan.index]
    return (state.column(f"member.{name}")[first : first + len(plan.members)] for name in _MEMBER)


def _factor(state: State, plan: AssetPlan) -> memoryview[Any]:
    first = state.column("asset.factor_first")[plan.index]
    return state.column("factor.value")[first : first + plan.triangle]


def _samples(state: State, plan: AssetPlan, rows: int) -> memoryview[Any]:
    first = state.column("asset.samples_first")[plan.index]
    return state.column("sample.value")[first : first + rows * len(plan.members)]
