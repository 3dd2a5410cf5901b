"""How many decisions a second become durable, and what an fsync costs underneath.

Every commit is the real one: decisions with evidence, personal texts and intents, tree, indices, signed checkpoint.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from gatewayd.clock import SystemClock
from gatewayd.journal.log import Identity, Journal
from gatewayd.model.decision import Command, NewRecord
from gatewayd.model.record import Actor, Decision, EvidenceRow, EvidenceSlice, EvidenceTerm, GuardResult, Outcome
from gatewayd.proof.note import SeedSigner
from gatewayd.store.env import Store
from gatewayd.store.probe import claimed_bytes
from hil.bench import blocks
from hil.bench.goals import ceiling, floor, judged
from hil.bench.journal_lists import PAGE, export_per_s, long_journal, verify_per_s
from hil.bench.journal_samples import bytes_per_sample

ORIGIN = "bench.example/gw/e1"
FOLDER = Path("build") / "bench"
QUOTA = 1 << 30
LONG_QUOTA = 8 << 30  # for millions of records
SAMPLED_TAGS = 1_000
QUICK_SIZES = {"50k": 50_000}
SIZES = {"100k": 100_000, "1m": 1_000_000, "3m": 3_000_000}  # 10 million take more than ten minutes to make
GOALS = (
    floor("durable decisions a second, commits of 100", "durable_per_s_batch100", "", 20_000),
    ceiling("bytes on disk per record", "bytes_per_record", "", 260),
    floor("records verified a second", "verify_per_s", "", 200_000),
    ceiling("ms for a list out of a million records", "list_ms_1m", "", 100),
    ceiling("ms for the slowest of the questions", "list_worst_ms_1m", "", 100),
    ceiling("MB that a million records add to memory", "rss_growth_mb_1m", "", 16),
)
BUSY_SLICE_S = 0.001
WARM_UP = 5


def run(quick: bool) -> dict[str, Any]:
    """Measure everything; about 45 s if quick, else some minutes, most of which fill a long journal."""
    part_s = 1.5 if quick else 10.0
    figures: dict[str, float] = {}
    with _folder() as folder:
        _say("plain fsync of 4 KiB")
        figures |= _spread("fsync", _fsync_ms(folder / "plain", part_s))
        for batch in (1, 10, 100):
            _say(f"decisions in commits of {batch}")
            durations = asyncio.run(_commit_ms(folder / f"batch{batch}", batch, part_s))
            figures[f"durable_per_s_batch{batch}"] = 1000 * batch * len(durations) / sum(durations)
            if batch == 1:
                figures |= _spread("commit", durations)
        _say("decisions with their outcomes, kept and verified")
        figures |= asyncio.run(_kept(folder / "kept", 5_000 if quick else 50_000))
        _say("cycles of the flight recorder, sealed")
        figures |= blocks.figures(quick)
        for mode in ("inline", "thread"):
            _say(f"commits {mode} while the loop is busy in slices of 1 ms")
            durations, turns = asyncio.run(_busy_ms(folder / f"busy-{mode}", mode, part_s))
            figures |= _spread(f"busy_{mode}_commit", durations)
            figures[f"busy_{mode}_slices_per_s"] = 1000 * turns / sum(durations)
        for name, records in (QUICK_SIZES if quick else SIZES).items():
            _say(f"a journal of {records:,} records: its memory, lists out of it")
            found = long_journal(folder / f"long-{name}", records)
            figures |= {f"{figure}_{name}": value for figure, value in found.items()}
        _say("what a sample takes in the flight recorder")
        figures["bytes_per_sample"] = bytes_per_sample(tags=SAMPLED_TAGS, seconds=4 * part_s)
    settings = {
        "seconds_per_part": part_s,
        "evidence_rows": 8,
        "quota_bytes": QUOTA,
        "intent_per_decision": True,
        "sampled_tags": SAMPLED_TAGS,
        "list_page": PAGE,
    }
    figures = {name: round(value, 4) for name, value in figures.items()}
    return {"figures": figures, "settings": settings, "goals": judged(GOALS, figures)}


def _spread(name: str, durations_ms: list[float]) -> dict[str, float]:
    ordered = sorted(durations_ms)
    return {f"{name}_p50_ms": ordered[len(ordered) // 2], f"{name}_p99_ms": ordered[len(ordered) * 99 // 100]}


def _fsync_ms(path: Path, seconds: float) -> list[float]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    page, durations = os.urandom(4096), []
    end = time.perf_counter() + seconds
    try:
        while (start := time.perf_counter()) < end:
            os.pwrite(descriptor, page, 4096 * (len(durations) % 1024))
            os.fdatasync(descriptor)
            durations.append(1000 * (time.perf_counter() - start))
    finally:
        os.close(descriptor)
    return durations[WARM_UP:]


async def _commit_ms(path: Path, batch: int, seconds: float) -> list[float]:
    with _journal(path, "inline") as journal:
        durations: list[float] = []
        next_id, end = 1, time.perf_counter() + seconds
        while time.perf_counter() < end:
            records = [_decision(next_id + n) for n in range(batch)]
            intents = [_command(next_id + n) for n in range(batch)]
            start = time.perf_counter()
            await journal.commit(records, intents=intents)
            durations.append(1000 * (time.perf_counter() - start))
            next_id += batch
        return durations[WARM_UP:]


async def _kept(path: Path, pairs: int) -> dict[str, float]:
    """Decide and report outcomes, in commits of 50 of each; return what a record takes on disk and how fast all verify."""
    with _journal(path, "inline") as journal:
        for first in range(1, pairs + 1, 50):
            ids = range(first, first + 50)
            await journal.commit([_decision(n) for n in ids], intents=[_command(n) for n in ids])
            await journal.commit([_outcome(n) for n in ids], resolves=ids)
        journal.store.settle()
        figures = {
            "bytes_per_record": _bytes_kept(path) / journal.size,
            "export_per_s": export_per_s(journal, path.with_name("export")),
        }
    return figures | verify_per_s(path)


def _bytes_kept(path: Path) -> int:
    """Return what records take on disk: pages in use, without blocks ahead of need, ballast and redo file, which are bounded."""
    return claimed_bytes(path / "data.mdb")


async def _busy_ms(path: Path, mode: str, seconds: float) -> tuple[list[float], int]:
    """Commit single decisions one after the other beside a task that keeps the loop busy."""
    with _journal(path, mode) as journal:
        durations: list[float] = []
        turns, is_over = 0, False

        async def keep_busy() -> None:
            nonlocal turns
            while not is_over:
                _spin(BUSY_SLICE_S)
                turns += 1
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keep_busy(), name="busy")
            end, next_id = time.perf_counter() + seconds, 1
            while time.perf_counter() < end or len(durations) <= WARM_UP:
                record = _decision(next_id)
                start = time.perf_counter()
                await journal.commit([record], intents=[_command(next_id)])
                durations.append(1000 * (time.perf_counter() - start))
                await asyncio.sleep(0)
                next_id += 1
            is_over = True
        return durations[WARM_UP:], turns


def _spin(seconds: float) -> None:
    """Work in Python, holding the interpreter, as a cycle does."""
    end, total = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        total += 1


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder on the disk the checkout is on, removed afterwards: /tmp may be memory."""
    folder = FOLDER / f"journal-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _journal(path: Path, mode: str, quota: int = QUOTA) -> Iterator[Journal]:
    store = Store.open(path, quota)
    signer = SeedSigner(ORIGIN, os.urandom(32))
    identity = Identity(ORIGIN, 1, os.urandom(16))
    journal = Journal.open(store, signer, SystemClock(), identity, commit="thread" if mode == "thread" else "inline")
    try:
        yield journal
    finally:
        journal.close()
        store.close()


