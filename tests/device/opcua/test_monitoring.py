"""The services of subscriptions on the wire, against asyncua's own encoder and decoder."""

from __future__ import annotations

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as some

from gatewayd.device.opcua import monitoring
from gatewayd.device.opcua.node_id import encode_node_id, parse_node_id
from gatewayd.device.opcua.service import Reader
from gatewayd.errors import DeviceProtocolError
from gatewayd.model.device import OpcuaScanClass
from tests.device.opcua.rig import tag
from tests.kernels.test_decode_opcua_notification import ODD, record

SCAN = OpcuaScanClass(mode="subscribe", publishing_interval_ms=250)
NODE = encode_node_id(parse_node_id("ns=2;s=pump"), 2)


def decoded(kind: type, body: bytes):
    buffer = ua.utils.Buffer(body)
    value = struct_from_binary(kind, buffer)
    assert len(buffer) == 0, "asyncua did not use up every byte"
    return value


def test_a_subscription_is_asked_for_with_a_keep_alive_a_second_and_a_life_of_a_minute():
    asked = decoded(ua.CreateSubscriptionParameters, monitoring.subscription_body(SCAN))
    assert (asked.RequestedPublishingInterval, asked.RequestedMaxKeepAliveCount) == (250.0, 4)
    assert (asked.RequestedLifetimeCount, asked.MaxNotificationsPerPublish) == (240, 5000)
    assert asked.PublishingEnabled


def test_a_slow_subscription_keeps_the_standards_ratio_of_life_to_keep_alive():
    asked = decoded(ua.CreateSubscriptionParameters, monitoring.subscription_body(OpcuaScanClass(scan_rate_ms=60_000)))
    assert (asked.RequestedMaxKeepAliveCount, asked.RequestedLifetimeCount) == (1, 3)


def test_an_item_is_asked_for_as_its_tag_says():
    configured = tag("pump", sampling_interval_ms=50, queue_size=7, discard_oldest=False, deadband=2.0, scale=-0.5)
    body = monitoring.items_body(9, [monitoring.item_body(NODE, 4, configured, SCAN, with_deadband=True)])
    asked = decoded(ua.CreateMonitoredItemsParameters, body)
    (item,) = asked.ItemsToCreate
    assert (asked.SubscriptionId, asked.TimestampsToReturn) == (9, ua.TimestampsToReturn.Source)
    assert (item.ItemToMonitor.NodeId, item.ItemToMonitor.AttributeId) == (ua.NodeId("pump", 2), 13)
    assert item.MonitoringMode is ua.MonitoringMode.Reporting
    wanted = item.RequestedParameters
    assert (wanted.ClientHandle, wanted.SamplingInterval, wanted.QueueSize) == (4, 50.0, 7)
    assert not wanted.DiscardOldest
    assert (wanted.Filter.Trigger, wanted.Filter.DeadbandType, wanted.Filter.DeadbandValue) == (1, 1, 4.0)


def test_percent_is_of_the_nodes_range_whatever_the_scale():
    configured = tag("pump", deadband=2.0, deadband_type="percent", scale=0.1)
    body = monitoring.items_body(9, [monitoring.item_body(NODE, 0, configured, SCAN, with_deadband=True)])
    wanted = decoded(ua.CreateMonitoredItemsParameters, body).ItemsToCreate[0].RequestedParameters
    assert (wanted.Filter.DeadbandType, wanted.Filter.DeadbandValue) == (2, 2.0)


@pytest.mark.parametrize("with_deadband", [True, False])
def test_without_settings_every_change_is_sampled_at_the_publishing_interval(with_deadband):
    configured = tag("pump", deadband=0.0 if with_deadband else 5.0)
    body = monitoring.items_body(9, [monitoring.item_body(NODE, 0, configured, SCAN, with_deadband=with_deadband)])
    wanted = decoded(ua.CreateMonitoredItemsParameters, body).ItemsToCreate[0].RequestedParameters
    assert (wanted.SamplingInterval, wanted.QueueSize, wanted.DiscardOldest) == (250.0, 1, True)
    assert not isinstance(wanted.Filter, ua.DataChangeFilter)


