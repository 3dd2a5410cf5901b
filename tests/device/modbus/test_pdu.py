from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.device.modbus import pdu
from gatewayd.errors import DeviceError, DeviceProtocolError, DeviceRefused, DeviceTimeout
from gatewayd.model import quality

REQUESTS = {
    "read coils": (pdu.read_request(1, 0x13, 0x13), "0100130013", "0103cd6b05"),
    "read discrete inputs": (pdu.read_request(2, 0xC4, 0x16), "0200c40016", "0203acdb35"),
    "read holding registers": (pdu.read_request(3, 0x6B, 3), "03006b0003", "0306022b00000064"),
    "read input register": (pdu.read_request(4, 8, 1), "0400080001", "0402000a"),
    "write coil": (pdu.write_coil_request(0xAC, True), "0500acff00", "0500acff00"),
    "write register": (pdu.write_register_request(1, 3), "0600010003", "0600010003"),
    "write coils": (
        pdu.write_coils_request(0x13, [1, 0, 1, 1, 0, 0, 1, 1, 1, 0]),
        "0f0013000a02cd01",
        "0f0013000a",
    ),
    "write registers": (pdu.write_registers_request(1, [0x0A, 0x0102]), "100001000204000a0102", "1000010002"),
    "mask write register": (pdu.mask_write_request(4, 0xFF0D, 0x0004), "16000400f20004", "16000400f20004"),
    "read and write registers": (
        pdu.read_write_request(3, 6, 14, [0xFF, 0xFF, 0xFF]),
        "1700030006000e00030600ff00ff00ff",
        "170c00fe0acd00010003000d00ff",
    ),
}
CARRIES_PAYLOAD = (1, 2, 3, 4, 23)


@pytest.mark.parametrize(("request_", "wire", "answer"), REQUESTS.values(), ids=REQUESTS)
def test_requests_and_answers_are_those_of_the_specification(request_: pdu.Request, wire: str, answer: str) -> None:
    """The examples of Modbus Application Protocol V1.1b3, sections 6.1 to 6.17; of 6.16 the mask without bits that are not ours."""
    assert request_.pdu.hex() == wire
    expected = bytes.fromhex(answer)[2:] if request_.function in CARRIES_PAYLOAD else b""
    assert pdu.check_response(request_, bytes.fromhex(answer), "plc") == expected


@pytest.mark.parametrize(("request_", "_", "answer"), REQUESTS.values(), ids=REQUESTS)
def test_an_answer_with_any_byte_of_its_head_changed_is_a_protocol_error(
    request_: pdu.Request, _: str, answer: str
) -> None:
    good = bytes.fromhex(answer)
    for place in range(len(request_.head)):
        bad = bytearray(good)
        bad[place] ^= 0x41
        with pytest.raises(DeviceProtocolError):
            pdu.check_response(request_, bytes(bad), "plc")


@pytest.mark.parametrize(("request_", "_", "answer"), REQUESTS.values(), ids=REQUESTS)
def test_an_answer_that_is_too_short_or_too_long_is_a_protocol_error(
    request_: pdu.Request, _: str, answer: str
) -> None:
    good = bytes.fromhex(answer)
    for bad in [good[:size] for size in range(len(good))] + [good + b"\0"]:
        with pytest.raises(DeviceProtocolError):
            pdu.check_response(request_, bad, "plc")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("", "plc: an empty answer to read holding registers 40001-40003"),
        ("0406000000000000", "plc: an answer of function 4 to read"),
        ("0304000000000000", "plc: an answer that announces 4 bytes instead of 6 to read"),
        ("030600000000", "plc: an answer of 6 bytes instead of 8 to read"),
        ("8302ff", "plc: an exception answer of 3 bytes instead of 2 to read"),
    ],
)
def test_the_message_says_what_was_wrong_with_the_answer(answer: str, says: str) -> None:
    with pytest.raises(DeviceProtocolError) as error:
        pdu.check_response(pdu.read_request(3, 0, 3), bytes.fromhex(answer), "plc")
    assert error.value.message.startswith(says)
    assert error.value.remedy


def test_an_answer_to_function_23_that_announces_another_size_is_refused() -> None:
    with pytest.raises(DeviceProtocolError, match="announces 2 bytes instead of 4 to write others and read holding"):
        pdu.check_response(pdu.read_write_request(0, 2, 9, [1]), bytes.fromhex("170200000000"), "plc")


