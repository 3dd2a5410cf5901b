"""`python -m hil.bench NAME [--data DIR] [--quick] [--peers] [--json FILE]`: one bench, its figures as a table and as JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from hil.bench.goals import print_goals

BENCHES = {
    "loop": "decision latency, cycle time, memory and start-up of the whole daemon",
    "kernels": "ns per tag of each kernel at 100 to 100,000 tags, ahead of time beside JIT beside plain Python",
    "journal": "durable records per second, and what a commit costs",
    "modbus": "Modbus TCP tags per second, CPU per tag and lateness, beside pymodbus, libmodbus and a C client",
    "anomaly": "what the anomaly detectors find of NAB, SKAB and Tennessee Eastman, and what they cost",
    "replay": "recorded cycles decided again: times real time, differences, what snapshots cost",
    "opcua": "OPC UA values per second and CPU per value, beside asyncua",
}
HAVE_PEERS = ("anomaly", "modbus", "opcua")
NEED_DATA = ("anomaly",)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m hil.bench",
        description="Measure gatewayd. Benches: " + "; ".join(f"{name}: {text}" for name, text in BENCHES.items()),
        epilog="example: python -m hil.bench loop --quick --json build/loop.json",
    )
    parser.add_argument("bench", choices=sorted(BENCHES), metavar="NAME", help=", ".join(sorted(BENCHES)))
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, at most 45 s")
    parser.add_argument(
        "--peers",
        action="store_true",
        help=f"measure other gateways, too, installed under build/: only {', '.join(HAVE_PEERS)}; minutes",
    )
    parser.add_argument(
        "--data", metavar="DIR", type=Path, help="folder with nab/, skab/ or tep/ in it; only anomaly, which needs it"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result there, too")
    arguments = parser.parse_args()
    if arguments.peers and arguments.bench not in HAVE_PEERS:
        parser.error(f"{arguments.bench} has no peers; --peers is for {', '.join(HAVE_PEERS)}")
    if (arguments.data is None) == (arguments.bench in NEED_DATA):
        parser.error(f"{arguments.bench} {'needs' if arguments.data is None else 'takes no'} --data DIR")
    options = {"quick": arguments.quick, **({"peers": True} if arguments.peers else {})}
    if arguments.data is not None:
        options["data"] = arguments.data
    result = importlib.import_module(f"hil.bench.{arguments.bench}").run(**options)
    report = {"bench": arguments.bench, **result, "machine": machine(), "commit": commit()}
    print_table(report)
    if "goals" in report:
        print_goals(report["goals"])
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def machine() -> dict[str, object]:
    model = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "arch": platform.machine(),
        "cpu": model[0] if model else "unknown",
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def commit() -> str:
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def print_table(report: dict[str, object]) -> None:
    figures = report["figures"]
    assert isinstance(figures, dict)
    width = max(len(name) for name in figures)
    print(f"\n{report['bench']}")
    for name, value in figures.items():
        print(f"  {name:<{width}}  {value:>14,.3f}" if isinstance(value, float) else f"  {name:<{width}}  {value:>14}")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main())
