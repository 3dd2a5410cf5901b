"""`device scan` as a technician runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click
import pytest

from gatewayd.cli.device_scan import host_and_port
from hil.plants.rtu_bus import RtuBus


@contextmanager
def units(*answering: int) -> Iterator[int]:
    """A Modbus TCP gateway: these units answer, the others are silent."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            peer, _ = listening.accept()
            with peer, peer.makefile("rb") as stream:
                while len(head := stream.read(7)) == 7:
                    transaction, _, length, unit = struct.unpack(">HHHB", head)
                    pdu = stream.read(length - 1)
                    if unit in answering:
                        answer = b"\x03\x02\0\x07" if pdu[0] == 3 else bytes((pdu[0] | 0x80, 1))
                        peer.sendall(struct.pack(">HHHB", transaction, 0, len(answer) + 1, unit) + answer)

        thread = threading.Thread(target=serve, name="units", daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)


def test_the_units_that_answer_are_listed(gatewayd):
    with units(3, 7) as port:
        said = gatewayd("device", "scan", f"127.0.0.1:{port}", "--units", "1-8", "--timeout-ms", "100")
    assert (said.code, said.err) == (0, "")
    assert "2 of 8 unit ids answer" in said.out
    assert [line.split()[0] for line in said.out.splitlines()[3:]] == ["3", "7"]
    assert "does not say" in said.out


def test_programs_get_json(gatewayd):
    with units(3) as port:
        said = gatewayd("device", "scan", f"127.0.0.1:{port}", "--units", "2,3", "--timeout-ms", "100", "--json")
    found = json.loads(said.out)
    assert (found["asked"], found["interrupted"], found["error"]) == (2, False, "")
    (unit,) = found["found"]
    assert (unit["unit_id"], unit["answer"], unit["identification"]) == (3, "ok", None)


def test_a_bus_where_nobody_answers_ends_with_1(gatewayd):
    with units() as port:
        said = gatewayd("device", "scan", f"127.0.0.1:{port}", "--units", "1,2", "--timeout-ms", "50")
    assert said.code == 1
    assert "Nothing answers: check power" in said.out


def test_no_connection_is_told_with_a_remedy(gatewayd):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = gatewayd("device", "scan", f"127.0.0.1:{port}")
    assert said.code == 1
    assert "Remedy: " in said.err


def test_ctrl_c_prints_what_was_found_so_far_and_ends_with_130():
    """On a terminal the progress is shown, after a second; a pseudo-terminal stands for it."""
    primary, secondary = os.openpty()
    with units(1) as port:
        command = ["device", "scan", f"127.0.0.1:{port}", "--units", "1-247", "--timeout-ms", "400"]
        with subprocess.Popen(
            [sys.executable, "-m", "gatewayd", *command], stdout=subprocess.PIPE, stderr=secondary, text=True
        ) as scanning:
            os.close(secondary)
            try:
                progress = os.read(primary, 4096).decode()
                scanning.send_signal(signal.SIGINT)
                told, _ = scanning.communicate(timeout=10)
            finally:
                scanning.kill()
    os.close(primary)
    assert "of 247), 1 found" in progress
    assert scanning.returncode == 130
    assert told.splitlines()[3].split()[0] == "1"


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("plc", ("plc", 502)),
        ("192.0.2.7:1502", ("192.0.2.7", 1502)),
        ("[2001:db8::7]", ("2001:db8::7", 502)),
        ("[2001:db8::7]:1502", ("2001:db8::7", 1502)),
    ],
)
def test_a_host_may_have_a_port(where, place):
    assert host_and_port(where) == place


@pytest.mark.parametrize("wrong", ["", ":502", "plc:", "plc:x", "plc:0", "plc:70000", "[2001:db8::7"])
def test_what_is_no_place_is_refused(wrong):
    with pytest.raises(click.BadParameter, match="is not HOST"):
        host_and_port(wrong)


def test_wrong_unit_ids_are_wrong_use(gatewayd):
    said = gatewayd("device", "scan", "127.0.0.1", "--units", "1-300")
    assert said.code == 2
    assert "unit ids go from 0 to 255" in said.err


def test_a_serial_bus_is_searched_until_somebody_answers(gatewayd):
    """A pseudo-terminal has no baud rate, so the first setting answers; the others are not tried."""
    with RtuBus([2, 9]) as bus:
        said = gatewayd(
            "device", "scan", "--serial", bus.port, "--units", "1-3,9", "--timeout-ms", "50", "--baud", "9600,19200",
            "--parity", "none,even", "--json",
        )  # fmt: skip
    found = json.loads(said.out)
    assert said.code == 0
    assert (found["bus"], found["asked"]) == (f"{bus.port} 9600 8N1", 4)
    assert [unit["unit_id"] for unit in found["found"]] == [2, 9]


def test_a_silent_bus_is_tried_with_every_setting(gatewayd):
    with RtuBus([]) as bus:
        said = gatewayd("device", "scan", "--serial", bus.port, "--units", "1", "--timeout-ms", "20")
    assert said.code == 1
    for setting in ("19200 8E1", "19200 8N1", "9600 8E1", "9600 8N1"):
        assert setting in said.out
    assert "0 of 4 unit ids answer" in said.out


@pytest.mark.parametrize(
    "wrong",
    [(), ("127.0.0.1", "--serial", "/dev/null"), ("--serial", "/dev/null", "--baud", "9601"), ("--serial", "/dev/none"),
     ("--serial", "/dev/null", "--parity", "mark")], ids=" ".join,
)  # fmt: skip
def test_wrong_use_ends_with_2(gatewayd, wrong):
    assert gatewayd("device", "scan", *wrong).code == 2
