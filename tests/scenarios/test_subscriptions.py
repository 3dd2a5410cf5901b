"""The real daemon on subscribed tags, and servers that freeze, die and fall silent. Each device has a healthy neighbour."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gatewayd.model.record import DeviceEvent, Gap
from tests.device.opcua.subscribed import ToldServer
from tests.scenarios.rig import Gateway, running, scratch

pytestmark = pytest.mark.timeout(240)  # asyncua's server takes its time to start

_GATEWAY = """\
[gateway]
name = "example.org/gw/subscribed"
settle_s = 0.2
[storage]
path = "{folder}/storage"
[control]
socket = "{folder}/control.sock"
"""
_DEVICE = """\
[device]
name = "{name}"
protocol = "opcua"
endpoint = "{endpoint}"
security = "None"
mode = "None"
insecure = "accepted-by=test"
timeout_ms = 500
demote_for_s = 0.5
[device.scan_classes.default]
mode = "subscribe"
publishing_interval_ms = 100
[device.scan_classes.polled]
scan_rate_ms = 100
"""
_TAGS = """\
name,node_id,scan_class
told,nsu=urn:gatewayd:test;s=d1,default
quiet,nsu=urn:gatewayd:test;s=d2,default
read,nsu=urn:gatewayd:test;s=d3,polled
late,nsu=urn:gatewayd:test;s=late,default
"""


class Plant:
    """A gateway and the two servers it watches."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        folder = stack.enter_context(scratch())
        self.sick, self.well = self.start(), self.start()
        site = folder / "site"
        for name in ("devices", "twins", "policies"):
            (site / name).mkdir(parents=True)
        (site / "gateway.toml").write_text(_GATEWAY.format(folder=folder))
        for name, server in (("sick", self.sick), ("well", self.well)):
            (site / "devices" / f"{name}.toml").write_text(_DEVICE.format(name=name, endpoint=server.endpoint))
            (site / "devices" / f"{name}.tags.csv").write_text(_TAGS)
        self.gateway: Gateway = stack.enter_context(running(Path(site))).settled()
        self.gateway.eventually("not every tag is watched", lambda: self.not_good() == {"sick/late", "well/late"})

    def start(self, *options: str, port: int = 0) -> ToldServer:
        server = ToldServer(*options, port=port)
        self._stack.callback(server.stop)
        return server

    def not_good(self) -> set[str]:
        return self.gateway.not_good("sick", "well")

    def shows(self, name: str, value: float) -> bool:
        tag = self.gateway.tag(name)
        return tag["value"] == value and not tag["status"] >> 30


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    with ExitStack() as stack:
        yield Plant(stack)


SICK = {f"sick/{name}" for name in ("told", "quiet", "read", "late")}


def test_changes_reach_the_twin_and_quiet_tags_stay_good_with_the_times_they_had(plant):
    """P-STALE: no news is good news while the server vouches for it, and no news gets no new time."""
    plant.sick.tell("write", "d1", 4.0)
    plant.gateway.eventually("no change is told", lambda: plant.shows("sick/told", 4.0))
    before = plant.gateway.tag("sick/quiet")  # the subscription has begun, and with it told every value once
    for value in (5.0, 6.0, 7.0):
        plant.sick.tell("write", "d1", value)
        plant.gateway.eventually("the change is not told", lambda v=value: plant.shows("sick/told", v))
    plant.gateway.throughout(4.0, "a quiet tag went stale", lambda: "sick/quiet" not in plant.not_good())
    after = plant.gateway.tag("sick/quiet")
    assert (after["value"], after["ingest_time_ns"]) == (before["value"], before["ingest_time_ns"])


def test_a_node_that_appears_later_is_found(plant):
    """P-ISOLATE: until then it is alone with its status."""
    plant.well.tell("add", "late", 3.0)
    plant.gateway.eventually("not found", lambda: plant.shows("well/late", 3.0), within=30)
    plant.well.tell("write", "late", 4.0)
    plant.gateway.eventually("not watched", lambda: plant.shows("well/late", 4.0))


def test_a_frozen_server_costs_its_own_tags_and_no_others_and_comes_back(plant):
    """P-ISOLATE, P-STALE: the connection stays open all the time, as a half-open one does."""
    plant.sick.freeze()
    plant.gateway.eventually("old values pass for good", lambda: plant.not_good() >= SICK, within=20)
    plant.well.tell("write", "d1", 70.0)
    plant.gateway.eventually("the neighbour suffers", lambda: plant.shows("well/told", 70.0))
    plant.sick.thaw()
    plant.sick.tell("write", "d1", 71.0)
    plant.gateway.eventually("not made anew", lambda: plant.shows("sick/told", 71.0), within=20)
    assert {event.body.device for event in plant.gateway.records(DeviceEvent) if event.body.state == "lost"} == {"sick"}


def test_a_subscription_that_dies_in_silence_is_made_anew_and_the_gap_is_journalled(plant):
    """P-STALE: keep-alives go on, and the values behind them move."""
    gaps = len(plant.gateway.records(Gap))
    plant.sick.tell("mute")
    value = iter(range(1000, 100_000))

    def is_told() -> bool:
        number = next(value)
        plant.sick.tell("write", "d1", number)
        return (plant.gateway.tag("sick/told")["value"] or 0) >= 1000  # none while the session is made anew

    plant.gateway.eventually("nobody found out", is_told, within=40)
    plant.gateway.eventually("no gap on record", lambda: len(plant.gateway.records(Gap)) > gaps)
    assert "sick/default" in {gap.body.stream for gap in plant.gateway.records(Gap)}


def test_a_restart_with_renumbered_namespaces_moves_no_tag(plant):
    """P-STALE: `nsu=` is looked up anew, for subscribed and polled tags alike."""
    port = plant.sick.port
    plant.sick.stop()
    plant.gateway.eventually("old values pass for good", lambda: plant.not_good() >= SICK, within=20)
    plant.sick = plant.start("--namespaces-before", "3", port=port)
    plant.sick.tell("write", "d1", 81.0)
    plant.sick.tell("write", "d3", 83.0)
    plant.gateway.eventually("not found again", lambda: plant.shows("sick/told", 81.0), within=30)
    plant.gateway.eventually("another node is read", lambda: plant.shows("sick/read", 83.0))
