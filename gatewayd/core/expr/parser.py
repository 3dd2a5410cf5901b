"""Reads an expression: a Pratt parser, precedence as in Python, `for` below all but `if else`.

    if else < for < or < and < not < comparison (never chained) < + - < * / < unary -

`A and B for 5s` holds when `A and B` held for 5 s; `A for 5s and B` goes on after the `for`. Two `for` in one chain
would not mean what they look like, so the second asks for parentheses.
"""

from __future__ import annotations

import difflib
from typing import cast

from gatewayd.core.expr.syntax import (
    Binary,
    Boolean,
    Choice,
    Memory,
    MemoryFunction,
    Node,
    Number,
    Status,
    StatusFunction,
    Tag,
    TimeOfDay,
    Unary,
    Vote,
    Window,
    WindowFunction,
    Within,
)
from gatewayd.core.expr.tokens import Token, tokenize
from gatewayd.errors import ExpressionError

NESTING_MAX = 32
ARGUMENTS_MAX = 16
VOTERS_MIN = 2

_IF, _FOR, _OR, _AND, _NOT, _COMPARISON, _SUM, _PRODUCT, _SIGN = range(1, 10)
_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
_POWER = {
    "if": _IF,
    "for": _FOR,
    "or": _OR,
    "and": _AND,
    "+": _SUM,
    "-": _SUM,
    "*": _PRODUCT,
    "/": _PRODUCT,
} | dict.fromkeys(_COMPARISONS, _COMPARISON)
_USAGE = {
    "abs": "abs(x)",
    "age": "age(tag)",
    "anomaly": "anomaly(tag)",
    "avg": "avg(tag, 60s)",
    "clamp": "clamp(x, low, high)",
    "count": "count(tag, 60s)",
    "delay_off": "delay_off(COND, 5s)",
    "delay_on": "delay_on(COND, 5s)",
    "falling": "falling(COND)",
    "hysteresis": "hysteresis(x, on, off)",
    "integral": "integral(tag, 1h)",
    "latch": "latch(SET, RESET)",
    "max": "max(a, b)` or `max(tag, 60s)",
    "min": "min(a, b)` or `min(tag, 60s)",
    "prev": "prev(tag)",
    "quality": "quality(tag)",
    "rate": "rate(tag, 60s)",
    "rising": "rising(COND)",
    "stale": "stale(tag)",
    "state": "state(asset)",
    "std": "std(tag, 60s)",
    "time_of_day": "time_of_day()",
    "vote": "vote(a, b, c)` or `vote(2, a, b, c, d)",
    "within": 'within("22:00", "06:00")',
}
FUNCTIONS = frozenset(_USAGE)
_OPERANDS = {"hysteresis": 3, "latch": 2, "rising": 1, "falling": 1}  # of those that remember
_WINDOWS = frozenset({"rate", "avg", "std", "count", "integral"})  # and min and max, with a tag and a duration
_MISPLACED = "a duration stands only after `for`, in a window and in a delay, e.g. `avg(tag, 60s)`"
_MISPLACED_TIME = "a time of the day stands only in `within`"


