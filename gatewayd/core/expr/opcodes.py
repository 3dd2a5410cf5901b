"""Numbers and signatures of the rule interpreter's operations. The kernel's own list is `kernels/opcodes.py`."""

from __future__ import annotations

from typing import Literal, NamedTuple

Type = Literal["number", "condition"]
Argument = Literal["none", "tag", "const", "boolean", "window", "register"]

PUSH_TAG = 1
PUSH_CONST = 2
PUSH_BOOLEAN = 3
STALE = 4
QUALITY = 5
ANOMALY = 6
RATE = 7
AVG = 8
WINDOW_MIN = 9
WINDOW_MAX = 10
STD = 11
COUNT = 12
INTEGRAL = 13
NEGATE = 16
ABS = 17
ADD = 18
SUBTRACT = 19
MULTIPLY = 20
DIVIDE = 21
MIN = 22
MAX = 23
IF = 24
LESS = 32
LESS_EQUAL = 33
GREATER = 34
GREATER_EQUAL = 35
EQUAL = 36
NOT_EQUAL = 37
NOT = 48
AND = 49
OR = 50
FOR = 51
VOTE = 52

STACK_MAX = 16


class Operation(NamedTuple):
    """What one operation takes from the stack, top last, and leaves on it."""

    name: str
    argument: Argument
    pops: tuple[Type, ...]
    pushes: Type


_ARITHMETIC: tuple[Type, ...] = ("number", "number")
_LOGIC: tuple[Type, ...] = ("condition", "condition")

OPERATIONS: dict[int, Operation] = {
    PUSH_TAG: Operation("tag", "tag", (), "number"),
    PUSH_CONST: Operation("const", "const", (), "number"),
    PUSH_BOOLEAN: Operation("boolean", "boolean", (), "condition"),
    STALE: Operation("stale", "tag", (), "condition"),
    QUALITY: Operation("quality", "tag", (), "number"),
    ANOMALY: Operation("anomaly", "tag", (), "condition"),
    RATE: Operation("rate", "window", (), "number"),
    AVG: Operation("avg", "window", (), "number"),
    WINDOW_MIN: Operation("window min", "window", (), "number"),
    WINDOW_MAX: Operation("window max", "window", (), "number"),
    STD: Operation("std", "window", (), "number"),
    COUNT: Operation("count", "window", (), "number"),
    INTEGRAL: Operation("integral", "window", (), "number"),
    NEGATE: Operation("negate", "none", ("number",), "number"),
    ABS: Operation("abs", "none", ("number",), "number"),
    ADD: Operation("+", "none", _ARITHMETIC, "number"),
    SUBTRACT: Operation("-", "none", _ARITHMETIC, "number"),
    MULTIPLY: Operation("*", "none", _ARITHMETIC, "number"),
    DIVIDE: Operation("/", "none", _ARITHMETIC, "number"),
    MIN: Operation("min", "none", _ARITHMETIC, "number"),
    MAX: Operation("max", "none", _ARITHMETIC, "number"),
    IF: Operation("if", "none", ("number", "condition", "number"), "number"),
    LESS: Operation("<", "none", _ARITHMETIC, "condition"),
    LESS_EQUAL: Operation("<=", "none", _ARITHMETIC, "condition"),
    GREATER: Operation(">", "none", _ARITHMETIC, "condition"),
    GREATER_EQUAL: Operation(">=", "none", _ARITHMETIC, "condition"),
    EQUAL: Operation("==", "none", _ARITHMETIC, "condition"),
    NOT_EQUAL: Operation("!=", "none", _ARITHMETIC, "condition"),
    NOT: Operation("not", "none", ("condition",), "condition"),
    AND: Operation("and", "none", _LOGIC, "condition"),
    OR: Operation("or", "none", _LOGIC, "condition"),
    FOR: Operation("for", "register", ("condition", "number"), "condition"),  # the number: duration in ns, a constant
    VOTE: Operation("vote", "none", ("condition", "condition", "condition"), "condition"),
}
BY_NAME: dict[str, int] = {operation.name: number for number, operation in OPERATIONS.items()}
WINDOWS: dict[str, int] = {
    "rate": RATE,
    "avg": AVG,
    "min": WINDOW_MIN,
    "max": WINDOW_MAX,
    "std": STD,
    "count": COUNT,
    "integral": INTEGRAL,
}  # as written, with a tag and a duration
