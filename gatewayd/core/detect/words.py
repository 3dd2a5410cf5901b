"""What a detector that alarms says, in words: how unusual, beside what. For evidence, not for the hot path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias

from gatewayd.core.detect.defaults import CHANNELS
from gatewayd.core.detectors import CATALOGUE, CHANNEL_ROWS
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


_RESPECTS: Final = (
    "it stands outside all it has been",
    "its change from sample to sample is larger than ever",
    "its slow drift is larger than ever",
    "its noise is {noise} than ever",
    "for some hours it has been less like itself at these hours than ever",
    "it is further than ever from what it is at this time of the day",
)  # by `committee.channel`
assert len(_RESPECTS) == len(CHANNELS)
_NEVER_MOVED: Final = 1e6  # the kernel's greatest excess
_STEP: Final = 5  # % of a range that is one unit of excess


def _committee(cells: Mapping[str, float], score: float, x: float) -> str:
    span = f"in the {_span(cells['count'] * cells['interval'])} before ({cells['count']:.0f} samples)"
    if not cells["excess"] > 0:
        return f"it did what it never did {span}, and that still fades; score {score:.1f}"
    what = _RESPECTS[int(cells["channel"])].format(noise=cells["noise"])
    beyond = (
        f"by {_STEP * cells['excess']:.3g} % of that range"
        if cells["excess"] < _NEVER_MOVED
        else "where it never moved"
    )
    ago = f", {cells['since']:.0f} samples ago" if cells["since"] > 1 else ""
    return f"{what} {span}, {beyond}{ago}; score {score:.1f}, alarm from {cells['limit']:.3g}"


def _span(seconds: float) -> str:
    """Return a duration in the unit a person would take."""
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


_WORDS: Final[dict[str, _Words]] = {
    "ewma": _ewma,
    "cusum": _cusum,
    "page_hinkley": _page_hinkley,
    "robust_z": _robust_z,
    "range_record": _range_record,
    "seasonal": _seasonal,
    "committee": _committee,
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
    if detector.name == "seasonal" and cells["bin"]:
        cells["level"] = columns["profile.level"][cells["profile_first"] + cells["bin"] - 1]
    if detector.name == "committee":
        cells["noise"] = _noise(columns, r, cells["variance"])
    is_held = columns["detector.hold_for"][d] and columns["detector.passed_time"][d] != columns["tag.ingest_mono"][row]
    words = _WORDS[detector.name](cells, score, columns["tag.value"][row])
    return DetectorEvidence(
        name=detector.name, score=score, words=words + _rarity(columns, d) + (" (held)" if is_held else "")
    )


def _noise(columns: Columns, r: int, variance: float) -> str:
    """Say at which end of its range the spread of a committee's tag is."""
    at = CHANNEL_ROWS * r + CHANNELS.index("spread") - 1
    middle = columns["channel.low"][at] * columns["channel.high"][at]  # by logarithms
    return "larger" if variance * variance >= middle else "smaller"


def _rarity(columns: Columns, d: int) -> str:
    rarity = columns["detector.rarity"][d]
    return f"; so rare is 1 in {1 / rarity:.0f}" if rarity > 0 else ""


def _side(x: float, centre: float) -> str:
    return "above" if x >= centre else "below"
