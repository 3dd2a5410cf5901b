"""Payloads as columns: exact for every content, small where a plant is quiet."""

from __future__ import annotations

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.journal.blocks.lanes import CHUNK_BYTES, WIDTH, Form, fits, laid_out, payloads_of

FORMS = list(Form)


@st.composite
def equal_payloads(draw):
    size = 4 * draw(st.integers(1, 12))
    return draw(st.lists(st.binary(min_size=size, max_size=size), min_size=1, max_size=12))


@pytest.mark.parametrize("form", FORMS)
@given(payloads=equal_payloads())
def test_whatever_is_laid_out_comes_back(form, payloads):
    content = laid_out(payloads, form)
    assert len(content) == sum(map(len, payloads))
    assert payloads_of(content, len(payloads[0]), form) == payloads


@pytest.mark.parametrize("form", FORMS)
def test_payloads_longer_than_a_chunk_come_back(form):
    size = CHUNK_BYTES + 4
    payloads = [bytes((place * at * 7) & 0xFF for at in range(size)) for place in range(3)]
    assert payloads_of(laid_out(payloads, form), size, form) == payloads


@pytest.mark.parametrize(("form", "width"), [(Form.WORDS, 2), (Form.LONGS, 4)])
@given(data=st.data())
def test_a_difference_is_that_of_plain_arithmetic_in_every_lane(form, width, data):
    """Lane by lane: after - before, as a signed number that wraps, folded so that small ones are small."""
    lanes = data.draw(st.integers(1, 6))
    size = width * lanes
    before, after = (data.draw(st.binary(min_size=size, max_size=size)) for _ in range(2))
    expected = []
    for at in range(0, size, width):
        left, right = (int.from_bytes(each[at : at + width], "big") for each in (after, before))
        wrapped = (left - right) & ((1 << 8 * width) - 1)
        signed = wrapped - (1 << 8 * width) if wrapped >> (8 * width - 1) else wrapped
        expected.append((2 * signed if signed >= 0 else -2 * signed - 1).to_bytes(width, "big"))
    columns = b"".join(bytes([each[byte]]) for byte in range(width) for each in expected)
    assert laid_out([before, after], form) == before + columns


def test_halves_of_long_differences_stand_under_halves():
    payloads = [bytes(8), bytes((0, 1, 0, 2, 0, 3, 0, 4)), bytes((0, 1, 0, 3, 0, 3, 0, 4))]
    folded = [(2 * 0x10002, 2 * 0x30004), (2, 0)]  # of each cycle, both lanes
    halves = [[(lane >> shift) & 0xFFFF for lane in lanes] for shift in (16, 0) for lanes in zip(*folded, strict=True)]
    expected = b"".join(half.to_bytes(2, "big") for column in halves for half in column)
    assert laid_out(payloads, Form.LONG_HALVES) == bytes(8) + expected


def test_a_plant_at_rest_becomes_zeros():
    content = laid_out([bytes(range(100))] * 60, Form.WORDS)
    assert content == bytes(range(100)) + bytes(59 * 100)
    assert len(zstandard.compress(content)) < 130


@pytest.mark.parametrize(
    ("form", "size", "fit"),
    [
        (Form.PLAIN, 0, True),
        (Form.CHANGED, 0, False),
        (Form.CHANGED, 7, True),
        (Form.WORDS, 7, False),
        (Form.LONGS, 6, False),
    ],
)
def test_a_form_of_wide_lanes_wants_whole_lanes(form, size, fit):
    assert fits(form, size) is fit


def test_every_form_but_the_plain_one_has_its_lanes():
    assert set(WIDTH) == set(Form) - {Form.PLAIN}
