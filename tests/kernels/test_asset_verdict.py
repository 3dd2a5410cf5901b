import random

from kernels.table import ASSET_DISTANCE_BIT, ASSET_LEVELS_BIT
from tests.kernels.harness import INT_MAX, NAN, Columns, agree, refused

LEVELS, DISTANCE = 1 << ASSET_LEVELS_BIT, 1 << ASSET_DISTANCE_BIT
NOW, MONO, PASS = 1_750_000_000_000_000_000, 5_000, 9
SCALARS = {"now": NOW, "now_mono": MONO, "pass_number": PASS}


def reference(columns: Columns, assets: int, fresh_count: int, now: int, now_mono: int, pass_number: int) -> int:
    for a in range(assets):
        row, alarm = columns["asset.row"][a], columns["asset.alarm"][a]
        is_judged = alarm >= 0 and columns["asset.mark"][a] == pass_number
        is_lost = alarm < 0 and columns["tag.anomaly"][row] != -1
        if not is_judged and not is_lost:
            continue
        level, distance = columns["asset.level_ratio"][a], columns["asset.distance_ratio"][a]
        limit = columns["asset.limit"][a]
        mask = LEVELS * (level >= distance or level >= limit) + DISTANCE * (distance > level or distance >= limit)
        columns["tag.anomaly"][row] = -1 if is_lost else mask * (alarm == 1)
        score = NAN if is_lost else columns["asset.score"][a]
        columns["tag.value"][row] = columns["tag.anomaly_score"][row] = score
        columns["tag.status"][row] = 0x80000000 * is_lost
        for name in ("source_time", "ingest_time", "processing_time"):
            columns[f"tag.{name}"][row] = now
        columns["tag.ingest_mono"][row], columns["tag.fresh_mark"][row] = now_mono, pass_number
        columns["tag.sequence"][row] += 1
        columns["fresh.row"][fresh_count] = row
        fresh_count += 1
    return fresh_count


def given(**changes: list[float]) -> Columns:
    """Five assets behind two tags: at rest, levels, distance, both, and one that no longer knows."""
    columns: Columns = {
        "asset.row": [2, 3, 4, 5, 6],
        "asset.mark": [PASS, PASS, PASS, PASS, 3],
        "asset.limit": [1.65] * 5,
        "asset.level_ratio": [0.9, 3.0, 1.0, 2.0, 0.9],
        "asset.distance_ratio": [0.8, 1.2, 2.6, 1.9, 0.9],
        "asset.score": [0.85, 2.1, 1.8, 1.95, NAN],
        "asset.alarm": [0, 1, 1, 1, -1],
        "tag.anomaly": [-1, -1, -1, -1, -1, -1, 0],
        "fresh.row": [1] + [0] * 6,
    }
    return columns | {name.replace("_", ".", 1): cells for name, cells in changes.items()}


def test_a_verdict_tells_levels_from_distance_and_knowing_from_not_knowing() -> None:
    result, after = agree("asset_verdict", given(), reference, assets=5, fresh_count=1, **SCALARS)
    assert result == 6
    assert after["tag.anomaly"][2:] == [0, LEVELS, DISTANCE, LEVELS | DISTANCE, -1]
    assert after["tag.status"][2:] == [0, 0, 0, 0, 0x80000000]
    assert after["fresh.row"] == [1, 2, 3, 4, 5, 6, 0]


def test_an_asset_that_took_no_row_says_nothing_again() -> None:
    resting = given(asset_mark=[8] * 5, tag_anomaly=[-1] * 7)
    result, after = agree("asset_verdict", resting, reference, assets=5, fresh_count=1, **SCALARS)
    assert result == 1
    assert after["tag.sequence"] == [0] * 7


def test_random_assets() -> None:
    rng = random.Random(4)
    for _ in range(60):
        count = rng.randint(0, 6)
        columns: Columns = {
            "asset.row": rng.sample(range(3, 3 + count), count),
            "asset.mark": [rng.choice((PASS, 8)) for _ in range(count)],
            "asset.limit": [rng.choice((1.65, 1.0)) for _ in range(count)],
            "asset.level_ratio": [rng.choice((0.0, 1.0, 1.65, 3.0, NAN)) for _ in range(count)],
            "asset.distance_ratio": [rng.choice((0.0, 1.0, 1.65, 3.0)) for _ in range(count)],
            "asset.score": [rng.uniform(0, 3) for _ in range(count)],
            "asset.alarm": [rng.randint(-1, 1) for _ in range(count)],
            "tag.anomaly": [rng.choice((-1, 0, LEVELS)) for _ in range(3 + count)],
            "fresh.row": [0] * (3 + count),
        }
        agree("asset_verdict", columns, reference, assets=count, fresh_count=rng.randint(0, 3), **SCALARS)


def test_rows_outside_their_tables_and_a_full_list_are_refused() -> None:
    sound = {"asset.row": [0], "asset.mark": [PASS], "fresh.row": [0], "tag.anomaly": [0]}
    for row in (-1, 1, INT_MAX):
        assert refused("asset_verdict", sound | {"asset.row": [row]}, assets=1, fresh_count=0, **SCALARS) == {-1}
    for assets, fresh in ((2, 0), (-1, 0), (1, -1), (1, 2), (1, 1)):
        assert refused("asset_verdict", sound, assets=assets, fresh_count=fresh, **SCALARS) == {-1}
