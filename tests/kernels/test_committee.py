import itertools
import math
import random
import struct

import pytest

from kernels.committee import DAY_NS
from kernels.logarithm import log_of
from kernels.table import CHANNELS, TABLES
from tests.kernels.harness import (
    INT_MAX,
    INT_MIN,
    NAN,
    Columns,
    agree,
    buffers,
    filled,
    kernels,
    numbers,
    refused,
    rows_of,
    statuses,
)

STATE = [name for name, _ in TABLES["committee"]][6:-1]
SECOND = 1_000_000_000
FIVE_MINUTES = 300 * SECOND
VALUE, SPIKE, DRIFT, SPREAD, SEASON, CLOCK = range(6)


# --- the slow reference -------------------------------------------------------------------------------------------------


def f4(x: float) -> float:
    return struct.unpack("<f", struct.pack("<f", x))[0]


def broken(low: float, high: float, new_low: float, new_high: float) -> float:
    """How far a range was broken, in units of 5 % of its width."""
    grown = max(new_high - high, low - new_low)
    unit = 0.05 * (high - low)
    if grown <= 0.0:
        return 0.0
    return grown / unit if grown < unit * 1e6 else 1e6


class Cells:
    """The row of one committee as attributes, its score and alarm too; float32 columns round what is put into them."""

    def __init__(self, columns: Columns, r: int) -> None:
        object.__setattr__(self, "_at", (columns, r))

    def __getattr__(self, name: str) -> float:
        columns, r = self._at
        if name in ("score", "alarm"):
            return columns[f"detector.{name}"][columns["committee.detector"][r]]
        return columns[f"committee.{name}"][r]

    def __setattr__(self, name: str, x: float) -> None:
        columns, r = self._at
        if name in ("score", "alarm"):
            columns[f"detector.{name}"][columns["committee.detector"][r]] = x
            return
        kind = dict(TABLES["committee"])[name]
        columns[f"committee.{name}"][r] = f4(x) if kind == "f4" else x


def begin(c: Cells, columns: Columns, r: int, x: float, time: int) -> None:
    for name in STATE:
        if name != "novelty":
            setattr(c, name, 0 if dict(TABLES["committee"])[name][0] == "i" else 0.0)
    c.count, c.since, c.last_time = 1, 2_000_000_000, time
    c.fast = c.slow = c.base = c.value_low = c.value_high = x
    for side in ("low", "high"):
        columns[f"channel.{side}"][CHANNELS * r : CHANNELS * (r + 1)] = [0.0] * CHANNELS
    for k in range(c.clock_bins):
        columns["clock.mean"][c.clock_first + k], columns["clock.deviation"][c.clock_first + k] = NAN, 0.0
    c.alarm, c.score = -1, NAN


def clock_residual(c: Cells, columns: Columns, x: float, time: int, n: int) -> float:
    """Deviation from the bin of this time of day before the sample; then teach the bin."""
    if not c.clock_bins:
        return 0.0
    means, deviations = columns["clock.mean"], columns["clock.deviation"]
    into = time % DAY_NS
    cell = into * c.clock_bins // DAY_NS
    at = c.clock_first + cell
    if math.isnan(means[at]):
        means[at], deviations[at] = f4(x), c.deviation
        return 0.0
    gap, unit = x - means[at], 0.5 * (deviations[at] + c.deviation_exact)
    off = math.copysign(1e6, gap) * (gap != 0.0) if abs(gap) >= unit * 1e6 else gap / unit
    visit = known = 1.0
    if c.between > 0.0:
        bin_s = 86400.0 / c.clock_bins
        visit = max(1.0, bin_s / c.between)
        days = math.trunc(n * min(1.0, c.between / 86400.0))
        within = max(0.0, into * 1e-9 - cell * bin_s)
        known = float(days) * visit + 1.0 + min(within / c.between, float(n))
    gain = min(1.0, max(0.6 / visit, 1.0 / known))
    means[at], deviations[at] = f4(means[at] + gain * gap), f4(deviations[at] + gain * (abs(gap) - deviations[at]))
    return off


