"""Kill -9 at random moments, flipped bits on disk: nothing acknowledged is lost, nothing wrong is served."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewayd.journal.audit.verify import verify, verify_store
from gatewayd.store.probe import claimed_bytes
from tests.journal.samples import SIGNER, decision, open_journal, open_store

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.getcwd()}

APPENDER = """
import asyncio, sys
from pathlib import Path
from gatewayd.clock import SystemClock
from gatewayd.journal.log import Journal
from tests.journal.samples import IDENTITY, SIGNER, command, decision, gap, open_store, outcome

async def appender(journal, first):
    n = first
    while True:
        await journal.commit([decision(n), gap()], intents=[command(n)], saves={"n": str(n).encode()})
        (seq,) = await journal.commit([outcome(n)], resolves=[n])
        print(n, seq, flush=True)
        n += 3

async def main():
    store = open_store(Path(sys.argv[1]))
    journal = Journal.open(store, SIGNER, SystemClock(), IDENTITY, commit=sys.argv[2])
    print("open", journal.size, flush=True)
    first = journal.last_decision_id() + 1
    await asyncio.gather(*(appender(journal, first + k) for k in range(3)))

asyncio.run(main())
"""


def test_ten_kills_at_random_moments_lose_no_acknowledged_record(tmp_path):
    """P01: acknowledged means present after kill -9; the journal verifies and goes on after each."""
    path, chance = tmp_path / "store", random.Random(20240607)
    acked: dict[int, int] = {}  # decision id -> seq of its outcome
    for kill in range(10):
        mode = "thread" if kill % 2 else "inline"
        with subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(path), mode], stdout=subprocess.PIPE, env=ENVIRONMENT
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline().startswith(b"open ")
            for _ in range(chance.randrange(1, 60)):
                decision_id, seq = map(int, child.stdout.readline().split())
                acked[decision_id] = seq
            child.send_signal(signal.SIGKILL)
            lines = child.stdout.read().split(b"\n")  # those that were on their way are acknowledged, too
            acked.update(tuple(map(int, line.split())) for line in lines[:-1])  # type: ignore[misc]
        report = verify(path, SIGNER.vkey)
        assert report.problem is None
        assert report.in_doubt == report.decisions - report.outcomes, "a write is in doubt until its outcome is durable"
        assert report.in_doubt <= 3 * (kill + 1), "each kill leaves at most one per appender"
    store = open_store(path)
    journal = open_journal(store)
    assert len(acked) > 50
    for decision_id, seq in acked.items():
        assert journal.decision(decision_id).evidence == b"evidence of decision %d" % decision_id
        assert [record.seq for record in journal.outcomes(decision_id)] == [seq]
    assert {command.decision_id for command in journal.in_doubt()}.isdisjoint(acked)
    store.close()


READER = """
import os, sys, traceback
from hashlib import sha256
from pathlib import Path
from gatewayd.errors import GatewayError
from gatewayd.journal.audit.verify import verify_store
from tests.journal.samples import SIGNER, open_journal, open_store

def read(path):
    try:
        store = open_store(path)
    except GatewayError as error:
        print("REFUSED", error.message)
        return 1
    try:
        problem = verify_store(store, SIGNER.vkey).problem
        print("PROBLEM" if problem else "SOUND", problem)
        journal = open_journal(store)
        for seq in range(journal.size):
            try:
                record = journal.record(seq)
                print("RECORD", seq, sha256(journal.entries(seq, 1)[0]).hexdigest(), record.personal, record.evidence)
            except GatewayError as error:
                print("DAMAGED", seq)
    except GatewayError as error:
        print("STOPPED", error.message)
    return 0

for line in sys.stdin:
    child = os.fork()
    if not child:
        code = 1
        try:
            code = read(Path(line.rstrip()))
        except BaseException:
            traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    print("\\nENDED", os.waitstatus_to_exitcode(status), flush=True)
"""


class Reader:
    """Reads each store in a process of its own, which it forks: what is damaged may kill it."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-c", READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )

    def read(self, path: Path) -> tuple[int, list[str]]:
        """Return how the process ended, and what it printed."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(f"{path}\n")
        self._parent.stdin.flush()
        lines = []
        while not (line := self._parent.stdout.readline()).startswith("ENDED "):
            assert line, "the reader itself has ended"
            lines.append(line.rstrip("\n"))
        return int(line.split()[1]), lines[:-1]  # the last is the end of what may have been cut short

    def end(self) -> None:
        self._parent.communicate(timeout=60)


@pytest.fixture
def reader() -> Iterator[Reader]:
    one = Reader()
    yield one
    one.end()


@pytest.fixture
async def pristine(tmp_path, clock):
    """A store of 300 decisions, and what an honest reader of it prints."""
    store = open_store(tmp_path / "pristine", 4 << 20)
    journal = open_journal(store, clock)
    for first in range(1, 301, 50):
        await journal.commit([decision(n) for n in range(first, first + 50)])
    journal.close()
    assert verify_store(store, SIGNER.vkey).problem is None
    store.close()
    return tmp_path / "pristine"


def test_a_flipped_bit_is_named_or_refused_and_never_served(pristine, tmp_path, reader):
    """P06: LMDB itself gives most flipped bits back without a word."""
    chance = random.Random(4711)
    code, honest = reader.read(pristine)
    assert code == 0
    assert honest[0] == "SOUND None"
    records = {line.split()[1]: line for line in honest if line.startswith("RECORD")}
    assert len(records) == 301
    size = claimed_bytes(pristine / "data.mdb")  # behind that are blocks that no page uses
    noticed = 0
    for case in range(16):
        path = tmp_path / f"flipped-{case}"
        shutil.copytree(pristine, path)
        (path / "running").touch()  # as after a power cut
        with (path / "data.mdb").open("r+b") as file:
            for _ in range(1 if case % 2 else 20):
                at = chance.randrange(size)
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ 1 << chance.randrange(8)]))
        code, lines = reader.read(path)
        assert code in (0, 1), f"case {case} died by signal {-code}: {lines[-3:]}"
        assert not any("Traceback" in line for line in lines), lines[-12:]
        for line in lines:
            if line.startswith("RECORD"):
                assert line == records[line.split()[1]], f"case {case} served a wrong record"
        noticed += lines[0] != "SOUND None"
        shutil.rmtree(path)
    assert noticed > 4, "the flips hit nothing: the test would prove nothing"


def test_a_truncated_store_is_refused_in_words(pristine, tmp_path, reader):
    for share in (0.1, 0.5, 0.95):
        path = tmp_path / f"cut-{share}"
        shutil.copytree(pristine, path)
        os.truncate(path / "data.mdb", int(claimed_bytes(path / "data.mdb") * share))
        code, lines = reader.read(path)
        assert code == 1
        assert lines[0].startswith("REFUSED")
        assert "damaged" in lines[0]


def test_the_event_loop_is_not_needed_to_recover(pristine):
    store = open_store(pristine, 4 << 20)
    journal = open_journal(store)
    assert asyncio.run(journal.commit([decision(301)])) == (301,)
    journal.close()
    store.close()
