"""Cuts the text of an expression into tokens, and says what to write where a habit from elsewhere shows."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal, NamedTuple

from gatewayd.errors import ExpressionError

TEXT_MAX = 2000  # characters
DURATION_MAX_NS = 24 * 3_600_000_000_000
KEYWORDS = frozenset({"and", "or", "not", "for", "if", "else", "true", "false"})

_UNIT_NS = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
_PATTERN = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<number>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?P<suffix>[^\W\d]\w*|%)?"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)"
    r"|`(?P<quoted>[^`\s]+)`"
    r'|"(?P<time>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)"'
    r"|(?P<foreign>\*\*|//|&&|\|\||<>|=<|=>|===)"
    r"|(?P<operator><=|>=|==|!=|[-+*/()<>,])"
)
_WRITE_INSTEAD = {
    "=": "Write `==` to compare.",
    "===": "Write `==` to compare.",
    "<>": "Write `!=`.",
    "=<": "Write `<=`.",
    "=>": "Write `>=`.",
    "≤": "Write `<=`.",
    "≥": "Write `>=`.",
    "≠": "Write `!=`.",
    "&&": "Write `and`.",
    "&": "Write `and`.",
    "||": "Write `or`.",
    "|": "Write `or`.",
    "!": "Write `not`.",
    "**": "Multiply the value by itself.",
    "^": "Multiply the value by itself.",
    "·": "Write `*`.",
    "\u00d7": "Write `*`.",
    "÷": "Write `/`.",
    "//": "Write `/`.",
    "'": "There is no text in expressions; write tag names without quotes.",
    '"': "There is no text in expressions; write tag names without quotes.",
    "`": "Between two backticks stands one name, without spaces.",
    "[": "Use round parentheses.",
    "]": "Use round parentheses.",
    "{": "Use round parentheses.",
    "}": "Use round parentheses.",
    ".": "Write a tag as `member` or `asset.member`, a number as `0.5`.",
}
_NO_SUCH_SIGN = "Use numbers, tag names, + - * / < <= > >= == != and or not for if else, functions and parentheses."

TokenKind = Literal["number", "duration", "time", "name", "keyword", "operator", "end"]


class Token(NamedTuple):
    """A piece of the text, `text[start:end]`.

    Args:
        text: as written; of a name between backticks, the name.
        number: value of a number.
        duration_ns: of a duration, or since midnight of a time of the day; 0 otherwise.
        quoted: written between backticks, so never a keyword or function.
    """

    kind: TokenKind
    text: str
    start: int
    end: int
    number: float = 0.0
    duration_ns: int = 0
    quoted: bool = False


def tokenize(text: str) -> list[Token]:
    """Cut a text into tokens; the last one has kind `end`.

    Raises:
        ExpressionError: the text is too long, or holds a sign, number or duration that cannot be.
    """
    if len(text) > TEXT_MAX:
        raise ExpressionError(
            f"the expression has {len(text)} characters, more than {TEXT_MAX}",
            remedy="Split the rule into several.",
            position=TEXT_MAX,
        )
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        match = _PATTERN.match(text, at)
        if match is None:
            raise _wrong_sign(text[at], at)
        if match["foreign"]:
            raise _wrong_sign(match["foreign"], at)
        if not match["space"]:
            tokens.append(_token(match))
        at = match.end()
    tokens.append(Token("end", "", len(text), len(text)))
    return tokens


def _token(match: re.Match[str]) -> Token:
    start, end = match.span()
    if match["number"]:
        return _number(match["number"], match["suffix"] or "", start, end)
    if match["operator"]:
        return Token("operator", match["operator"], start, end)
    if match["time"]:
        return Token("time", match["time"], start, end, duration_ns=_since_midnight_ns(match["time"], start))
    if match["quoted"] is not None:
        return Token("name", match["quoted"], start, end, quoted=True)
    return _word(match["name"], start, end)


def _word(name: str, start: int, end: int) -> Token:
    if name in KEYWORDS:
        return Token("keyword", name, start, end)
    lower = name.lower()
    if lower in KEYWORDS and name in (name.upper(), name.title()):
        raise ExpressionError(
            f"`{name}` is not a word of the language",
            remedy=f"Write `{lower}`; a tag of that name goes between backticks.",
            position=start,
        )
    return Token("name", name, start, end)


def _number(digits: str, suffix: str, start: int, end: int) -> Token:
    if suffix:
        return Token("duration", digits + suffix, start, end, duration_ns=_duration_ns(digits, suffix, start))
    value = float(digits)
    if value == float("inf"):
        raise ExpressionError(f"{digits[:40]} is too large", remedy="Write a number below 1e308.", position=start)
    return Token("number", digits, start, end, number=value)


def _duration_ns(digits: str, suffix: str, start: int) -> int:
    if suffix not in _UNIT_NS:
        raise ExpressionError(
            f"`{(digits + suffix)[:40]}` is neither a number nor a duration",
            remedy="Numbers carry no unit, they are in the tag's; durations end in ms, s, m or h.",
            position=start + len(digits),
        )
    if "e" in digits.lower():  # also keeps Fraction("1e999999999") away
        raise ExpressionError(
            "a duration has no exponent", remedy="Write it out, e.g. `500ms` or `1.5h`.", position=start
        )
    exact = Fraction(digits) * _UNIT_NS[suffix]
    if exact.denominator != 1 or not 0 < exact <= DURATION_MAX_NS:
        raise ExpressionError(
            f"the duration {(digits + suffix)[:40]} cannot be used",
            remedy="Write a duration of whole nanoseconds, longer than 0 and at most 24h.",
            position=start,
        )
    return int(exact)


def _since_midnight_ns(text: str, start: int) -> int:
    hours, minutes, seconds = [int(part) for part in f"{text}:0".split(":")[:3]]
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ExpressionError(
            f"{text} is no time of the day", remedy="Write 00:00 to 23:59, or 23:59:59.", position=start
        )
    return (hours * 3600 + minutes * 60 + seconds) * _UNIT_NS["s"]


def _wrong_sign(sign: str, position: int) -> ExpressionError:
    return ExpressionError(
        f"`{sign}` has no meaning here", remedy=_WRITE_INSTEAD.get(sign, _NO_SUCH_SIGN), position=position
    )
