"""The structured log."""

from __future__ import annotations

import io
import json

from gatewayd.model.decision import Reason
from gatewayd.observe.events import EventLog, for_stderr
from tests.clock import ManualClock


def log_of(**settings) -> tuple[EventLog, io.StringIO, ManualClock]:
    stream, clock = io.StringIO(), ManualClock()
    return EventLog(clock, stream, **settings), stream, clock


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_time_name_and_fields():
    log, stream, _ = log_of()
    log.event("device_lost", level="warning", device="plc1", tries=3, reason=Reason.INPUTS_LOST, latency=float("nan"))
    assert lines(stream) == [
        {
            "time": "2025-06-15T15:06:40.000+00:00",
            "event": "device_lost",
            "level": "warning",
            "device": "plc1",
            "tries": 3,
            "reason": "inputs_lost",
            "latency": None,
        }
    ]


def test_line_breaks_in_a_field_cannot_forge_a_line():
    log, stream, _ = log_of()
    log.event("device_lost", error='x\n{"event": "all_well"}')
    assert len(stream.getvalue().splitlines()) == 1
    readable, stream, _ = log_of(readable=True)
    readable.event("device_lost", error="x\nall_well\x1b[2J")
    assert stream.getvalue() == "15:06:40.000 device_lost error='x all_well [2J'\n"


def test_a_field_cannot_pretend_to_be_the_event():
    log, stream, _ = log_of()
    log.event("tag_read", time="1970", event="other")
    assert lines(stream)[0]["event"] == "tag_read"


def test_long_fields_and_long_lines_are_cut():
    log, stream, _ = log_of()
    log.event("frame_refused", payload="x" * 10_000, raw=b"\xff" * 10_000, thing=["y" * 5_000])
    assert len(stream.getvalue()) < 4_000
    log.event("frame_refused", **{f"f{n}": "x" * 1_000 for n in range(20)})
    assert lines(stream)[-1]["cut"] > 8_192


def test_a_name_that_repeats_keeps_to_its_budget_and_the_rest_is_counted():
    log, stream, clock = log_of(burst=3)
    for _ in range(10):
        log.event("scan_failed")
    log.event("device_lost")
    assert [line["event"] for line in lines(stream)] == ["scan_failed"] * 3 + ["device_lost"]
    clock.jump_wall(3_600_000_000_000)
    log.event("scan_failed")
    assert len(lines(stream)) == 4, "wall time must not refill a budget"


async def test_the_next_window_tells_what_was_suppressed():
    log, stream, clock = log_of(burst=1)
    for _ in range(5):
        log.event("scan_failed")
    await clock.advance(10_000_000_000)
    log.event("scan_failed")
    log.event("scan_failed")
    assert [line.get("suppressed") for line in lines(stream)] == [None, 4]


def test_ever_new_names_take_no_more_memory():
    log, _, _ = log_of()
    for n in range(10_000):
        log.event(f"name_{n}")
    assert len(log._budgets) <= 513


def test_journald_reads_the_priority_from_the_line():
    log, stream, _ = log_of(syslog_prefix=True)
    log.event("store_lost", level="error")
    log.event("daemon_started")
    assert [line[:3] for line in stream.getvalue().splitlines()] == ["<3>", "<6>"]


def test_a_log_that_cannot_be_written_harms_nobody():
    log, stream, _ = log_of()
    stream.close()
    log.event("device_lost")
    assert log.lost == 1


def test_stderr_that_is_no_terminal_gets_json(monkeypatch, capsys):
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    for_stderr(ManualClock()).event("daemon_started", version="0.1.0")
    assert json.loads(capsys.readouterr().err)["event"] == "daemon_started"
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    for_stderr(ManualClock()).event("daemon_started")
    assert capsys.readouterr().err.startswith("<6>{")
