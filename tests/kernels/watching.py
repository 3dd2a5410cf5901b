"""What the tests of all detectors share: one tag followed sample by sample, rows at random, rows outside their tables."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from kernels.detectors import DETECTORS
from tests.kernels.harness import INT_MAX, NAN, Columns, agree, numbers, refused, rows_of, statuses

BAD = 0x80070000
Reference = Callable[..., int]
Watch = Callable[[dict, float, int], tuple[int, float]]
_BY_NAME = {detector.name: detector for detector in DETECTORS}


def judged(name: str, watch: Watch, columns: Columns, fresh_count: int) -> int:
    """Run the reference of one sample over the fresh rows.

    `watch(cell, x, time)` changes the detector's cells in place and returns (alarm, score); it gets trusted samples only.
    """
    alarms = 0
    own = [column for column in columns if column.startswith(f"{name}.")]
    for row in columns["fresh.row"][:fresh_count]:
        r = columns[f"tag.{name}_row"][row]
        if r < 0:
            continue
        alarm, score, x = -1, NAN, columns["tag.value"][row]
        time = columns["tag.ingest_time"][row] if "tag.ingest_time" in columns else 0
        if columns["tag.status"][row] >> 30 == 0 and x - x == 0.0 and time >= 0:
            cell = {column.partition(".")[2]: columns[column][r] for column in own} | {"columns": columns}
            alarm, score = watch(cell, x, time)
            for column in own:
                columns[column][r] = cell[column.partition(".")[2]]
        d = columns[f"{name}.detector"][r]
        columns["detector.alarm"][d], columns["detector.score"][d] = alarm, score
        alarms += alarm == 1
    return alarms


def follow(
    name: str,
    reference: Reference,
    settings: Mapping[str, float],
    samples: Sequence[float | tuple[float, int]],
    *,
    bad: frozenset[int] = frozenset(),
    child_rows: int = 0,
) -> list[Columns]:
    """Feed one tag sample by sample, each a value or (value, wall ns); return all columns after each."""
    detector = _BY_NAME[name]
    state: Columns = {f"{name}.{column}": [0 if kind == "i8" else 0.0] for column, kind in detector.learned}
    state |= {"detector.alarm": [0], "detector.score": [0.0]}
    for child in detector.children:
        cells = {f"{child.name}.{column}": kind for column, kind in child.columns}
        state |= {column: [0 if kind == "i8" else 0.0] * child_rows for column, kind in cells.items()}
    given: Columns = {"fresh.row": [0], f"tag.{name}_row": [0]}
    given |= {f"{name}.{column}": [cell] for column, cell in settings.items()}
    seen = []
    for place, sample in enumerate(samples):
        value, time = sample if isinstance(sample, tuple) else (sample, 0)
        tag: Columns = {"tag.value": [value], "tag.status": [BAD if place in bad else 0]}
        if "ingest_time" in detector.inputs:
            tag["tag.ingest_time"] = [time]
        _, after = agree(name, given | tag | state, reference, fresh_count=1)
        state = {column: after[column] for column in state}
        seen.append(state)
    return seen


def alarms(seen: Sequence[Columns]) -> list[int]:
    return [state["detector.alarm"][0] for state in seen]


def scores(seen: Sequence[Columns]) -> list[float]:
    return [state["detector.score"][0] for state in seen]


def cases(name: str, choices: Mapping[str, Sequence[float]], seed: int, count: int = 100) -> Iterator[Columns]:
    """Yield columns at random; `choices` say what a column of the detector may hold, the others are any finite number."""
    rng = random.Random(seed)
    detector = _BY_NAME[name]
    for _ in range(count):
        tags, detectors = rng.randint(0, 20), rng.randint(1, 6)
        given: Columns = {
            "fresh.row": rows_of(rng, tags),
            "tag.value": numbers(rng, tags),
            "tag.status": statuses(rng, tags),
            f"tag.{name}_row": [rng.randint(-1, detectors - 1) for _ in range(tags)],
            f"{name}.detector": rng.sample(range(detectors), detectors),
            "detector.alarm": [5] * detectors,
        }
        for column, _ in (*detector.settings, *detector.learned):
            pool = choices.get(column)
            any_number = numbers(rng, detectors, finite=True)
            given[f"{name}.{column}"] = [rng.choice(pool) for _ in range(detectors)] if pool else any_number
        yield given


def outside(name: str, **cells: Sequence[float]) -> set[int]:
    """Run rows, fresh counts and detectors that are outside their tables; return the results of all of them."""
    rows = {"tag": 1, name: 1, "detector": 1} | {child.name: 2 for child in _BY_NAME[name].children}
    sound = {"fresh.row": [0]} | {f"{name}.{column}": list(cell) for column, cell in cells.items()}
    results = refused(name, sound | {"fresh.row": [1]}, rows, fresh_count=1)
    results |= refused(name, sound, rows, fresh_count=2)
    for r in (1, INT_MAX):
        results |= refused(name, sound | {f"tag.{name}_row": [r]}, rows, fresh_count=1)
    for d in (-1, 1):
        results |= refused(name, sound | {f"{name}.detector": [d]}, rows, fresh_count=1)
    return results
