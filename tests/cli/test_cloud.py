"""`gatewayd cloud`: what a person or a script sees."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner
from deltalake import write_deltalake

from gatewayd.cli.cloud import cloud
from gatewayd.cloud.ledger import Run
from gatewayd.cloud.table import JournalTable
from hil.ports import free_port
from tests.broker import running_broker
from tests.sync.outbound import leaf

KEY = ("plant/a", "journal", 1)
PROGRAM = "from gatewayd.cli.cloud import cloud; cloud()"


def invoke(*arguments: object):
    return CliRunner().invoke(cloud, [str(argument) for argument in arguments])


def fill(folder, first: int, count: int) -> None:
    table = JournalTable(folder)
    rows = table._rows([Run(KEY, first, [leaf(seq) for seq in range(first, first + count)])], 0)
    write_deltalake(table._table, rows, mode="append")


def test_check_of_an_exact_table_exits_0(tmp_path):
    fill(tmp_path, 0, 5)
    result = invoke("check", "--table", tmp_path)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "plant/a journal epoch 1: 5 records up to 5, 0 doubled, 0 missing",
        "5 records, 0 doubled, 0 missing: exact",
    ]


def test_check_exits_1_on_a_doubled_or_missing_record_and_says_so_in_json(tmp_path):
    fill(tmp_path, 0, 5)
    fill(tmp_path, 4, 1)
    fill(tmp_path, 7, 1)
    result = invoke("check", "--table", tmp_path, "--json")
    report = json.loads(result.output)
    assert result.exit_code == 1
    assert (report["rows"], report["duplicates"], report["gaps"]) == (7, 1, 2)


def test_check_without_a_table_says_what_to_do(tmp_path):
    result = invoke("check", "--table", tmp_path / "none")
    assert result.exit_code == 4
    assert "remedy: " in result.output


def test_plain_mqtt_needs_a_name(tmp_path):
    result = invoke("collect", "--broker", "127.0.0.1", "--table", tmp_path, "--json")
    assert result.exit_code == 1
    assert "accepted-by=NAME" in json.loads(result.output)["remedy"]


def test_without_the_cloud_packages_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "deltalake", None)
    result = invoke("check", "--table", tmp_path)
    assert result.exit_code == 1
    assert "pip install 'gatewayd[cloud]'" in result.output


def test_the_command_line_itself_loads_neither_deltalake_nor_gmqtt():
    script = "import sys, gatewayd.cli.cloud; print([m for m in ('deltalake', 'gmqtt', 'arro3') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


def collect(folder, port: int, *options: str) -> subprocess.Popen[str]:
    arguments = ["collect", "--broker", "127.0.0.1", "--port", str(port), "--table", str(folder)]
    command = [sys.executable, "-c", PROGRAM, *arguments, "--insecure", "accepted-by=test", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_collect_says_when_it_is_ready_and_stops_cleanly_on_a_signal(tmp_path, number):
    with running_broker() as broker, collect(tmp_path, broker.port) as process:
        assert process.stdout.readline().startswith(f"collector ready: broker 127.0.0.1:{broker.port}, table ")
        process.send_signal(number)
        assert process.wait(10) == 0
        assert process.stdout.read().splitlines() == ["stopped: 0 records (none yet)"]


def test_collect_without_a_broker_says_why_it_waits_and_still_stops(tmp_path):
    with collect(tmp_path, free_port(), "--json") as process:
        waiting = json.loads(process.stdout.readline())
        assert (waiting["event"], waiting["connected"]) == ("waiting", False)
        assert "Start the broker" in waiting["last_error"]
        process.terminate()
        assert process.wait(10) == 0
