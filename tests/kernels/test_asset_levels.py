import math
import random

from kernels.logarithm import log_of
from tests.kernels.asset_reference import (
    ROWS,
    SETTLE,
    asset,
    clamped,
    ewma,
    far,
    is_usable,
    plant,
    smoothed,
    usual,
)
from tests.kernels.harness import INT_MAX, NAN, Columns, agree, buffers, filled, kernels, numbers, refused, statuses


def middle_and_scale(levels: list[float]) -> tuple[float, float]:
    settled = levels[SETTLE:]
    middle = sorted(settled)[len(settled) // 2]
    scale = 1.4826 * sorted(abs(x - middle) for x in settled)[len(settled) // 2]
    total = squares = 0.0
    for x in settled:
        total += x
    for x in settled:
        squares += (x - total / len(settled)) * (x - total / len(settled))
    scale = max(scale, 0.1 * math.sqrt(squares / len(settled)))
    return middle, 0.0 if scale <= 1e-12 * abs(middle) else scale


def learn(c: Columns, a: int, first: int, members: int) -> None:
    rows, kept = c["asset.calibration"][a], c["asset.samples_first"][a]
    furthest = [0.0] * rows
    for m in range(first, first + members):
        values = [c["sample.value"][kept + t * members + m - first] for t in range(rows)]
        for name, gain in (("fast", 0.2), ("slow", 0.05)):
            levels = list(ewma(values, gain))
            middle, scale = middle_and_scale(levels)
            c[f"member.{name}"][m] = levels[-1]
            c[f"member.{name}_middle"][m], c[f"member.{name}_scale"][m] = middle, scale
            furthest = [max(z, far(x, middle, scale)) for z, x in zip(furthest, levels, strict=True)]
    scores = smoothed(furthest)
    c["order.value"][: rows - 60] = sorted(scores[60:])
    if rows - 60 < rows - SETTLE:  # scratch of the last median deviations, beyond what the scores wrote over
        deviations = sorted(abs(x - c["member.slow_middle"][m]) for x in list(ewma(values, 0.05))[SETTLE:])
        c["order.value"][rows - 60 : rows - SETTLE] = deviations[rows - 60 :]
    c["asset.level"][a], c["asset.level_usual"][a], c["asset.level_ratio"][a] = scores[-1], usual(scores), NAN


def judge(c: Columns, a: int, first: int, members: int) -> None:
    best, c["asset.furthest"][a] = 0.0, c["member.tag"][first]
    for m in range(first, first + members):
        tag = c["member.tag"][m]
        for name, gain in (("fast", 0.2), ("slow", 0.05)):
            level = c[f"member.{name}"][m]
            c[f"member.{name}"][m] = level + gain * (clamped(c["tag.value"][tag]) - level)
        z = max(
            far(c[f"member.{name}"][m], c[f"member.{name}_middle"][m], c[f"member.{name}_scale"][m])
            for name in ("fast", "slow")
        )
        if z > best:
            best, c["asset.furthest"][a] = z, tag
        for name in ("fast", "slow") if c["asset.alarm"][a] != 1 else ():
            middle = c[f"member.{name}_middle"][m]
            reach = 32.0 * c[f"member.{name}_scale"][m]
            c[f"member.{name}_middle"][m] = middle + 0.001 * min(max(c[f"member.{name}"][m] - middle, -reach), reach)
    c["asset.level"][a] += 0.2 * (log_of(1.0 + best) - c["asset.level"][a])
    is_known = c["asset.level_usual"][a] > 0.0
    c["asset.level_ratio"][a] = c["asset.level"][a] / c["asset.level_usual"][a] if is_known else 0.0
    c["asset.z"][a] = best


def reference(c: Columns, assets: int, pass_number: int) -> int:
    judged = 0
    for a in range(assets):
        first, members, rows = c["asset.first"][a], c["asset.members"][a], c["asset.calibration"][a]
        tags = c["member.tag"][first : first + members]
        if pass_number not in [c["tag.fresh_mark"][tag] for tag in tags]:
            continue
        if not all(is_usable(c["tag.value"][tag], c["tag.status"][tag]) for tag in tags):
            c["asset.alarm"][a], c["asset.score"][a] = -1, NAN
            continue
        count = max(c["asset.count"][a], 0)
        c["asset.count"][a] = count + 1
        if count < rows:
            at = c["asset.samples_first"][a] + count * members
            c["sample.value"][at : at + members] = [clamped(c["tag.value"][tag]) for tag in tags]
            c["asset.alarm"][a], c["asset.score"][a] = -1, NAN
            if count + 1 == rows:
                learn(c, a, first, members)
                c["asset.mark"][a] = pass_number
            continue
        judge(c, a, first, members)
        c["asset.mark"][a] = pass_number
        judged += 1
    return judged


class Plant:
    """One asset in one form, row by row."""

    def __init__(self, members: int = 3, form: str = "aot") -> None:
        self.columns = buffers("asset_levels", asset_of(members))
        self._levels = kernels(form).bind("asset_levels", self.columns)
        self._turn = 0

    def take(self, row: list[float], *, status: int = 0) -> float:
        self._turn += 1
        for tag, x in enumerate(row):
            self.columns["tag.value"][tag] = x
        self.columns["tag.fresh_mark"][0] = self._turn
        self.columns["tag.status"][-1] = status
        self._levels(1, self._turn)
        return self.columns["asset.level_ratio"][0]


def asset_of(members: int) -> Columns:
    wanted = filled("asset_levels", {})
    return {name: cells for name, cells in asset(members).items() if name in wanted}


def test_every_form_learns_and_judges_as_the_reference_does() -> None:
    """The last rows of learning, the moment it is done, sound rows, evil ones, and a step."""
    rng = random.Random(8)
    columns = filled("asset_levels", asset_of(3))
    rows = plant(ROWS + 12)
    rows[ROWS + 9 :] = [[1.7e308, -1.7e308, 5e-324], [NAN, 1.0, 1.0], [60.0, 10.0, 3.0]]
    for turn, row in enumerate(rows, start=1):
        columns["tag.value"] = row
        columns["tag.fresh_mark"] = [rng.choice((turn, 0)) for _ in range(2)] + [turn]
        columns["tag.status"] = [0, 0x80070000 if turn % 17 == 16 else 0, 0]
        if turn < ROWS - 3:
            reference(columns, 1, turn)
        else:
            _, columns = agree("asset_levels", columns, reference, assets=1, pass_number=turn)
    assert columns["asset.count"][0] > ROWS


def test_a_step_of_one_tag_stands_out_and_is_named() -> None:
    seen = Plant()
    for row in plant(ROWS):
        seen.take(row)
    sound = [seen.take(row) for row in plant(200, seed=5)]
    step = [seen.take([a, b, c + 5.0]) for a, b, c in plant(20, seed=6)]
    assert step[-1] > 1.5 * max(sound)
    assert (seen.columns["asset.furthest"][0], seen.columns["asset.z"][0] > 50.0) == (2, True)


def test_what_is_usual_follows_a_slow_season_but_not_an_alarm() -> None:
    calm, alarming = Plant(), Plant()
    for row in plant(ROWS):
        calm.take(row)
        alarming.take(row)
    before = calm.columns["member.fast_middle"][2]
    for a, b, c in plant(2000, seed=6):
        calm.take([a, b, c + 1.0])
        alarming.columns["asset.alarm"][0] = 1
        alarming.take([a, b, c + 1.0])
    assert calm.columns["member.fast_middle"][2] - before > 0.8
    assert alarming.columns["member.fast_middle"][2] == before


def test_one_wild_row_taken_before_anything_alarms_does_not_become_what_is_usual() -> None:
    seen = Plant()
    for row in plant(ROWS):
        seen.take(row)
    before = seen.columns["member.slow_middle"][2]
    seen.take([0.0, 0.0, 1e308])
    moved = seen.columns["member.slow_middle"][2] - before
    assert 0.0 < moved <= 0.0321 * seen.columns["member.slow_scale"][2]


def test_a_tag_that_never_moved_is_left_out() -> None:
    seen = Plant(members=2)
    for a, *_ in plant(ROWS):
        seen.take([a, 0.1])
    assert (seen.columns["member.fast_scale"][1], seen.columns["member.slow_scale"][1]) == (0.0, 0.0)
    assert seen.take([50.0, 7.0]) < 1.65


def test_a_row_with_one_bad_tag_is_not_judged_and_not_learnt() -> None:
    seen = Plant()
    for row in plant(ROWS + 5):
        seen.take(row)
    before = [seen.columns[name].tobytes() for name in ("asset.level", "member.fast", "asset.count")]
    seen.take([900.0, 0.0, 0.0], status=0x80070000)
    assert [seen.columns[name].tobytes() for name in ("asset.level", "member.fast", "asset.count")] == before
    assert (seen.columns["asset.alarm"][0], math.isnan(seen.columns["asset.score"][0])) == (-1, True)


def test_an_asset_without_a_fresh_tag_is_left_alone() -> None:
    columns = filled("asset_levels", asset_of(3))
    _, after = agree("asset_levels", columns, reference, assets=1, pass_number=9)
    assert after == columns


def test_random_and_adversarial_rows() -> None:
    rng = random.Random(31)
    for _ in range(12):
        columns = filled("asset_levels", asset_of(2))
        columns["sample.value"] = numbers(rng, 2 * ROWS, finite=True)
        columns["sample.value"] = [min(max(x, -1e18), 1e18) for x in columns["sample.value"]]
        columns["asset.count"] = [rng.choice((ROWS - 1, ROWS, 0, -5))]
        for turn in (1, 2, 3):
            columns["tag.value"], columns["tag.status"] = numbers(rng, 2), statuses(rng, 2) if turn == 2 else [0, 0]
            columns["tag.fresh_mark"] = [turn, 0]
            _, columns = agree("asset_levels", columns, reference, assets=1, pass_number=turn)


def test_rows_outside_their_tables_are_refused() -> None:
    sound = asset_of(3)
    assert refused("asset_levels", sound, assets=2, pass_number=1) == {-1}
    wrong = {
        "asset.first": (-1, 1, INT_MAX),
        "asset.members": (0, 4, INT_MAX),
        "asset.samples_first": (-1, 1, INT_MAX),
        "asset.calibration": (99, 101, INT_MAX),
    }
    for name, cells in wrong.items():
        for cell in cells:
            assert refused("asset_levels", sound | {name: [cell]}, assets=1, pass_number=1) == {-1}, (name, cell)
    assert refused("asset_levels", sound | {"member.tag": [0, 3, 1]}, assets=1, pass_number=1) == {-1}