def test_acknowledgements_and_other_requests_are_as_asyncua_reads_them():
    acknowledged = decoded(ua.PublishParameters, monitoring.publish_body([(1, 2), (3, 4)])).SubscriptionAcknowledgements
    assert [(each.SubscriptionId, each.SequenceNumber) for each in acknowledged] == [(1, 2), (3, 4)]
    again = decoded(ua.RepublishParameters, monitoring.republish_body(5, 6))
    assert (again.SubscriptionId, again.RetransmitSequenceNumber) == (5, 6)
    deletion = decoded(ua.DeleteMonitoredItemsParameters, monitoring.deletion_body(7, [8, 9]))
    assert (deletion.SubscriptionId, deletion.MonitoredItemIds) == (7, [8, 9])


def test_results_are_read_as_asyncua_writes_them():
    made = ua.CreateSubscriptionResult(3, 500.0, 60, 10)
    assert monitoring.granted(Reader(struct_to_binary(made))) == monitoring.Granted(3, 500.0, 60, 10)
    results = [
        ua.MonitoredItemCreateResult(ua.StatusCode(0), 11, 50.0, 3),
        ua.MonitoredItemCreateResult(ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown)),
    ]
    body = b"".join([(2).to_bytes(4, "little"), *(struct_to_binary(each) for each in results)])
    good, bad = monitoring.item_results(Reader(body), 2)
    assert (good.status, good.id, good.sampling_ms, good.queue_size) == (0, 11, 50.0, 3)
    assert bad.status == ua.StatusCodes.BadNodeIdUnknown
    with pytest.raises(DeviceProtocolError, match="2 results for 3"):
        monitoring.item_results(Reader(body), 3)


@pytest.mark.parametrize(("interval", "count"), [(0.0, 10), (-5.0, 10), (float("nan"), 10), (100.0, 0), (1e300, 1)])
def test_intervals_that_make_no_sense_are_refused(interval, count):
    with pytest.raises(DeviceProtocolError):
        monitoring.granted(Reader(struct_to_binary(ua.CreateSubscriptionResult(3, interval, 60, count))))


def publish_result(*data: object, sequence: int = 8) -> bytes:
    message = ua.NotificationMessage(sequence, ua.uatypes.datetime.now(ua.uatypes.timezone.utc), list(data))
    return struct_to_binary(ua.PublishResult(5, [6, 7, 8], True, message, [ua.StatusCode()]))


def changes(*values: object) -> ua.DataChangeNotification:
    return ua.DataChangeNotification(
        [ua.MonitoredItemNotification(number, ua.DataValue(ua.Variant(value))) for number, value in enumerate(values)]
    )


def test_changes_of_a_message_are_its_own_bytes():
    found = monitoring.published(Reader(publish_result(changes(1.5, "text"), changes(7))))
    assert (found.subscription, found.notification.sequence) == (5, 8)
    assert [count for count, _ in found.notification.changes] == [2, 1]
    for (count, body), wanted in zip(found.notification.changes, (changes(1.5, "text"), changes(7)), strict=True):
        buffer = ua.utils.Buffer(body)
        assert [struct_from_binary(ua.MonitoredItemNotification, buffer) for _ in range(count)] == wanted.MonitoredItems
        assert len(buffer) == 0


def test_a_message_without_data_is_a_keep_alive_and_events_are_neither():
    assert monitoring.published(Reader(publish_result())).notification.is_keep_alive
    events = monitoring.published(Reader(publish_result(ua.EventNotificationList()))).notification
    assert (events.is_keep_alive, events.changes, events.ended) == (False, (), 0)


def test_the_end_of_a_subscription_is_told_with_its_reason():
    ended = ua.StatusChangeNotification(ua.StatusCode(ua.StatusCodes.BadTimeout))
    assert monitoring.published(Reader(publish_result(ended))).notification.ended == ua.StatusCodes.BadTimeout


WHOLE = publish_result(changes(*(value for value, _ in ODD[:3])), ua.StatusChangeNotification(), changes(5))


@settings(max_examples=400, deadline=None)
@given(cut=some.integers(0, len(WHOLE)), flips=some.lists(some.tuples(some.integers(0, 400), some.integers(0, 255))))
def test_hostile_bytes_are_a_protocol_error_or_a_message_and_nothing_else(cut, flips):
    hostile = bytearray(WHOLE[:cut] + record(0, 1.0))
    for place, byte in flips:
        if place < len(hostile):
            hostile[place] = byte
    for read in (monitoring.published, monitoring.granted, lambda reader: monitoring.item_results(reader, 1)):
        try:
            read(Reader(bytes(hostile)))
        except DeviceProtocolError:
            continue
