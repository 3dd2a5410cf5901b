"""The part of a decoder's reference that is the same for all four."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.kernels.harness import NAN, Columns

ERROR_BOUNDS = -1
BAD_DECODING = 0x80070000
TIMES = {"response_time": 1_750_000_000_000_000_123, "response_mono": 77_000_000_321, "now": 1_750_000_000_000_500_000}


class Sample(NamedTuple):
    """What one row becomes. `source` 0 = absent; `event` None = the source time, or the response's boot time."""

    value: float
    bits: int
    status: int
    source: int
    event: int | None = None


LOST = Sample(NAN, 0, BAD_DECODING, 0)


def reference(samples: Callable[[Columns, bytes, range], Iterator[Sample]]) -> Callable[..., int]:
    """Make a decoder's reference out of one that only reads: (columns, payload, plan rows) -> one Sample per row."""

    def decode(columns: Columns, **s: int) -> int:
        tags = len(columns["tag.value"])
        if (
            not 0 <= s["size"] <= len(columns["inbox.byte"])
            or not 0 <= s["at"] <= len(columns["inbox.byte"]) - s["size"]
        ):
            return ERROR_BOUNDS
        plans = range(s["first"], s["first"] + s["count"])
        if s["count"] < 0 or s["first"] < 0 or plans.stop > len(columns["plan.row"]):
            return ERROR_BOUNDS
        payload = bytes(columns["inbox.byte"][s["at"] : s["at"] + s["size"]])
        fresh = s["fresh_count"]
        for place, sample in zip(plans, samples(columns, payload, plans), strict=True):
            row = columns["plan.row"][place]
            if not 0 <= row < tags:
                return ERROR_BOUNDS
            event = sample.event if sample.event is not None else sample.source or s["response_mono"]
            cells = {
                "value": sample.value,
                "bits": sample.bits,
                "status": sample.status,
                "source_time": sample.source,
                "event_time": event,
                "ingest_time": s["response_time"],
                "ingest_mono": s["response_mono"],
                "processing_time": s["now"],
                "sequence": columns["tag.sequence"][row] + 1,
                "stale": 0,
            }
            for name, cell in cells.items():
                columns[f"tag.{name}"][row] = cell
            if columns["tag.fresh_mark"][row] != s["pass_number"]:
                if fresh >= len(columns["fresh.row"]):
                    return ERROR_BOUNDS
                columns["tag.fresh_mark"][row] = s["pass_number"]
                columns["fresh.row"][fresh] = row
                fresh += 1
        return fresh

    return decode


def tag_columns(rng: random.Random, tags: int) -> Columns:
    """A twin with some past: every cell that a decoder must overwrite holds something else."""
    return {
        "tag.value": [rng.random() for _ in range(tags)],
        "tag.bits": [rng.getrandbits(62) for _ in range(tags)],
        "tag.status": [0x80310000] * tags,
        "tag.source_time": [5] * tags,
        "tag.event_time": [6] * tags,
        "tag.sequence": [rng.randint(0, 9) for _ in range(tags)],
        "tag.stale": [rng.randint(0, 1) for _ in range(tags)],
        "tag.fresh_mark": [rng.choice((0, 3, 4)) for _ in range(tags)],
        "fresh.row": [-7] * tags,
    }
