"""Record a device, play it, and read the same values from the simulator."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from gatewayd.compiled import library_path
from gatewayd.device.recording import read_recording
from tests.cli.sites import small_plc, write_site


@contextmanager
def played(file: Path):
    """Serve a recording in a process of its own; yield what it said first."""
    command = [sys.executable, "-m", "gatewayd", "device", "play", str(file), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as playing:
        try:
            assert playing.stdout is not None
            yield playing, json.loads(playing.stdout.readline())
        finally:
            playing.kill()  # nothing happens to one that has ended


@pytest.mark.skipif(not library_path().exists(), reason="the kernels are not compiled: run `make kernels`")
def test_a_recorded_plc_is_played_and_probes_like_the_real_one(gatewayd, tmp_path):
    file = tmp_path / "plc.rec"
    with small_plc() as (port, _):
        site = write_site(tmp_path, port=port)
        said = gatewayd("device", "record", str(site), "plc", "--to", str(file), "--for", "1.5s", "--json")
        real = json.loads(gatewayd("device", "probe", str(site), "plc", "--quick", "--json").out)
    told = json.loads(said.out)
    assert (said.code, told["full"], told["interrupted"]) == (0, False, False)
    recording = read_recording(file)
    assert recording.header.device == "plc"
    assert {exchange.request[0] for exchange in recording.exchanges} == {3}
    assert len(recording.exchanges) == told["exchanges"] >= 3, "two at 0 s; at 1 s the one that was not refused"

    with played(file) as (playing, simulator):
        (tmp_path / "again").mkdir()
        again = write_site(tmp_path / "again", port=simulator["port"])
        simulated = json.loads(gatewayd("device", "probe", str(again), "plc", "--quick", "--json").out)
        playing.send_signal(signal.SIGINT)
        counts, _ = playing.communicate(timeout=10)
    assert playing.returncode == 130
    assert json.loads(counts) == {"answered": 2, "unknown": 0}
    assert simulated["tags"] == real["tags"]


def test_ctrl_c_keeps_what_was_recorded(tmp_path):
    file = tmp_path / "plc.rec"
    with small_plc() as (port, heard):
        site = write_site(tmp_path, port=port)
        command = [sys.executable, "-m", "gatewayd", "device", "record", str(site), "plc", "--to", str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as recording:
            try:
                wait_until_asked(heard)
                recording.send_signal(signal.SIGINT)
                said, told = recording.communicate(timeout=10)
            finally:
                recording.kill()
    assert recording.returncode == 130
    assert "exchanges" in said
    assert "Interrupted" in told
    assert read_recording(file).header.device == "plc"


def wait_until_asked(heard: list[bytes]) -> None:
    import time

    for _ in range(300):
        if len(heard) >= 2:
            return
        time.sleep(0.05)
    raise AssertionError("nothing was asked in 15 s")


def test_an_absent_device_is_told_and_a_file_is_not_overwritten(gatewayd, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    site = str(write_site(tmp_path, port=port))
    file = str(tmp_path / "plc.rec")
    said = gatewayd("device", "record", site, "plc", "--to", file, "--for", "5s")
    assert said.code == 1
    assert "Remedy: " in said.err
    assert gatewayd("device", "record", site, "plc", "--to", file).code == 1
    assert "holds no exchange" in gatewayd("device", "play", file).err


def test_an_opc_ua_device_is_refused_with_the_reason(gatewayd, tmp_path):
    site = write_site(tmp_path)
    (site / "devices" / "scada.toml").write_text(
        '[device]\nprotocol = "opcua"\nname = "scada"\nendpoint = "opc.tcp://127.0.0.1:4840"\n'
        'security = "None"\nmode = "None"\ninsecure = "accepted-by=test"\n'
    )
    (site / "devices" / "scada.tags.csv").write_text("name,node_id\nlevel,ns=2;s=x\n")
    said = gatewayd("device", "record", str(site), "scada", "--to", str(tmp_path / "x.rec"))
    assert said.code == 1
    assert "encrypted" in said.err
    assert not (tmp_path / "x.rec").exists()


def test_a_taken_port_and_a_strange_file_are_told(gatewayd, tmp_path):
    strange = tmp_path / "strange.rec"
    strange.write_bytes(b"not a recording")
    assert "is no recording" in gatewayd("device", "play", str(strange)).err
