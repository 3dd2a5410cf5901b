"""Numbers and signatures of the rule interpreter's operations. The kernel's own list is `kernels/opcodes.py`."""

from __future__ import annotations

from typing import Literal, NamedTuple

Type = Literal["number", "condition"]
Argument = Literal["none", "tag", "const", "boolean", "window", "register", "vote"]

PUSH_TAG = 1
PUSH_CONST = 2
PUSH_BOOLEAN = 3
STALE = 4
QUALITY = 5
ANOMALY = 6
SEQUENCE = 7
AGE = 8
TIME_OF_DAY = 9
WITHIN = 10
RATE = 11
AVG = 12
WINDOW_MIN = 13
WINDOW_MAX = 14
STD = 15
COUNT = 16
INTEGRAL = 17
NEGATE = 18
ABS = 19
ADD = 20
SUBTRACT = 21
MULTIPLY = 22
DIVIDE = 23
MIN = 24
MAX = 25
IF = 26
LESS = 27
LESS_EQUAL = 28
GREATER = 29
GREATER_EQUAL = 30
EQUAL = 31
NOT_EQUAL = 32
NOT = 33
AND = 34
OR = 35
VOTE = 36
IF_CONDITION = 37
FOR = 38
DELAY_ON = 39
DELAY_OFF = 40
HYSTERESIS = 41
LATCH = 42
RISING = 43
FALLING = 44
PREV = 45

STACK_MAX = 16
VOTERS_MAX = 16  # the argument of a vote is 32 * (how many must agree) + voters


class Operation(NamedTuple):
    """What one operation takes from the stack, top last, and leaves on it. A vote takes as many as its argument says."""

    name: str
    argument: Argument
    pops: tuple[Type, ...]
    pushes: Type


_ARITHMETIC: tuple[Type, ...] = ("number", "number")
CONDITION: tuple[Type, ...] = ("condition",)
_LOGIC: tuple[Type, ...] = ("condition", "condition")

OPERATIONS: dict[int, Operation] = {
    PUSH_TAG: Operation("tag", "tag", (), "number"),
    PUSH_CONST: Operation("const", "const", (), "number"),
    PUSH_BOOLEAN: Operation("boolean", "boolean", (), "condition"),
    STALE: Operation("stale", "tag", (), "condition"),
    QUALITY: Operation("quality", "tag", (), "number"),
    ANOMALY: Operation("anomaly", "tag", (), "condition"),
    SEQUENCE: Operation("sequence", "tag", (), "number"),  # how many samples the tag has had
    AGE: Operation("age", "tag", ("number",), "number"),  # the number: ns at which it is compared, -1 = none
    TIME_OF_DAY: Operation("time_of_day", "register", ("number",), "number"),  # likewise
    WITHIN: Operation("within", "register", _ARITHMETIC, "condition"),  # the numbers: ns of the day, constants
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
    VOTE: Operation("vote", "vote", (), "condition"),
    IF_CONDITION: Operation("if condition", "none", ("condition", "condition", "condition"), "condition"),
    FOR: Operation("for", "register", ("condition", "number"), "condition"),  # the number: duration in ns, a constant
    DELAY_ON: Operation("delay_on", "register", ("condition", "number"), "condition"),  # likewise
    DELAY_OFF: Operation("delay_off", "register", ("condition", "number"), "condition"),  # likewise
    HYSTERESIS: Operation("hysteresis", "register", ("number", "number", "number"), "condition"),
    LATCH: Operation("latch", "register", _LOGIC, "condition"),
    RISING: Operation("rising", "register", ("condition",), "condition"),
    FALLING: Operation("falling", "register", ("condition",), "condition"),
    PREV: Operation("prev", "register", _ARITHMETIC, "number"),  # the second: the tag's sequence
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


def pops_of(operation: Operation, arg: int) -> tuple[Type, ...]:
    """Return what an operation with this argument takes from the stack, top last."""
    return CONDITION * (arg % 32) if operation.argument == "vote" else operation.pops
