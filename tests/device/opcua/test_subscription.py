"""Subscriptions against a real server (asyncua's, in a process of its own) that behaves, misbehaves and dies."""

from __future__ import annotations

import asyncio
import math

import pytest
from asyncua import ua

from gatewayd.device.opcua.service import refused
from gatewayd.errors import DeviceError, DeviceTimeout, DeviceUnreachable
from gatewayd.model import quality
from gatewayd.model.block import Codec
from tests.device.opcua.rig import tag
from tests.device.opcua.subscribed import ToldServer, Watcher


@pytest.fixture
def tell():
    """Start servers that can be told what to do."""
    started: list[ToldServer] = []

    def begin(*options: str, port: int = 0) -> ToldServer:
        started.append(ToldServer(*options, port=port))
        return started[-1]

    yield begin
    for server in started:
        server.stop()


@pytest.fixture
async def watch(tmp_path):
    """Watch tags of a server."""
    watchers: list[Watcher] = []

    def begin(server: ToldServer, *tags, **settings) -> Watcher:
        watchers.append(Watcher(server.endpoint, list(tags), tmp_path, **settings))
        return watchers[-1]

    yield begin
    for watcher in watchers:
        await watcher.link.close()


async def settled(watcher: Watcher) -> None:
    """Wait until the first notifications of new items are through."""
    await watcher.until(lambda: watcher.count(Codec.OPCUA_NOTIFICATION) >= 1, "no first notification")
    await watcher.until(lambda: watcher.count(Codec.CONFIRMED) >= 2, "no sign of life")


async def test_all_tags_are_read_at_once_and_then_told_by_the_server_when_they_change(tell, watch):
    server = tell()
    plant = watch(server, *(tag(f"d{number}") for number in range(5)))
    await plant.look()
    assert [plant.value(row) for row in range(5)] == [0.0, 1.0, 2.0, 3.0, 4.0]
    await settled(plant)
    reads = plant.count(Codec.OPCUA_READ)
    server.tell("write", "d3", 33.5)
    await plant.until(lambda: plant.value(3) == 33.5, "the change was not told")
    assert plant.count(Codec.OPCUA_READ) == reads, "nobody read it"
    assert len(plant.history[2]) == 2, "a tag that does not change is read once and told once"


async def test_a_polled_scan_class_goes_on_beside_a_subscribed_one_on_the_same_session(tell, watch):
    server = tell()
    plant = watch(server, tag("d1"), tag("d2", scan_class="polled"))
    await settled(plant)
    session = plant.link._session
    server.tell("write", "d2", 7.0)
    server.tell("write", "d1", 8.0)
    await plant.until(lambda: (plant.value(0), plant.value(1)) == (8.0, 7.0), "not both classes")
    assert plant.link._session is session


async def test_an_absolute_deadband_is_in_the_units_of_the_tag(tell, watch):
    """Scale 0.1: a deadband of 1 degree is 10 of the node's steps."""
    server = tell()
    server.tell("add", "marker")
    plant = watch(server, tag("d1", scale=0.1, deadband=1.0), tag("marker"))
    await settled(plant)
    before = len(plant.history[0])
    server.tell("write", "d1", 5.0, 9.0, 10.5)
    server.tell("write", "marker", 1.0)
    await plant.until(lambda: plant.value(1) == 1.0, "no marker")
    assert len(plant.history[0]) == before, "at most 9.5 away from what was told: within the deadband"
    server.tell("write", "d1", 21.0)
    await plant.until(lambda: plant.value(0) == 21.0, "beyond the deadband, and not told")


async def test_a_queue_keeps_every_change_between_two_publishings_in_order(tell, watch):
    server = tell()
    plant = watch(server, tag("d1", queue_size=10), tag("d2"), publishing_interval_ms=300)
    await settled(plant)
    known = len(plant.history[0]), len(plant.history[1])
    server.tell("write", "d1", *range(101, 107))
    server.tell("write", "d2", *range(201, 207))
    await plant.until(lambda: plant.value(0) == 106.0 and plant.value(1) == 206.0, "not the last values")
    assert plant.history[0][known[0] :] == [101.0, 102.0, 103.0, 104.0, 105.0, 106.0]
    assert len(plant.history[1]) - known[1] <= 2, "a queue of one keeps the newest only"


