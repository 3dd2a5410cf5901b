"""Blocks of Modbus registers in the twin: texts, values with a factor of their own, and addresses a device refuses."""

from __future__ import annotations

import os
import struct

import pytest

from gatewayd.compiled import load_kernels
from gatewayd.core.contract.text import decode_text
from gatewayd.core.site import NS, Digests, compile_site
from gatewayd.core.state import State
from gatewayd.core.step import bind, step
from gatewayd.core.texts import Texts
from gatewayd.device.build import plan_reads
from gatewayd.model import quality
from gatewayd.model.block import Block, Codec, WireOrder
from gatewayd.model.config import Gateway, GatewayFile, SiteConfig
from gatewayd.model.decision import Inputs
from gatewayd.model.device import ModbusTag
from tests.device.modbus.plant import device, tag

FORM = os.environ.get("GATEWAYD_KERNELS", "python")


class Plc:
    """One device whose tags share a request, and the twin of it."""

    def __init__(self, *tags: ModbusTag) -> None:
        config = SiteConfig(
            gateway=GatewayFile(gateway=Gateway(name="test.example/gw")),
            devices={"plc": device()},
            tags={"plc": tags},
            asset_types={},
            assets={},
            points=(),
            rules=(),
        )
        self.site = compile_site(config, plan_reads=plan_reads, digests=Digests(b"", b"", b""))
        kernels = load_kernels(FORM)
        self.state = State(self.site, kernels, now_mono_ns=NS)
        self._kernels = bind(kernels, self.state)
        self._cycle = 0
        self.inputs: list[Inputs] = []

    def answer(self, payload: bytes, *lost: tuple[int, int, int], codec: Codec = Codec.MODBUS_REGISTERS) -> None:
        """One cycle with one block."""
        self._cycle += 1
        mono_ns = self._cycle * NS
        block = Block(0, codec, 7, 8, mono_ns, payload, quality.BAD_TIMEOUT if codec is Codec.LOST else 0, lost)
        self.replay(Inputs(cycle=self._cycle, wall_ns=9, mono_ns=mono_ns, blocks=(block,)))

    def replay(self, inputs: Inputs) -> None:
        self.inputs.append(inputs)
        step(self.state, self.site, self._kernels, inputs)

    def read(self, row: int) -> tuple[float, int]:
        return self.state.column("tag.value")[row], self.state.column("tag.status")[row]

    def text(self, row: int) -> str | None:
        return self.state.texts.get(self.state.column("tag.value")[row])


def serial_number() -> Plc:
    return Plc(tag("serial", address=0, type="string", length=4), tag("speed", address=4))


def test_a_text_is_in_the_side_table_and_the_number_beside_it_in_its_column():
    plc = serial_number()
    plc.answer(b"SN 42  \0" + b"\x00\x07")
    assert (plc.text(0), plc.read(0)) == ("SN 42", (1.0, quality.GOOD))
    assert plc.read(1) == (7.0, quality.GOOD)
    plc.answer(b"SN 42\0\0\0" + b"\x00\x08")
    assert plc.read(0) == (1.0, quality.GOOD), "padded otherwise it is the same text"
    plc.answer(b"SN 43\0\0\0" + b"\x00\x08")
    assert (plc.text(0), plc.read(0)) == ("SN 43", (2.0, quality.GOOD))


def test_a_text_that_is_lost_or_cut_short_is_bad():
    plc = serial_number()
    plc.answer(b"SN 42\0\0\0" + b"\x00\x07")
    plc.answer(b"", codec=Codec.LOST)
    assert (plc.text(0), plc.read(0)[1]) == (None, quality.BAD_TIMEOUT)
    plc.answer(b"SN 4")
    assert (plc.text(0), plc.read(0)[1]) == (None, quality.BAD_DECODING)


def test_texts_beyond_the_table_s_limit_are_bad_and_said_to_be():
    """P-BOUND."""
    plc = Plc(*(tag(f"t{i}", address=i, type="string", length=1) for i in range(3)))
    plc.state.texts = Texts(texts_max=2)
    plc.answer(b"aabbcc")
    assert [plc.text(row) for row in range(3)] == ["aa", "bb", None]
    assert plc.read(2)[1] == quality.BAD_OUT_OF_MEMORY


