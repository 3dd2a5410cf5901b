"""What a long journal costs: filling it, the memory that takes, lists out of it, an export of it.

A journal of a million records is made by the real `Journal`, in a process of its own, so that its memory can be read. It has
decisions of 40 points, 30 rules and 5 people with evidence of 2 of 60 tags, each with its outcome; one rule fired twice, the
first time in the oldest of them. Lists are what the API answers, with outcomes, median over questions of all kinds.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from gatewayd.explain.gather import Explainer
from gatewayd.journal.audit.tiles_ahead import TilesAhead
from gatewayd.journal.audit.verify import verify_store
from gatewayd.journal.export.export import Request, export_store
from gatewayd.journal.log import Journal
from gatewayd.model.decision import NewRecord
from gatewayd.model.record import Actor, Decision, EvidenceRow, EvidenceSlice, Outcome
from gatewayd.model.wanted import Wanted
from gatewayd.store.env import QUOTA_BYTES_MIN, Store

PAIRS_AT_ONCE = 500  # decisions in one commit, then their outcomes
ROWS_AHEAD_MAX = 4_000  # of records and evidence, then the tables take over
WARM_RECORDS = 50_000  # before memory is first read
REPEATS = 3
PAGE = 20
POINTS, RULES, TAGS, PEOPLE = 40, 30, 60, 5


def questions(start_ns: int, end_ns: int, last_id: int) -> dict[str, Wanted]:
    """Return what is asked: common, rare and absent terms, together and alone, times, and a page from the middle."""
    middle_ns, hundredth_ns = (start_ns + end_ns) // 2, (end_ns - start_ns) // 100
    return {
        "newest": Wanted(),
        "point": Wanted(point="asset_3.speed"),
        "asset": Wanted(asset="asset_7"),
        "tag": Wanted(tag="asset_5.temp"),
        "rule": Wanted(rule="night-3"),
        "person": Wanted(actor_uid=1002),
        "rare": Wanted(rule="seldom"),
        "absent": Wanted(rule="never"),
        "absent_person": Wanted(actor_uid=77),
        "never_together": Wanted(rule="night-3", point="asset_4.speed"),
        "rare_of_a_person": Wanted(rule="seldom", actor_uid=1001),
        "since": Wanted(since_ns=end_ns - hundredth_ns, rule="night-3"),
        "window": Wanted(since_ns=middle_ns, until_ns=middle_ns + hundredth_ns, asset="asset_7"),
        "until": Wanted(until_ns=start_ns + hundredth_ns),
        "page": Wanted(before=last_id // 2, tag="asset_5.temp"),
    }


def long_journal(path: Path, records: int) -> dict[str, float]:
    """Fill a journal in a process of its own and return its figures, lists and all."""
    command = [sys.executable, "-m", "hil.bench.journal_lists", str(path), str(records)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _measured(path: Path, records: int) -> dict[str, float]:
    from hil.bench.journal import LONG_QUOTA, _bytes_kept, _journal  # that one imports this one

    figures: dict[str, float] = {}
    with _journal(path, "inline", LONG_QUOTA) as journal:
        start_ns, started = time.time_ns(), time.perf_counter()
        growth = asyncio.run(_fill(journal, records))
        figures["filled_per_s"] = journal.size / (time.perf_counter() - started)
        figures["rss_growth_mb"] = growth
        figures["bytes_per_record_varied"] = _bytes_kept(path) / journal.size
        times_ms = asyncio.run(_list_ms(journal, questions(start_ns, time.time_ns(), journal.last_decision_id())))
        figures["list_ms"] = statistics.median(times_ms.values())
        figures["list_worst_ms"] = max(times_ms.values())
        print("lists, ms:", {name: round(value, 2) for name, value in times_ms.items()}, file=sys.stderr, flush=True)
    return figures


async def _fill(journal: Journal, records: int) -> float:
    """Append records; return by how many MiB the process' own memory grew from the first 50,000 to the last."""
    chance = random.Random(1)
    pairs = records // 2
    warm_mb = 0.0
    for first in range(1, pairs + 1, PAIRS_AT_ONCE):
        ids = range(first, min(first + PAIRS_AT_ONCE, pairs + 1))
        await journal.commit([_decision(number, pairs, chance) for number in ids])
        now_ns = time.time_ns()
        await journal.commit([NewRecord(Outcome(number, "verified", 4.0, 4.0, now_ns, now_ns)) for number in ids])
        if journal.store.rows_ahead > ROWS_AHEAD_MAX:
            journal.store.settle()
        if not warm_mb and journal.size >= min(WARM_RECORDS, records // 2):
            warm_mb = _own_memory_mb()
    journal.store.settle()
    return _own_memory_mb() - warm_mb


def _own_memory_mb() -> float:
    """Return the process' memory without the pages of the store's file, which the system takes back when it likes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _decision(number: int, pairs: int, chance: random.Random) -> NewRecord:
    asset = chance.randrange(POINTS)
    now_ns = time.time_ns()
    tags = (f"asset_{asset}.temp", f"asset_{chance.randrange(TAGS)}.temp")
    rows = tuple(EvidenceRow(tag, "plc-1", chance.random(), 0, now_ns, now_ns, now_ns, "degC") for tag in tags)
    evidence = msgspec.msgpack.encode(EvidenceSlice(number, "temp > 85 for 5s", rows, ()))
    is_rare = number in (5, pairs // 2)
    body = Decision(
        decision_id=number,
        cycle=number,
        point=f"asset_{asset}.speed",
        proposed=30.0,
        value=40.0,
        previous=50.0,
        write=True,
        reasons=("rule", "clamp_range"),
        slot=8,
        slots_before=(None,) * 16,
        slots_after=(*(None,) * 7, 40.0, *(None,) * 8),
        guards=(),
        rule="seldom" if is_rare else f"night-{asset % RULES}",
        actor=Actor(1000 + chance.randrange(PEOPLE), "operator", "socket"),
        evidence=sha256(evidence).digest(),
        site_digest=bytes(32),
    )
    return NewRecord(body, {}, evidence)


async def _list_ms(journal: Journal, asked: dict[str, Wanted]) -> dict[str, float]:
    """Return how long each list takes, median of a few, in ms."""
    explainer = Explainer(journal, journal.checkpoint)

    async def turn() -> None:
        await asyncio.sleep(0)

    found: dict[str, float] = {}
    for name, wanted in asked.items():
        durations = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            await explainer.decisions(PAGE, wanted, {}, turn)
            durations.append(1000 * (time.perf_counter() - started))
        found[name] = statistics.median(durations)
    return found


def export_per_s(journal: Journal, folder: Path) -> float:
    """Return how many records a second an export writes, verification included."""
    journal.checkpoint()
    started = time.perf_counter()
    made = export_store(journal.store, Request(folder=folder))
    return (made.end - made.first) / (time.perf_counter() - started)


def verify_per_s(path: Path, repeats: int = 3) -> dict[str, float]:
    """Return how many records of a stopped journal are verified in a second, the best of a few, by clock.

    With a process for each processor, as `gatewayd journal verify` does it, and with one. Opening is left out.
    """
    best_s = {"verify_per_s": float("inf"), "verify_per_s_one_process": float("inf")}
    with TilesAhead(path, len(os.sched_getaffinity(0))) as ahead:
        store = Store.open(path, QUOTA_BYTES_MIN, readonly=True)
        try:
            for figure in [*best_s] * repeats:
                started = time.perf_counter()
                report = verify_store(store, None, ahead=ahead if figure == "verify_per_s" else None)
                best_s[figure] = min(best_s[figure], time.perf_counter() - started)
                assert report.problem is None, report.problem
        finally:
            store.close()
    return {figure: report.size / seconds for figure, seconds in best_s.items()}


def main(arguments: list[str]) -> None:
    figures: dict[str, Any] = _measured(Path(arguments[0]), int(arguments[1]))
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
