"""The bench of replay, on a recording too short for its figures to mean anything: the form of the report, and no difference."""

from __future__ import annotations

from hil.bench import replay


def test_it_records_replays_and_says_what_snapshots_cost(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = replay.measure(seconds=3, tags=20, repeats=1)
    figures = result["figures"]
    assert figures["differences"] == 0
    assert figures["decisions"] > 5
    assert figures["samples"] > 60
    assert figures["snapshots"] >= 1
    assert {goal["met"] for goal in result["goals"] if goal["goal"].startswith("every")} == {True}
    assert all(figures[name] > 0 for name in ("x_real_time", "capture_p50_ms", "snapshot_kb", "block_kb"))
    assert list(tmp_path.rglob("data.mdb")) == [], "nothing is left behind"
