"""What a real server says of itself."""

from __future__ import annotations

import pytest

from gatewayd.clock import SystemClock
from gatewayd.device.opcua.survey import LATENCY_ROUNDS, survey_server
from tests.device.opcua.rig import device, link_to


@pytest.fixture
async def session(plant_server, tmp_path):
    link = link_to(device(plant_server.endpoint), [], tmp_path)
    await link.connect()
    yield link.session
    await link.close()


async def test_a_server_is_identified_and_its_latency_measured(session):
    said: list[str] = []
    found = await survey_server(session, SystemClock(), said.append)
    assert found.identity["product_uri"] == "urn:freeopcua.github.io:python:server"
    assert found.identity["start_time"]
    assert len(found.latency_ms) == len(said) == LATENCY_ROUNDS
    assert min(found.latency_ms) <= found.latency_median_ms <= max(found.latency_ms)


async def test_a_gateway_whose_clock_is_an_hour_late_is_noticed(session):
    class AnHourLate(SystemClock):
        def wall_ns(self) -> int:
            return super().wall_ns() - 3_600_000_000_000

    found = await survey_server(session, AnHourLate(), lambda _: None)
    assert found.clock_offset_ms is not None
    assert found.clock_uncertainty_ms is not None
    # The server's CurrentTime is refreshed once a second.
    assert found.clock_offset_ms == pytest.approx(3_600_000, abs=2_000 + found.clock_uncertainty_ms)


async def test_limits_are_told_as_the_server_tells_them(start, tmp_path):
    server = start("--nodes-per-read", "7")
    link = link_to(device(server.endpoint), [], tmp_path)
    await link.connect()
    found = await survey_server(link.session, SystemClock(), lambda _: None)
    await link.close()
    assert found.limits["max_nodes_per_read"] == 7