def test_the_same_blocks_give_the_same_texts_and_ids_again():
    """P-REPLAY: the text travels in the block, its id is the state's own."""
    plc, again = serial_number(), serial_number()
    for text in (b"one\0\0\0\0\0", b"two\0\0\0\0\0", b"one\0\0\0\0\0", b"\xfc\0\0\0\0\0\0\0"):
        plc.answer(text + b"\0\0")
    ids = []
    for inputs in plc.inputs:
        again.replay(inputs)
        ids.append(again.read(0)[0])
    assert ids == [1.0, 2.0, 1.0, 3.0]
    assert (plc.read(0), plc.text(0)) == (again.read(0), again.text(0)) == ((3.0, quality.GOOD), "ü")


@pytest.mark.parametrize(
    ("wire", "order", "text"),
    [
        (b"ABCDEF", WireOrder.ABCD, "ABCDEF"),
        (b"BADCFE", WireOrder.BADC, "ABCDEF"),
        (b"AB\0\xff\xff\xff", WireOrder.ABCD, "AB"),
        (b"  AB  ", WireOrder.ABCD, "  AB"),
        (b"\0\0", WireOrder.ABCD, ""),
        ("Öl µ".encode() + b"\0\0", WireOrder.ABCD, "Öl µ"),
        ("Öl µ".encode("latin-1"), WireOrder.ABCD, "Öl µ"),
    ],
)
def test_a_text_ends_at_its_padding_and_is_utf_8_or_else_latin_1(wire: bytes, order: WireOrder, text: str):
    assert decode_text(wire, order) == text


def test_value_and_scale_factor_are_of_one_moment():
    plc = Plc(tag("power", address=10, type="int16", scale_register=14, not_a_value=-(2**15), scale=0.001))
    (plan,) = plc.site.plans
    assert plan.request == (3, 10, 5)
    plc.answer(struct.pack(">5h", 1234, 0, 0, 0, 1))
    assert plc.read(0) == (12340.0 * 0.001, quality.GOOD)
    plc.answer(struct.pack(">5h", 1234, 0, 0, 0, -2))
    assert plc.read(0) == (12.34 * 0.001, quality.GOOD)
    for value, power in ((-(2**15), 0), (1, -(2**15))):
        plc.answer(struct.pack(">5h", value, 0, 0, 0, power))
        assert plc.read(0)[1] == quality.BAD_SENSOR_FAILURE


def test_a_refused_address_costs_its_own_rows_only():
    """P-ISOLATE."""
    plc = Plc(*(tag(f"t{i}", address=i) for i in range(5)))
    plc.answer(bytes(range(10)))
    plc.answer(bytes(range(10)), (1, 2, quality.BAD_NODE_ID_UNKNOWN), (4, 1, quality.BAD_DEVICE_FAILURE))
    assert [plc.read(row)[1] for row in range(5)] == [
        quality.GOOD,
        quality.BAD_NODE_ID_UNKNOWN,
        quality.BAD_NODE_ID_UNKNOWN,
        quality.GOOD,
        quality.BAD_DEVICE_FAILURE,
    ]
    assert [plc.read(row)[0] for row in (0, 3)] == [1.0, 0x0607]
    assert list(plc.state.column("tag.sequence")) == [2, 1, 1, 2, 1], "what was not read is no sample"
    plc.answer(bytes(range(10)))
    assert [plc.read(row)[1] for row in range(5)] == [quality.GOOD] * 5


def test_a_refused_text_keeps_the_status_of_its_refusal():
    plc = serial_number()
    plc.answer(b"SN 42\0\0\0" + b"\x00\x07", (0, 1, quality.BAD_NODE_ID_UNKNOWN))
    assert (plc.text(0), plc.read(0)[1]) == (None, quality.BAD_NODE_ID_UNKNOWN)
    assert plc.read(1) == (7.0, quality.GOOD)


@pytest.mark.parametrize("lost", [((3, 9, 1),), ((2, 1, 5), (1, 1, 5)), ((-1, 2, 5),), ((0, -1, 5),)])
def test_a_block_whose_gaps_make_no_sense_gives_no_good_value_after_them(lost: tuple[tuple[int, int, int], ...]):
    plc = Plc(*(tag(f"t{i}", address=i) for i in range(5)))
    plc.answer(bytes(10), *lost)
    assert plc.read(4)[1] == quality.BAD_DECODING