class Learning(Cells):
    """A committee's row with what the kernel has in registers, not yet rounded."""

    deviation_exact: float
    between: float

    def __setattr__(self, name: str, x: float) -> None:
        if name in ("deviation_exact", "between"):
            object.__setattr__(self, name, x)
        else:
            super().__setattr__(name, x)


def learn(c: Learning, columns: Columns, x: float, time: int) -> tuple[list[float], float]:
    """Return the channels with this sample in them, and the sample as it was taken."""
    n, width = c.count, c.value_high - c.value_low
    if width > 0.0:
        x = min(max(x, c.value_low - 32.0 * width), c.value_high + 32.0 * width)
    part = 1.0 / (n + 1.0)
    c.deviation_exact = c.deviation + max(0.001, part) * (abs(x - c.base) - c.deviation)
    c.deviation = c.deviation_exact
    c.base = c.base + max(0.001, part) * (x - c.base)
    gain, step = max(1 / 32, part), x - c.fast
    c.fast = c.fast + gain * step
    variance = c.variance + gain * (step * step * (1.0 - gain) - c.variance)
    c.variance = variance
    c.slow = c.slow + max(1 / 256, part) * (x - c.slow)
    apart, c.between, c.last_time = (float(time) - float(c.last_time)) * 1e-9, c.interval, time
    if apart > 0.0:
        apart = min(apart, 4.0 * c.between) if c.between > 0.0 else apart
        c.between = c.between + max(0.01, part) * (apart - c.between) if c.between > 0.0 else apart + 0.0
        c.interval = c.between
    off = clock_residual(c, columns, x, time, n)
    season = c.season + max(1 / 32, part) * (off - c.season)
    c.season = season
    floored = min(max(variance + 1e-6 * c.deviation_exact * c.deviation_exact, 1e-37), 1e38)
    return [x, x - c.fast, c.fast - c.slow, floored, season, off], x


def records(c: Learning, columns: Columns, r: int, channels: list[float]) -> list[float]:
    """Widen every range; return by how much each was broken."""
    low, high = c.value_low, c.value_high
    c.value_low, c.value_high = min(low, channels[VALUE]), max(high, channels[VALUE])
    found = [broken(low, high, c.value_low, c.value_high)]
    for k in range(1, 6 if c.clock_bins else 4):
        lows, highs, at = columns["channel.low"], columns["channel.high"], CHANNELS * r + k - 1
        if k == SPREAD and c.count < 32:
            lows[at] = highs[at] = f4(channels[k])
        low, high = lows[at], highs[at]
        if channels[k] > high:
            highs[at] = f4(channels[k])
        elif channels[k] < low:
            lows[at] = f4(channels[k])
        if k == SPREAD:
            grown = log_of(highs[at] / high) if highs[at] > high else log_of(low / lows[at]) if lows[at] < low else 0.0
            unit = 0.05 * log_of(high / low)
            found.append(0.0 if grown <= 0.0 else grown / unit if grown < unit * 1e6 else 1e6)
        else:
            found.append(broken(low, high, lows[at], highs[at]))
    return found


def conclude(c: Cells, excesses: list[float], n: int) -> int:
    total = 0.0
    for e in excesses:
        total += log_of(1.0 + e) if e > 0.0 else 0.0
    v = total / (c.budget + 0.02)
    c.budget = c.budget + 0.001 * (total - c.budget)
    if n < 2_000_000_000:
        c.count = n + 1
    if n < c.warmup:
        c.alarm, c.score = -1, NAN
        return 0
    ago = min(c.since + 1, 2_000_000_000) if c.since < 2_000_000_000 else c.since
    is_beaten = ago <= c.hold and v <= c.best
    is_muted = ago <= c.mute and c.best >= c.limit
    if v > 0.0 and not is_beaten and not is_muted:
        c.novelty, c.best, ago = v, v, 0
    c.since = ago
    y = 0.99 * c.held
    if v > y:
        y = v
        c.excess = max(excesses)
        c.channel = excesses.index(c.excess) if c.excess > 0.0 else 0
    c.held = c.score = y
    c.alarm = int(y >= c.limit)
    return c.alarm


