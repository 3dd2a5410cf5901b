"""`make powercut-test` in small: whenever the power fails, what was acknowledged is there, and nothing is there twice."""

from __future__ import annotations

import random

import pytest

from hil.disk import SECTOR, Disk, Fate, put_files
from hil.judge import Bench
from hil.powercut import campaign, cuts_of, record
from hil.strace import Call, parse

CUTS = 50


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_fifty_power_cuts_lose_nothing_that_was_acknowledged(tmp_path):
    """P-JOURNAL: also when the start after a cut is cut, and when the disk had failed before."""
    result = campaign(tmp_path / "cuts", cuts=CUTS, seed=50)

    assert result.first_failure == ""
    assert result.failed == 0
    assert result.cuts == CUTS
    assert result.unsynced > CUTS
    assert result.passed


@pytest.mark.slow
def test_a_journal_that_did_not_sync_would_be_found_out(tmp_path):
    """The judge itself is judged: the same run, with its syncs taken out, loses what it has promised."""
    calls = [call._replace(is_synced=False) for call in record(tmp_path, {}, commits=6) if call.kind != "sync"]
    found = [case for case in cuts_of(calls, {}, [], 40, random.Random(7)) if case.fate is Fate.NONE and case.lines][
        -4:
    ]
    with Bench() as bench:
        for number, case in enumerate(found):
            put_files(tmp_path / str(number), case.files)
            assert bench.judge(tmp_path / str(number), case.lines) != []
    assert found


# --- the disk ---------------------------------------------------------------------------------------------------------

OLD, NEW, NEWER = (bytes([content]) * SECTOR for content in b"onN")


def written(disk: Disk, *calls: Call) -> Disk:
    for number, call in enumerate(calls, start=1):
        disk.begin(call._replace(begun=number, ended=number))
        disk.end(call._replace(begun=number, ended=number))
    return disk


def found(disk: Disk, fate: Fate = Fate.RANDOM) -> set[bytes]:
    return {disk.after_cut(fate, random.Random(seed)).get("f", b"") for seed in range(64)}


def test_what_was_not_synced_may_be_there_or_not_sector_by_sector():
    disk = written(Disk({"f": OLD + OLD}), Call("write", "f", 0, NEW + NEW))
    assert found(disk) == {OLD + OLD, OLD + NEW, NEW + OLD, NEW + NEW}
    assert found(disk, Fate.NONE) == {OLD + OLD}
    assert found(disk, Fate.ALL) == {NEW + NEW}


def test_what_was_synced_is_there():
    disk = written(Disk({"f": OLD}), Call("write", "f", 0, NEW), Call("sync", "f"), Call("write", "f", 0, NEWER))
    assert found(disk) == {NEW, NEWER}


def test_a_write_that_syncs_itself_keeps_only_its_own_sectors():
    synced = Call("write", "f", SECTOR, NEW, is_synced=True)
    disk = written(Disk({"f": OLD + OLD}), Call("write", "f", 0, NEW), synced)
    assert found(disk) == {OLD + NEW, NEW + NEW}


def test_what_a_failed_sync_was_to_write_is_not_written_by_the_next_one():
    disk = written(Disk({"f": OLD}), Call("write", "f", 0, NEW), Call("sync_failed", "f"), Call("sync", "f"))
    assert found(disk) == {OLD, NEW}


def test_a_file_that_grew_may_have_its_old_size_or_zeros():
    disk = written(Disk({"f": OLD}), Call("write", "f", SECTOR, NEW))
    assert found(disk) == {OLD, OLD + bytes(SECTOR), OLD + NEW}


def test_a_name_is_there_once_its_folder_was_synced():
    calls = [Call("create", "f"), Call("write", "f", 0, NEW), Call("sync", "f")]
    assert found(written(Disk({}), *calls)) == {b"", NEW}
    assert found(written(Disk({}), *calls, Call("sync", ""))) == {NEW}


# --- the trace --------------------------------------------------------------------------------------------------------


def escaped(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def test_calls_of_two_threads_are_told_apart(tmp_path):
    file = f"8<{escaped(str(tmp_path / 'redo'))}>"
    lines = [
        f'1 pwrite64({file}, "{escaped("ab")}", 2, 4096 <unfinished ...>',
        f'2 write(1<{escaped("pipe:[7]")}>, "{escaped("{}")}", 2) = 2',
        "1 <... pwrite64 resumed>) = 2",
        f"1 fdatasync({file}) = -1 EIO (Input/output error) (INJECTED)",
    ]
    assert list(parse("\n".join(lines), tmp_path)) == [
        Call("say", content=b"{}", begun=1, ended=1),
        Call("write", "redo", 4096, b"ab", begun=0, ended=2),
        Call("sync_failed", "redo", begun=3, ended=3),
    ]
