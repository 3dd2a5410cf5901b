from __future__ import annotations

import msgspec
import pytest

from gatewayd.core.expr.compiler import Compiler
from gatewayd.core.expr.programme import Programme, digest_of
from tests.core.expr.plant import TagNames, program


def test_dependencies_say_which_programs_read_a_tag():
    compiler = Compiler(TagNames("a", "b", "c", "d"))
    for text in ("a > c", "rate(c, 60s) > 1", "stale(a) or c > 1", "true"):
        compiler.add(text, kind="condition")
    first, count, programs = compiler.finish().dependencies(4)
    assert count == [2, 0, 3, 0]
    assert [programs[start : start + length] for start, length in zip(first, count, strict=True)] == [
        [0, 2],
        [],
        [0, 1, 2],
        [],
    ]


def test_the_digest_is_that_of_the_content():
    one, same, other = program("a > 1"), program("a > 1"), program("a > 1.0000000000000002")
    assert one.digest == same.digest != other.digest
    assert len(one.digest) == 32
    assert digest_of(one) == one.digest


@pytest.mark.parametrize(
    "change",
    [
        {"ops": (1, 2, 27)},
        {"args": (0, 0, 1)},
        {"consts": (2.0,)},
        {"registers": 1},
        {"programs": ()},
    ],
)
def test_no_part_escapes_the_digest(change):
    assert digest_of(msgspec.structs.replace(program("a > 1"), **change)) != program("a > 1").digest


def test_a_programme_survives_the_wire():
    built = program("rate(a, 60s) > 1 for 5s and not stale(b)")
    received = msgspec.msgpack.decode(msgspec.msgpack.encode(built), type=Programme)
    assert received == built
    assert digest_of(received) == built.digest


def test_the_digest_of_a_known_programme_never_changes():
    """Gateways compare it; whoever changes the canonical bytes on purpose changes the format number with them."""
    assert (
        program("a > 85 for 5s and rate(b, 60s) > 0.5").digest.hex()
        == "03682bc0c107f199a945e8c5408fca49229ba10a1d8b887be9fee75db715a6fe"
    )
