"""Tags as people read them."""

from __future__ import annotations

import json
import subprocess
import sys

from gatewayd.cli.tags import _row, anomaly
from gatewayd.model.view import TagView
from tests.cli.golden import golden


def test_the_list_reads_like_this(gatewayd, daemon):
    golden("cli/tags_list.txt", gatewayd("tags", "list").out)


def test_a_match_that_finds_nothing_hints_at_globs(gatewayd, daemon):
    assert "'*pump*'" in gatewayd("tags", "list", "pump").out


def test_a_cut_list_says_that_it_is_cut(gatewayd, daemon):
    assert "Only the first 2 are shown" in gatewayd("tags", "list", "--limit", "2").out


def test_a_watch_prints_one_json_object_per_line(daemon):
    watching = subprocess.Popen(
        [sys.executable, "-m", "gatewayd", "tags", "watch", "pump_1.*", "--json"], stdout=subprocess.PIPE
    )
    assert watching.stdout is not None
    seen = [json.loads(watching.stdout.readline())["alias"] for _ in range(2)]
    watching.terminate()
    watching.communicate(timeout=10)
    assert seen == ["pump_1.bearing_temp", "pump_1.speed"]


def test_a_watch_ends_with_an_error_when_the_daemon_stops(daemon):
    watching = subprocess.Popen(
        [sys.executable, "-m", "gatewayd", "tags", "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert watching.stdout is not None
    watching.stdout.readline()
    daemon.stop()
    _, told = watching.communicate(timeout=10)
    assert watching.returncode == 8
    assert b"systemctl start gatewayd" in told or b"Try again" in told or b"--socket" in told


def test_anomalies_name_their_detectors():
    assert [anomaly(None, None), anomaly(0, 0.1), anomaly(1, 6.5), anomaly(3, None), anomaly(1 << 40, 1.0)] == [
        "?",
        "-",
        "ewma 6.5",
        "ewma+cusum",
        f"mask {1 << 40} 1.0",
    ]


def test_a_text_is_shown_where_others_have_a_number():
    view = TagView(
        name="plc/serial",
        alias="",
        value=None,
        text="SN 42",
        quality="Good",
        status=0,
        units="",
        source_time_ns=1,
        ingest_time_ns=1,
        processing_time_ns=1,
    )
    assert _row(view, 1)[:2] == ("plc/serial", '"SN 42"')
