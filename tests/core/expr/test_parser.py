"""Precedence is Python's, proved against Python's own parser; `for` is ours."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayd.core.expr.parser import ARGUMENTS_MAX, NESTING_MAX, parse
from gatewayd.core.expr.syntax import (
    Binary,
    Boolean,
    Choice,
    Memory,
    Node,
    Number,
    Status,
    Tag,
    TimeOfDay,
    Unary,
    Vote,
    Window,
    Within,
)
from gatewayd.errors import ExpressionError

SECOND = 1_000_000_000


def shape(node: Node) -> str:
    """The tree as text, every operation in parentheses."""
    match node:
        case Number():
            return f"{node.value:g}"
        case Boolean():
            return str(node.value)
        case Tag():
            return node.name
        case Status():
            return f"{node.function}({node.tag.name})"
        case Window():
            return f"{node.function}({node.tag.name},{node.duration_ns})"
        case Unary():
            return f"({node.operator} {shape(node.operand)})"
        case TimeOfDay():
            return "time_of_day()"
        case Within():
            return f"within({node.begin_ns // SECOND},{node.finish_ns // SECOND})"
        case Memory(function="for"):
            return f"({shape(node.operands[0])} for {node.duration_ns // SECOND})"
        case Memory():
            parts = [shape(operand) for operand in node.operands] + [str(node.duration_ns // SECOND)]
            return f"{node.function}({','.join(parts if node.duration_ns else parts[:-1])})"
        case Binary():
            return f"({shape(node.left)} {node.operator} {shape(node.right)})"
        case Choice():
            return f"({shape(node.then)} if {shape(node.condition)} else {shape(node.otherwise)})"
        case Vote():
            return f"vote({node.needed},{','.join(shape(voter) for voter in node.voters)})"
    raise AssertionError(node)


def python_shape(node: ast.expr) -> str:
    signs = {
        ast.Add: "+",
        ast.Sub: "-",
        ast.Mult: "*",
        ast.Div: "/",
        ast.Lt: "<",
        ast.LtE: "<=",
        ast.Gt: ">",
        ast.GtE: ">=",
        ast.Eq: "==",
        ast.NotEq: "!=",
        ast.USub: "negate",
        ast.Not: "not",
        ast.And: "and",
        ast.Or: "or",
    }
    match node:
        case ast.Name():
            return node.id
        case ast.BinOp():
            return f"({python_shape(node.left)} {signs[type(node.op)]} {python_shape(node.right)})"
        case ast.UnaryOp():
            return f"({signs[type(node.op)]} {python_shape(node.operand)})"
        case ast.Compare():
            return f"({python_shape(node.left)} {signs[type(node.ops[0])]} {python_shape(node.comparators[0])})"
        case ast.BoolOp():
            whole = python_shape(node.values[0])
            for value in node.values[1:]:
                whole = f"({whole} {signs[type(node.op)]} {python_shape(value)})"
            return whole
        case ast.IfExp():
            parts = (python_shape(part) for part in (node.body, node.test, node.orelse))
            return "({} if {} else {})".format(*parts)
    raise AssertionError(ast.dump(node))


operands = st.builds("{}{}".format, st.sampled_from(["", "", "", "-", "--"]), st.sampled_from("abc"))
sums = st.lists(operands, min_size=1, max_size=5).flatmap(
    lambda items: st.lists(st.sampled_from("+-*/"), min_size=len(items), max_size=len(items)).map(
        lambda signs: " ".join(f"{sign} {item}" for sign, item in zip(signs, items, strict=True))[2:]
    )
)
comparisons = st.one_of(
    sums, st.builds("{} {} {}".format, sums, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), sums)
)
clauses = st.builds("{}{}".format, st.sampled_from(["", "", "not ", "not not "]), comparisons)
texts = st.lists(st.tuples(st.sampled_from(["and", "or"]), clauses), min_size=1, max_size=5).map(
    lambda parts: " ".join(f"{word} {clause}" for word, clause in parts).split(" ", 1)[1]
)


choices = st.one_of(
    texts,
    st.builds("{} if {} else {}".format, texts, texts, texts),
    st.builds("{} if {} else {} if {} else {}".format, texts, texts, texts, texts, texts),
)


@given(choices)
def test_precedence_is_that_of_python(text):
    assert shape(parse(text)) == python_shape(ast.parse(text, mode="eval").body)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a > 1 and b > 2 for 5s", "(((a > 1) and (b > 2)) for 5)"),
        ("a > 1 or b > 2 for 5s", "(((a > 1) or (b > 2)) for 5)"),
        ("not a > 1 for 5s", "((not (a > 1)) for 5)"),
        ("a > 1 for 5s and b > 2", "(((a > 1) for 5) and (b > 2))"),
        ("a > 1 and (b > 2 for 5s)", "((a > 1) and ((b > 2) for 5))"),
        ("(a > 1 for 5s) and (b > 2 for 6s)", "(((a > 1) for 5) and ((b > 2) for 6))"),
        ("(a > 1 for 5s) for 6s", "(((a > 1) for 5) for 6)"),
        ("min(a, b, 3) + abs(-c)", "(((a min b) min 3) + (abs (negate c)))"),
        ("rate(x.a, 60s) > avg(b, 10m)", "(rate(x.a,60000000000) > avg(b,600000000000))"),
        ("stale(a) or anomaly(b) or quality(c) == 2", "((stale(a) or anomaly(b)) or (quality(c) == 2))"),
        ("`pump-1.temp` - pump", "(pump-1.temp - pump)"),
        ("min > 1", "(min > 1)"),  # a tag may have the name of a function
        ("true and not false", "(True and (not False))"),
        ("clamp(a + 1, 2, b)", "(((a + 1) max 2) min b)"),
        ("min(a, 5s) + max(x.a, 5s)", "(min(a,5000000000) + max(x.a,5000000000))"),
        ("std(a, 5s) / count(a, 5s)", "(std(a,5000000000) / count(a,5000000000))"),
        ("min(integral(a, 5s), b)", "(integral(a,5000000000) min b)"),
        ("vote(a > 1, b > 1 for 5s, c > 1)", "vote(2,(a > 1),((b > 1) for 5),(c > 1))"),
        ("vote(0 < a, b > 1, c > 1)", "vote(2,(0 < a),(b > 1),(c > 1))"),
        ("vote(2, a > 1, true, b > 1, c > 1)", "vote(2,(a > 1),True,(b > 1),(c > 1))"),
        ("vote(2, a > 1, true)", "vote(2,(a > 1),True)"),
        ("true if a > 1 else b > 2 for 5s", "(True if (a > 1) else ((b > 2) for 5))"),
        ("hysteresis(a + 1, 85, b)", "hysteresis((a + 1),85,b)"),
        ("latch(a > 1 or true, b > 1)", "latch(((a > 1) or True),(b > 1))"),
        ("delay_on(a > 1 or true, 5s) and true", "(delay_on(((a > 1) or True),5) and True)"),
        ("not delay_off(true, 1m)", "(not delay_off(True,60))"),
        ("rising(a > 1) or falling(true)", "(rising((a > 1)) or falling(True))"),
        ("a - prev(a) > 3", "((a - prev(a)) > 3)"),
        ("age(a) > state(pump_1)", "(age(a) > pump_1.state)"),
        ('within("22:00", "6:00:30") or time_of_day() > 3', "(within(79200,21630) or (time_of_day() > 3))"),
        ("1 if a > 1 for 5s else 2 if b > 1 else 3", "(1 if ((a > 1) for 5) else (2 if (b > 1) else 3))"),
        ("(1 if a > 1 else 2) * 3", "((1 if (a > 1) else 2) * 3)"),
        ("1 if (2 if a > 1 else 3) > b else 4", "(1 if ((2 if (a > 1) else 3) > b) else 4)"),
        ("`if` > `else`", "(if > else)"),
    ],
)
def test_what_python_does_not_have(text, tree):
    assert shape(parse(text)) == tree


def test_every_node_knows_its_text():
    text = "( a + b ) * max(c, 1)  >  2"
    root = parse(text)
    assert isinstance(root, Binary)
    assert isinstance(root.left, Binary)
    product = root.left
    assert [text[node.start : node.end] for node in (root, product, product.left, product.right)] == [
        text,
        "( a + b ) * max(c, 1)",
        "a + b",
        "max(c, 1)",
    ]


@pytest.mark.parametrize(
    ("text", "position", "said", "remedy"),
    [
        ("", 0, "empty", "Write a condition"),
        ("   ", 3, "empty", "Write a condition"),
        ("a >", 3, "ends", "Complete"),
        ("a and", 5, "ends", "Complete"),
        ("> 3", 0, "before `>`", "Write a number"),
        ("a + * b", 4, "before `*`", "Write a number"),
        ("a > +5", 4, "no sign `+`", "Leave it out"),
        ("a < b < c", 6, "chained", "a < b and b < c"),
        ("a == b != c", 7, "chained", "a < b and b < c"),
        ("x and a < b < c", 12, "chained", "a < b and b < c"),
        ("a b", 2, "`b` cannot follow `a`", "operator"),
        ("a 5", 2, "`5` cannot follow `a`", "operator"),
        ("a > 1 5s", 6, "duration", "`for`"),
        ("5s > a", 0, "duration", "without a unit"),
        ("max(a + 1, 60s)", 11, "duration", "without a unit"),
        ("max(a, 60s, b)", 10, "not closed here", "Write `max(a, b)` or `max(tag, 60s)`."),
        ("(a > 1", 6, "opened at character 0", "Add `)`"),
        ("a > 1)", 5, "never opened", "Remove it"),
        ("a > 1 for", 9, "`for` needs a duration", "500ms"),
        ("a > 1 for 5", 10, "5 has no unit", "`5s`"),
        ("a > 1 for 5s for 6s", 13, "hold the whole", "parentheses"),
        ("a > 1 for 5s and b > 1 for 5s", 23, "hold the whole", "parentheses"),
        ("a == not b", 5, "`not` binds weaker", "(not ...)"),
        ("rat(a, 60s) > 1", 0, "no function `rat`", "rate(tag, 60s)"),
        ("frobnicate(a)", 0, "no function", "Functions: abs, age, anomaly, avg, clamp"),
        ("rate(a) > 1", 6, "duration to look back", "rate(tag, 60s)"),
        ("rate(a, 60) > 1", 8, "60 has no unit", "`60s`"),
        ("rate(a + b, 60s)", 7, "duration to look back", "rate(tag, 60s)"),
        ("avg(3, 60s)", 4, "works on a tag", "avg(tag, 60s)"),
        ("stale(a, 5s)", 7, "not closed here", "stale(tag)"),
        ("stale()", 6, "works on a tag", "stale(tag)"),
        ("abs(a, b)", 5, "no more arguments", "abs(x)"),
        ("min(a)", 5, "two arguments", "min(a, b)"),
        ("min()", 4, "before `)`", "Write a number"),
        ("clamp(a, 1)", 10, "takes three arguments", "clamp(x, low, high)"),
        ("clamp(a, 1, 2, 3)", 13, "takes three arguments", "clamp(x, low, high)"),
        ("latch(true)", 10, "takes two arguments", "latch(SET, RESET)"),
        ("rising(true, 5s)", 11, "takes one argument", "rising(COND)"),
        ("delay_on(true)", 13, "needs the duration to wait", "delay_on(COND, 5s)"),
        ("delay_off(true, 5)", 16, "needs a duration, and 5 has no unit", "5s"),
        ("prev(a + 1)", 7, "not closed here", "prev(tag)"),
        ("age(3)", 4, "works on a tag", "age(tag)"),
        ("state(1)", 6, "works on a tag", "state(asset)"),
        ("within(22, 6)", 7, "needs a time of the day", 'within("22:00", "06:00")'),
        ('within("22:00")', 14, "needs the time at which it ends", 'within("22:00", "06:00")'),
        ('within("22:00", "22:00:00")', 16, "ends when it begins", "two different times"),
        ('a > "22:00"', 4, "only in `within`", "within"),
        ('a "22:00"', 2, "only in `within`", "within"),
        ("vote(3, true, false)", 5, "3 of 2 conditions can never agree", "from 1 to 2"),
        ("vote(1.5, true, false)", 5, "1.5 of 2 conditions", "from 1 to 2"),
        ("vote(1, true)", 5, "needs at least 2 conditions", "vote(2, a, b, c, d)"),
        ("vote(1" + ", true" * 17 + ")", 102, "at most 16 conditions", "Join some"),
        ("vote(a > 1)", 10, "takes three arguments", "vote(a, b, c)"),
        ("1 if a > 1", 10, "has no `else`", "a if COND else b"),
        ("1 if 2 if a else 3 else 4", 7, "has no `else`", "a if COND else b"),
        ("1 if a > 1 else", 15, "ends", "Complete"),
        ("if a > 1", 0, "before `if`", "Write a number"),
        ("else", 0, "before `else`", "Write a number"),
        ("min(" + ", ".join("a" * (ARGUMENTS_MAX + 1)) + ")", 50, "no more arguments", "min(a, b)"),
    ],
)
def test_an_error_says_what_where_and_what_to_write(text, position, said, remedy):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.position == position
    assert said in caught.value.message
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(("opening", "closing"), [("(", ")"), ("-", ""), ("abs(", ")")])
def test_nesting_has_a_limit(opening, closing):
    parse(opening * NESTING_MAX + "a" + closing * NESTING_MAX)
    with pytest.raises(ExpressionError, match="nested deeper than 32") as caught:
        parse(opening * (NESTING_MAX + 1) + "a" + closing * (NESTING_MAX + 1))
    assert caught.value.position == len(opening) * NESTING_MAX + len(opening) - 1


def test_not_has_the_same_limit():
    with pytest.raises(ExpressionError, match="nested deeper"):
        parse("not " * 33 + "a > 1")


@given(st.text(alphabet="ab1.5s ()+-*/<>=!,`forandt\n\N{GREEK SMALL LETTER ALPHA}", max_size=60))
def test_any_text_is_an_expression_or_an_error_with_a_place_in_it(text):
    error = error_of(text)
    assert error is None or (0 <= error.position <= len(text) and error.remedy)


def error_of(text: str) -> ExpressionError | None:
    try:
        parse(text)
    except ExpressionError as error:
        return error
    return None


def test_the_deepest_text_that_is_allowed_leaves_room_on_pythons_stack():
    level = "a or b and c < d + e * ("
    depth = 32
    assert error_of(level * depth + "a" + ")" * depth) is None
