"""The root: what it imports, how it says no, what its exit codes mean."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gatewayd.cli.main import cli
from tests.control.fake_gateway import FakeGateway, tag

HEAVY = ("asyncio", "asyncua", "lmdb", "numba", "numpy", "gmqtt", "uvloop", "cryptography", "ssl")
EVERY_QUESTION = (
    ("status",),
    ("tags", "list"),
    ("tags", "list", "pump_1.*"),
    ("decisions", "list"),
    ("decisions", "show", "41"),
    ("decisions", "explain", "41"),
    ("override", "list"),
    ("override", "set", "pump_1.speed_sp", "40", "--for", "30m", "--reason", "bearing check"),
    ("override", "clear", "inlet.valve", "--reason", "flushed"),
    ("resume", "--reason", "nothing is held"),
    ("sync", "status"),
)


def loaded_after(statement: str) -> set[str]:
    """Return which heavy modules a fresh interpreter holds after a statement."""
    script = f"{statement}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines()[-1].split() if done.stdout.strip() else ())


def test_importing_the_root_imports_nothing_heavy():
    assert loaded_after("import gatewayd.cli.main, gatewayd.__main__") == set()


def test_help_and_status_import_nothing_heavy(daemon):
    assert loaded_after("from gatewayd.cli.main import run\nrun(['--help'])\nprint()") == set()
    assert loaded_after("from gatewayd.cli.main import run\nassert run(['status']) == 0\nprint()") == set()


def test_the_heavy_modules_would_be_noticed():
    assert loaded_after("import asyncio") == {"asyncio", "ssl"}


def commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    found = []
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None, f"{name} is listed but cannot be loaded"
        found += commands(inner, (*path, name))
    return found


EVERY_COMMAND = commands(cli)


def command_at(path: tuple[str, ...]) -> click.Command:
    command: click.Command | None = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), name)
    assert command is not None
    return command


def test_the_root_offers_every_noun_of_the_product():
    assert {path[0] for path in EVERY_COMMAND} == {
        "init", "run", "status", "tags", "decisions", "override", "journal", "sync", "config", "device", "trust",
        "cloud", "completion", "rules", "replay", "resume",
    }  # fmt: skip


PRINTS_JSON_ANYWAY = ("config", "schema")


@pytest.mark.parametrize("path", [path for path in EVERY_COMMAND if path != PRINTS_JSON_ANYWAY], ids=" ".join)
def test_every_command_takes_json(path):
    assert "as_json" in {option.name for option in command_at(path).params}


@pytest.mark.parametrize("path", [path for path in EVERY_COMMAND if path[0] != "cloud"], ids=" ".join)
def test_every_help_shows_an_example(path, gatewayd):
    said = gatewayd(*path, "--help")
    assert said.code == 0
    assert "Example" in said.out
    assert len(max(said.out.splitlines(), key=len)) <= 100


@pytest.mark.parametrize("question", EVERY_QUESTION, ids=" ".join)
def test_every_answer_comes_as_text_and_as_json(question, gatewayd, daemon):
    as_json = gatewayd(*question, "--json")
    assert (as_json.code, as_json.err) == (0, "")
    assert isinstance(json.loads(as_json.out), dict)
    if question[:2] == ("override", "clear"):
        assert gatewayd("override", "set", "inlet.valve", "1", "--for", "1m", "--reason", "again").code == 0
    as_text = gatewayd(*question)
    assert (as_text.code, as_text.err) == (0, "")
    assert not as_text.out.startswith("{")
    assert len(as_text.out.splitlines()) >= 1
    assert "\x1b" not in as_text.out, "colours belong on a terminal"


def test_the_help_lists_the_exit_codes_and_the_completion(gatewayd):
    said = gatewayd("--help")
    for text in ("8  the daemon cannot be reached", "130  interrupted", 'eval "$(gatewayd completion bash)"', "--json"):
        assert text in said.out


def test_without_a_daemon_the_remedy_says_how_to_start_one(gatewayd, tmp_path):
    said = gatewayd("--socket", str(tmp_path / "none.sock"), "status")
    assert said.code == 8
    assert "cannot be reached: no such file or directory" in said.err
    assert "systemctl start gatewayd" in said.err
    assert "gatewayd run DIR" in said.err


def test_a_stale_socket_says_the_same(gatewayd, tmp_path):
    path = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    said = gatewayd("--socket", str(path), "status")
    assert (said.code, "connection refused" in said.err) == (8, True)


def test_an_error_with_json_is_one_json_object_on_stderr(gatewayd, tmp_path):
    said = gatewayd("--socket", str(tmp_path / "none.sock"), "tags", "list", "--json")
    assert (said.code, said.out) == (8, "")
    assert set(json.loads(said.err)) == {"error", "remedy", "code"}
    assert json.loads(said.err)["code"] == 8


def test_the_daemons_refusal_arrives_with_its_remedy_and_exit_code(gatewayd, daemon):
    said = gatewayd("decisions", "show", "99")
    assert (said.code, said.out) == (9, "")
    assert said.err.startswith("Error: the journal holds no decision 99\nRemedy: ")
    said = gatewayd("decisions", "show", "99", "--json")
    assert json.loads(said.err)["error"] == "the journal holds no decision 99"


@pytest.mark.parametrize(
    "wrong",
    [
        ("statsu",),
        ("decisions", "show", "abc"),
        ("override", "set", "pump_1.speed_sp", "40", "--reason", "no expiry"),
        ("override", "set", "pump_1.speed_sp", "40", "--for", "30m"),
        ("override", "set", "pump_1.speed_sp", "40", "--for", "30", "--reason", "no unit"),
        ("override", "set", "pump_1.speed_sp", "40", "--for", "73h", "--reason", "too long"),
        ("override", "set", "pump_1.speed_sp", "nan", "--for", "30m", "--reason", "not a number"),
        ("override", "set", "pump_1.speed_sp", "40", "--for", "30m", "--reason", "  x "),
        ("override", "set", "pump_1.speed_sp", "40", "--for", "30m", "--reason", "clear \x1b[2J screen"),
        ("override", "set", "p", "40", "--for", "30m", "--reason", "no such name"),
        ("override", "clear", "inlet.valve"),
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_2_and_asks_the_gateway_nothing(wrong, gatewayd, daemon, gateway):
    said = gatewayd(*wrong)
    assert (said.code, said.out) == (2, "")
    assert "Error:" in said.err
    assert json.loads(gatewayd(*wrong, "--json").err)["code"] == 2
    assert gateway.asked == []


def test_negative_values_need_no_special_spelling(gatewayd, daemon, gateway):
    assert gatewayd("override", "set", "tank.trim", "-2.5", "--for", "1h30m", "--reason", "trim").code == 0
    ((request, _),) = gateway.asked
    assert (request.value, request.duration_s) == (-2.5, 5400)


def test_no_color_and_terminals(daemon, tmp_path):
    """On a terminal there are colours, with NO_COLOR there are none. A pseudo-terminal stands for the terminal."""
    assert b"\x1b[" in on_a_terminal({})
    assert b"\x1b[" not in on_a_terminal({"NO_COLOR": "1"})


def on_a_terminal(extra: dict[str, str]) -> bytes:
    primary, secondary = os.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | extra
    subprocess.run(
        [sys.executable, "-m", "gatewayd", "status"], stdout=secondary, env=environment, check=True, timeout=60
    )
    os.close(secondary)
    told = b""
    try:
        while chunk := os.read(primary, 65_536):
            told += chunk
    except OSError:
        pass  # EIO: the other end is closed and everything has been read
    os.close(primary)
    return told


def test_ctrl_c_ends_a_watch_quietly_with_130(daemon):
    with subprocess.Popen(
        [sys.executable, "-m", "gatewayd", "tags", "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as watching:
        try:
            assert watching.stdout is not None
            assert b"pump_1.bearing_temp" in watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            _, told = watching.communicate(timeout=10)
        finally:
            watching.kill()  # nothing happens to one that has ended
    assert (watching.returncode, told.strip()) == (130, b"")


def test_a_reader_that_has_enough_is_no_error(daemon, gateway, monkeypatch):
    """`head` has left by the time the next change is printed."""
    counting = itertools.count()

    async def tags(match: str, limit: int):
        return (tag("plc1/counter", "", float(next(counting))),)

    monkeypatch.setattr(gateway, "tags", tags)
    done = subprocess.run(
        f"{sys.executable} -m gatewayd tags watch --interval-ms 100 | head -n 1", shell=True, capture_output=True,
        timeout=30, check=False,
    )  # fmt: skip
    assert (done.stdout.count(b"\n"), done.stderr) == (1, b"")


def test_the_version_is_told(gatewayd):
    said = gatewayd("--version")
    assert (said.code, said.out) == (0, "gatewayd 0.1.0\n")


def test_the_package_runs_as_a_module(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "gatewayd", "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert FakeGateway.__name__ not in done.stdout
    assert "Exit codes" in done.stdout