def reference(columns: Columns, fresh_count: int) -> int:
    alarms = 0
    for row in columns["fresh.row"][:fresh_count]:
        r = columns["tag.committee_row"][row]
        if r < 0:
            continue
        c = Learning(columns, r)
        c.novelty = 0.0
        x, time, n = columns["tag.value"][row], columns["tag.source_time"][row], int(c.count)
        if columns["tag.status"][row] >> 30 != 0 or not math.isfinite(x):
            c.alarm, c.score = -1, NAN
            continue
        x = min(max(x, -1e18), 1e18)
        if n <= 0:
            begin(c, columns, r, x, time)
            continue
        channels, _ = learn(c, columns, x, time)
        alarms += conclude(c, records(c, columns, r, channels), n)
    return alarms


# --- one tag, sample by sample ------------------------------------------------------------------------------------------


class Tag:
    """One tag with a committee, whose state goes on from sample to sample."""

    def __init__(self, *, warmup: int = 64, bins: int = 48, form: str = "aot", start: int = 0) -> None:
        self.time = start
        given = {"fresh.row": [0], "tag.committee_row": [0], "committee.warmup": [warmup], "committee.limit": [6.5]}
        given |= {"committee.hold": [120], "committee.mute": [15], "committee.clock_bins": [bins]}
        self.columns = buffers("committee", given, {"tag": 1, "channel": CHANNELS, "clock": bins, "detector": 1})
        self._judge = kernels(form).bind("committee", self.columns)

    def take(self, x: float, *, after: int = FIVE_MINUTES, status: int = 0) -> dict[str, float]:
        self.time += after
        self.columns["tag.value"][0], self.columns["tag.source_time"][0] = x, self.time
        self.columns["tag.status"][0] = status
        self._judge(1)
        return {name: self.cell(name) for name in ("novelty", "score", "alarm", "channel", "excess")}

    def all(self, values: list[float], *, after: int = FIVE_MINUTES) -> list[dict[str, float]]:
        return [self.take(x, after=after) for x in values]

    def cell(self, name: str) -> float:
        return self.columns[f"{'detector' if name in ('score', 'alarm') else 'committee'}.{name}"][0]

    def state(self) -> dict[str, bytes]:
        return {name: cells.tobytes() for name, cells in self.columns.items() if not name.startswith("tag.")}


def alarms(seen: list[dict[str, float]]) -> list[float]:
    return [one["alarm"] for one in seen]


def noise(count: int, seed: int = 3) -> list[float]:
    rng = random.Random(seed)
    return [20.0 + rng.gauss(0.0, 0.5) for _ in range(count)]


def test_every_form_follows_the_reference_through_an_ordinary_and_an_evil_day() -> None:
    """Steps, gaps, duplicates, a clock that goes back, bad samples, values that no plant has."""
    rng = random.Random(11)
    given = {"fresh.row": [0], "tag.committee_row": [0], "committee.warmup": [20], "committee.limit": [6.5]}
    given |= {"committee.hold": [120], "committee.mute": [15], "committee.clock_bins": [48]}
    columns = filled("committee", given, {"tag": 1, "channel": CHANNELS, "clock": 48, "detector": 1})
    time = 0
    for i in range(400):
        x = 20.0 + 5.0 * math.sin(i / 20.0) + rng.gauss(0.0, 0.3)
        time += FIVE_MINUTES if i % 23 != 22 else rng.choice((-FIVE_MINUTES, 0, -DAY_NS * 3, 9 * DAY_NS, 1))
        if i % 37 == 36:
            x = rng.choice((NAN, math.inf, -math.inf, 1.7e308, -1.7e308, 5e-324, -0.0, 1e16, 400.0))
        columns["tag.value"], columns["tag.source_time"] = [x], [time]
        columns["tag.status"] = [0x80070000 if i % 41 == 40 else 0]
        _, columns = agree("committee", columns, reference, fresh_count=1)
    assert columns["committee.count"][0] > 350


