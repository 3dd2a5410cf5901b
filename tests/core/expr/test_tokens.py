"""Every mistake at the level of signs is named, with its place and what to write instead."""

from __future__ import annotations

import pytest

from gatewayd.core.expr.tokens import tokenize
from gatewayd.errors import ExpressionError


def refusal(text):
    with pytest.raises(ExpressionError) as caught:
        tokenize(text)
    assert caught.value.remedy
    return caught.value


def test_a_text_is_cut_into_tokens_that_know_their_place():
    text = "pump_1.temp>=8.5e1 for\t500ms"
    tokens = tokenize(text)
    assert [(token.kind, token.text) for token in tokens] == [
        ("name", "pump_1.temp"),
        ("operator", ">="),
        ("number", "8.5e1"),
        ("keyword", "for"),
        ("duration", "500ms"),
        ("end", ""),
    ]
    assert [text[token.start : token.end] for token in tokens] == [token.text for token in tokens]
    assert tokens[2].number == 85.0


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("1ms", 1_000_000),
        ("0.000001ms", 1),
        ("5s", 5_000_000_000),
        ("0.1s", 100_000_000),  # exact, though 0.1 is no float
        ("10m", 600_000_000_000),
        ("1.5h", 5_400_000_000_000),
        ("24h", 86_400_000_000_000),
    ],
)
def test_durations_are_exact(text, duration_ns):
    assert tokenize(text)[0].duration_ns == duration_ns


def test_a_name_between_backticks_is_any_name_and_never_a_keyword():
    (token, _) = tokenize("`pump-1.temp`")
    assert (token.kind, token.text, token.quoted, token.start, token.end) == ("name", "pump-1.temp", True, 0, 13)
    assert tokenize("`for`")[0].kind == "name"


@pytest.mark.parametrize(
    ("text", "position", "said", "remedy"),
    [
        ("a = 1", 2, "`=`", "`==`"),
        ("a =< 1", 2, "`=<`", "`<=`"),
        ("a => 1", 2, "`=>`", "`>=`"),
        ("a <> 1", 2, "`<>`", "`!=`"),
        ("a ≥ 1", 2, "`≥`", "`>=`"),
        ("a && b", 2, "`&&`", "`and`"),
        ("a || b", 2, "`||`", "`or`"),
        ("!a", 0, "`!`", "`not`"),
        ("a ** 2", 2, "`**`", "by itself"),
        ("a // 2", 2, "`//`", "`/`"),
        ("'a' > 1", 0, "`'`", "without quotes"),
        ("a[0]", 1, "`[`", "round parentheses"),
        ("a > 5.", 5, "`.`", "0.5"),
        ("a % 2", 2, "`%`", "Use numbers"),
        ("`a b` > 1", 0, "```", "without spaces"),
        ("a AND b", 2, "`AND`", "`and`"),
        ("True", 0, "`True`", "`true`"),
        ("a > 85degC", 6, "`85degC`", "no unit"),
        ("a > 85%", 6, "`85%`", "no unit"),
        ("a for 5sec", 7, "`5sec`", "ms, s, m or h"),
        ("a for 1e3s", 6, "exponent", "500ms"),
        ("a for 0s", 6, "0s", "longer than 0"),
        ("a for 25h", 6, "25h", "at most 24h"),
        ("a for 0.0000001ms", 6, "0.0000001ms", "whole nanoseconds"),
        ("a > 1e999", 4, "too large", "1e308"),
        ("a > \N{ARABIC-INDIC DIGIT FIVE}", 4, "no meaning", "Use numbers"),
    ],
)
def test_a_sign_that_cannot_be_is_refused_where_it_stands(text, position, said, remedy):
    error = refusal(text)
    assert error.position == position
    assert said in error.message
    assert remedy in error.remedy


def test_a_text_may_have_two_thousand_characters_and_no_more():
    assert len(tokenize(" " * 2000)) == 1
    assert refusal(" " * 2001).position == 2000


def test_a_duration_with_a_monstrous_exponent_is_refused_at_once():
    assert "exponent" in refusal("1e999999999s").message
