from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from hil.plants.client import Plant


@pytest.fixture(scope="session")
def shared_plant() -> Iterator[Plant]:
    with Plant.start(extra_tags=300, extra_nodes=20, seed=7) as plant:
        yield plant


@pytest.fixture
def plant(shared_plant: Plant) -> Iterator[Plant]:
    """One running station for all tests; each leaves it without faults."""
    yield shared_plant
    shared_plant.clear()


def until(holds: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """Wait for the plant, which runs in other processes, to get somewhere."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "the plant did not get there in time"
        time.sleep(0.02)