@pytest.mark.parametrize("options", [(), ("--items-per-call", "400"), ("--items-per-call", "400", "--silent-limit")])
async def test_five_thousand_items_are_made_in_calls_that_the_server_takes(tell, watch, options):
    """On 200 nodes, because asyncua's server takes minutes to make thousands."""
    server = tell("--doubles", "200", *options)
    node_id = "nsu=urn:gatewayd:test;s=d{}"
    tags = [tag(f"t{number}", node_id=node_id.format(number % 200)) for number in range(5000)]
    plant = watch(server, *tags, timeout_ms=20_000)
    await plant.until(lambda: len(plant.history[4999]) >= 2, "not all items are watched")
    assert [plant.value(row) for row in range(5000)] == [float(number % 200) for number in range(5000)]
    server.tell("write", "d121", -1.0)
    await plant.until(lambda: plant.value(4321) == -1.0 == plant.value(121), "the change was not told")


async def test_a_missing_node_is_alone_with_its_status_and_found_when_it_appears(tell, watch):
    """P-ISOLATE"""
    server = tell()
    tags = [tag("d1"), tag("late"), tag("gone", node_id="nsu=urn:nowhere;s=x"), tag("d2")]
    plant = watch(server, *tags, timeout_ms=60_000)
    await settled(plant)
    assert {row: plant.status[row] for row in range(4)} == {
        0: 0, 1: quality.BAD_NODE_ID_UNKNOWN, 2: quality.BAD_NODE_ID_UNKNOWN, 3: 0,
    }  # fmt: skip
    server.tell("write", "d2", 5.5)
    await plant.until(lambda: plant.value(3) == 5.5, "a neighbour of a missing node is not told")
    server.tell("add", "late", 9.0)
    plant.clock.push(6)
    await plant.until(lambda: plant.value(1) == 9.0, "it was not tried again")
    server.tell("write", "late", 10.0)
    await plant.until(lambda: plant.value(1) == 10.0, "it is read, but not watched")


async def test_a_node_that_vanishes_turns_bad_and_its_successor_is_watched(tell, watch):
    """P-ISOLATE, P-STALE: the server says nothing of the deletion; the next report finds out."""
    server = tell()
    plant = watch(server, tag("d1", max_report_interval_s=30.0), tag("d2"), timeout_ms=60_000)
    await settled(plant)
    server.tell("delete", "d1")
    plant.clock.push(31)
    await plant.until(lambda: plant.status[0] == quality.BAD_NODE_ID_UNKNOWN, "still good")
    server.tell("add", "d1", 4.0)
    plant.clock.push(6)
    await plant.until(lambda: plant.value(0) == 4.0, "the new node is not found")
    server.tell("write", "d1", 5.0)
    await plant.until(lambda: plant.value(0) == 5.0, "the new node is not watched")


async def test_every_tag_is_read_now_and_then_whether_or_not_it_changes(tell, watch):
    server = tell()
    plant = watch(server, tag("d1", max_report_interval_s=20.0), tag("d2"), timeout_ms=60_000)
    await settled(plant)
    known = len(plant.history[0])
    plant.clock.push(21)
    await plant.until(lambda: len(plant.history[0]) > known, "no report")


async def test_a_lost_notification_is_asked_for_again(tell, watch):
    server = tell()
    plant = watch(server, tag("d1"), tag("d2"))
    await settled(plant)
    reads = plant.count(Codec.OPCUA_READ)
    server.tell("lose")
    server.tell("write", "d1", 71.0)
    await plant.until(lambda: plant.value(0) == 71.0, "the message was not asked for again")
    assert plant.count(Codec.OPCUA_READ) == reads
    assert plant.gaps == []