@given(st.integers(0, 0xFFFF), st.integers(1, 0xFFFF), st.integers(0, 0xFFFF))
def test_a_mask_write_changes_the_bits_it_owns_and_no_others(held: int, owned: int, bits: int) -> None:
    """By the rule of the specification, 6.16: (held AND and_mask) OR (or_mask AND NOT and_mask)."""
    wire = pdu.mask_write_request(0, owned, bits).pdu
    and_mask, or_mask = int.from_bytes(wire[3:5], "big"), int.from_bytes(wire[5:7], "big")
    after = held & and_mask | or_mask & ~and_mask & 0xFFFF
    assert after & owned == bits & owned
    assert after & ~owned == held & ~owned


@pytest.mark.parametrize("code", [4, 11])
def test_function_23_may_have_written_when_the_device_fails_over_it(code: int) -> None:
    with pytest.raises(DeviceError, match="whether it was done is unknown") as error:
        pdu.check_response(pdu.read_write_request(0, 1, 0, [1]), bytes((0x97, code)), "plc")
    assert not isinstance(error.value, DeviceRefused)


def test_an_echo_of_another_value_is_not_taken_for_the_write() -> None:
    with pytest.raises(DeviceProtocolError, match="an echo of 00010004 instead of 00010003 to write holding register"):
        pdu.check_response(pdu.write_register_request(1, 3), bytes.fromhex("0600010004"), "plc")


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        (1, quality.BAD_NOT_SUPPORTED, "illegal function"),
        (2, quality.BAD_NODE_ID_UNKNOWN, "illegal data address"),
        (3, quality.BAD_OUT_OF_RANGE, "illegal data value"),
        (4, quality.BAD_DEVICE_FAILURE, "device failure"),
        (5, quality.BAD_TIMEOUT, "still working"),
        (6, quality.BAD_TIMEOUT, "busy"),
        (7, quality.BAD_DEVICE_FAILURE, "negative acknowledge"),
        (8, quality.BAD_DEVICE_FAILURE, "parity"),
        (10, quality.BAD_NO_COMMUNICATION, "gateway path"),
        (11, quality.BAD_NO_COMMUNICATION, "gateway target"),
        (99, quality.BAD_COMMUNICATION, "outside the standard"),
    ],
)
def test_an_exception_answer_to_a_read_names_the_exception_and_its_quality(code: int, status: int, words: str) -> None:
    with pytest.raises(DeviceRefused) as error:
        pdu.check_response(pdu.read_request(4, 9, 2), bytes((0x84, code)), "plc")
    assert (error.value.status, error.value.code) == (status, code)
    assert words in error.value.message
    assert f"(exception {code}) in answer to read input registers 30010-30011" in error.value.message
    assert error.value.remedy


@pytest.mark.parametrize("code", [1, 2, 3, 6, 10])
def test_a_write_refused_before_it_was_tried_has_changed_nothing(code: int) -> None:
    with pytest.raises(DeviceRefused):
        pdu.check_response(pdu.write_register_request(0, 1), bytes((0x86, code)), "plc")


@pytest.mark.parametrize(
    ("code", "kind"), [(4, DeviceError), (5, DeviceTimeout), (8, DeviceError), (11, DeviceTimeout)]
)
def test_a_write_that_may_have_been_done_is_not_called_refused(code: int, kind: type[DeviceError]) -> None:
    """Exception 11 means only that the answer was lost behind a gateway; the plant may have moved."""
    with pytest.raises(DeviceError, match="whether it was done is unknown") as error:
        pdu.check_response(pdu.write_register_request(0, 1), bytes((0x86, code)), "plc")
    assert type(error.value) is kind


@given(st.sampled_from([request for request, _, _ in REQUESTS.values()]), st.binary(max_size=260))
def test_no_answer_raises_anything_but_a_device_error(request_: pdu.Request, answer: bytes) -> None:
    try:
        payload = pdu.check_response(request_, answer, "plc")
    except DeviceError:
        return
    assert answer == request_.head + payload


@pytest.mark.parametrize(
    ("register_type", "address", "says"),
    [
        ("coil", 0, "coil 00001"),
        ("discrete", 9, "discrete input 10010"),
        ("input", 99, "input register 30100"),
        ("holding", 9998, "holding register 49999"),
        ("holding", 9999, "holding register 410000"),
        ("holding", 65535, "holding register 465536"),
    ],
)
def test_addresses_are_named_as_manuals_name_them(register_type: str, address: int, says: str) -> None:
    assert pdu.reference(register_type, address) == says


def test_a_range_beyond_five_digits_is_written_in_six_on_both_sides() -> None:
    assert str(pdu.read_request(3, 9990, 20)) == "read holding registers 409991-410010"
    assert str(pdu.write_registers_request(0, [1, 2])) == "write holding registers 40001-40002"
    assert str(pdu.mask_write_request(4, 1, 1)) == "write bits of holding register 40005"
    assert str(pdu.read_write_request(0, 2, 9, [1])) == "write others and read holding registers 40001-40002"
