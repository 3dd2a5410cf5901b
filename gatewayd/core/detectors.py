"""The catalogue: what a detector's settings become in the tables, and what it learns.

One row per detector, in the order of `gatewayd.model.detectors`. The kernels' side of it is `kernels/detectors.py`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import accumulate, groupby
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET

from gatewayd.model.config import Contract, Detect
from gatewayd.model.detectors import DETECTORS, Committee, DetectorSettings
from gatewayd.model.device import Tag

_UNITS_NS: Final = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}


class Child(NamedTuple):
    """A table with several rows for each detector, all learned: as many as a setting says, or a fixed number."""

    name: str
    rows: str | int

    def count(self, settings: DetectorSettings) -> int:
        """Return how many rows a detector of these settings has."""
        return self.rows if isinstance(self.rows, int) else int(getattr(settings, self.rows))


class Detector(NamedTuple):
    """One kind of detector.

    Args:
        name: of its table, of its kernel and of its key in a contract.
        learned: columns of its table that a restart must not lose.
        children: its tables with several rows; a setting says the number of at most one of them.
        loose: learned columns, of the children as `child.column`, that may be unknown (NaN) or negative.
    """

    name: str
    learned: tuple[str, ...]
    children: tuple[Child, ...] = ()
    loose: frozenset[str] = frozenset()


CONTRACTS_CACHED: Final = 1024
# Of amounts that only grow: a mean says nothing of them.
COUNTER_UNITS: Final = frozenset({"s", "min", "h", "d", "Wh", "kWh", "MWh", "varh", "kvarh", "count", "pulses"})
TAIL_BUCKETS: Final = 64  # as in `kernels.detectors`

_COMMITTEE: Final = Committee()
CHANNEL_ROWS: Final = 5  # `CHANNELS` of `kernels.table`

_MOMENTS = ("mean", "variance", "count")

CATALOGUE: Final = (
    Detector("ewma", _MOMENTS),
    Detector("cusum", (*_MOMENTS, "high", "low")),
    Detector("page_hinkley", (*_MOMENTS, "rise", "fall")),
    Detector("robust_z", ("median", "deviation", "count", "run")),
    Detector("range_record", ("low", "high", "count")),
    Detector(
        "seasonal",
        ("bin", "samples", "weight", "total", "distance", "spread", "visits"),
        (Child("profile", "bins"),),
    ),
    Detector(
        "committee",
        (
            *("count", "since", "last_time", "interval", "fast", "slow", "base", "variance", "deviation", "season"),
            *("budget", "best", "held", "value_low", "value_high"),
        ),
        (Child("channel", CHANNEL_ROWS), Child("clock", "clock_bins")),
        loose=frozenset({"last_time", "clock.mean"}),
    ),
)
assert [detector.name for detector in CATALOGUE] == list(DETECTORS)


class Instance(NamedTuple):
    """A detector of one tag."""

    kind: int  # place in CATALOGUE, and the bit in an anomaly
    settings: DetectorSettings

    @property
    def detector(self) -> Detector:
        """Return what kind of detector it is."""
        return CATALOGUE[self.kind]

    @property
    def tail_rows(self) -> int:
        """Return how many rows of table tail it has."""
        return TAIL_BUCKETS * (self.settings.tail is not None)

    @property
    def child_rows(self) -> int:
        """Return how many rows it has of the child table whose number is a setting."""
        return sum(child.count(self.settings) for child in self.detector.children if isinstance(child.rows, str))


@lru_cache(CONTRACTS_CACHED)
def instances(contract: Contract) -> tuple[Instance, ...]:
    """Return the detectors that a contract asks for, in the order of the catalogue; a site has few different contracts."""
    asked = ((kind, getattr(contract, detector.name)) for kind, detector in enumerate(CATALOGUE))
    return tuple(Instance(kind, settings) for kind, settings in asked if settings is not None)


def with_choice(contract: Contract, tag: Tag, *, default: Detect) -> Contract:
    """Return the contract with the detectors that `detect = "auto"` chooses for it.

    Args:
        contract: of the tag; what it names itself is all it gets.
        tag: as its device gives it.
        default: what the asset type says.

    A measured number with units gets the record committee. What we write, what only counts, a text, and what is on or
    off get nothing.
    """
    wanted = default if contract.detect is UNSET else contract.detect
    if wanted != "auto" or instances(contract) or not is_measured(contract, tag):
        return contract
    return _with_committee(contract)


@lru_cache(CONTRACTS_CACHED)
def _with_committee(contract: Contract) -> Contract:
    return msgspec.structs.replace(contract, committee=_COMMITTEE)


def is_measured(contract: Contract, tag: Tag) -> bool:
    """Say whether a tag is a number with units that is only read and does not only grow."""
    units = contract.units or tag.units
    is_number = tag.type not in ("bool", "string") and getattr(tag, "bit", None) is None
    return bool(units) and units not in COUNTER_UNITS and is_number and tag.access == "r"


@lru_cache(CONTRACTS_CACHED)
def setting_columns(settings: DetectorSettings) -> Mapping[str, float | int]:
    """Return a detector's settings as cells: the columns have the names of the keys, durations are ns."""
    return {name: _span_ns(value) if isinstance(value, str) else value for name, value in own_keys(settings).items()}


