"""Print the part of the lock that a gateway needs: gatewayd's own dependencies and theirs, without numba and LLVM.

Run it with the Python of an environment that holds the whole lock: `python requirements/runtime.py > runtime.lock`.
Versions and hashes are the lock's own lines.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
# They compile the kernels; the daemon may not even import them under MemoryDenyWriteExecute.
BUILD_ONLY = {"numba", "llvmlite"}


def runtime_names() -> set[str]:
    """Return the canonical names of everything the daemon may import."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [Requirement(line) for line in project["dependencies"]]
    names: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in names | BUILD_ONLY or (wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})):
            continue
        try:
            waiting += [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError as error:
            raise SystemExit(f"{name} is not installed here: install requirements/dev.lock first") from error
        names.add(name)
    return names


def runtime_lock() -> str:
    """Return the lock's entries of those names."""
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / "requirements" / "dev.lock").read_text())
    names = runtime_names()
    kept = [entry for entry in entries if canonicalize_name(entry.partition("==")[0].strip()) in names]
    return "\n".join(entry.rstrip() for entry in kept) + "\n"


if __name__ == "__main__":
    sys.stdout.write(runtime_lock())
