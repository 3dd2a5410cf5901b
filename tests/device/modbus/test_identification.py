"""Read Device Identification: pages that end, whatever a device answers."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus import ModbusDeviceIdentification
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gatewayd.device.modbus.asking import TcpAsker
from gatewayd.device.modbus.identification import (
    BASIC,
    EXTENDED,
    PAGES_MAX,
    PDU_BYTES_MAX,
    REGULAR,
    Identification,
    Inquiry,
    Page,
    decode_page,
    encode_page,
    encode_request,
    told_size,
)
from gatewayd.device.modbus.scan import identify
from gatewayd.errors import DeviceError, DeviceProtocolError, DeviceRefused

objects = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=30)), max_size=7).map(tuple)
pages = st.builds(
    Page,
    code=st.integers(1, 4),
    conformity=st.sampled_from([1, 2, 3, 0x81, 0x82, 0x83]),
    objects=objects,
    next_object=st.none() | st.integers(0, 255),
)


@given(pages)
def test_what_one_side_encodes_the_other_reads(page):
    assert decode_page(encode_page(page), page.code, "plc") == page


@given(st.binary(max_size=300) | st.binary(max_size=250).map(lambda rest: b"\x2b\x0e\x01" + rest))
def test_no_bytes_are_too_strange_to_be_refused_in_words(response):
    """Fuzz: a page, or one of our errors; never anything else. Of the bytes only the next object of a last page says nothing."""
    with suppress(DeviceError):
        page = decode_page(response, BASIC, "plc")
        said = response if page.next_object is not None else response[:5] + b"\0" + response[6:]
        assert encode_page(page) == said
        assert len(response) <= PDU_BYTES_MAX


@given(st.data())
def test_an_inquiry_ends_whatever_a_device_answers(data):
    inquiry = Inquiry("plc")
    asked = 0
    while inquiry.request is not None:
        asked += 1
        assert asked <= 2 * PAGES_MAX
        code = inquiry.request[2]
        page = Page(code, data.draw(st.integers(1, 3)), data.draw(objects), data.draw(st.none() | st.integers(0, 255)))
        try:
            inquiry.take(encode_page(page))
        except DeviceProtocolError:
            break
    assert asked
    assert len(inquiry.result().objects) <= 256


def test_a_stream_goes_on_where_the_device_says():
    inquiry = Inquiry("plc")
    assert inquiry.request == encode_request(BASIC)
    inquiry.take(encode_page(Page(BASIC, 0x82, ((0, b"ACME"), (1, b"P-7")), 2)))
    assert inquiry.request == encode_request(BASIC, 2)
    inquiry.take(encode_page(Page(BASIC, 0x82, ((2, b"V1.4\0\x07"),))))
    assert inquiry.request == encode_request(REGULAR)
    inquiry.take(encode_page(Page(REGULAR, 0x82, ((4, b"Pump drive"),))))
    assert inquiry.request is None
    told = {"vendor": "ACME", "product_code": "P-7", "revision": "V1.4", "product_name": "Pump drive"}
    assert inquiry.result() == Identification(level="regular", objects=told)
    assert str(inquiry.result()) == "ACME P-7 Pump drive V1.4"


def test_a_device_that_goes_round_in_circles_is_stopped():
    inquiry = Inquiry("plc")
    inquiry.take(encode_page(Page(BASIC, 1, ((0, b"ACME"), (1, b"P-7")), 2)))
    with pytest.raises(DeviceProtocolError, match="never end"):
        inquiry.take(encode_page(Page(BASIC, 1, ((2, b"V1"),), 1)))
    assert inquiry.request is None
    assert inquiry.result().objects == {"vendor": "ACME", "product_code": "P-7"}


def test_a_higher_level_that_is_refused_leaves_the_basic_one():
    inquiry = Inquiry("plc")
    inquiry.take(encode_page(Page(BASIC, EXTENDED, ((0, b"ACME"),))))
    inquiry.take(b"\xab\x03")
    assert inquiry.request is None
    assert inquiry.result() == Identification(level="extended", objects={"vendor": "ACME"})


def test_a_device_without_the_function_is_refused_by_name():
    with pytest.raises(DeviceRefused, match=r"plc: illegal function \(exception 1\)") as refused:
        Inquiry("plc").take(b"\xab\x01")
    assert refused.value.code == 1


async def test_pymodbus_is_identified():
    identity = ModbusDeviceIdentification(
        info_name={
            "VendorName": "ACME",
            "ProductCode": "PD-7",
            "MajorMinorRevision": "1.4",
            "VendorUrl": "http://acme.example",
            "ProductName": "Pump drive " + "x" * 200,  # too much for one page
            "ModelName": "7 kW " + "y" * 60,
            "UserApplicationName": "pump 1",
        }
    )
    words = [SimData(0, values=[0] * 10, datatype=DataType.REGISTERS)]
    server = ModbusTcpServer(SimDevice(1, simdata=words), identity=identity, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    bus = TcpAsker("127.0.0.1", server.transport.sockets[0].getsockname()[1], 3000)
    try:
        await bus.open()
        told = await identify(bus, 1)
    finally:
        await bus.close()
        await server.shutdown()
    assert told is not None
    assert told.objects["vendor"] == "ACME"
    assert told.objects["revision"] == "1.4"
    assert told.objects["product_name"].endswith("x" * 200)
    assert told.objects["model_name"].endswith("y" * 60)
    assert told.objects["application_name"] == "pump 1"


@given(pages)
def test_an_answer_tells_how_long_it_is_once_enough_of_it_has_come(page):
    whole = encode_page(page)
    told = [told_size(whole[:size]) for size in range(len(whole) + 1)]
    assert told[-1] == len(whole)
    assert set(told) <= {0, len(whole)}
    assert told == sorted(told)
