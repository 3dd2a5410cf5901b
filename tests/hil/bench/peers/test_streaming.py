import numpy as np
import pytest

from hil.bench.anomaly import Report
from hil.bench.peers import streaming
from hil.bench.processes import BenchError
from hil.bench.scoring.nab import Series


def series(name: str, rows: int, windows=()) -> Series:
    return Series(name, list(range(rows)), [0.0] * rows, tuple(windows))


def test_a_slow_peer_gets_the_shortest_series_whole():
    given = [series("long", 30_000), series("short", 1_000), series("middle", 15_000)]
    assert [one.name for one in streaming._share("rrcf", given)] == ["short", "middle"]
    assert streaming._share("river_hst", given) == given


def test_a_peer_that_cannot_be_had_is_named_with_the_reason(monkeypatch):
    def environment(name, packages):
        raise BenchError("no network")

    monkeypatch.setattr(streaming, "environment", environment)
    report = Report()
    streaming.add_peers([series("a", 100)], report, quick=True)
    assert report.settings["missing"] == {"river_hst": "no network", "river_gaussian": "no network"}
    assert report.figures == {}


def test_a_peer_is_scored_with_and_without_our_hold_off(monkeypatch):
    """Its score stays up through the window and long after it: without a hold-off that costs it every row."""
    said = np.zeros(400)
    said[200:] = 1.0
    monkeypatch.setattr(streaming, "environment", lambda name, packages: "python")
    monkeypatch.setattr(streaming, "_run", lambda name, python, given: ({"a": said}, 4e-6))
    report = Report()
    streaming._measure("river_hst", ("river",), [series("a", 400, [(200, 219)])], report)
    assert report.figures["ns_per_sample_river_hst"] == pytest.approx(10.0)
    assert report.figures["nab_standard_river_hst"] < 50.0
    assert report.figures["nab_standard_river_hst_held"] > 90.0