def _decision(decision_id: int) -> NewRecord:
    now_ns = time.time_ns()
    rows = tuple(
        EvidenceRow(f"pump_1.tag_{n}", "plc-1", 20.0 + n, 0, now_ns, now_ns, now_ns, "degC", 0, 0.5) for n in range(8)
    )
    terms = (EvidenceTerm("rate(bearing_temp, 60s)", 0.72), EvidenceTerm("bearing_temp", 86.0))
    evidence = msgspec.msgpack.encode(EvidenceSlice(decision_id, "bearing_temp > 85 for 5s", rows, terms))
    body = Decision(
        decision_id=decision_id,
        cycle=decision_id,
        point="pump_1.speed",
        proposed=30.0,
        value=40.0,
        previous=50.0,
        write=True,
        reasons=("rule", "clamp_range"),
        slot=8,
        slots_before=(None,) * 16,
        slots_after=(*(None,) * 7, 40.0, *(None,) * 8),
        guards=(GuardResult("range", "clamp", 30.0, 40.0, 40.0), GuardResult("rate", "pass", 40.0, 40.0)),
        rule="bearing-hot",
        actor=Actor(0, "core", "core"),
        evidence=sha256(evidence).digest(),
        site_digest=bytes(32),
        policy_digest=bytes(32),
        kernel_digest=bytes(32),
    )
    return NewRecord(body, {}, evidence)


def _outcome(decision_id: int) -> NewRecord:
    now_ns = time.time_ns()
    return NewRecord(Outcome(decision_id, "verified", 40.0, 40.0, now_ns, now_ns + 10_000_000))


def _command(decision_id: int) -> Command:
    return Command(decision_id, 0, 1, 1, 40.0, 50.0, 0.5, 2_000_000_000, 10_000_000_000)


def _say(what: str) -> None:
    print(f"journal: {what}", file=sys.stderr, flush=True)
