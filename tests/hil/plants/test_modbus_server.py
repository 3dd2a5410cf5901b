"""The PLC, asked by a client this project did not write, and by frames no good client would send."""

from __future__ import annotations

import contextlib
import socket
import struct

import pytest
from pymodbus.client import ModbusTcpClient

from hil.plants.tags import EXTRA_FIRST
from tests.hil.plants.conftest import until

READ = ">HHHBBHH"


@pytest.fixture
def client(plant):
    client = ModbusTcpClient("127.0.0.1", port=plant.modbus_port, retries=0)
    assert client.connect()
    yield client
    client.close()


@pytest.fixture
def wire(plant):
    with socket.create_connection(("127.0.0.1", plant.modbus_port), timeout=5) as connection:
        yield connection


def receive(wire, size):
    content = b""
    while len(content) < size and (part := wire.recv(size - len(content))):
        content += part
    return content


def test_pymodbus_reads_every_table(client):
    words = client.read_input_registers(4, count=4, device_id=1).registers
    temp_1 = struct.unpack(">f", struct.pack(">HH", *words[:2]))[0]
    temp_2 = struct.unpack(">f", struct.pack(">HH", words[3], words[2]))[0]

    assert 30.0 < temp_1 < 60.0
    assert 30.0 < temp_2 < 60.0
    assert client.read_coils(0, count=2, device_id=1).bits[:2] == [True, True]
    assert client.read_discrete_inputs(0, count=5, device_id=1).bits[:5] == [True, True, False, False, True]
    assert len(client.read_holding_registers(0, count=100, device_id=1).registers) == 100


@pytest.mark.parametrize("many", [False, True])
def test_a_written_set_point_reads_back_at_once(client, many):
    value = 605 if many else 595
    answer = client.write_registers(1, [value], device_id=1) if many else client.write_register(1, value, device_id=1)

    assert not answer.isError()
    assert client.read_holding_registers(1, count=1, device_id=1).registers == [value]


def test_coils_are_written_alone_and_together(client):
    assert not client.write_coils(0, [True, False], device_id=1).isError()
    assert client.read_coils(0, count=2, device_id=1).bits[:2] == [True, False]
    assert not client.write_coil(1, True, device_id=1).isError()
    assert client.read_coils(0, count=2, device_id=1).bits[:2] == [True, True]


@pytest.mark.parametrize(
    ("unit", "pdu", "code"),
    [
        (1, struct.pack(">BHH", 3, 0, 126), 3),
        (1, struct.pack(">BHH", 3, 0, 0), 3),
        (1, struct.pack(">BHH", 3, 99, 2), 2),
        (1, struct.pack(">BHH", 4, EXTRA_FIRST, 1), 2),
        (1, struct.pack(">BHH", 3, EXTRA_FIRST + 299, 2), 2),
        (1, struct.pack(">BHH", 6, 50, 1), 2),
        (1, struct.pack(">BHH", 5, 0, 0x1234), 3),
        (1, struct.pack(">BHHB", 16, 0, 2, 2) + b"\x00\x01", 3),
        (1, struct.pack(">BH", 3, 0), 3),
        (1, bytes((43,)), 1),
        (9, struct.pack(">BHH", 3, 0, 1), 11),
    ],
)
def test_what_cannot_be_done_is_answered_with_its_exception(wire, unit, pdu, code):
    wire.sendall(struct.pack(">HHHB", 7, 0, len(pdu) + 1, unit) + pdu)

    assert receive(wire, 9) == struct.pack(">HHHBBB", 7, 0, 3, unit, pdu[0] | 0x80, code)


def test_sixteen_requests_in_one_segment_get_sixteen_answers_in_order(wire):
    wire.sendall(b"".join(struct.pack(READ, number, 0, 6, 1, 3, 0, 1) for number in range(16)))
    answers = receive(wire, 16 * 11)

    assert [struct.unpack_from(">H", answers, 11 * number)[0] for number in range(16)] == list(range(16))


def test_a_request_cut_in_pieces_is_answered_when_it_is_whole(wire):
    for byte in struct.pack(READ, 5, 0, 6, 1, 3, 0, 1):
        wire.sendall(bytes((byte,)))

    assert receive(wire, 11)[:2] == b"\x00\x05"


@pytest.mark.parametrize("header", [struct.pack(">HHHB", 1, 1, 6, 1), struct.pack(">HHHB", 1, 0, 4000, 1)])
def test_what_is_no_modbus_ends_the_connection(wire, header):
    wire.sendall(header)

    with contextlib.suppress(ConnectionResetError):  # aborted before it was read: the same
        assert receive(wire, 1) == b""


def test_extra_registers_change_with_the_plant_s_clock(client):
    first = client.read_holding_registers(EXTRA_FIRST, count=100, device_id=1).registers

    assert first[1:] == [(first[0] + offset) & 0xFFFF for offset in range(1, 100)]
    until(lambda: client.read_holding_registers(EXTRA_FIRST, count=1, device_id=1).registers[0] != first[0])
