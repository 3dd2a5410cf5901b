"""Two daemons on one store would each write a history of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from gatewayd.errors import StoreError, StoreLocked
from gatewayd.store.env import Store
from gatewayd.store.lock import OwnerLock

HOLDER = """
import sys, time
from pathlib import Path
from gatewayd.store.env import Store
store = Store.open(Path(sys.argv[1]), 1 << 20)
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_daemon_is_refused_and_told_who_holds_the_store(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "store")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreLocked, match=f"process {holder.pid}") as refused:
            Store.open(tmp_path / "store", 1 << 20)
        assert "Only one daemon" in refused.value.remedy
        assert not OwnerLock.is_free(tmp_path / "store")
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    survivor = Store.open(tmp_path / "store", 1 << 20)  # the lock died with its holder
    assert not survivor.was_clean
    survivor.close()


def test_the_same_process_cannot_open_it_twice_either(tmp_path):
    store = Store.open(tmp_path / "store", 1 << 20)
    with pytest.raises(StoreLocked, match=f"process {os.getpid()}"):
        Store.open(tmp_path / "store", 1 << 20)
    store.close()
    Store.open(tmp_path / "store", 1 << 20).close()


def test_a_disk_that_takes_no_number_gives_the_lock_all_the_same(tmp_path, monkeypatch):
    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", no_room)
    lock = OwnerLock.take(tmp_path)
    assert not OwnerLock.is_free(tmp_path)
    lock.release()


def test_a_failed_opening_gives_the_lock_back(tmp_path):
    Store.open(tmp_path / "store", 1 << 20).close()
    data = tmp_path / "store" / "data.mdb"
    sound = data.read_bytes()
    data.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError):
        Store.open(tmp_path / "store", 1 << 20)
    data.write_bytes(sound)
    Store.open(tmp_path / "store", 1 << 20).close()


def test_a_lock_file_that_cannot_be_opened_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(StoreError, match="cannot open") as caught:
        OwnerLock.take(tmp_path / "missing")
    assert caught.value.remedy
    assert OwnerLock.is_free(tmp_path / "missing")
