"""Numbers of the rule interpreter's operations, without holes: the compiler makes one jump table of them.

`gatewayd.core.expr.opcodes` says the same of those that programmes hold; a test compares them. The last ones stand for
several at once, and only `gatewayd.core.expr.lowering` writes them.
"""

from __future__ import annotations

# what reads the twin and the clock
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
RATE = 11  # the windows are a run
AVG = 12
WINDOW_MIN = 13
WINDOW_MAX = 14
STD = 15
COUNT = 16
INTEGRAL = 17

# arithmetic
NEGATE = 18
ABS = 19
ADD = 20
SUBTRACT = 21
MULTIPLY = 22
DIVIDE = 23
MIN = 24
MAX = 25
IF = 26

# comparison
LESS = 27
LESS_EQUAL = 28
GREATER = 29
GREATER_EQUAL = 30
EQUAL = 31
NOT_EQUAL = 32

# three-valued logic
NOT = 33
AND = 34
OR = 35
VOTE = 36
IF_CONDITION = 37

# what remembers
FOR = 38
DELAY_ON = 39
DELAY_OFF = 40
HYSTERESIS = 41
LATCH = 42
RISING = 43
FALLING = 44
PREV = 45