def own_keys(settings: DetectorSettings) -> dict[str, float | int | str]:
    """Return the keys that only this kind of detector has."""
    keys = msgspec.structs.asdict(settings)
    return {name: value for name, value in keys.items() if name not in DetectorSettings.__struct_fields__}


def fixed_columns(detector: Detector) -> tuple[str, ...]:
    """Return the columns of a detector's own table that follow from the settings of all that are in it."""
    own = [
        name for name in DETECTORS[detector.name].__struct_fields__ if name not in DetectorSettings.__struct_fields__
    ]
    firsts = [f"{child.name}_first" for child in detector.children if isinstance(child.rows, str)]
    return (*own, *firsts, "detector")


def shared_columns(settings: DetectorSettings, *, kind: int) -> Mapping[str, float | int]:
    """Return cells of table detector: what every detector may be told, and that nothing is known yet."""
    return {
        "kind": kind,
        "alarm": -1,
        "score": math.nan,
        "rarity": math.nan,
        "tail_max": settings.tail or 0.0,
        "hold_off": round(settings.hold_off_s * _UNITS_NS["s"]),
        "hold_for": round(settings.hold_s * _UNITS_NS["s"]),
    }


def watched_runs(contracts: Iterable[Contract]) -> list[tuple[tuple[Instance, ...], int]]:
    """Return (detectors, how many tags) for tags in a row that have the same detectors, in the order of the tags.

    Most sites have few such runs: what is laid out by them takes a start no time for each of 10,000 tags.
    """
    return [(watched, sum(1 for _ in run)) for watched, run in groupby(map(instances, contracts))]


def detector_columns(runs: Iterable[tuple[tuple[Instance, ...], int]]) -> dict[str, dict[str, list[float | int]]]:
    """Return table -> column -> cells: the detectors of each tag side by side, the tables of the kinds in the same order.

    Args:
        runs: as `watched_runs` returns them.
    """
    columns = _Columns()
    for watched, tags in runs:
        columns.add(watched, tags)
    return columns.tables


class _Columns:
    """Columns that grow by runs of tags."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, list[float | int]]] = {}
        self._next: Counter[str] = Counter()  # row of each table

    def add(self, watched: tuple[Instance, ...], tags: int) -> None:
        first, width = self._next["detector"], len(watched)
        of_tag = {f"{each.name}_row": _steps(-1, 0, tags) for each in CATALOGUE}
        for place, instance in enumerate(watched):
            name = instance.detector.name
            of_tag[f"{name}_row"] = _steps(self._next[name], 1, tags)
            self._put(name, self._own(instance, tags) | {"detector": _steps(first + place, width, tags)})
            self._next[name] += tags
        of_tag |= {"detector_first": _steps(first, width, tags), "detector_count": _steps(width, 0, tags)}
        self._put("tag", of_tag)
        self._put("detector", self._shared(watched, tags))
        self._next["detector"] += width * tags

    def _own(self, instance: Instance, tags: int) -> dict[str, list[float | int]]:
        own: dict[str, list[float | int]] = {
            name: [value] * tags for name, value in setting_columns(instance.settings).items()
        }
        for child in instance.detector.children:
            rows = child.count(instance.settings)
            if isinstance(child.rows, str):  # of a fixed number the place follows from the row
                own[f"{child.name}_first"] = _steps(self._next[child.name], rows, tags)
            self._next[child.name] += rows * tags
        return own

    def _shared(self, watched: tuple[Instance, ...], tags: int) -> dict[str, list[float | int]]:
        of_one = [shared_columns(each.settings, kind=each.kind) for each in watched]
        shared = {name: [cells[name] for cells in of_one] * tags for name in (of_one[0] if of_one else ())}
        *offsets, rows = accumulate((each.tail_rows for each in watched), initial=self._next["tail"])
        width = rows - self._next["tail"]
        self._next["tail"] += width * tags
        return shared | {"tail_first": [offset + width * place for place in range(tags) for offset in offsets]}

    def _put(self, table: str, columns: Mapping[str, list[float | int]]) -> None:
        grown = self.tables.setdefault(table, {})
        for name, cells in columns.items():
            grown.setdefault(name, []).extend(cells)


def _steps(first: int, step: int, count: int) -> list[float | int]:
    return [first + step * place for place in range(count)]


def _span_ns(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    assert match is not None, "checked as the configuration was read"
    return round(float(match[1]) * _UNITS_NS[match[2]])