def test_a_level_nobody_has_seen_alarms_and_says_why() -> None:
    tag = Tag()
    seen = tag.all([*noise(400), *[40.0] * 3])
    assert set(alarms(seen[:64])) == {-1}
    assert all(math.isnan(one["score"]) for one in seen[:64])
    assert alarms(seen)[400:] == [1, 1, 1]
    assert (seen[400]["channel"] in (VALUE, SPIKE), seen[400]["excess"] > 50.0) == (True, True)


def test_an_event_starts_once_and_the_score_fades() -> None:
    tag = Tag()
    tag.all(noise(400))
    seen = tag.all([40.0, 41.0, 42.0, *noise(500, seed=4)])
    assert sum(one["novelty"] >= 6.5 for one in seen) == 1
    assert alarms(seen)[-1] == 0
    scores = [one["score"] for one in seen[5:40]]
    assert all(later < earlier for earlier, later in itertools.pairwise(scores))


def test_what_was_seen_before_is_no_news() -> None:
    tag = Tag()
    tag.all([*noise(300), *[40.0] * 60, *noise(500, seed=5)])
    assert set(alarms(tag.all([*[40.0] * 60]))) == {0}


def test_a_value_that_falls_silent_is_news_of_its_spread() -> None:
    tag = Tag(bins=0)
    tag.all(noise(3000))
    seen = tag.all([20.0] * 200)
    assert 1 in alarms(seen)
    assert seen[-1]["channel"] == SPREAD


def test_an_ordinary_value_at_an_unusual_hour_is_news_of_the_clock() -> None:
    def day(peak: int) -> list[float]:
        return [20.0 + 10.0 * math.exp(-(((i - peak) / 24.0) ** 2)) + 0.05 * (i * 7 % 11) for i in range(288)]

    quiet = Tag(bins=0, warmup=288)
    watched = Tag(bins=48, warmup=288)
    for tag in (quiet, watched):
        tag.all(day(96) * 10)
    assert 1 not in alarms(quiet.all(day(200)))
    seen = watched.all(day(200))
    first = next(one for one in seen if one["alarm"] == 1)
    assert first["channel"] in (SEASON, CLOCK)


def test_bad_samples_never_alarm_and_change_nothing() -> None:
    clean, dirty = Tag(), Tag()
    clean.all(noise(200))
    dirty.all(noise(200))
    for x, status in ((900.0, 0x80070000), (900.0, 0x40900000), (NAN, 0), (math.inf, 0)):
        judged = dirty.take(x, after=0, status=status)
        assert (judged["alarm"], math.isnan(judged["score"]), judged["novelty"]) == (-1, True, 0.0)
    assert clean.take(20.0) == dirty.take(20.0)
    assert clean.state() == dirty.state()


def test_one_absurd_sample_does_not_blind_it() -> None:
    tag = Tag()
    tag.all([*noise(400), 1.7e308, *noise(400, seed=7)])
    width = tag.cell("value_high") - tag.cell("value_low")
    assert width < 200.0
    assert alarms(tag.all([tag.cell("value_high") + 2.0 * width])) == [1]


def test_a_constant_never_alarms_until_it_moves() -> None:
    tag = Tag()
    assert set(alarms(tag.all([7.0] * 300))) == {-1, 0}
    assert alarms(tag.all([7.5])) == [1]


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_unit_of_measurement_makes_no_difference(scale: float) -> None:
    near, far = Tag(), Tag()
    values = [*noise(300), 23.0, *noise(100, seed=8), 40.0]
    there = [one["alarm"] for one in far.all([scale * x for x in values])]
    assert there == [one["alarm"] for one in near.all(values)]


