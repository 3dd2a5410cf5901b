"""Blocks of Modbus registers in the twin: texts, values with a factor of their own, and addresses a device refuses."""

from __future__ import annotations

import os
import struct

import pytest

from gatewayd.compiled import load_kernels
from gatewayd.core.contract.decode import passes
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


# --- several plans in one block ---------------------------------------------------------------------------------------


def spread_out() -> Plc:
    """Four plans: a number, a text behind a number, a number with a scale register, a number."""
    return Plc(
        tag("a", address=0),
        tag("b", address=500),
        tag("name", address=501, type="string", length=2),
        tag("c", address=1000, scale_register=1001),
        tag("d", address=1500),
    )


def words(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}h", *numbers)


def joined(plc: Plc, first: int, plans: int, payload: bytes) -> None:
    blocks = (Block(first, Codec.MODBUS_REGISTERS, 7, 8, NS, payload, 0, (), plans),)
    plc.replay(Inputs(cycle=1, wall_ns=9, mono_ns=NS, blocks=blocks))


def test_payloads_that_stand_back_to_back_are_read_as_if_each_had_come_alone() -> None:
    payloads = (words(11), words(22) + b"abcd", words(33, 2), words(44))
    alone, together = spread_out(), spread_out()
    blocks = tuple(Block(plan, Codec.MODBUS_REGISTERS, 7, 8, NS, payload) for plan, payload in enumerate(payloads))
    alone.replay(Inputs(cycle=1, wall_ns=9, mono_ns=NS, blocks=blocks))
    joined(together, 0, 4, b"".join(payloads))
    assert [together.read(row)[0] for row in (0, 1, 3, 4)] == [11.0, 22.0, 3300.0, 44.0]
    assert together.text(2) == "abcd"
    for table in ("value", "bits", "status", "source_time", "ingest_mono", "event_time", "sequence"):
        assert list(together.state.column(f"tag.{table}")) == list(alone.state.column(f"tag.{table}")), table


def test_a_run_may_begin_and_end_at_any_plan() -> None:
    plc = spread_out()
    joined(plc, 1, 2, words(22) + b"abcd" + words(33, 0))
    assert [plc.read(row)[0] for row in (1, 3)] == [22.0, 33.0]
    assert plc.text(2) == "abcd"
    assert [plc.read(row)[1] for row in (0, 4)] == [quality.BAD_WAITING_FOR_INITIAL_DATA] * 2


def test_a_run_that_is_too_short_turns_what_is_missing_bad() -> None:
    plc = spread_out()
    joined(plc, 0, 4, words(11, 22) + b"abcd" + words(33, 0))
    assert [plc.read(row)[1] for row in (0, 1, 3, 4)] == [0, 0, 0, quality.BAD_DECODING]


def test_a_plan_that_comes_again_within_another_run_is_taken_after_it() -> None:
    """Every sample is seen, one at a time."""
    plc = spread_out()
    runs = [(0, 2, words(1, 2) + b"abcd"), (1, 2, words(3) + b"efgh" + words(4, 0))]
    blocks = tuple(Block(first, Codec.MODBUS_REGISTERS, 7, 8, NS, run, 0, (), plans) for first, plans, run in runs)
    assert [[block.plan for block in each] for each in passes(blocks)] == [[0], [1]]
    plc.replay(Inputs(cycle=1, wall_ns=9, mono_ns=NS, blocks=blocks))
    assert [plc.read(row)[0] for row in (0, 1, 3)] == [1.0, 3.0, 4.0]
    assert list(plc.state.column("tag.sequence")) == [1, 2, 2, 1, 0]
