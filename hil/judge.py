"""Compares a store that was cut short with what `hil.writer` had promised; `python -m hil.judge` does it for others.

It runs in a process of its own: what it opens may be damaged in a way that kills the process.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from gatewayd.errors import GatewayError
from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.log import Journal
from gatewayd.model.record import Decision, Outcome
from gatewayd.proof.note import VerifierKey, open_checkpoint
from gatewayd.store.env import Store
from hil.writer import IDENTITY, QUOTA, SIGNER, SteppedClock, blob, decision, evidence


class Promises:
    """What was acknowledged: nothing of it may be missing."""

    def __init__(self) -> None:
        self.leaves: dict[int, str] = {}  # seq -> SHA-256 of the leaf
        self.decided: dict[int, int] = {}  # decision id -> seq
        self.written: set[int] = set()  # decision ids whose write may have gone out
        self.resolved: set[int] = set()
        self.blobs: set[int] = set()
        self.notes: list[str] = []

    def take(self, line: bytes) -> None:
        """Take one line of the writer."""
        said = json.loads(line)
        self.leaves |= {int(seq): leaf for seq, leaf in said.get("leaves", {}).items()}
        if "decided" in said:
            self.decided[said["decided"]] = min(map(int, said["leaves"]))
            if said["wrote"]:
                self.written.add(said["decided"])
        if "resolved" in said:
            self.resolved.add(said["resolved"])
        if "blob" in said:
            self.blobs.add(said["blob"])
        if "note" in said:
            self.notes.append(said["note"])


def judge(folder: Path, promises: Promises) -> list[str]:
    """Open a store as the next start would, and say what is wrong with it; afterwards it has been written to."""
    problems: list[str] = []
    try:
        for number in (1, 2):  # what the first start wrote must hold, too
            store = Store.open(folder, QUOTA)
            try:
                problems += _problems(store, promises)
            finally:
                store.close()
            if problems:
                return [f"start {number}: {problem}" for problem in problems]
    except (GatewayError, AssertionError) as error:
        problems.append(f"{type(error).__name__}: {error}")
    return problems


def _problems(store: Store, promises: Promises) -> list[str]:
    problems = []
    report = verify_store(store, SIGNER.vkey)
    if report.problem is not None and store_is_used(promises, report.size):
        problems.append(f"verify: {report.problem}")
    journal = Journal.open(store, SIGNER, SteppedClock(), IDENTITY, commit="inline")
    try:
        problems += list(_missing(journal, promises))
        problems += list(_inconsistent(journal, promises))
        problems += asyncio.run(_not_writable(journal, promises))
    finally:
        journal.close()
    after = verify_store(store, SIGNER.vkey)
    if after.problem is not None:
        problems.append(f"verify, after the start wrote: {after.problem}")
    return problems


def store_is_used(promises: Promises, size: int) -> bool:
    """Say whether there is a journal to verify: a cut at the very first start may leave an empty store."""
    return bool(size or promises.leaves or promises.notes)


def _missing(journal: Journal, promises: Promises) -> Iterator[str]:
    for seq, leaf in promises.leaves.items():
        found = journal.entries(seq, 1)
        if not found:
            yield f"record {seq} was acknowledged and is missing"
        elif sha256(found[0]).hexdigest() != leaf:
            yield f"record {seq} is another one than was acknowledged"
    in_doubt = {command.decision_id for command in journal.in_doubt()}
    for number, seq in promises.decided.items():
        record = journal.decision(number)
        if record is None or record.seq != seq:
            yield f"decision {number} was acknowledged as record {seq}"
        elif record.evidence != evidence(number) or record.personal != {"reason_text": f"because of {number}"}:
            yield f"decision {number} has lost its evidence or its text"
    outcomes = _outcomes(journal)
    for number in promises.written:
        if number not in in_doubt and not outcomes.get(number):
            yield f"the write of decision {number} is neither in doubt nor resolved"
    for number in promises.resolved:
        if number in in_doubt or outcomes.get(number) != 1:
            yield f"the outcome of decision {number} was acknowledged; in doubt: {number in in_doubt}"
    for number in promises.blobs:
        if journal.get_blob(sha256(blob(number)).digest()) != blob(number):
            yield f"the blob of decision {number} is missing"
    saved = int(journal.saves().get("n", b"0"))
    if (promises.decided and not saved) or (saved and journal.decision(saved) is None):
        yield f"the saved state is that of decision {saved}"


def _outcomes(journal: Journal) -> dict[int, int]:
    """Count the outcomes of each decision over the whole journal, and find decisions made twice."""
    counts: dict[int, int] = {}
    seen: set[int] = set()
    for seq in range(journal.size):
        body = journal.record(seq).leaf.body
        if isinstance(body, Outcome):
            counts[body.decision_id] = counts.get(body.decision_id, 0) + 1
        elif isinstance(body, Decision):
            assert body.decision_id not in seen, f"decision {body.decision_id} was made twice"
            seen.add(body.decision_id)
    return counts


def _inconsistent(journal: Journal, promises: Promises) -> Iterator[str]:
    key = VerifierKey.parse(SIGNER.vkey)
    for note in promises.notes:
        published = open_checkpoint(note, key)
        if published.size > journal.size:
            yield f"a checkpoint of {published.size} records was published, {journal.size} are here"
        elif journal.root(published.size) != published.root:
            yield f"the published root of {published.size} records is not that of the records"


async def _not_writable(journal: Journal, promises: Promises) -> list[str]:
    number = max(journal.last_decision_id(), *promises.decided, 0) + 1
    if number != journal.last_decision_id() + 1:
        return [f"decision ids would start again from {journal.last_decision_id() + 1}"]
    (seq,) = await journal.commit([decision(number)], saves={"n": b"%d" % number})
    promises.leaves[seq] = sha256(journal.entries(seq, 1)[0]).hexdigest()
    promises.decided[number] = seq
    return []


class Bench:
    """A judge in a process of its own, and another one when that was killed. Use as a context."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def judge(self, folder: Path, lines: list[str]) -> list[str]:
        """Return what is wrong with a store; afterwards it has been written to."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hil.judge"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"folder": str(folder), "lines": lines}) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if answer:
            return list(json.loads(answer))
        process.communicate()
        self._process = None
        return [f"the process that opened it ended with {process.returncode}"]


def main() -> int:
    for line in sys.stdin:
        case: dict[str, Any] = json.loads(line)
        promises = Promises()
        for said in case["lines"]:
            promises.take(said.encode())
        print(json.dumps(judge(Path(case["folder"]), promises)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
