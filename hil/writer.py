"""`python -m hil.writer FOLDER COMMITS MODE`: a gateway's journal and nothing else, which says what it has promised.

Every promise is one line of JSON on stdout, written after the commit returned and by one call, so that its place among
the calls to the disk is known. `hil.powercut` and `hil.faults` cut this process short and compare.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from gatewayd.clock import SystemClock
from gatewayd.errors import GatewayError, StoreError, StoreFull
from gatewayd.journal.log import Identity, Journal
from gatewayd.model.decision import Command, NewRecord
from gatewayd.model.record import Actor, Decision, Gap, Outcome
from gatewayd.proof.note import SeedSigner
from gatewayd.store.env import Store
from gatewayd.store.tables import Table
from gatewayd.store.transaction import Writes

ORIGIN = "powercut.example/gw/e1"
SIGNER = SeedSigner(ORIGIN, bytes(range(32)))
IDENTITY = Identity(ORIGIN, 1, bytes(range(16)))
QUOTA = 8 << 20  # its redo file has 32 pages: it starts from the front several times a run
STEP_NS = 150_000_000  # the journal's clock moves so far with each commit, so the tables take over every few of them
BULKY_BYTES = 70_000  # more than the journal writes ahead
REOPENINGS = 3


class SteppedClock(SystemClock):
    """The machine's clock, put forward by hand."""

    def __init__(self) -> None:
        self._ahead_ns = 0

    def step(self) -> None:
        self._ahead_ns += STEP_NS

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self._ahead_ns


def evidence(decision_id: int) -> bytes:
    """Return the evidence that the decision of this number cites."""
    return sha256(b"evidence %d" % decision_id).digest() * (1 + decision_id % 40)


def blob(decision_id: int) -> bytes:
    """Return the bytes stored beside the decision of this number."""
    return b"blob %d " % decision_id * 50


def decision(decision_id: int) -> NewRecord:
    """Return a decision with evidence and a personal text."""
    body = Decision(
        decision_id=decision_id,
        cycle=decision_id,
        point="pump_1.speed",
        proposed=30.0,
        value=40.0,
        previous=50.0,
        write=True,
        reasons=("rule",),
        slot=8,
        slots_before=(None,) * 16,
        slots_after=(None,) * 16,
        guards=(),
        rule="bearing-hot",
        actor=Actor(uid=1001, role="operator", method="socket"),
        evidence=sha256(evidence(decision_id)).digest(),
        site_digest=bytes(32),
    )
    return NewRecord(body, {"reason_text": f"because of {decision_id}"}, evidence(decision_id))


class Writer:
    """Decides, writes and resolves, and says so.

    Args:
        journal: to write into.
        clock: it was opened with.
    """

    def __init__(self, journal: Journal, clock: SteppedClock) -> None:
        self._journal = journal
        self._clock = clock
        self._reopening = asyncio.Lock()
        self._reopenings = 0

    async def run(self, numbers: Iterator[int]) -> None:
        """Go through these decision ids; a commit that fails is not repeated, its decision was never made.

        Several may draw from the same ids at once: who draws one hands it to the journal before another is drawn, so
        that ids rise in the journal, too.
        """
        for number in numbers:
            try:
                await self._one(number)
            except StoreFull:
                continue
            except StoreError:
                await self._reopen()

    async def _reopen(self) -> None:
        """Open the journal again, once for all whose commit failed."""
        async with self._reopening:
            if not self._journal.problem:
                return
            self._reopenings += 1
            if self._reopenings > REOPENINGS:
                raise StoreError("the disk keeps failing", remedy="There is none: it was told to.")
            await self._journal.reopen()

    async def _one(self, number: int) -> None:
        journal = self._journal
        self._clock.step()
        command = Command(number, 0, 1, 1, 40.0, 50.0, 0.5, 2_000_000_000, 10_000_000_000)
        notice = NewRecord(Gap("blocks", number, number, 1, "test"))
        seqs = await journal.commit(
            [decision(number), notice], saves={"n": b"%d" % number}, intents=[command] if number % 5 else []
        )
        self._say(decided=number, seqs=seqs, wrote=bool(number % 5))
        if number % 4:
            result = NewRecord(Outcome(number, "verified", 40.0, 40.0, 1, 2))
            self._say(resolved=number, seqs=await journal.commit([result], resolves=[number]))
        if number % 3 == 0:
            await journal.put_blob(blob(number))
            self._say(blob=number)
        if number % 7 == 0:
            say_note(journal)
        if number % 10 == 0:
            await journal.commit_with((), lambda writing, _: writing.put(Table.CURSOR, b"bulk", bytes(BULKY_BYTES)))
        if number % 10 == 1:
            await journal.free(_free_bulk)

    def _say(self, *, seqs: tuple[int, ...] = (), **what: Any) -> None:
        leaves = {seq: sha256(self._journal.entries(seq, 1)[0]).hexdigest() for seq in seqs}
        say(leaves=leaves, **what)


def _free_bulk(writing: Writes) -> None:
    writing.delete(Table.CURSOR, b"bulk")


def say_note(journal: Journal) -> None:
    """Publish the newest checkpoint, as a witness would get it."""
    say(note=journal.checkpoint())


def say(**what: Any) -> None:
    """Promise something, by one write."""
    os.write(1, json.dumps(what).encode() + b"\n")


async def write(folder: Path, commits: int, mode: str) -> None:
    """Open the journal, make so many decisions and close it."""
    store = Store.open(folder, QUOTA)
    try:
        clock = SteppedClock()
        journal = Journal.open(store, SIGNER, clock, IDENTITY, commit="thread" if mode == "thread" else "inline")
        say_note(journal)
        first, writer = journal.last_decision_id() + 1, Writer(journal, clock)
        numbers = iter(range(first, first + commits))
        await asyncio.gather(*(writer.run(numbers) for _ in range(3 if mode == "thread" else 1)))
        journal.close()
    finally:
        store.close()


def main() -> int:
    """Write twice, so that a stop and a start lie in between."""
    folder, commits, mode = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    try:
        for part in (commits - commits // 2, commits // 2):
            asyncio.run(write(folder, part, mode))
    except GatewayError as error:
        print(f"{type(error).__name__}: {error.message}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
