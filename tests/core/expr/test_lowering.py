from __future__ import annotations

import struct

from gatewayd.core.expr import opcodes as op
from gatewayd.core.expr.compiler import Compiler
from gatewayd.core.expr.lowering import lower
from tests.core.expr.plant import TagNames


def bits(value):
    return struct.unpack("<q", struct.pack("<d", value))[0]


def test_programs_stand_back_to_back_and_each_begins_where_the_one_before_it_ends():
    compiler = Compiler(TagNames("a", "b"))
    compiler.add("a - b", kind="number")
    compiler.add("not stale(b)", kind="condition")
    lowered = lower(compiler.finish())
    assert lowered.start == (0, lowered.length[0])
    assert len(lowered.words) == sum(lowered.length)


def test_a_word_is_an_operation_with_its_argument_and_a_constant_stands_behind_it():
    compiler = Compiler(TagNames("a", "b"))
    compiler.add("stale(b) if 0.5 > 0.25 else true", kind="condition")
    assert lower(compiler.finish()).words[:1] == (op.STALE + 256,)
    assert bits(0.5) in lower(compiler.finish()).words
