"""What a detector that alarms says, in words: how unusual, beside what. For evidence, not for the hot path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias

from gatewayd.core.detectors import CATALOGUE
from gatewayd.model.record import DetectorEvidence

Columns: TypeAlias = "Mapping[str, memoryview[Any]]"


class _Words(Protocol):
    def __call__(self, cells: Mapping[str, float], score: float, x: float) -> str: ...


def _ewma(cells: Mapping[str, float], score: float, x: float) -> str:
    return f"{score:.1f} sigma {_side(x, cells['mean'])} its mean of {cells['mean']:.4g}"


def _cusum(cells: Mapping[str, float], score: float, x: float) -> str:
    way = "risen" if cells["high"] >= cells["low"] else "fallen"
    return f"its level has {way} from {cells['mean']:.4g}; the sum is {score:.1f} times its limit"


def _page_hinkley(cells: Mapping[str, float], score: float, x: float) -> str:
    return f"its level has changed, to about {cells['mean']:.4g}; the sum was {score:.1f} times its limit"


def _robust_z(cells: Mapping[str, float], score: float, x: float) -> str:
    return f"{score:.1f} robust sigma {_side(x, cells['median'])} its median of {cells['median']:.4g}"


def _range_record(cells: Mapping[str, float], score: float, x: float) -> str:
    beyond = 100 * score * cells["tolerance"]
    return f"outside all it has been, by {beyond:.0f} % of that range; now {cells['low']:.4g} to {cells['high']:.4g}"


def _seasonal(cells: Mapping[str, float], score: float, x: float) -> str:
    usual = cells["level"]
    return f"{score:.1f} times its usual deviation {_side(x, usual)} the {usual:.4g} of this time"


_WORDS: Final[dict[str, _Words]] = {
    "ewma": _ewma,
    "cusum": _cusum,
    "page_hinkley": _page_hinkley,
    "robust_z": _robust_z,
    "range_record": _range_record,
    "seasonal": _seasonal,
}
assert list(_WORDS) == [detector.name for detector in CATALOGUE]


def alarming(columns: Columns, row: int) -> tuple[DetectorEvidence, ...]:
    """Return the detectors of a tag that alarm, each with its score and what it means."""
    if columns["tag.anomaly"][row] <= 0:
        return ()
    first = columns["tag.detector_first"][row]
    alarms = columns["detector.alarm"]
    found = range(first, first + columns["tag.detector_count"][row])
    return tuple(_evidence(columns, row, d) for d in found if alarms[d] == 1)


def _evidence(columns: Columns, row: int, d: int) -> DetectorEvidence:
    detector = CATALOGUE[columns["detector.kind"][d]]
    score = columns["detector.score"][d]
    r = columns[f"tag.{detector.name}_row"][row]
    prefix = f"{detector.name}."
    cells = {name.removeprefix(prefix): column[r] for name, column in columns.items() if name.startswith(prefix)}
    if detector.child and cells["bin"]:
        at = cells[f"{detector.child}_first"] + cells["bin"] - 1
        cells["level"] = columns[f"{detector.child}.level"][at]
    is_held = columns["detector.hold_for"][d] and columns["detector.passed_time"][d] != columns["tag.ingest_mono"][row]
    words = _WORDS[detector.name](cells, score, columns["tag.value"][row])
    return DetectorEvidence(
        name=detector.name, score=score, words=words + _rarity(columns, d) + (" (held)" if is_held else "")
    )


def _rarity(columns: Columns, d: int) -> str:
    rarity = columns["detector.rarity"][d]
    return f"; so rare is 1 in {1 / rarity:.0f}" if rarity > 0 else ""


def _side(x: float, centre: float) -> str:
    return "above" if x >= centre else "below"