def parse(text: str) -> Node:
    """Parse one expression.

    Raises:
        ExpressionError: it is not an expression; `position` is where reading stopped making sense.
    """
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokenize(text)
        self._at = 0
        self._nesting = 0

    def whole(self) -> Node:
        if self._next().kind == "end":
            raise _error(self._next(), "the expression is empty", "Write a condition, e.g. `level < 0.5 for 10s`.")
        root = self._expression(0)
        if self._next().kind != "end":
            raise self._unexpected_after_operand()
        return root

    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _expression(self, floor: int) -> Node:
        """Parse an operand and every operator behind it that binds tighter than `floor`."""
        start = self._next().start
        left = self._operand(floor)
        compared = held = False
        while (power := self._power()) > floor:
            operator = self._take()
            if power == _IF:
                left = self._choice(start, left, operator)
                held = compared = False
                continue
            if power == _FOR:
                if held:
                    raise _ambiguous_hold(operator)
                left = Memory(start, self._next().end, "for", (left,), self._duration("`for`"))
                held, compared = True, False
                continue
            if power == _COMPARISON and compared:
                raise _error(operator, "comparisons cannot be chained", "Write both and join them: `a < b and b < c`.")
            right = self._expression(power)
            left = Binary(start, self._tokens[self._at - 1].end, operator.text, left, right)
            compared = power == _COMPARISON
        return left

    def _choice(self, start: int, then: Node, opening: Token) -> Node:
        """Parse what follows `VALUE if`; a chain of `else` goes on to the right."""
        self._enter(opening)
        condition = self._expression(_IF)
        if self._next().text != "else" or self._next().kind != "keyword":
            raise _error(
                self._next(), "this `if` has no `else`", "Say which value counts otherwise: `a if COND else b`."
            )
        self._take()
        otherwise = self._expression(_IF - 1)
        self._nesting -= 1
        return Choice(start, self._tokens[self._at - 1].end, then, condition, otherwise)

    def _power(self) -> int:
        token = self._next()
        return _POWER.get(token.text, 0) if token.kind in ("operator", "keyword") else 0

    def _operand(self, floor: int) -> Node:
        token = self._take()
        if token.kind == "number":
            return Number(token.start, token.end, token.number)
        if token.kind == "name":
            if not token.quoted and self._is("("):
                return self._call(token)
            return Tag(token.start, token.end, token.text)
        if token.text in ("true", "false"):
            return Boolean(token.start, token.end, token.text == "true")
        if token.text in ("not", "-", "("):
            return self._nested(token, floor)
        raise _not_an_operand(token)

    def _nested(self, opening: Token, floor: int) -> Node:
        self._enter(opening)
        node: Node
        if opening.text == "(":
            node = self._expression(0)
            self._expect(")", f"the parenthesis opened at character {opening.start} is not closed")
        elif opening.text == "-":
            operand = self._expression(_SIGN)
            node = Unary(opening.start, self._tokens[self._at - 1].end, "negate", operand)
        else:
            if floor > _NOT:
                raise _error(opening, "`not` binds weaker than what stands before it", "Write `(not ...)`.")
            operand = self._expression(_NOT)
            node = Unary(opening.start, self._tokens[self._at - 1].end, "not", operand)
        self._nesting -= 1
        return node

    def _enter(self, token: Token) -> None:
        self._nesting += 1
        if self._nesting > NESTING_MAX:
            raise _error(token, f"nested deeper than {NESTING_MAX}", "Split the rule into several.")

    def _call(self, name: Token) -> Node:
        if name.text not in FUNCTIONS:
            near = difflib.get_close_matches(name.text, FUNCTIONS, n=1)
            remedy = f"Did you mean `{_USAGE[near[0]]}`?" if near else f"Functions: {', '.join(sorted(FUNCTIONS))}."
            raise _error(name, f"there is no function `{name.text}`", remedy)
        self._enter(self._take())
        node: Node
        if name.text in _WINDOWS or (name.text in ("min", "max") and self._looks_back()):
            node = self._window(name)
        elif name.text in ("stale", "quality", "anomaly", "age"):
            node = self._status(name)
        elif name.text in ("time_of_day", "within"):
            node = self._clock(name)
        elif name.text in ("prev", "state"):
            node = self._of_tag(name)
        elif name.text in ("delay_on", "delay_off"):
            node = self._delay(name)
        elif name.text in _OPERANDS:
            operands = self._operands(name, _OPERANDS[name.text])
            node = Memory(name.start, self._close(name), cast("MemoryFunction", name.text), operands)
        elif name.text == "clamp":
            node = self._clamp(name)
        elif name.text == "vote":
            node = self._vote(name)
        else:
            node = self._arithmetic(name)
        self._nesting -= 1
        return node

    def _window(self, name: Token) -> Node:
        tag = self._tag(name)
        self._expect(",", f"`{name.text}` needs the duration to look back on", usage=name)
        duration_ns = self._duration(f"`{name.text}`")
        end = self._close(name)
        return Window(name.start, end, cast("WindowFunction", name.text), tag, duration_ns)

    def _looks_back(self) -> bool:
        """Say whether a tag and a duration follow: `min(tag, 60s)` is a window, `min(a, b)` is none."""
        tag, comma = self._tokens[self._at], self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        return tag.kind == "name" and comma.text == "," and self._tokens[self._at + 2].kind == "duration"

    def _status(self, name: Token) -> Node:
        tag = self._tag(name)
        return Status(name.start, self._close(name), cast("StatusFunction", name.text), tag)

    def _of_tag(self, name: Token) -> Node:
        """Parse `prev(tag)`, or `state(asset)`, which is what the asset's member `state` says."""
        tag = self._tag(name)
        end = self._close(name)
        if name.text == "prev":
            return Memory(name.start, end, "prev", (tag,))
        return Tag(name.start, end, f"{tag.name}.state")

    def _clock(self, name: Token) -> Node:
        if name.text == "time_of_day":
            return TimeOfDay(name.start, self._close(name))
        begin_ns = self._time(name)
        self._expect(",", "`within` needs the time at which it ends", usage=name)
        finish = self._next()
        finish_ns = self._time(name)
        if begin_ns == finish_ns:
            raise _error(finish, "`within` ends when it begins", "Give two different times of the day.")
        return Within(name.start, self._close(name), begin_ns, finish_ns)

    def _time(self, name: Token) -> int:
        token = self._next()
        if token.kind != "time":
            raise _error(token, f"`{name.text}` needs a time of the day", f"Write `{_USAGE[name.text]}`.")
        return self._take().duration_ns

    def _delay(self, name: Token) -> Node:
        condition = self._expression(0)
        self._expect(",", f"`{name.text}` needs the duration to wait", usage=name)
        duration_ns = self._duration(f"`{name.text}`")
        return Memory(name.start, self._close(name), cast("MemoryFunction", name.text), (condition,), duration_ns)

    def _operands(self, name: Token, count: int) -> tuple[Node, ...]:
        """Parse a fixed number of operands, up to the closing parenthesis."""
        message = f"`{name.text}` takes {('one argument', 'two arguments', 'three arguments')[count - 1]}"
        operands = [self._expression(0)]
        while len(operands) < count:
            self._expect(",", message, usage=name)
            operands.append(self._expression(0))
        if self._is(","):
            raise _error(self._next(), message, f"Write `{_USAGE[name.text]}`.")
        return tuple(operands)

    def _arithmetic(self, name: Token) -> Node:
        """Parse the arguments of abs, min or max; `min(a, b, c)` becomes `min(min(a, b), c)`."""
        arguments = [self._expression(0)]
        while self._is(","):
            comma = self._take()
            if len(arguments) == (1 if name.text == "abs" else ARGUMENTS_MAX):
                raise _error(comma, f"`{name.text}` takes no more arguments", f"Write `{_USAGE[name.text]}`.")
            arguments.append(self._expression(0))
        if name.text != "abs" and len(arguments) == 1:
            raise _error(self._next(), f"`{name.text}` needs two arguments", f"Write `{_USAGE[name.text]}`.")
        end = self._close(name)
        node = arguments[0]
        if name.text == "abs":
            return Unary(name.start, end, "abs", node)
        for argument in arguments[1:]:
            node = Binary(name.start, end, name.text, node, argument)
        return node

    def _clamp(self, name: Token) -> Node:
        """Parse the arguments of clamp; `clamp(x, low, high)` becomes `min(max(x, low), high)`."""
        first, second, third = self._operands(name, 3)
        end = self._close(name)
        return Binary(name.start, end, "min", Binary(name.start, end, "max", first, second), third)

    def _vote(self, name: Token) -> Node:
        """Parse `vote(2, a, b, c, d)`, two of four, or `vote(a, b, c)`, two of three."""
        after = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        if self._next().kind != "number" or after.text not in (",", ")"):  # `vote(0 < a, b, c)` begins with no count
            voters = self._operands(name, 3)
            return Vote(name.start, self._close(name), 2, voters)
        needed = self._take()
        listed: list[Node] = []
        while self._is(","):
            comma = self._take()
            if len(listed) == ARGUMENTS_MAX:
                raise _error(comma, f"`vote` takes at most {ARGUMENTS_MAX} conditions", "Join some with `or` or `and`.")
            listed.append(self._expression(0))
        end = self._close(name)
        if len(listed) < VOTERS_MIN:
            raise _error(needed, f"`vote` needs at least {VOTERS_MIN} conditions", f"Write `{_USAGE[name.text]}`.")
        if not needed.number.is_integer() or not 1 <= needed.number <= len(listed):
            message = f"{needed.text} of {len(listed)} conditions can never agree"
            raise _error(needed, message, f"Write a whole number from 1 to {len(listed)}.")
        return Vote(name.start, end, int(needed.number), tuple(listed))

    def _tag(self, function: Token) -> Tag:
        token = self._next()
        if token.kind != "name":
            raise _error(token, f"`{function.text}` works on a tag", f"Write `{_USAGE[function.text]}`.")
        self._take()
        return Tag(token.start, token.end, token.text)

    def _duration(self, reader: str) -> int:
        token = self._next()
        if token.kind != "duration":
            message = f"{reader} needs a duration"
            if token.kind == "number":
                raise _error(token, f"{message}, and {token.text} has no unit", f"Write e.g. `{token.text}s`.")
            raise _error(token, message, "Write e.g. `500ms`, `5s`, `10m` or `1h`.")
        return self._take().duration_ns

    def _close(self, function: Token) -> int:
        return self._expect(")", f"`{function.text}` is not closed here", usage=function).end

    def _expect(self, sign: str, message: str, *, usage: Token | None = None) -> Token:
        if not self._is(sign):
            remedy = f"Write `{_USAGE[usage.text]}`." if usage else f"Add `{sign}`."
            raise _error(self._next(), message, remedy)
        return self._take()

    def _is(self, sign: str) -> bool:
        return self._next().kind == "operator" and self._next().text == sign

    def _unexpected_after_operand(self) -> ExpressionError:
        token = self._next()
        if token.text == ")":
            return _error(token, "this parenthesis was never opened", "Remove it, or add the opening one.")
        if token.kind == "duration":
            return _error(token, _MISPLACED, "Write `for` before it.")
        if token.kind == "time":
            return _error(token, _MISPLACED_TIME, "Put an operator before it, and `within` around it.")
        return _error(
            token,
            f"`{token.text}` cannot follow `{self._tokens[self._at - 1].text}`",
            "Put an operator between them; a tag whose name holds a hyphen goes between backticks.",
        )


def _not_an_operand(token: Token) -> ExpressionError:
    if token.kind == "end":
        return _error(token, "the expression ends where a value is needed", "Complete it.")
    if token.kind == "duration":
        return _error(token, _MISPLACED, "Write a number without a unit here.")
    if token.kind == "time":
        return _error(token, _MISPLACED_TIME, 'Write e.g. `within("22:00", "06:00")`.')
    if token.text == "+":
        return _error(token, "there is no sign `+`", "Leave it out.")
    return _error(token, f"a value is needed before `{token.text}`", "Write a number, a tag or a function.")


def _ambiguous_hold(operator: Token) -> ExpressionError:
    return _error(
        operator,
        "this `for` would hold the whole condition before it, with its `for`",
        "Say what is meant with parentheses, e.g. `(a for 5s) and (b for 5s)`.",
    )


def _error(token: Token, message: str, remedy: str) -> ExpressionError:
    return ExpressionError(message, remedy=remedy, position=token.start)
