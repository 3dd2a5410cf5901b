"""The whole bench on data made up here, small enough to be told by hand."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from hil.bench import __main__ as bench
from hil.bench import anomaly
from hil.bench.processes import BenchError

NAB_FIGURES = {
    "nab_standard",
    "nab_standard_shipped",
    "nab_low_fp",
    "nab_low_fn",
    "nab_vus_pr",
    "nab_standard_clock",
}
SKAB_FIGURES = {"skab_f1", "skab_far", "skab_mar", "skab_mcc", "skab_cp_standard", "skab_f1_always"}
COSTS = {"ns_per_sample", "bytes_per_tag"}


def write_nab(folder) -> None:
    """One day of noise after another at 5 min, one step that is labelled."""
    (folder / "made").mkdir(parents=True)
    values = np.random.default_rng(4).normal(20.0, 1.0, 1200)
    values[900:930] += 30.0
    stamps = [f"2020-01-{1 + row // 288:02} {row % 288 // 12:02}:{row % 12 * 5:02}:00" for row in range(1200)]
    rows = [f"{stamp},{value}" for stamp, value in zip(stamps, values, strict=True)]
    (folder / "made" / "pump.csv").write_text("\n".join(["timestamp,value", *rows]))
    (folder / "windows.json").write_text(json.dumps({"made/pump.csv": [[stamps[890], stamps[940]]]}))


def write_skab(folder) -> None:
    """400 rows to learn from, then 100 sound ones, 100 with a closed valve, 100 sound ones."""
    folder.mkdir()
    values = np.random.default_rng(5).normal(0.0, 1.0, (700, 8))
    values[500:600, 7] += 12.0
    lines = []
    for row, cells in enumerate(values):
        anomaly_, changepoint = int(500 <= row < 600), int(row in (500, 600))
        stamp = f"2020-03-09 10:{row // 60:02}:{row % 60:02}"
        lines.append(";".join([stamp, *map(str, cells), str(anomaly_), str(changepoint)]))
    (folder / "1.csv").write_text("\n".join(["head", *lines]))


def write_tep(folder) -> None:
    folder.mkdir()
    rng = np.random.default_rng(6)
    np.savetxt(folder / "d00.dat", rng.normal(0.0, 1.0, (52, 500)))
    np.savetxt(folder / "d00_te.dat", rng.normal(0.0, 1.0, (300, 52)))
    fault = rng.normal(0.0, 1.0, (300, 52))
    fault[160:, 3] += 15.0
    np.savetxt(folder / "d01_te.dat", fault)


def report(monkeypatch, tmp_path, *sets) -> dict:
    data, target = tmp_path / "data", tmp_path / "report.json"
    data.mkdir()
    for write in sets:
        write(data / write.__name__.removeprefix("write_"))
    words = ["hil.bench", "anomaly", "--quick", "--data", str(data), "--json", str(target)]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(anomaly, "QUICK", anomaly.Size(draws=20, rounds=5, tolerance=10))
    assert bench.main() == 0
    return json.loads(target.read_text())


def test_every_set_that_is_there_is_scored(monkeypatch, tmp_path):
    found = report(monkeypatch, tmp_path, write_nab, write_skab, write_tep)
    figures = found["figures"]
    assert set(figures) >= NAB_FIGURES | SKAB_FIGURES | COSTS | {"tep_fdr", "tep_far"}
    assert figures["nab_standard"] > 90.0
    assert figures["skab_mcc"] > 0.7
    assert figures["tep_fdr"] > 95.0
    assert figures["tep_far"] <= 2.0
    assert set(found["settings"]["data"]) == {"nab", "skab", "tep"}
    assert found["bench"] == "anomaly"


def test_a_set_that_is_not_there_gives_no_figure_and_no_zero(monkeypatch, tmp_path):
    found = report(monkeypatch, tmp_path, write_skab)
    assert [name for name in found["figures"] if name.startswith(("nab", "tep"))] == []
    assert next(row for row in found["goals"] if row["goal"] == "NAB standard")["met"] is None


def test_the_same_data_give_the_same_figures(monkeypatch, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    figures = [report(monkeypatch, tmp_path / name, write_skab)["figures"] for name in ("1", "2")]
    scored = [{name: value for name, value in one.items() if "ns_per" not in name} for one in figures]
    assert scored[0] == scored[1]


def test_a_folder_with_none_of_them_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(BenchError, match="--data"):
        anomaly.run(quick=True, data=tmp_path)


@pytest.mark.parametrize(("words", "said"), [(["anomaly"], "needs --data"), (["journal", "--data", "."], "takes no")])
def test_data_are_for_this_bench_and_it_needs_them(monkeypatch, capsys, words, said):
    monkeypatch.setattr(sys, "argv", ["hil.bench", *words])
    with pytest.raises(SystemExit):
        bench.main()
    assert said in capsys.readouterr().err
