"""Plain description of the detectors that watch one tag: their settings, what they learn, what else they look at.

`kernels/table.py` makes the tables and the table of kernels from it. A new detector is a row here, a kernel
`kernels/<name>.py`, its settings in `gatewayd/model/detectors.py` and a row in `gatewayd/core/detectors.py`.

A detector has a table with a row for each tag that has the detector; `tag.<name>_row` leads there. Its kernel takes

    fresh.row | tag: value status <inputs> <name>_row | settings | learned, said, detector | children | detector: score alarm

then `fresh_count` and the sizes of fresh, tag, its own table, the children's and `detector`. `<name>.detector` is the row of
table detector that takes its alarm and score, for all kinds of detectors in one place.
"""

from __future__ import annotations

from typing import NamedTuple

Columns = tuple[tuple[str, str], ...]


class Child(NamedTuple):
    """A table with several rows for each row of a detector; all of it is learned.

    The first is at `<detector>.<name>_first` where there is such a setting; else all have as many, side by side.
    """

    name: str
    columns: Columns


class Detector(NamedTuple):
    """One kind of detector; `kernels/<name>.py` is its kernel."""

    name: str
    settings: Columns  # read
    learned: Columns  # written; with the children what a restart must not lose
    inputs: str = ""  # columns of table tag beside value and status
    children: tuple[Child, ...] = ()
    said: Columns = ()  # written: more about the last sample than its score


def _columns(text: str) -> Columns:
    """Read `name:type name ...`; without a type it is f8."""
    pairs = (word.partition(":") for word in text.split())
    return tuple((name, kind or "f8") for name, _, kind in pairs)


_MOMENTS = "mean variance count:i8"

# In the order of their bits in `tag.anomaly`; append only, for records hold these bits.
DETECTORS: tuple[Detector, ...] = (
    Detector("ewma", _columns("alpha z_max warmup:i8"), _columns(_MOMENTS)),
    Detector("cusum", _columns("alpha k h warmup:i8"), _columns(_MOMENTS + " high low")),
    Detector("page_hinkley", _columns("alpha delta limit warmup:i8"), _columns(_MOMENTS + " rise fall")),
    Detector("robust_z", _columns("step z_max warmup:i8"), _columns("median deviation count:i8 run:i8")),
    Detector("range_record", _columns("tolerance e_max leak warmup:i8"), _columns("low high count:i8")),
    Detector(
        "seasonal",
        _columns("period:i8 bins:i8 r_max alpha warmup:i8 profile_first:i8"),
        _columns("bin:i8 samples:i8 weight total distance spread visits:i8"),
        inputs="ingest_time",
        children=(Child("profile", _columns("level deviation count:i8")),),  # one row for each bin of the clock
    ),
    Detector(
        "committee",
        # hold, mute: samples, of `novelty`; clock_bins: 0 = no clock
        _columns("limit warmup:i8 hold:i4 mute:i4 clock_first:i8 clock_bins:i8"),
        # since: samples after the last novelty; last_time: wall ns; fast, slow, base: E32, E256, E1000; variance: about
        # E32; deviation: mean of |x - E1000|; season: E32 of the deviation from the profile; budget: novelty that is
        # usual; best: the last novelty; held: the score, as kept
        _columns(
            "count:i4 since:i4 last_time:i8 interval:f4 fast slow base variance:f4 deviation:f4 season:f4 budget:f4"
            " best:f4 held:f4 value_low value_high"
        ),
        inputs="source_time",
        children=(
            Child("channel", _columns("low:f4 high:f4")),  # 5 rows: ranges of its derived channels
            Child("clock", _columns("mean:f4 deviation:f4")),  # bins of the day's profile; NaN = not visited yet
        ),
        said=_columns("novelty channel:i8 excess"),  # where an event starts; what the score comes from, and how far
    ),
)

# One row per detector of a tag, those of one tag side by side: [tag.detector_first, + tag.detector_count).
DETECTOR: Columns = (
    ("kind", "i8"),  # place in DETECTORS, and its bit in tag.anomaly
    ("score", "f8"),  # how unusual, in the detector's own measure; NaN = unknown
    ("alarm", "i8"),  # -1 unknown, 0, 1
    ("tail_max", "f8"),  # alarm where a score is rarer; 0 = the detector's own limit counts
    ("tail_first", "i8"),  # its histogram: TAIL_BUCKETS rows of table tail
    ("tail_total", "i8"),
    ("rarity", "f8"),  # of the score among those before; NaN = unknown
    ("hold_off", "i8"),  # ns
    ("hold_for", "i8"),  # ns
    ("passed_time", "i8"),  # boot-clock ns of the last alarm that passed the hold-off; 0 = none
    ("passed_score", "f8"),
)


def table_of(detector: Detector) -> Columns:
    """Return the columns of a detector's own table."""
    return (*detector.settings, *detector.learned, *detector.said, ("detector", "i8"))


TAIL_BUCKETS = 64

TABLES: dict[str, Columns] = {
    "detector": DETECTOR,
    "tail": (("count", "i8"),),
    **{detector.name: table_of(detector) for detector in DETECTORS},
    **{child.name: child.columns for detector in DETECTORS for child in detector.children},
}
