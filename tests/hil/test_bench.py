"""The form of a bench's report, on runs too short for their figures to mean anything."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gatewayd.compiled import load_kernels
from hil.bench import __main__ as bench
from hil.bench import blocks, bus, goals, journal, kernels, loop, modbus, notifications, opcua
from hil.bench.kernel_load import KernelLoad
from hil.bench.peers import measured, nodered, thingsboard
from hil.bench.peers.peer import Task
from hil.bench.peers.sink import Sink
from hil.bench.processes import BenchError, Run
from hil.bench.rounds import run_rounds
from tests.foreign.availability import require
from tests.foreign.libmodbus.build import build_server as build_libmodbus
from tests.foreign.node_opcua.build import Node
from tests.foreign.node_opcua.build import build_server as build_node_opcua

ROOT = Path(__file__).resolve().parents[2]
PART_S = 0.1
JOURNAL_FIGURES = {
    "durable_per_s_batch1",
    "durable_per_s_batch10",
    "durable_per_s_batch100",
    "bytes_per_record",
    "bytes_per_sample",
    "verify_per_s",
    "verify_per_s_one_process",
    "export_per_s",
    "list_ms_50k",
    "list_worst_ms_50k",
    "block_bytes_per_sample",
    "block_cpu_us_per_sample",
}
KERNEL_FIGURES = {
    "ns_per_tag_decode_10k",
    "ns_per_tag_contract_10k",
    "ns_per_tag_detect_10k",
    "ns_per_tag_detect_100k",
    "ns_per_tag_ewma_10k_python",
    "call_overhead_us",
}
LOOP_FIGURES = {
    "decision_latency_p50_ms",
    "decision_latency_p99_ms",
    "fsync_p99_ms",
    "cycle_ms_10k_changed",
    "rss_mb_idle",
    "rss_mb_1k",
    "rss_mb_10k",
    "start_to_first_decision_s",
    "start_to_first_decision_10k_s",
}
MODBUS_FIGURES = {
    "tags_per_s",
    "tags_per_s_pymodbus",
    "tags_per_s_libmodbus",
    "cpu_us_per_tag",
    "cpu_us_per_tag_pymodbus",
    "requests_per_scan",
    "lateness_p99_ms_1000x30",
    "ratio_to_pipelined",
}
OPCUA_FIGURES = {
    "values_per_s",
    "values_per_s_asyncua",
    "cpu_us_per_value",
    "cpu_us_per_value_asyncua",
    "values_per_s_100_nodes",
    "values_per_s_10000_nodes",
    "values_per_s_asyncua_server",
}
CHANGING = 200  # nodes
TINY = {"rounds": 1, "seconds": 0.2, "steady_s": 1.0, "warm_up_s": 0.5}


def report(monkeypatch, tmp_path, name: str) -> dict:
    """Run a bench as a person would, and read the file that it leaves."""
    target = tmp_path / "not" / "there" / "yet.json"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["hil.bench", name, "--quick", "--json", str(target)])
    assert bench.main() == 0
    return json.loads(target.read_text())


def assert_is_a_report(found: dict, name: str, figures: set[str]) -> None:
    assert set(found) - {"goals"} == {"bench", "figures", "settings", "machine", "commit"}
    assert found["bench"] == name
    assert figures <= set(found["figures"])
    differences = {name for name in found["figures"] if "_over_" in name}  # of two quantiles: either may be the greater
    wrong = {name for name, value in found["figures"].items() if not isinstance(value, int | float) or value < 0}
    assert wrong <= differences
    assert set(found["machine"]) >= {"arch", "cpu", "cores", "kernel", "python"}
    assert found["commit"]
    assert found["settings"]


def test_the_journal_bench_reports_its_figures_and_cleans_up(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(journal, "WARM_UP", 0)
    for part in ("_fsync_ms", "_commit_ms", "_busy_ms"):
        measured = getattr(journal, part)
        monkeypatch.setattr(journal, part, lambda *where, measured=measured: measured(*where[:-1], PART_S))
    kept, bytes_per_sample = journal._kept, journal.bytes_per_sample
    monkeypatch.setattr(journal, "_kept", lambda path, pairs: kept(path, 200))
    monkeypatch.setattr(journal, "bytes_per_sample", lambda *, tags, seconds: bytes_per_sample(tags=tags, seconds=1.0))
    monkeypatch.setattr(blocks, "LARGE_TAGS", 1_000)
    monkeypatch.setattr(journal, "QUICK_SIZES", {"50k": 2_000})
    monkeypatch.setattr(journal, "SAMPLED_TAGS", 10)

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
    monkeypatch.setattr(loop, "fsync_ms", lambda count, **_: fsync_ms(20))

    found = report(monkeypatch, tmp_path, "loop")

    assert_is_a_report(found, "loop", LOOP_FIGURES)
    assert found["settings"]["decisions_measured"] > 0
    printed = capsys.readouterr().out
    assert [name for name in found["figures"] if name not in printed] == []
    assert list(tmp_path.rglob("*.mdb")) == []


def test_the_kernel_bench_reports_its_figures(monkeypatch, tmp_path):
    monkeypatch.setattr(kernels, "SIZES", {10: "100", 20: "1k", 130: "10k", 260: "100k"})
    monkeypatch.setattr(kernels, "PASSES_MAX", 3)
    monkeypatch.setattr(kernels, "_jit_is_kept", lambda: False)
    monkeypatch.setattr(kernels, "BESIDE", {"rule_load_of_nobody": "rule_figures"})
    found = report(monkeypatch, tmp_path, "kernels")
    assert_is_a_report(found, "kernels", KERNEL_FIGURES)
    assert found["settings"]["forms"] == ["aot", "python"]
    assert found["figures"]["ns_per_tag_detect_10k"] < found["figures"]["ns_per_tag_detect_10k_python"]


def test_the_kernel_bench_takes_up_the_figures_of_its_neighbours(monkeypatch):
    neighbour = SimpleNamespace(rule_figures=lambda quick: {"ns_per_rule_10k": 1.0 if quick else 2.0})
    monkeypatch.setitem(sys.modules, "hil.bench.rule_load", neighbour)
    monkeypatch.setattr(kernels.importlib.util, "find_spec", lambda name: name.endswith("rule_load") or None)
    assert kernels._beside(quick=True) == {"ns_per_rule_10k": 1.0}


def test_every_sample_of_the_kernel_bench_is_good_and_reaches_every_kernel():
    """A bench of samples that are refused at the door would be fast."""
    load = KernelLoad(load_kernels("python"), 130)
    for _ in range(3):
        load.arrive()
        counts = {name: call() for name, call in load.calls().items()}
        expected = {"decode_modbus_registers": 130, "decode_opcua": 130, "scale": 130, "window_update": 130}
        assert counts == {"judge": 0, "ewma": 0, "cusum": 0, "verdict": 0} | expected
        assert set(load.columns["tag.status"]) == {0}
    assert {load.columns[f"{name}.count"][129] for name in ("ewma", "cusum", "window")} == {3}
    assert load.columns["tag.value"][1] == 0.5 * (20 + 1 + 3)


def test_the_bus_figure_is_a_share():
    """Two runs too short to mean anything, since a scan that is late at their end does not count."""
    assert 0.0 <= bus.dead_unit_scan_loss_pct(seconds=2.0) <= 100.0


def test_the_modbus_bench_reports_its_figures(monkeypatch, tmp_path, capsys):
    """Every client and every part of the real bench, over a few hundred tags."""
    require(build_libmodbus)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    size = modbus.Size(
        **TINY,
        tags=300,
        steady_devices=2,
        steady_tags=200,
        devices=8,
        device_tags=30,
        late_s=1.0,
        bus_s=2.0,
        peer_tags=1,
        peer_s=0,
    )
    monkeypatch.setattr(modbus, "QUICK", size)

    found = report(monkeypatch, tmp_path, "modbus")

    assert_is_a_report(found, "modbus", MODBUS_FIGURES)
    assert found["figures"]["requests_per_scan"] == 3
    assert {row["goal"] for row in found["goals"]} == {goal.what for goal in modbus.GOALS}
    assert "goals" in capsys.readouterr().out


def test_the_opcua_bench_reports_its_figures(monkeypatch, tmp_path, capsys):
    require(build_node_opcua)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(opcua, "QUICK", opcua.Size(**TINY, tags=200, asyncua_server_tags=100, settle_s=0.5))
    monkeypatch.setattr(notifications, "CHANGING", CHANGING)
    changing_server = functools.partial(notifications.changing_server, CHANGING)
    monkeypatch.setattr(notifications, "changing_server", changing_server)

    found = report(monkeypatch, tmp_path, "opcua")

    assert_is_a_report(found, "opcua", OPCUA_FIGURES)
    assert {row["goal"] for row in found["goals"]} == {goal.what for goal in opcua.GOALS}
    assert "goals" in capsys.readouterr().out


def test_peers_are_for_the_field_benches_only(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["hil.bench", "journal", "--peers"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "journal has no peers" in capsys.readouterr().err


def test_a_peer_that_cannot_be_had_is_reported_with_the_reason(monkeypatch):
    require(build_libmodbus)

    def nothing(*_):
        raise BenchError("no such package")

    monkeypatch.setattr(measured, "PEERS", (("thingsboard", nothing), ("nodered", nothing)))
    figures, settings = {}, {}
    measured.add_peers("modbus", 100, 0.1, figures, settings)
    assert figures == {}
    assert settings["missing"] == {"thingsboard": "no such package", "nodered": "no such package"}


@pytest.mark.parametrize("protocol", ["modbus", "opcua"])
def test_every_peer_is_told_to_read_every_tag(monkeypatch, tmp_path, protocol):
    monkeypatch.setattr(thingsboard, "thingsboard", lambda: Path("python"))
    monkeypatch.setattr(nodered, "node_red", lambda: (Node("node", ("npm",)), tmp_path))
    task = Task(protocol, (5020, 5021), 2500, 2, 1883)

    peers = [make(tmp_path, task) for make in (thingsboard.make, nodered.make)]

    connectors = json.loads((tmp_path / "config" / "tb_gateway.json").read_text())["connectors"]
    assert [connector["configuration"] for connector in connectors] == [f"{protocol}0.json", f"{protocol}1.json"]
    flow = json.loads((tmp_path / f"{protocol}.json").read_text())
    ids = {node["id"] for node in flow}
    assert {target for node in flow for wire in node.get("wires", ()) for target in wire} <= ids
    assert sum(node["type"] in ("modbus-read", "OpcUa-Client") for node in flow) == 2 * (
        20 if protocol == "modbus" else 3
    )
    assert sum(int(node.get("quantity", 0)) for node in flow) == (5000 if protocol == "modbus" else 0)
    assert all(peer.settings for peer in peers)


def test_a_sample_that_arrives_twice_counts_once():
    sink = Sink("thingsboard")
    said = json.dumps({"plc0": [{"ts": 1, "values": {"v0": 1, "v1": 2}}]}).encode()
    later = json.dumps({"plc0": [{"ts": 2, "values": {"v0": 1}}]}).encode()
    for payload in (said, said, later):
        sink.take(None, "v1/gateway/telemetry", payload, 1, None)
    assert (sink.values, len(sink.newest)) == (3, 2)


def test_a_goal_is_met_missed_or_not_measured():
    wanted = (
        goals.floor("fast", "ours", "theirs", 8),
        goals.ceiling("cheap", "ours", "", 5),
        goals.floor("beside none", "ours", "missing", 8),
    )
    rows = goals.judged(wanted, {"ours": 16.0, "theirs": 2.0})
    assert [(row["reached"], row["met"]) for row in rows] == [(8.0, True), (16.0, False), (None, None)]


def test_rounds_compare_clients_within_a_round():
    """A busy minute of the machine slows both sides of a ratio."""
    walls = iter([1.0, 2.0, 20.0, 10.0, 1.0, 2.0])
    order = []

    def client(name):
        order.append(name)
        return Run(tags=100, wall_s=next(walls), cpu_s=1.0, requests=1)

    rounds = run_rounds({"ours": lambda: client("ours"), "theirs": lambda: client("theirs")}, 3)
    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert rounds.ratio("ours", "theirs", "tags_per_s") == 2.0
    assert rounds.median("ours", "wall_s") == 1.0
