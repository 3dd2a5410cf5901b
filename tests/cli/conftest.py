"""A daemon to talk to, and a command line in this process whose output can be read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gatewayd.cli.main import run
from gatewayd.clock import SystemClock
from tests.control.fake_gateway import NOW_NS, FakeGateway
from tests.control.serving import Served, serving


class StoppedWall(SystemClock):
    """Wall time stands still, so that ages are part of the expected text; watches still run."""

    def wall_ns(self) -> int:
        return NOW_NS


class Said(NamedTuple):
    code: int
    out: str
    err: str


Gatewayd = Callable[..., Said]


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The reader's time zone, width and colours are part of the output: fix them."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def daemon(gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with serving(gateway, tmp_path / "control.sock", clock=StoppedWall()) as served:
        monkeypatch.setenv("GATEWAYD_SOCKET", str(served.path))
        yield served


@pytest.fixture
def gatewayd(capsys: pytest.CaptureFixture[str]) -> Gatewayd:
    """Run one command line; return its exit code and what it said."""

    def call(*arguments: str) -> Said:
        code = run(list(arguments))
        told = capsys.readouterr()
        return Said(code, told.out, told.err)

    return call
