"""The catalogue: what a detector's settings become in the tables, and what it learns.

One row per detector, in the order of `gatewayd.model.detectors`. The kernels' side of it is `kernels/detectors.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from gatewayd.model.config import Contract
from gatewayd.model.detectors import DETECTORS, DetectorSettings

_UNITS_NS: Final = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}


class Detector(NamedTuple):
    """One kind of detector.

    Args:
        name: of its table, of its kernel and of its key in a contract.
        learned: columns of its table that a restart must not lose.
        child: a table with several rows for each of its own, all learned; empty = none.
        rows: the setting that says how many.
    """

    name: str
    learned: tuple[str, ...]
    child: str = ""
    rows: str = ""


_MOMENTS = ("mean", "variance", "count")

CATALOGUE: Final = (
    Detector("ewma", _MOMENTS),
    Detector("cusum", (*_MOMENTS, "high", "low")),
    Detector("page_hinkley", (*_MOMENTS, "rise", "fall")),
    Detector("robust_z", ("median", "deviation", "count", "run")),
    Detector("range_record", ("low", "high", "count")),
    Detector(
        "seasonal", ("bin", "samples", "weight", "total", "distance", "spread", "visits"), child="profile", rows="bins"
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
    def child_rows(self) -> int:
        """Return how many rows of its child table it has."""
        return int(getattr(self.settings, self.detector.rows)) if self.detector.rows else 0


def instances(contract: Contract) -> Iterator[Instance]:
    """Yield the detectors that a contract asks for, in the order of the catalogue."""
    for kind, detector in enumerate(CATALOGUE):
        settings = getattr(contract, detector.name)
        if settings is not None:
            yield Instance(kind, settings)


def setting_columns(settings: DetectorSettings) -> Mapping[str, float | int]:
    """Return a detector's settings as cells: the columns have the names of the keys, durations are ns."""
    keys = msgspec.structs.asdict(settings)
    return {name: _span_ns(value) if isinstance(value, str) else value for name, value in keys.items()}


def _span_ns(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    assert match is not None, "checked as the configuration was read"
    return round(float(match[1]) * _UNITS_NS[match[2]])
