"""The form of a bench's report, on runs too short for their figures to mean anything."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path

from hil.bench import __main__ as bench
from hil.bench import bus, journal, loop

ROOT = Path(__file__).resolve().parents[2]
PART_S = 0.1
JOURNAL_FIGURES = {"durable_per_s_batch1", "durable_per_s_batch10", "durable_per_s_batch100"}
LOOP_FIGURES = {
    "decision_latency_p50_ms",
    "decision_latency_p99_ms",
    "fsync_p99_ms",
    "cycle_ms_10k_changed",
    "rss_mb_idle",
    "rss_mb_1k",
    "rss_mb_10k",
    "start_to_first_decision_s",
}


def report(monkeypatch, tmp_path, name: str) -> dict:
    """Run a bench as a person would, and read the file that it leaves."""
    target = tmp_path / "not" / "there" / "yet.json"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["hil.bench", name, "--quick", "--json", str(target)])
    assert bench.main() == 0
    return json.loads(target.read_text())


def assert_is_a_report(found: dict, name: str, figures: set[str]) -> None:
    assert set(found) == {"bench", "figures", "settings", "machine", "commit"}
    assert found["bench"] == name
    assert figures <= set(found["figures"])
    assert all(isinstance(value, int | float) and value >= 0 for value in found["figures"].values())
    assert set(found["machine"]) >= {"arch", "cpu", "cores", "kernel", "python"}
    assert found["commit"]
    assert found["settings"]


def test_the_journal_bench_reports_its_figures_and_cleans_up(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(journal, "WARM_UP", 0)
    for part in ("_fsync_ms", "_commit_ms", "_busy_ms"):
        measured = getattr(journal, part)
        monkeypatch.setattr(journal, part, lambda *where, measured=measured: measured(*where[:-1], PART_S))

    found = report(monkeypatch, tmp_path, "journal")

    assert_is_a_report(found, "journal", JOURNAL_FIGURES)
    assert all(found["figures"][name] > 0 for name in JOURNAL_FIGURES)
    printed = capsys.readouterr().out
    assert [name for name in found["figures"] if name not in printed] == []
    assert list(tmp_path.rglob("*.mdb")) == []


def test_the_loop_bench_reports_its_figures_and_cleans_up(monkeypatch, tmp_path, capsys):
    """One short life of a real daemon stands for all those that the bench would start."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    measure, cycle_ms, fsync_ms = loop.measure, loop.cycle_ms, loop.fsync_ms
    measured = functools.cache(lambda port: measure(port, tags=20, seconds=1.0))
    monkeypatch.setattr(loop, "measure", lambda port, **_: measured(port))
    monkeypatch.setattr(loop, "cycle_ms", lambda tags, repeat: cycle_ms(100, repeat=2))
    monkeypatch.setattr(loop, "fsync_ms", lambda count: fsync_ms(20))

    found = report(monkeypatch, tmp_path, "loop")

    assert_is_a_report(found, "loop", LOOP_FIGURES)
    assert found["settings"]["decisions_measured"] > 0
    printed = capsys.readouterr().out
    assert [name for name in found["figures"] if name not in printed] == []
    assert list(tmp_path.rglob("*.mdb")) == []


def test_the_bus_figure_is_a_share():
    """Two runs too short to mean anything, since a scan that is late at their end does not count."""
    assert 0.0 <= bus.dead_unit_scan_loss_pct(seconds=2.0) <= 100.0
