"""Numbers of the rule interpreter's operations. `gatewayd.core.expr.opcodes` says the same; a test compares them."""

from __future__ import annotations

# what reads the twin
PUSH_TAG = 1
PUSH_CONST = 2
PUSH_BOOLEAN = 3
STALE = 4
QUALITY = 5
ANOMALY = 6
RATE = 7  # the windows are a run, too, and their minimum and maximum stand together
AVG = 8
WINDOW_MIN = 9
WINDOW_MAX = 10
STD = 11
COUNT = 12
INTEGRAL = 13

# arithmetic
NEGATE = 16
ABS = 17
ADD = 18
SUBTRACT = 19
MULTIPLY = 20
DIVIDE = 21
MIN = 22
MAX = 23
IF = 24

# comparison: a run without holes, because the kernel asks for the range first
LESS = 32
LESS_EQUAL = 33
GREATER = 34
GREATER_EQUAL = 35
EQUAL = 36
NOT_EQUAL = 37

# three-valued logic
NOT = 48
AND = 49
OR = 50
FOR = 51
VOTE = 52