async def test_a_later_change_does_not_overtake_a_lost_one(tell, watch):
    server = tell()
    plant = watch(server, tag("d1"))
    await settled(plant)
    server.tell("lose")
    server.tell("write", "d1", 71.0)
    await asyncio.sleep(0.15)  # two publishings: they must not share one
    server.tell("write", "d1", 72.0)
    await plant.until(lambda: plant.value(0) == 72.0, "not the last value")
    assert plant.history[0][-2:] == [71.0, 72.0]


async def test_a_notification_that_is_gone_is_a_journalled_gap_and_all_tags_are_read(tell, watch):
    """P-STALE: no value is missed for good."""
    server = tell()
    plant = watch(server, tag("d1"), tag("d2"))
    await settled(plant)
    server.tell("vanish")
    server.tell("write", "d1", 71.0)
    await plant.until(lambda: plant.gaps, "no gap")
    await plant.until(lambda: plant.value(0) == 71.0, "the value is missed")
    (gap,) = plant.gaps
    assert (gap.stream, gap.count, gap.first == gap.last) == ("plant/default", 1, True)


async def test_a_restarted_server_gets_new_subscriptions_and_the_gap_is_on_record(tell, watch):
    server = tell()
    plant = watch(server, tag("d1"), tag("d2"))
    await settled(plant)
    server.stop()
    with pytest.raises(DeviceUnreachable):
        await plant.until(lambda: False, "nobody noticed")
    again = tell(port=server.port)
    again.tell("write", "d2", 42.0)
    await plant.link.close()
    await plant.until(lambda: plant.value(1) == 42.0, "not read after the restart")
    (gap,) = plant.gaps
    assert 0 < gap.first < gap.last, "from the last message before to the new subscription"
    again.tell("write", "d1", 43.0)
    await plant.until(lambda: plant.value(0) == 43.0, "not watched after the restart")


async def test_namespaces_renumbered_by_a_restart_move_no_tag(tell, watch):
    """P-STALE: `nsu=` is looked up anew on each connection, for polled and for subscribed tags."""
    server = tell()
    plant = watch(server, tag("d1"), tag("d2", scan_class="polled"))
    await settled(plant)
    before = list(plant.link._session.namespaces)
    server.stop()
    with pytest.raises(DeviceError):
        await plant.until(lambda: False, "nobody noticed")
    await plant.link.close()
    again = tell("--namespaces-before", "3", port=server.port)
    again.tell("write", "d1", 61.0)
    again.tell("write", "d2", 62.0)
    await plant.until(lambda: (plant.value(0), plant.value(1)) == (61.0, 62.0), "other nodes than before")
    after = list(plant.link._session.namespaces)
    assert before.index("urn:gatewayd:test") != after.index("urn:gatewayd:test")
    again.tell("write", "d1", 63.0)
    await plant.until(lambda: plant.value(0) == 63.0, "not watched after the restart")


async def test_a_frozen_server_is_given_up_after_three_keep_alives_and_found_again(tell, watch):
    """P-STALE: the socket is open and the session claims to be well; half-open connections look the same."""
    server = tell()
    plant = watch(server, tag("d1"), timeout_ms=300)
    await settled(plant)
    server.freeze()
    confirmed = plant.count(Codec.CONFIRMED)
    await plant.look()
    plant.clock.push(5)
    with pytest.raises(DeviceTimeout, match="no message of the subscription"):
        await plant.look()
    assert plant.count(Codec.CONFIRMED) <= confirmed + 1
    assert plant.link._session is None
    server.thaw()
    server.tell("write", "d1", 12.0)
    await plant.until(lambda: plant.value(0) == 12.0, "not found again")


async def test_a_subscription_that_dies_without_a_word_is_found_out_by_a_read(tell, watch):
    """P-STALE: keep-alives go on, and the values behind them move."""
    server = tell()
    plant = watch(server, tag("d1"), tag("d2"), timeout_ms=300)
    await settled(plant)
    session = plant.link._session
    server.tell("mute")

    async def until_dead() -> None:
        for number in range(1000):
            server.tell("write", "d1", 100.0 + number)
            await plant.look()
            await asyncio.sleep(0.05)

    with pytest.raises(DeviceTimeout, match="a read shows that something did"):
        await until_dead()
    await plant.until(lambda: plant.value(0) is not None and plant.value(0) >= 100.0, "not made anew")
    assert plant.link._session is not session
    server.tell("write", "d1", 7.0)
    await plant.until(lambda: plant.value(0) == 7.0, "the new subscription tells nothing")


