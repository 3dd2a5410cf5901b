"""Decisions as people read them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from gatewayd.journal.keys import create_identity
from gatewayd.model.config import Gateway, GatewayFile, Storage
from gatewayd.model.view import Explanation
from gatewayd.model.wanted import Wanted
from gatewayd.storage import Storage as Opened
from tests.cli.golden import golden
from tests.clock import ManualClock
from tests.control.fake_gateway import EXPLANATION
from tests.core.scenario import FORM
from tests.explain.made import answer, hot


def test_the_list_reads_like_this(gatewayd, daemon):
    golden("cli/decisions_list.txt", gatewayd("decisions", "list").out)


def test_an_explanation_reads_like_this(gatewayd, daemon):
    golden("cli/decisions_explain.txt", gatewayd("decisions", "explain", "41").out)


def test_a_decision_of_a_person_reads_like_this(gatewayd, daemon):
    golden("cli/decisions_show.txt", gatewayd("decisions", "show", "40").out)


def test_json_carries_the_whole_explanation(gatewayd, daemon):
    said = gatewayd("decisions", "explain", "41", "--json").out
    assert msgspec.json.decode(said, type=Explanation) == EXPLANATION


def test_pages_and_points_are_asked_of_the_daemon(gatewayd, daemon):
    assert "inlet.valve" not in gatewayd("decisions", "list", "--limit", "1").out
    assert "pump_1" not in gatewayd("decisions", "list", "--before", "41").out
    assert "pump_1" not in gatewayd("decisions", "list", "--point", "inlet.valve").out
    assert gatewayd("decisions", "list", "--point", "nothing").out == "No decisions match.\n"


def test_whatever_they_have_in_common_is_asked_of_the_daemon(gatewayd, daemon, gateway):
    asked = ("--asset", "pump_1", "--tag", "pump_1.temp", "--rule", "pump_1/hot", "--actor", "1001")
    gatewayd("decisions", "list", *asked, "--since", "1970-01-02", "--until", "1970-01-03", "--limit", "5")
    day_ns = 86_400_000_000_000
    assert gateway.wanted == Wanted(
        asset="pump_1", tag="pump_1.temp", rule="pump_1/hot", actor_uid=1001, since_ns=day_ns, until_ns=2 * day_ns
    )


def test_a_page_is_written_to_a_file(gatewayd, daemon, tmp_path):
    said = gatewayd("decisions", "explain", "41", "--html", str(tmp_path / "41.html"))
    assert (said.code, said.out) == (0, "")
    assert "Wrote " in said.err
    assert "<h1>Decision 41: pump_1.speed_sp</h1>" in (tmp_path / "41.html").read_text()


def test_a_page_that_cannot_be_written_says_so(gatewayd, daemon, tmp_path):
    said = gatewayd("decisions", "explain", "41", "--html", str(tmp_path / "no" / "41.html"))
    assert said.code != 0
    assert "cannot be written" in said.err


def test_a_terminal_of_80_columns_is_enough(gatewayd, daemon):
    lines = gatewayd("decisions", "explain", "41").out.splitlines()
    assert [line for line in lines if len(line) > 80] == []


def test_the_store_is_read_where_the_daemon_is_stopped(gatewayd, stopped):
    """No daemon, no socket: the storage folder alone."""
    folder, decision_id = stopped
    said = gatewayd("decisions", "explain", str(decision_id), "--storage", str(folder))
    assert said.code == 0
    assert "pump.speed was set to 40" in said.out
    found = gatewayd("decisions", "explain", str(decision_id), "--storage", str(folder), "--json").out
    assert msgspec.json.decode(found, type=Explanation).account.trends[0].source == "evidence"
    assert "holds no decision 999" in gatewayd("decisions", "explain", "999", "--storage", str(folder)).err


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, int]:
    """The storage of a gateway that made one decision and stopped."""
    monkeypatch.setenv("GATEWAYD_KERNELS", FORM)
    create_identity(tmp_path, "test.example/gw/one")
    config = GatewayFile(gateway=Gateway(name="test.example/gw/one"), storage=Storage(path=str(tmp_path), quota_mb=16))

    async def run() -> int:
        storage = Opened.open(config, ManualClock())
        plant = await hot(storage)
        await answer(storage, plant)
        storage.close()
        return plant.decisions[0].decision_id

    return tmp_path, asyncio.run(run())
