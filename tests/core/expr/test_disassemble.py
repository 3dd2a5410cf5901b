from __future__ import annotations

from gatewayd.core.expr.disassemble import disassemble
from tests.core.expr.plant import program


def test_every_cell_is_shown_with_what_its_argument_stands_for():
    text = "not (c > 85 for 5s) and rate(b, 60s) > 0.1 or stale(a) or vote(1, true, false)"
    assert disassemble(program(text), 0).splitlines() == [
        f"{text}  # condition, program 0, at most 144 steps",
        "   0  tag         row 2         c",
        "   1  const       const 0       85",
        "   2  >",
        "   3  const       const 1       5000000000",
        "   4  for         register 0    c > 85 for 5s",
        "   5  not",
        "   6  rate        window 0      row 1, 60 s, at most 128 samples",
        "   7  const       const 2       0.10000000000000001",
        "   8  >",
        "   9  and",
        "  10  stale       row 0         stale(a)",
        "  11  or",
        "  12  boolean                   true",
        "  13  boolean                   false",
        "  14  vote        1 of 2",
        "  15  or",
    ]
