import math
import random

import pytest

from kernels.logarithm import log_of
from tests.kernels.asset_reference import ROWS, SETTLE, asset, ewma, plant, smoothed, usual
from tests.kernels.harness import INT_MAX, NAN, Columns, agree, buffers, filled, kernels, numbers, refused

RIDGE = 1e-3


def triangle(c: Columns, a: int) -> tuple[int, int]:
    return c["asset.factor_first"][a], c["asset.members"][a]


def whitened(c: Columns, a: int, centred: list[float]) -> list[float]:
    """Solve L w = centred; a row of L without a diagonal has no part in it."""
    first, members = triangle(c, a)
    w: list[float] = []
    for i in range(members):
        row = first + i * (i + 1) // 2
        rest = centred[i]
        for j in range(i):
            rest = rest - c["factor.value"][row + j] * w[j]
        diagonal = c["factor.value"][row + i]
        w.append(min(max(rest / diagonal, -1e15), 1e15) if diagonal > 0.0 else 0.0)
    return w


def distance_of(w: list[float]) -> float:
    square = 0.0
    for x in w:
        square += x * x
    return math.sqrt(square / len(w))


def factorise(c: Columns, a: int, covariance: list[list[float]], means: list[float]) -> None:
    first, members = triangle(c, a)
    low = [[0.0] * members for _ in range(members)]
    for i in range(members):
        for j in range(i + 1):
            rest = covariance[i][j] + (RIDGE * covariance[i][i] if i == j else 0.0)
            for k in range(j):
                rest = rest - low[i][k] * low[j][k]
            if i == j:
                least = 1e-12 * abs(means[i])
                low[i][i] = math.sqrt(rest) if covariance[i][i] > least * least and rest > 0.0 else 0.0
            else:
                low[i][j] = rest / low[j][j] if low[j][j] > 0.0 else 0.0
            c["factor.value"][first + i * (i + 1) // 2 + j] = low[i][j]


def learn(c: Columns, a: int) -> None:
    rows, members, kept = c["asset.calibration"][a], c["asset.members"][a], c["asset.samples_first"][a]
    m, settled = c["asset.first"][a], float(rows - SETTLE)
    columns = [
        list(ewma([c["sample.value"][kept + t * members + i] for t in range(rows)], 0.2)) for i in range(members)
    ]
    means = []
    for levels in columns:
        mean = levels[SETTLE] / settled
        for x in levels[SETTLE + 1 :]:
            mean = mean + x / settled
        means.append(mean)
    covariance = [[0.0] * members for _ in range(members)]
    for i in range(members):
        for j in range(i + 1):
            terms = [(columns[i][t] - means[i]) * (columns[j][t] - means[j]) / settled for t in range(SETTLE, rows)]
            total = terms[0]
            for term in terms[1:]:
                total = term + total
            covariance[i][j] = total
    factorise(c, a, covariance, means)
    c["member.mean"][m : m + members] = means
    c["member.fast"][m : m + members] = [levels[-1] for levels in columns]
    whites = [whitened(c, a, [columns[i][t] - means[i] for i in range(members)]) for t in range(rows)]
    c["member.white"][m : m + members] = whites[-1]
    scores = smoothed([distance_of(w) for w in whites])
    c["order.value"][: rows - 60] = sorted(scores[60:])
    c["asset.distance"][a], c["asset.distance_usual"][a], c["asset.distance_ratio"][a] = scores[-1], usual(scores), NAN


def reference(c: Columns, assets: int, pass_number: int) -> int:
    alarms = 0
    for a in range(assets):
        if c["asset.mark"][a] != pass_number:
            continue
        if c["asset.count"][a] == c["asset.calibration"][a]:
            learn(c, a)
            continue
        m, members = c["asset.first"][a], c["asset.members"][a]
        w = whitened(c, a, [c["member.fast"][m + i] - c["member.mean"][m + i] for i in range(members)])
        c["member.white"][m : m + members] = w
        c["asset.distance"][a] += 0.2 * (log_of(1.0 + distance_of(w)) - c["asset.distance"][a])
        is_known = c["asset.distance_usual"][a] > 0.0
        ratio = c["asset.distance"][a] / c["asset.distance_usual"][a] if is_known else 0.0
        score = 0.5 * (c["asset.level_ratio"][a] + ratio)
        least = 0.95 if c["asset.alarm"][a] == 1 else 1.0
        is_over = score >= least * c["asset.limit"][a] or ratio >= least * c["asset.distance_limit"][a]
        c["asset.distance_ratio"][a], c["asset.score"][a], c["asset.alarm"][a] = ratio, score, int(is_over)
        alarms += is_over
        for i in range(m, m + members) if not is_over else ():
            c["member.mean"][i] = c["member.mean"][i] + 0.001 * (c["member.fast"][i] - c["member.mean"][i])
    return alarms


def learnt(rows: list[list[float]]) -> Columns:
    """The columns as `asset_levels` leaves them when the last row has been kept."""
    wanted = filled("asset_distance", {})
    members = {"member": len(rows[0])}
    columns = filled("asset_distance", {n: c for n, c in asset(len(rows[0])).items() if n in wanted}, members)
    columns["sample.value"] = [x for row in rows for x in row]
    columns["asset.count"], columns["asset.mark"] = [ROWS], [1]
    return columns


class Plant:
    """One asset through both kernels."""

    def __init__(self, members: int = 3, form: str = "aot") -> None:
        given = asset(members)
        self.columns = buffers("asset_distance", {n: c for n, c in given.items() if not n.startswith("tag.")})
        self.columns |= {n: c for n, c in buffers("asset_levels", given_for(given)).items() if n not in self.columns}
        self._kernels = [kernels(form).bind(name, self.columns) for name in ("asset_levels", "asset_distance")]
        self._turn = 0

    def take(self, row: list[float], *, status: int = 0) -> tuple[int, float]:
        self._turn += 1
        for tag, x in enumerate(row):
            self.columns["tag.value"][tag] = x
        self.columns["tag.fresh_mark"][0], self.columns["tag.status"][-1] = self._turn, status
        for kernel in self._kernels:
            kernel(1, self._turn)
        return self.columns["asset.alarm"][0], self.columns["asset.distance_ratio"][0]


def given_for(given: Columns) -> Columns:
    wanted = filled("asset_levels", {})
    return {name: cells for name, cells in given.items() if name in wanted}


def test_every_form_learns_and_judges_as_the_reference_does() -> None:
    columns = learnt(plant(ROWS))
    _, columns = agree("asset_distance", columns, reference, assets=1, pass_number=1)
    for turn in range(2, 12):
        columns["asset.mark"], columns["asset.count"] = [turn], [ROWS + turn]
        columns["member.fast"] = [50.0 + 0.2 * turn, 10.0, 3.0 + (1e17 if turn == 9 else 0.0)]
        columns["asset.level_ratio"] = [1.0 if turn < 8 else 1.6]
        _, columns = agree("asset_distance", columns, reference, assets=1, pass_number=turn)


def test_tags_that_part_company_are_far_though_each_is_where_it_was() -> None:
    """The second tag follows the first; here it goes against it, within what both have shown."""
    seen = Plant()
    for row in plant(ROWS):
        seen.take(row)
    sound = max(seen.take(row)[1] for row in plant(200, seed=5))
    apart = [seen.take([a, 10.0 - (b - 10.0), c])[1] for a, b, c in plant(60, seed=6)]
    assert max(apart) > 1.5 * sound
    assert 1 in [seen.take([a, 10.0 - (b - 10.0), c])[0] for a, b, c in plant(60, seed=7)]


def test_the_mean_and_the_factor_are_those_of_the_rows_learnt() -> None:
    rows = plant(ROWS)
    after = dict(learnt(rows))
    reference(after, 1, 1)
    for i in range(3):
        levels = list(ewma([row[i] for row in rows], 0.2))[SETTLE:]
        mean = math.fsum(levels) / len(levels)
        assert after["member.mean"][i] == pytest.approx(mean, rel=1e-9)
        variance = math.fsum((x - mean) ** 2 for x in levels) / len(levels)
        row = after["factor.value"][i * (i + 1) // 2 : i * (i + 1) // 2 + i + 1]
        assert sum(x * x for x in row) == pytest.approx(variance * (1.0 + RIDGE), rel=1e-6)


def test_a_constant_tag_and_a_copy_of_a_tag_do_no_harm() -> None:
    seen = Plant(members=3)
    for a, *_ in plant(ROWS):
        seen.take([a, a, 7.0])
    assert all(seen.take([a, a, 7.0])[1] < 3.0 for a, *_ in plant(50, seed=9))
    assert seen.take([50.0, 50.0, 8.0])[1] < 3.0


def test_bad_samples_never_alarm_and_it_recovers() -> None:
    seen = Plant()
    for row in plant(ROWS):
        seen.take(row)
    for _ in range(20):
        assert seen.take([900.0, 900.0, 900.0], status=0x80070000)[0] == -1
    for _ in range(5):
        seen.take([900.0, 10.0, 3.0])
    assert seen.take([900.0, 10.0, 3.0])[0] == 1
    assert [seen.take(row)[0] for row in plant(400, seed=10)][-1] == 0


def test_an_alarm_ends_only_clearly_under_its_limit() -> None:
    columns = learnt(plant(ROWS))
    reference(columns, 1, 1)
    columns["asset.mark"], columns["asset.count"] = [2], [ROWS + 1]
    columns["member.fast"] = list(columns["member.mean"])
    columns["asset.distance"] = [0.0]
    columns["asset.level_ratio"] = [2 * 1.65 * 0.97]
    for before, after in ((0, 0), (1, 1), (-1, 0)):
        columns["asset.alarm"] = [before]
        _, judged = agree("asset_distance", columns, reference, assets=1, pass_number=2)
        assert judged["asset.alarm"] == [after]


def test_random_and_adversarial_rows() -> None:
    rng = random.Random(31)
    for _ in range(12):
        columns = learnt([[0.0] * 2] * ROWS)
        columns["sample.value"] = [min(max(x, -1e18), 1e18) for x in numbers(rng, 2 * ROWS, finite=True)]
        _, columns = agree("asset_distance", columns, reference, assets=1, pass_number=1)
        columns["asset.count"] = [ROWS + 1]
        columns["member.fast"] = [min(max(x, -1e18), 1e18) for x in numbers(rng, 2, finite=True)]
        agree("asset_distance", columns, reference, assets=1, pass_number=1)


def test_rows_outside_their_tables_are_refused() -> None:
    sound = learnt(plant(ROWS))
    assert refused("asset_distance", sound, assets=2, pass_number=1) == {-1}
    wrong = {
        "asset.first": (-1, 1, INT_MAX),
        "asset.members": (0, 4, INT_MAX),
        "asset.samples_first": (-1, 1, INT_MAX),
        "asset.factor_first": (-1, 1, INT_MAX),
        "asset.calibration": (99, 101, INT_MAX),
    }
    for name, cells in wrong.items():
        for cell in cells:
            assert refused("asset_distance", sound | {name: [cell]}, assets=1, pass_number=1) == {-1}, (name, cell)
