from __future__ import annotations

import pytest

from gatewayd.core.expr.compiler import Compiler
from gatewayd.core.expr.programme import Compiled, Term, WindowSpec, ring_size
from gatewayd.core.expr.verifier import RING_SAMPLES_MAX
from gatewayd.errors import ExpressionError
from tests.core.expr.plant import SECOND, TagNames


class Members(TagNames):
    """The members of one asset: names of their own for some rows."""

    def __init__(self, rows):
        super().__init__(*rows)
        self._rows = rows

    def row(self, name):
        return self._rows.get(name)

    def units(self, row):
        return ""


def test_an_expression_becomes_code_constants_windows_and_terms():
    compiler = Compiler(TagNames("a", "b", "c"))
    text = "c > 85 for 5s and rate(b, 60s) > 0.5"
    assert compiler.add(text, kind="condition") == 0
    programme = compiler.finish()
    assert programme.programs == (
        Compiled(
            text=text,
            kind="condition",
            start=0,
            length=9,
            rows=(1, 2),
            terms=(
                Term("c", "tag", 2),
                Term("c > 85 for 5s", "memory", -1, register=0),
                Term("rate(b, 60s)", "window", 1, 0, "rate"),
            ),
        ),
    )
    assert programme.consts == (85.0, 5e9, 0.5)
    assert programme.registers == 1
    assert programme.windows == (WindowSpec(1, 60 * SECOND, 128, 2 * SECOND),)


def test_text_kind_and_tags_decide_whether_two_expressions_are_one():
    compiler = Compiler(TagNames("a", "b"))
    first, second = Members({"x": 0}), Members({"x": 1})
    indices = [
        compiler.add("x > 1 for 5s", kind="condition", names=first),
        compiler.add("x > 1 for 5s", kind="condition", names=second),
        compiler.add("x > 1\n  for 5s", kind="condition", names=first),
        compiler.add("x + 1", kind="number", names=first),
        compiler.add("x > 1 for 5s", kind="condition", names=first),
    ]
    assert indices == [0, 1, 0, 2, 0]
    assert [program.rows for program in compiler.finish().programs] == [(0,), (1,), (0,)]


def test_windows_of_one_tag_and_duration_share_a_ring():
    compiler = Compiler(TagNames("a", "b"))
    compiler.add("rate(a, 60s) > avg(a, 1m)", kind="condition")
    compiler.add("avg(a, 60000ms) > avg(a, 30s) + avg(b, 60s)", kind="condition")
    assert compiler.finish().windows == (
        WindowSpec(0, 60 * SECOND, 128, 2 * SECOND),
        WindowSpec(0, 30 * SECOND, 68, 2 * SECOND),
        WindowSpec(1, 60 * SECOND, 128, 2 * SECOND),
    )


@pytest.mark.parametrize(
    ("duration_s", "period_ms", "size"),
    [(60, 1000, 128), (2, 1000, 16), (86_400, 1000, 172_808), (60, 7000, 25), (60, 0, 65_536)],
)
def test_a_ring_holds_twice_what_its_tag_should_deliver_and_some(duration_s, period_ms, size):
    assert ring_size(duration_s * SECOND, period_ms * 1_000_000) == size


def test_an_expression_on_several_lines_is_shown_on_one_and_blamed_in_the_original():
    compiler = Compiler(TagNames("a", "b"))
    compiler.add("a > 1\n  and rate(b,\n 60s) > 2", kind="condition")
    (program,) = compiler.finish().programs
    assert program.text == "a > 1 and rate(b, 60s) > 2"
    assert [term.text for term in program.terms] == ["a", "rate(b, 60s)"]
    with pytest.raises(ExpressionError) as caught:
        compiler.add("a > 1\n  and  q > 2", kind="condition")
    assert caught.value.position == 13


def test_terms_are_listed_once_each_in_the_order_of_the_text():
    compiler = Compiler(TagNames("a", "b"))
    compiler.add("b > a and stale(a) and b < 3 and quality(a) > 1 and anomaly(b)", kind="condition")
    (program,) = compiler.finish().programs
    assert program.terms == (
        Term("b", "tag", 1),
        Term("a", "tag", 0),
        Term("stale(a)", "stale", 0),
        Term("quality(a)", "quality", 0),
        Term("anomaly(b)", "anomaly", 1),
    )


def test_a_wrong_expression_does_not_spoil_the_right_ones_after_it():
    def build(*texts):
        compiler = Compiler(TagNames("a", "b", units={"a": "bar", "b": "m"}))
        for text in texts:
            try:
                compiler.add(text, kind="condition")
            except ExpressionError:
                continue
        return compiler.finish()

    wrong = ("a >", "a > b", "nobody > 1", "rate(a, 60s)", "true for 5s and a", "a < 1 < 2")
    assert build(*wrong, "a > 1 for 5s", *wrong, "b > 2") == build("a > 1 for 5s", "b > 2")


def test_the_samples_kept_by_all_windows_have_a_limit():
    compiler = Compiler(TagNames(*(f"t{n}" for n in range(100)), period_ns=0))
    full = RING_SAMPLES_MAX // 65_536
    for n in range(full):
        compiler.add(f"avg(t{n}, 24h) > 1", kind="condition")
    with pytest.raises(ExpressionError, match="would keep more than") as caught:
        compiler.add(f"1 < avg(t{full}, 24h)", kind="condition")
    assert caught.value.position == 4
    assert len(compiler.finish().windows) == full


def test_no_expressions_are_a_programme_too():
    programme = Compiler(TagNames("a")).finish()
    assert (programme.programs, programme.ops, programme.registers) == ((), (), 0)
    assert programme.dependencies(1) == ([0], [0], [])
