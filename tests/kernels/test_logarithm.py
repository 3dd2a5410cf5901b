import math
import random

import pytest

from kernels.logarithm import log_of


def test_it_is_the_logarithm() -> None:
    rng = random.Random(5)
    for _ in range(20_000):
        x = math.exp(rng.uniform(-80.0, 80.0))
        assert log_of(x) == pytest.approx(math.log(x), rel=1e-10, abs=1e-11)
    assert log_of(1.0) == 0.0


def test_it_does_not_fall_where_its_pieces_meet() -> None:
    steps = [2.0**power for power in range(-126, 127)] + [2.0 ** (power + 0.5) for power in range(-126, 126)]
    for x in steps:
        assert log_of(math.nextafter(x, 0.0)) <= log_of(x) + 1e-11
        assert log_of(x * (1.0 - 1e-9)) < log_of(x) < log_of(x * (1.0 + 1e-9))


def test_beyond_its_range_it_stays_at_the_end() -> None:
    assert log_of(0.0) == log_of(5e-324) == pytest.approx(-127 * math.log(2), rel=1e-2)
    assert log_of(math.inf) == log_of(1e300) == pytest.approx(127 * math.log(2), rel=1e-2)
