"""sd_notify against a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewayd.observe.notify import Notifier, from_environment


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """What systemd is to the daemon: a datagram socket, by path or in the abstract namespace."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(5)
        if request.param == "abstract":
            listening.bind("\0" + path)
            yield listening, "@" + path
        else:
            listening.bind(path)
            yield listening, path


def test_each_message_arrives_as_systemd_reads_it(manager):
    listening, address = manager
    notifier = from_environment({"NOTIFY_SOCKET": address})
    told = [notifier.ready("12 of 12 tags good"), notifier.status("a\nb"), notifier.watchdog(), notifier.stopping()]
    heard = [listening.recv(4096).decode() for _ in told]
    notifier.close()
    assert told == [True] * 4
    assert heard == ["READY=1\nSTATUS=12 of 12 tags good", "STATUS=a b", "WATCHDOG=1", "STOPPING=1"]


def test_without_systemd_nothing_happens():
    notifier = from_environment({})
    assert [notifier.ready(), notifier.watchdog(), notifier.stopping(), notifier.watchdog_ns] == [
        False,
        False,
        False,
        0,
    ]


def test_a_manager_that_has_gone_away_is_no_error(tmp_path):
    notifier = Notifier(str(tmp_path / "gone"))
    assert notifier.ready() is False
    notifier.close()
    assert notifier.watchdog() is False


@pytest.mark.parametrize(
    ("watchdog", "expected_ns"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30_000_000_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30_000_000_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
        ({}, 0),
    ],
)
def test_the_watchdog_period_is_taken_only_if_it_is_meant_for_us(tmp_path, watchdog, expected_ns):
    notifier = from_environment({"NOTIFY_SOCKET": str(tmp_path / "n"), **watchdog})
    assert notifier.watchdog_ns == expected_ns
    notifier.close()


def test_addresses_that_are_neither_path_nor_abstract_are_ignored():
    assert from_environment({"NOTIFY_SOCKET": "vsock:2:1234"}).ready() is False


def test_a_full_queue_never_blocks_the_daemon(manager):
    _, address = manager
    notifier = from_environment({"NOTIFY_SOCKET": address})
    told = [notifier.watchdog() for _ in range(5_000)]
    notifier.close()
    assert told[0] is True
    assert told[-1] is False
