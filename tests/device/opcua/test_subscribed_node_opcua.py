"""Subscriptions against node-opcua, a server this project did not write."""

from __future__ import annotations

import pytest

from gatewayd.model import quality
from gatewayd.model.block import Codec
from hil.bench.notifications import changing_server
from tests.device.opcua.rig import tag
from tests.device.opcua.server import SCALARS
from tests.device.opcua.subscribed import Watcher
from tests.foreign.availability import require
from tests.foreign.node_opcua.build import build_server

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(400)]  # npm ci may run first

CHANGING, PERIOD_MS = 5000, 200


@pytest.fixture(scope="module")
def endpoint():
    require(build_server)
    with changing_server(CHANGING, PERIOD_MS) as endpoint:
        yield endpoint


@pytest.fixture
async def watch(endpoint, tmp_path):
    watchers: list[Watcher] = []

    def begin(*tags, **settings) -> Watcher:
        watchers.append(Watcher(endpoint, list(tags), tmp_path, **({"timeout_ms": 20_000} | settings)))
        return watchers[-1]

    yield begin
    for watcher in watchers:
        await watcher.link.close()


async def told(plant: Watcher, rows: int) -> None:
    """Wait until the server itself has told a first value of so many tags, beside our own read of them."""
    await plant.until(lambda: all(len(plant.history[row]) >= 2 for row in range(rows)), "not every tag is watched")


async def test_every_scalar_type_is_told_as_it_is_held(watch):
    plant = watch(*(tag(name, name) for name in SCALARS))
    await told(plant, len(SCALARS))
    assert [plant.value(row) for row in range(len(SCALARS))] == [float(value) for value, _ in SCALARS.values()]


async def test_unknown_sick_and_foreign_values_are_told_beside_good_ones(watch):
    """P-ISOLATE"""
    plant = watch(tag("d1"), tag("no.such.node"), tag("text"), tag("array"), tag("label"), tag("sick"), tag("pico"))
    await plant.until(lambda: len(plant.history[6]) >= 2, "not watched")
    assert [plant.status[row] for row in range(7)] == [
        0, quality.BAD_NODE_ID_UNKNOWN, *[quality.BAD_TYPE_MISMATCH] * 3, quality.BAD_SENSOR_FAILURE, 0,
    ]  # fmt: skip
    assert (plant.value(0), plant.value(6)) == (1.0, 3.5)


async def test_an_absolute_deadband_holds_small_changes_back(watch):
    plant = watch(tag("float64.set", access="rw", deadband=10.0), tag("float32.set", "float32", access="rw"))
    await plant.look()
    await plant.link.write(0, 500.0)
    await plant.until(lambda: plant.value(0) == 500.0, "a large change is not told")
    known = len(plant.history[0])
    await plant.link.write(0, 505.0)
    await plant.link.write(1, 2.5)
    await plant.until(lambda: plant.value(1) == 2.5, "no marker")
    assert len(plant.history[0]) == known
    await plant.link.write(0, 511.0)
    await plant.until(lambda: plant.value(0) == 511.0, "beyond the deadband, and not told")


async def test_a_percent_deadband_is_of_the_range_that_the_server_knows(watch):
    """5 percent of 0 to 200 are 10."""
    percent = {"deadband": 5.0, "deadband_type": "percent", "access": "rw"}
    plant = watch(tag("analog.set", **percent), tag("float32.set", "float32", access="rw"))
    await plant.look()
    await plant.link.write(0, 50.0)
    await plant.until(lambda: plant.value(0) == 50.0, "a large change is not told")
    known = len(plant.history[0])
    await plant.link.write(0, 58.0)
    await plant.link.write(1, 3.5)
    await plant.until(lambda: plant.value(1) == 3.5, "no marker")
    assert len(plant.history[0]) == known
    await plant.link.write(0, 61.0)
    await plant.until(lambda: plant.value(0) == 61.0, "beyond the deadband, and not told")
    assert plant.notes == []


async def test_a_deadband_that_the_server_cannot_do_is_left_out_and_said(watch):
    """A percent of a node without a range: the tag is watched without it, more often than wished, and people are told."""
    plant = watch(tag("float64.set", access="rw", deadband=5.0, deadband_type="percent"))
    await plant.look()
    await plant.link.write(0, 77.0)
    await plant.until(lambda: plant.value(0) == 77.0, "not watched")
    assert "no deadband" in plant.notes[0].detail


async def test_a_queue_that_is_too_short_is_counted_and_said(watch):
    """The server marks the value after a lost one with the overflow bit."""
    plant = watch(tag("c0", sampling_interval_ms=20, queue_size=2), publishing_interval_ms=1000)
    await plant.until(lambda: plant.gaps, "no overflow noticed")
    assert "queue" in plant.gaps[0].reason
    assert plant.gaps[0].count >= 1


async def test_queued_changes_come_in_order(watch):
    plant = watch(tag("c0", sampling_interval_ms=20, queue_size=50), publishing_interval_ms=500)
    await plant.until(lambda: len(plant.history[0]) >= 20, "too few changes")
    told = [block for block in plant.blocks if block.codec is Codec.OPCUA_NOTIFICATION]
    values = plant.history[0][1:]  # after our read
    assert values == sorted(set(values)), "the node counts up"
    assert len(values) > len(told), "several changes in one notification"
    assert plant.gaps == []


async def test_five_thousand_changing_items_are_all_told(watch):
    plant = watch(*(tag(f"c{number}") for number in range(CHANGING)), publishing_interval_ms=500)
    await plant.until(lambda: all(len(plant.history[row]) >= 4 for row in range(CHANGING)), "some items are silent")
    assert plant.count(Codec.OPCUA_READ) < 4, "they were told, not read"
    assert plant.gaps == []
