"""The OPC UA link against a real server in another process, without security."""

from __future__ import annotations

import math
import time

import pytest
from asyncua import Client, ua

from gatewayd.clock import SystemClock
from gatewayd.errors import DeviceProtocolError, DeviceRefused, DeviceTimeout, DeviceUnreachable
from gatewayd.model import quality
from gatewayd.model.block import Codec
from tests.device.opcua.rig import data_values, device, link_to, scan, statuses, tag, values
from tests.device.opcua.server import SCALARS, SOURCE_TIME


async def test_a_scan_delivers_every_scalar_type_as_the_server_holds_it(linked):
    link = await linked(*(tag(name, name) for name in SCALARS))
    (block,) = await scan(link)
    assert block.codec is Codec.OPCUA_READ
    read = data_values(block.payload, len(SCALARS))
    assert [each.Value.Value for each in read] == [value for value, _ in SCALARS.values()]
    assert values(block.payload, len(SCALARS)) == [float(value) for value, _ in SCALARS.values()]
    assert [each.SourceTimestamp for each in read] == [
        SOURCE_TIME.replace(tzinfo=each.SourceTimestamp.tzinfo) for each in read
    ]


async def test_the_payload_is_what_asyncua_itself_decodes_from_the_same_server(linked, plant_server):
    tags = [tag(f"d{number}") for number in range(1000)]
    link = await linked(*tags)
    (block,) = await scan(link)
    async with Client(plant_server.endpoint, watchdog_intervall=60) as client:
        index = await client.get_namespace_index("urn:gatewayd:test")
        nodes = [ua.NodeId(f"d{number}", index) for number in range(1000)]
        theirs = await client.uaclient.session.read_attributes(nodes, ua.AttributeIds.Value)
    ours = data_values(block.payload, 1000)
    assert [each.Value for each in ours] == [each.Value for each in theirs]
    assert [each.SourceTimestamp for each in ours] == [each.SourceTimestamp for each in theirs]


async def test_an_unknown_node_gets_the_servers_own_status_and_the_rest_its_values(linked):
    link = await linked(
        tag("d1"), tag("no.such.node"), tag("d2"), tag("gone", node_id="nsu=urn:elsewhere;s=x"), tag("d3")
    )
    (block,) = await scan(link)
    known = {0: 1.0, 2: 2.0, 4: 3.0}
    assert {row: values(block.payload, 5)[row] for row in known} == known
    assert statuses(block.payload, 5) == [0, quality.BAD_NODE_ID_UNKNOWN, 0, quality.BAD_NODE_ID_UNKNOWN, 0]


async def test_strings_arrays_and_structures_turn_bad_and_harm_no_neighbour(linked):
    odd = ("text", "array", "words", "structure", "label")
    link = await linked(*(each for name in odd for each in (tag("d7"), tag(name))))
    for _ in range(2):
        (block,) = await scan(link)
        assert statuses(block.payload, 10) == [0, quality.BAD_TYPE_MISMATCH] * 5
        assert values(block.payload, 10)[::2] == [7.0] * 5


async def test_a_bad_status_of_the_server_arrives_as_it_is(linked):
    link = await linked(tag("sick"), tag("d1"))
    (block,) = await scan(link)
    assert statuses(block.payload, 2) == [quality.BAD_SENSOR_FAILURE, 0]


async def test_a_block_carries_the_times_of_its_request_and_of_its_last_byte(linked):
    before_ns, before_mono_ns = time.time_ns(), SystemClock().monotonic_ns()
    link = await linked(tag("d1"))
    (block,) = await scan(link)
    assert before_ns <= block.request_time_ns < block.response_time_ns <= time.time_ns()
    assert before_mono_ns < block.response_mono_ns <= SystemClock().monotonic_ns()


async def test_each_type_is_written_and_read_back_past_the_scan(linked):
    new = {"bool": 0.0, "int16": -7.0, "uint16": 7.0, "int32": -70_000.0, "uint32": 70_000.0, "int64": -(2.0**40),
           "uint64": 2.0**40, "float32": 0.25, "float64": 0.1}  # fmt: skip
    link = await linked(*(tag(f"{name}.set", name, access="rw") for name in new))
    for row, value in enumerate(new.values()):
        await link.write(row, value)
        reading = await link.read_back(row)
        assert (reading.value, reading.status) == (value, quality.GOOD)
    (block,) = await scan(link)
    assert values(block.payload, len(new)) == list(new.values())


async def test_scale_and_offset_are_undone_for_a_write_and_applied_to_a_read_back(linked, plant_server):
    link = await linked(tag("uint16.set", "uint16", scale=0.1, offset=-10.0, access="rw"))
    await link.write(0, 37.4)
    (block,) = await scan(link)
    assert values(block.payload, 1) == [474]
    assert (await link.read_back(0)).value == pytest.approx(37.4)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("uint16", -1.0), ("uint16", 65_536.0), ("int32", 3e9), ("float32", 1e39), ("float64", math.nan),
     ("float64", math.inf), ("bool", 2.0), ("bool", 0.4)],
)  # fmt: skip
async def test_a_value_that_does_not_fit_is_refused_before_anything_is_sent(linked, kind, value):
    link = await linked(tag(f"{kind}.set", kind, access="rw"))
    held = (await link.read_back(0)).value
    with pytest.raises(DeviceRefused, match="cannot be written") as refused:
        await link.write(0, value)
    assert refused.value.status == quality.BAD_OUT_OF_RANGE
    assert (await link.read_back(0)).value == held


