"""Tests against servers this project did not write: skipped with a line that says what to install, or forbidden to skip."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

REQUIRED_BY = "GATEWAYD_REQUIRE_FOREIGN"


class ForeignServerMissing(Exception):
    """A foreign server cannot be had here. The text says what to install."""


def require(provide: Callable[[], T]) -> T:
    """Return what `provide` makes; when it is missing skip the test, or fail it under GATEWAYD_REQUIRE_FOREIGN=1."""
    try:
        return provide()
    except ForeignServerMissing as missing:
        if os.environ.get(REQUIRED_BY) == "1":
            pytest.fail(f"{missing} ({REQUIRED_BY}=1 forbids the skip)", pytrace=False)
        pytest.skip(str(missing))