def test_a_fast_tag_learns_its_day_as_a_slow_one_does() -> None:
    """The weight of a visit to a bin does not depend on how many samples it brings."""
    slow, fast = Tag(bins=24, start=-SECOND), Tag(bins=24, start=-SECOND)
    for hour in range(24 * 3):
        level = 10.0 + hour % 24
        slow.all([level] * 4, after=900 * SECOND)
        fast.all([level] * 60, after=60 * SECOND)
    assert list(fast.columns["clock.mean"]) == pytest.approx(list(slow.columns["clock.mean"]), abs=1e-3)


def test_a_row_with_count_0_starts_anew_whatever_it_holds() -> None:
    used = Tag()
    used.all(noise(100))
    used.columns["committee.count"][0] = 0
    new = Tag(start=used.time)
    assert [used.take(x) for x in (5.0, 6.0)][1]["alarm"] == [new.take(x) for x in (5.0, 6.0)][1]["alarm"]
    assert used.state() == new.state()


def test_random_and_adversarial_rows() -> None:
    rng = random.Random(31)
    for _ in range(60):
        tags, rows = rng.randint(1, 12), rng.randint(1, 4)
        fresh = rows_of(rng, tags)
        bins = [rng.choice((0, 1, 5)) for _ in range(rows)]
        given = {
            "fresh.row": fresh,
            "tag.value": numbers(rng, tags),
            "tag.status": statuses(rng, tags),
            "tag.source_time": [rng.choice((0, INT_MAX, INT_MIN, rng.randrange(10**18))) for _ in range(tags)],
            "tag.committee_row": [rng.randint(-1, rows - 1) for _ in range(tags)],
            "committee.detector": rng.sample(range(rows), rows),
            "committee.limit": [rng.choice((0.0, 6.5)) for _ in range(rows)],
            "committee.warmup": [rng.choice((0, 2, 60)) for _ in range(rows)],
            "committee.hold": [rng.choice((0, 120)) for _ in range(rows)],
            "committee.mute": [rng.choice((0, 15)) for _ in range(rows)],
            "committee.clock_bins": bins,
            "committee.clock_first": [sum(bins[:r]) for r in range(rows)],
        }
        columns = filled("committee", given, {"channel": CHANNELS * rows, "clock": sum(bins), "detector": rows})
        for _ in range(4):
            columns["tag.value"] = numbers(rng, tags)
            _, columns = agree("committee", columns, reference, fresh_count=len(fresh))


def test_rows_outside_their_tables_are_refused() -> None:
    rows = {"tag": 1, "committee": 1, "channel": CHANNELS, "clock": 4, "detector": 1}
    assert refused("committee", {"fresh.row": [1]}, rows, fresh_count=1) == {-1}
    assert refused("committee", {"fresh.row": [0]}, rows, fresh_count=2) == {-1}
    assert refused("committee", {"fresh.row": [0]}, rows | {"channel": 4}, fresh_count=1) == {-1}
    for r in (1, INT_MAX):
        assert refused("committee", {"fresh.row": [0], "tag.committee_row": [r]}, rows, fresh_count=1) == {-1}
    for d in (1, -1):
        assert refused("committee", {"fresh.row": [0], "committee.detector": [d]}, rows, fresh_count=1) == {-1}
    for first, bins in ((0, 5), (4, 1), (-1, 1), (0, -1), (INT_MAX, 4), (0, INT_MAX)):
        given = {"fresh.row": [0], "committee.clock_first": [first], "committee.clock_bins": [bins]}
        assert refused("committee", given, rows, fresh_count=1) == {-1}, (first, bins)


@pytest.mark.parametrize("form", ["python", "jit"])
def test_the_forms_agree_over_a_long_run(form: str) -> None:
    """Each from its own state: an error of one bit would grow."""
    rng = random.Random(2)
    values = [20.0 + 5.0 * math.sin(i / 46.0) + rng.gauss(0.0, 1.0) + 30.0 * (i % 700 == 699) for i in range(3000)]
    tag, native = Tag(form=form), Tag()
    assert [tag.take(x)["novelty"] for x in values] == [native.take(x)["novelty"] for x in values]
    assert tag.state() == native.state()
