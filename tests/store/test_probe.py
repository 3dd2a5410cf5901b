"""A damaged data file is refused in words; it never kills the daemon that opens it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gatewayd.errors import StoreError
from gatewayd.store.env import Store
from gatewayd.store.probe import check_data_file, claimed_bytes, main
from gatewayd.store.tables import Table, u64


@pytest.fixture
def folder(tmp_path):
    """A closed store with a few hundred rows."""
    store = Store.open(tmp_path / "store", 4 << 20)
    for first in range(0, 500, 50):
        store.write(lambda w, first=first: [w.put(Table.SAVE, u64(first + n), os.urandom(700)) for n in range(50)])
    store.close()
    return tmp_path / "store"


def test_a_sound_file_passes(folder, capsys):
    check_data_file(folder, was_clean=True)
    check_data_file(folder, was_clean=False)
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out == ""


def test_a_missing_file_is_no_damage(tmp_path):
    check_data_file(tmp_path, was_clean=False)


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused_although_it_was_closed_cleanly(folder, share):
    """Mapped, the missing pages would be a SIGBUS."""
    data = folder / "data.mdb"
    os.truncate(data, int(claimed_bytes(data) * share))
    size = data.stat().st_size
    with pytest.raises(StoreError, match="damaged") as caught:
        Store.open(folder, 4 << 20)
    assert "epoch" in caught.value.remedy
    assert data.stat().st_size == size, "the evidence is left as it was found"
    assert not (folder / "running").exists()


@pytest.mark.parametrize("at", [16, 17, 4096 + 16])
def test_a_scrambled_meta_page_is_refused(folder, at):
    flip(folder, at, 0xFF)
    with pytest.raises(StoreError):
        Store.open(folder, 4 << 20)


def test_a_scrambled_page_is_found_after_an_unclean_stop(folder):
    (folder / "running").touch()
    with (folder / "data.mdb").open("r+b") as file:
        for page in range(2, os.path.getsize(folder / "data.mdb") // 4096):
            file.seek(page * 4096)
            file.write(os.urandom(16))
    with pytest.raises(StoreError, match="damaged"):
        Store.open(folder, 4 << 20)


def test_the_check_is_a_command_of_its_own(folder):
    os.truncate(folder / "data.mdb", 5 * 4096)
    done = subprocess.run(
        [sys.executable, "-m", "gatewayd.store.probe", str(folder)], capture_output=True, text=True, timeout=30,
        check=False, env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout.strip()


def flip(folder, at: int, bits: int) -> None:
    with (folder / "data.mdb").open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ bits]))
