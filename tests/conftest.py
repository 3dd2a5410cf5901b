from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a shell without job control, as by CI: children would inherit the deafness to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast input is generated is a matter of the machine and of who shares it, not of the code under test.
settings.register_profile("gatewayd", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gatewayd")

LONG = ("tests/core/expr/", "tests/hil/", "tests/kernels/", "tests/scenarios/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first: workers are given files in this order, and none is to start a long one at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