async def test_a_server_that_refuses_a_write_is_quoted_by_the_standards_name(linked):
    link = await linked(tag("float64", access="rw"), tag("int16.set", "float64", access="rw"))
    with pytest.raises(DeviceRefused, match=r"plant/float64.*(BadNotWritable|BadUserAccessDenied)") as refused:
        await link.write(0, 1.0)
    assert refused.value.code == refused.value.status
    with pytest.raises(DeviceRefused, match="BadTypeMismatch") as refused:
        await link.write(1, 1.0)
    assert "data type" in refused.value.remedy
    await scan(link)  # a refusal is no reason to leave


async def test_a_write_to_an_unknown_namespace_is_refused_with_the_uri(linked):
    link = await linked(tag("x", node_id="nsu=urn:elsewhere;s=x", access="rw"))
    with pytest.raises(DeviceRefused, match="urn:elsewhere"):
        await link.write(0, 1.0)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (0x002E0000, None),  # Good_CompletesAsynchronously
        (ua.StatusCodes.BadTimeout, DeviceTimeout),
        (ua.StatusCodes.BadCommunicationError, DeviceTimeout),
        (ua.StatusCodes.BadSessionClosed, DeviceUnreachable),
        (0x40A40000, DeviceProtocolError),  # Uncertain
        (ua.StatusCodes.BadOutOfRange, DeviceRefused),
    ],
)
async def test_a_writes_status_says_whether_anything_changed(linked, monkeypatch, code, error):
    link = await linked(tag("float64.set", access="rw"))

    async def answer(_):
        return [ua.StatusCode(code)]

    monkeypatch.setattr(link._session._client.uaclient.session, "write", answer)
    if error is None:
        await link.write(0, 1.0)
    else:
        with pytest.raises(error) as raised:
            await link.write(0, 1.0)
        assert type(raised.value) is error
    is_open = link._session is not None
    assert is_open == (error in (None, DeviceRefused))


async def test_reading_back_what_is_no_number_gives_nan_and_a_bad_status(linked):
    link = await linked(tag("text"), tag("no.such.node"), tag("sick"))
    readings = [await link.read_back(row) for row in range(3)]
    assert all(math.isnan(reading.value) for reading in readings)
    assert [reading.status for reading in readings] == [
        quality.BAD_TYPE_MISMATCH, quality.BAD_NODE_ID_UNKNOWN, quality.BAD_SENSOR_FAILURE,
    ]  # fmt: skip


async def test_nothing_is_read_or_written_before_a_connect_or_after_a_close(linked):
    link = await linked(tag("d1"))
    await link.connect()
    await link.close()
    await link.close()
    for action in (scan(link), link.write(0, 1.0), link.read_back(0)):
        with pytest.raises(DeviceUnreachable, match="no session"):
            await action
    await link.connect()
    assert len(await scan(link)) == 1


async def test_an_absent_server_is_unreachable(tmp_path):
    with pytest.raises(DeviceUnreachable, match=r"127\.0\.0\.1") as unreachable:
        await link_to(device("opc.tcp://127.0.0.1:1/x"), [tag("d1")], tmp_path).connect()
    assert "firewall" in unreachable.value.remedy


async def test_a_servers_limit_on_nodes_per_read_is_kept_and_the_order_with_it(start, tmp_path):
    server = start("--nodes-per-read", "70")
    link = link_to(
        device(server.endpoint), [tag(f"d{number}") for number in range(300)] + [tag("largest_read")], tmp_path
    )
    await link.connect()
    (block,) = await scan(link)
    assert values(block.payload, 301) == [*map(float, range(300)), 70]
    await link.close()


async def test_a_limit_that_the_server_does_not_tell_is_found_by_halving(start, tmp_path):
    server = start("--nodes-per-read", "70", "--silent-limit")
    link = link_to(device(server.endpoint), [tag(f"d{number}") for number in range(200)], tmp_path)
    await link.connect()
    first, second, third = [(await scan(link))[0] for _ in range(3)]
    assert (first.codec, first.status) == (Codec.LOST, ua.StatusCodes.BadTooManyOperations)
    assert second.codec is Codec.LOST
    assert values(third.payload, 200) == [*map(float, range(200))]
    await link.close()


async def test_a_killed_server_is_a_lost_link_and_a_new_session_once_it_is_back(start, tmp_path):
    server = start()
    link = link_to(device(server.endpoint), [tag("d5")], tmp_path)
    await link.connect()
    await scan(link)
    before = link._session
    server.stop()
    with pytest.raises(DeviceUnreachable):
        await scan(link)
    with pytest.raises(DeviceUnreachable):
        await link.connect()
    start(port=server.port)
    await link.connect()
    assert link._session is not before
    assert values((await scan(link))[0].payload, 1) == [5.0]
    await link.close()


async def test_a_frozen_server_times_out_in_time_and_is_read_again_once_it_thaws(start, tmp_path):
    server = start()
    link = link_to(device(server.endpoint, timeout_ms=300), [tag("d5"), tag("float64.set", access="rw")], tmp_path)
    await link.connect()
    await scan(link)
    server.freeze()
    began = time.monotonic()
    with pytest.raises(DeviceTimeout, match="did not answer in time"):
        await scan(link)
    assert time.monotonic() - began < 1.0
    with pytest.raises(DeviceUnreachable):
        await link.write(1, 1.0)
    began = time.monotonic()
    await link.close()
    assert time.monotonic() - began < 0.2
    server.thaw()
    await link.connect()
    assert values((await scan(link))[0].payload, 2)[0] == 5.0
    await link.close()


async def test_a_write_into_a_frozen_server_is_a_timeout_never_a_refusal(start, tmp_path):
    server = start()
    link = link_to(device(server.endpoint, timeout_ms=300), [tag("float64.set", access="rw")], tmp_path)
    await link.connect()
    server.freeze()
    with pytest.raises(DeviceTimeout):
        await link.write(0, 1.0)
    await link.close()
