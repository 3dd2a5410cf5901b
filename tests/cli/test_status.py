"""The status screen: what is wrong stands out."""

from __future__ import annotations

import json

import click
import msgspec
import pytest

from gatewayd.cli.status import page, witness_line
from gatewayd.model.view import (
    JournalView,
    MemoryView,
    OverrideSummary,
    StatusView,
    StorageStream,
    StorageView,
)
from tests.cli.golden import golden
from tests.control.fake_gateway import STATUS


def test_the_status_reads_like_this(gatewayd, daemon):
    golden("cli/status.txt", gatewayd("status").out)


def test_json_carries_the_whole_status(gatewayd, daemon):
    assert msgspec.json.decode(gatewayd("status", "--json").out, type=StatusView) == STATUS


def test_nulls_stand_where_there_is_no_number(gatewayd, daemon):
    assert json.loads(gatewayd("status", "--json").out)["devices"][1]["latency_ms"] is None


def test_a_damaged_journal_says_why():
    journal = JournalView(size=9, healthy=False, unsent=0, checkpoint_time_ns=0, problem="no space left")
    assert "damaged: no space left, 9 records" in click.unstyle(page(msgspec.structs.replace(STATUS, journal=journal)))


def test_what_could_be_cut_off_unseen_is_said_in_words():
    journal = JournalView(size=9, healthy=True, unsent=0, checkpoint_time_ns=0)
    alone = msgspec.structs.replace(journal, unwitnessed_entries=9, unwitnessed_age_s=7200)
    assert click.unstyle(witness_line(alone)) == (
        "nobody has cosigned this journal: root could rewrite its 9 records of the last 2 h unseen"
    )
    watched = msgspec.structs.replace(alone, unwitnessed_entries=2, witnessed_size=7)
    assert witness_line(watched) == "7 records cosigned; root could cut off the 2 records of the last 2 h unseen"
    assert witness_line(journal) == "all 9 records cosigned"


def test_a_caller_without_a_role_sees_counts_but_no_names():
    summary = OverrideSummary(count=2, oldest_since_ns=STATUS.now_ns - 60 * 10**9)
    shown = page(msgspec.structs.replace(STATUS, overrides=summary))
    assert "2 held" in shown
    assert "by" not in next(line for line in shown.splitlines() if "Overrides" in line)


@pytest.mark.parametrize(
    ("memory", "line"),
    [
        (MemoryView(guard="prctl"), "write xor execute by prctl"),
        (MemoryView(guard="filter", reason="Linux 6.1 has none"), "by systemd's filter: Linux 6.1 has none"),
        (MemoryView(guard="", reason="start it by its unit"), "write xor execute not enforced: start it by its unit"),
        (MemoryView(guard="landlock"), "write xor execute by landlock"),
    ],
)
def test_whether_written_memory_can_be_executed_is_said_with_the_reason(memory, line):
    shown = click.unstyle(page(msgspec.structs.replace(STATUS, memory=memory)))
    assert any(told.startswith("  Memory") and told.endswith(line) for told in shown.splitlines())


def test_units_that_are_left_alone_are_named_though_their_device_is_connected():
    device = msgspec.structs.replace(STATUS.devices[0], units_demoted=(7, 9))
    shown = click.unstyle(page(msgspec.structs.replace(STATUS, devices=(device,))))
    assert "! plc1: unit 7, 9 does not answer and is left alone for a while" in shown


def test_a_device_cannot_drive_the_terminal():
    """Text from outside loses its control characters."""
    device = msgspec.structs.replace(STATUS.devices[1], last_error="\x1b]0;owned\x07\x1b[2Jbad\r\nnews")
    shown = page(msgspec.structs.replace(STATUS, devices=(device,)))
    assert "\x1b]" not in shown
    assert "\x07" not in shown
    assert "\r" not in shown
    assert "bad  news" in shown


STORAGE = StorageView(
    level="warning",
    fill=0.72,
    used_bytes=180_000_000,
    limit_bytes=250_000_000,
    disk_free_bytes=5_000_000_000,
    is_disk_nearer=False,
    remedy="Raise storage.quota_mb.",
    streams=(
        StorageStream(name="journal", used_bytes=75, limit_bytes=100, when_full="automatic writes stop"),
        StorageStream(name="blocks", used_bytes=70, limit_bytes=100, when_full="the oldest go"),
    ),
)


def test_a_store_that_fills_says_what_to_do_and_which_stream_it_is():
    shown = click.unstyle(page(msgspec.structs.replace(STATUS, storage=STORAGE)))
    assert "72% of 250 MB, 5000 MB free on disk" in shown
    assert "! Raise storage.quota_mb." in shown
    assert "! journal: 75% of 0.0 MB; when full, automatic writes stop" in shown
    assert "blocks:" not in shown, "only what is above 70 %"


def test_a_disk_that_ends_before_the_quota_is_named():
    near = msgspec.structs.replace(STORAGE, is_disk_nearer=True, level="ample", remedy="", streams=())
    shown = click.unstyle(page(msgspec.structs.replace(STATUS, storage=near)))
    assert "the disk is nearer than the quota" in shown