async def test_a_quiet_plant_is_not_taken_for_a_dead_subscription(tell, watch):
    server = tell()
    plant = watch(server, tag("d1"), tag("d2"), timeout_ms=300)
    await settled(plant)
    session = plant.link._session
    confirmed = plant.count(Codec.CONFIRMED)
    await plant.until(lambda: plant.count(Codec.CONFIRMED) >= confirmed + 6, "no keep-alives")
    assert plant.link._session is session


@pytest.mark.parametrize("how", ["end", "forget"])
async def test_a_subscription_that_the_server_ends_is_made_anew(tell, watch, how):
    server = tell()
    plant = watch(server, tag("d1"), timeout_ms=300)
    await settled(plant)
    server.tell(how)
    if how == "forget":
        plant.clock.push(6)
    with pytest.raises(DeviceError):
        await plant.until(lambda: False, "nobody noticed")
    server.tell("write", "d1", 12.0)
    await plant.until(lambda: plant.value(0) == 12.0, "not made anew")


async def test_a_silence_longer_than_a_keep_alive_is_followed_by_a_read(tell, watch):
    """P-STALE: tags may have turned stale meanwhile, and a keep-alive alone does not make them good again."""
    server = tell()
    plant = watch(server, tag("d1"))
    await settled(plant)
    reads = plant.count(Codec.OPCUA_READ)
    plant.clock.push(1.9)
    await plant.until(lambda: plant.count(Codec.OPCUA_READ) > reads, "no read")


async def test_a_bad_value_is_told_with_its_status_and_a_string_turns_its_own_tag_bad(plant_server, tmp_path):
    plant = Watcher(plant_server.endpoint, [tag("sick"), tag("text"), tag("structure"), tag("d1")], tmp_path)
    await settled(plant)
    await plant.until(lambda: len(plant.history[3]) >= 2, "not told")
    assert [plant.status[row] for row in range(4)] == [
        quality.BAD_SENSOR_FAILURE, quality.BAD_TYPE_MISMATCH, quality.BAD_TYPE_MISMATCH, 0,
    ]  # fmt: skip
    assert math.isnan(plant.value(2))
    await plant.link.close()


async def test_it_works_signed_and_encrypted(secure_server, server_certificate, tmp_path):
    secured = {"security": "Aes256_Sha256_RsaPss", "mode": "SignAndEncrypt", "insecure": None}
    pinned = {"server_certificate": str(server_certificate.der_path)}
    tags = [*(tag(f"d{number}") for number in range(500)), tag("float64.set", access="rw")]
    plant = Watcher(secure_server.endpoint, tags, tmp_path, timeout_ms=5000, **secured, **pinned)
    await settled(plant)
    await plant.link.write(500, 8.25)
    await plant.until(lambda: plant.value(500) == 8.25, "the change was not told")
    assert plant.value(499) == 499.0
    await plant.link.close()


async def test_a_server_that_takes_no_more_subscriptions_costs_only_the_subscribed_tags(tell, watch, monkeypatch):
    """P-ISOLATE: they turn bad with the server's own status; the polled ones are read, and it is tried again."""
    server = tell()
    plant = watch(server, tag("d1"), tag("d2", scan_class="polled"))
    await plant.link.connect()
    call = plant.link._session.call

    async def refuse(kind, answer, body, doing):
        if kind == 787:
            raise refused(ua.StatusCodes.BadTooManySubscriptions, doing)
        return await call(kind, answer, body, doing)

    monkeypatch.setattr(plant.link._session, "call", refuse)
    await plant.look()
    assert (plant.status[0] >> 31, plant.value(1)) == (1, 2.0)
    assert plant.status[0] == ua.StatusCodes.BadTooManySubscriptions
    monkeypatch.setattr(plant.link._session, "call", call)
    plant.clock.push(6)
    await plant.until(lambda: plant.value(0) == 1.0, "not tried again")
