"""`python -m hil.kill --kills N`: kill -9 the daemon at random moments under load, then look for what was lost.

A PLC in its own process toggles the input of a rule; each toggle is a decision and a write of a value never used before.
After each kill the daemon is started again. At the end, from bytes alone:

    lost          records that were acknowledged (to the cloud, or in the journal's reported size) and are not there
    doubled       records that stand twice in the lake's table
    undecided     writes the PLC received without a decision of their own that was durable before
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from gatewayd.journal.leaf import decode_leaf
from gatewayd.model.record import Decision, Start
from hil.bench.site import write_site
from hil.broker import Broker
from hil.daemon import Daemon, gatewayd

FOLDER = Path("build/kill")


class Result(NamedTuple):
    """What a campaign found."""

    kills: int
    records: int
    decisions: int
    writes: int
    lost: int
    doubled: int
    undecided: int
    in_doubt_resolved: int
    verified: bool

    @property
    def passed(self) -> bool:
        return self.verified and not (self.lost or self.doubled or self.undecided) and self.writes >= self.kills // 2


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m hil.kill", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    result = campaign(FOLDER, kills=arguments.kills, seed=arguments.seed, progress=True)
    print(json.dumps(result._asdict(), indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result._asdict(), indent=2) + "\n")
    return 0 if result.passed else 1


def campaign(folder: Path, *, kills: int, seed: int, progress: bool = False) -> Result:
    """Run a campaign in an empty folder and judge it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder = folder.absolute()
    (folder / "site").mkdir(parents=True)
    writes_log, table = folder / "writes.jsonl", folder / "table"
    moments = random.Random(seed)
    with Broker(folder) as broker, _plc(writes_log) as plc, _collector(broker.port, table, folder / "collector.log"):
        assert plc.stdout is not None
        port = int(plc.stdout.readline())
        site = write_site(folder / "site", tags=200, port=port, scan_rate_ms=100, broker=broker.port)
        daemon = Daemon(site, site / "control.sock", log=folder / "daemon.log")
        vkey = daemon.init()["vkey"]
        size_seen = 0
        lost = 0
        for number in range(kills):
            at_a_write = writes_log if number % 2 else None
            size_now, size_reported = _one_life(daemon, moments.uniform(0.05, 1.2), at_a_write)
            lost += max(0, size_seen - size_now)
            size_seen = size_reported
            if progress:
                print(f"\rkill {number + 1} of {kills}: {size_reported} records", end="", flush=True)
        daemon.start()
        size = _drained(daemon)
        lost += max(0, size_seen - size)
        daemon.wait_until(lambda: daemon.get("/v1/status")["mode"] == "auto", "the daemon did not settle", 30)
        _drained(daemon)
        daemon.stop()
        if progress:
            print(flush=True)
    return _judge(folder, table, writes_log, kills=kills, lost=lost, vkey=vkey)


def _one_life(daemon: Daemon, seconds: float, at_a_write: Path | None) -> tuple[int, int]:
    """Start, live for a while, die; return the journal's size as first and as last reported.

    Half of the lives end right after the PLC received a write, before its outcome can be durable.
    """
    daemon.start()
    deadline = time.monotonic() + seconds
    first = last = int(daemon.get("/v1/status")["journal"]["size"])
    while time.monotonic() < deadline:
        last = int(daemon.get("/v1/status")["journal"]["size"])
    if at_a_write is not None:
        _await_write(at_a_write)
    daemon.kill()
    return first, last


def _await_write(writes_log: Path) -> None:
    size, deadline = writes_log.stat().st_size, time.monotonic() + 2
    while writes_log.stat().st_size == size and time.monotonic() < deadline:
        time.sleep(0.0002)


def _drained(daemon: Daemon) -> int:
    """Wait until the cloud has everything there was when asked; return that size."""
    size = int(daemon.get("/v1/status")["journal"]["size"])
    daemon.wait_until(
        lambda: daemon.get("/v1/sync")["streams"][0]["acked"] >= size, "the cloud did not acknowledge everything", 60
    )
    return size


def _judge(folder: Path, table: Path, writes_log: Path, *, kills: int, lost: int, vkey: str) -> Result:
    from gatewayd.cloud.read import check_table, read_table

    report = check_table(table)
    leaves = [decode_leaf(leaf) for *_, leaf in read_table(table)]
    decisions = [
        (leaf.boot_ns, leaf.body.value) for leaf in leaves if isinstance(leaf.body, Decision) and leaf.body.write
    ]
    writes = [json.loads(line) for line in writes_log.read_text().splitlines()]
    storage = folder / "site" / "storage"
    verified = json.loads(
        gatewayd("journal", "verify", "--storage", str(storage), "--vkey", vkey, "--json", check=False)
    )
    return Result(
        kills=kills,
        records=len(leaves),
        decisions=len(decisions),
        writes=len(writes),
        lost=lost + report.gaps,
        doubled=report.duplicates,
        undecided=_undecided(decisions, [(write["boot_ns"], write["value"]) for write in writes]),
        in_doubt_resolved=sum(leaf.body.in_doubt for leaf in leaves if isinstance(leaf.body, Start)),
        verified=bool(verified) and verified.get("problem") is None,
    )


def _undecided(decisions: list[tuple[int, float]], writes: list[tuple[int, float]]) -> int:
    """Count the writes that no earlier decision of their value, used once, accounts for."""
    unused: dict[float, list[int]] = {}
    for boot_ns, value in sorted(decisions):
        unused.setdefault(value, []).append(boot_ns)
    missing = 0
    for boot_ns, value in writes:
        earlier = [decided_ns for decided_ns in unused.get(value, []) if decided_ns <= boot_ns]
        if earlier:
            unused[value].remove(earlier[0])
        else:
            missing += 1
    return missing


def _plc(writes_log: Path) -> subprocess.Popen[bytes]:
    return _Owned(
        [sys.executable, "-m", "hil.bench.plc", "--toggle-period", "0.1", "--writes-log", str(writes_log)],
        stdout=subprocess.PIPE,
    )


def _collector(port: int, table: Path, log: Path) -> subprocess.Popen[bytes]:
    command = ["cloud", "collect", "--broker", "127.0.0.1", "--port", str(port), "--table", str(table)]
    with log.open("wb") as output:  # the child has its own copy
        return _Owned(
            [sys.executable, "-m", "gatewayd", *command, "--insecure", "accepted-by=kill test"],
            stdout=output,
            stderr=output,
        )


class _Owned(subprocess.Popen[bytes]):
    """A process that ends with its block."""

    def __exit__(self, *_: object) -> None:
        self.terminate()
        self.wait(timeout=20)
        if self.stdout is not None:
            self.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
