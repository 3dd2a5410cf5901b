"""What the detectors of an asset say together, as a row of table tag that rules and evidence read like any other."""

from __future__ import annotations

from kernels.columns import F8, I8
from kernels.status import NAN
from kernels.table import ASSET_DISTANCE_BIT, ASSET_LEVELS_BIT, ERROR_BOUNDS

_BAD = 0x80000000


def asset_verdict(
    asset_row: I8,
    asset_mark: I8,
    asset_limit: F8,
    asset_level_ratio: F8,
    asset_distance_ratio: F8,
    asset_score: F8,
    asset_alarm: I8,
    value: F8,
    status: I8,
    source_time: I8,
    ingest_time: I8,
    ingest_mono: I8,
    processing_time: I8,
    sequence: I8,
    fresh_mark: I8,
    anomaly: I8,
    anomaly_score: F8,
    fresh: I8,
    assets: int,
    fresh_count: int,
    now: int,
    now_mono: int,
    pass_number: int,
    asset_size: int,
    tag_size: int,
    fresh_size: int,
) -> int:
    """Write the verdict of every asset that was judged in this pass, or no longer knows, into its row and list it as fresh.

    The asset's columns are (asset_size,), `fresh` (fresh_size,), the others (tag_size,); `row` is the asset's in table tag.
    `anomaly` is -1 while the asset does not know, 0 without an alarm. With one it has bit 32 (levels) when `level_ratio` is
    the greater of the two ratios or reaches `limit`, and bit 33 (distance) when `distance_ratio` does, so always one of
    them. `value` and `anomaly_score` are the score, `status` Good, or Bad while it does not know. `now` (wall ns) and
    `now_mono` (boot-clock ns) stamp the row.

    Returns:
        The new count of rows on the fresh list; ERROR_BOUNDS when a row is outside its table or the list is full.
    """
    if assets < 0 or assets > asset_size or fresh_count < 0 or fresh_count > fresh_size:
        return ERROR_BOUNDS
    for a in range(assets):
        row = asset_row[a]
        if row < 0 or row >= tag_size:
            return ERROR_BOUNDS
        mask = -1
        score = NAN
        if asset_alarm[a] >= 0:
            if asset_mark[a] != pass_number:
                continue
            mask = 0
            score = asset_score[a]
            if asset_alarm[a] != 0:
                level = asset_level_ratio[a]
                distance = asset_distance_ratio[a]
                if level >= distance or level >= asset_limit[a]:
                    mask = mask | (1 << ASSET_LEVELS_BIT)
                if distance > level or distance >= asset_limit[a]:
                    mask = mask | (1 << ASSET_DISTANCE_BIT)
        elif anomaly[row] == -1:
            continue
        if fresh_count >= fresh_size:
            return ERROR_BOUNDS
        value[row] = score
        status[row] = 0
        if mask < 0:
            status[row] = _BAD
        source_time[row] = now
        ingest_time[row] = now
        ingest_mono[row] = now_mono
        processing_time[row] = now
        sequence[row] += 1
        fresh_mark[row] = pass_number
        anomaly[row] = mask
        anomaly_score[row] = score
        fresh[fresh_count] = row
        fresh_count += 1
    return fresh_count
