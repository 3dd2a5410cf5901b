"""Columns laid by runs of tags are those that one tag after the other would fill."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.detectors import (
    CATALOGUE,
    TAIL_BUCKETS,
    detector_columns,
    instances,
    setting_columns,
    shared_columns,
    watched_runs,
)
from gatewayd.model.config import Contract
from gatewayd.model.detectors import Committee, Cusum, Ewma, Seasonal

CONTRACTS = st.sampled_from(
    [
        Contract(),
        Contract(low=1.0),
        Contract(ewma=Ewma()),
        Contract(low=1.0, ewma=Ewma()),
        Contract(ewma=Ewma(tail=0.01, hold_off_s=5.0), cusum=Cusum(h=3.0)),
        Contract(cusum=Cusum(tail=0.02), seasonal=Seasonal(bins=7)),
        Contract(seasonal=Seasonal(bins=24, tail=0.02), committee=Committee()),
        Contract(committee=Committee(clock_bins=0, hold_s=60.0)),
    ]
)


def one_by_one(contracts: list[Contract]) -> dict[str, dict[str, list[float | int]]]:
    """Slow and obvious: the rows of each tag, appended."""
    tables: dict[str, dict[str, list[float | int]]] = {}
    next_row: Counter[str] = Counter()

    def append(table: str, **cells: float) -> None:
        for column, value in cells.items():
            tables.setdefault(table, {}).setdefault(column, []).append(value)

    for contract in contracts:
        of_tag = {f"{each.name}_row": -1 for each in CATALOGUE} | {"detector_first": next_row["detector"]}
        watched = instances(contract)
        for kind, settings in watched:
            detector = CATALOGUE[kind]
            of_tag[f"{detector.name}_row"] = next_row[detector.name]
            firsts = {}
            for child in detector.children:
                if isinstance(child.rows, str):
                    firsts[f"{child.name}_first"] = next_row[child.name]
                next_row[child.name] += child.count(settings)
            append(detector.name, **setting_columns(settings), **firsts, detector=next_row["detector"])
            append("detector", **shared_columns(settings, kind=kind), tail_first=next_row["tail"])
            next_row["tail"] += TAIL_BUCKETS if settings.tail else 0
            next_row["detector"] += 1
            next_row[detector.name] += 1
        append("tag", **of_tag, detector_count=len(watched))
    return tables


@given(st.lists(CONTRACTS, max_size=30))
def test_runs_lay_the_same_columns_as_one_tag_after_the_other(contracts):
    laid = detector_columns(watched_runs(contracts))
    expected = one_by_one(contracts)
    # repr, for NaN is what nothing is known of
    filled = {table: columns for table, columns in laid.items() if any(columns.values())}
    assert {table: repr(sorted(columns.items())) for table, columns in filled.items()} == {
        table: repr(sorted(columns.items())) for table, columns in expected.items()
    }


def test_tags_in_a_row_with_the_same_detectors_are_one_run_whatever_their_limits():
    contracts = [Contract(low=low, ewma=Ewma()) for low in (1.0, 2.0, 3.0)] + [Contract(), Contract(ewma=Ewma())]
    assert [tags for _, tags in watched_runs(contracts)] == [3, 1, 1]
