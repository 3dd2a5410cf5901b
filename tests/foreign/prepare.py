"""`python -m tests.foreign.prepare`: fetch and build what the tests need and this project did not write.

A missing one is said, and is an error only under GATEWAYD_REQUIRE_FOREIGN=1; its tests then skip or fail by themselves.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from tests.foreign.aarch64.build import build_emulated
from tests.foreign.availability import REQUIRED_BY, ForeignServerMissing
from tests.foreign.go.build import build_verifier
from tests.foreign.libmodbus.build import build_server as build_libmodbus
from tests.foreign.node_opcua.build import build_server as build_node_opcua

FOREIGN: dict[str, Callable[[], object]] = {
    "foreign server libmodbus": build_libmodbus,
    "foreign server node-opcua": build_node_opcua,
    "kernels of aarch64 under qemu": build_emulated,
    "verifier in Go": build_verifier,
}


def main() -> int:
    missing = 0
    for name, build in FOREIGN.items():
        print(f"{name} ...", end=" ", flush=True)
        started = time.monotonic()
        try:
            build()
        except ForeignServerMissing as reason:
            missing += 1
            print(f"missing: {reason}", flush=True)
        else:
            print(f"ready ({time.monotonic() - started:.1f} s)", flush=True)
    return 1 if missing and os.environ.get(REQUIRED_BY) == "1" else 0


if __name__ == "__main__":
    sys.exit(main())
