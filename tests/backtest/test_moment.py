"""Times in recordings, exact to the nanosecond, however they are written."""

from __future__ import annotations

import pytest

from gatewayd.backtest.moment import wall_ns

MAY_1_NOON = 1_714_564_800


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2024-05-01T12:00:00Z", 0),
        ("2024-05-01 12:00:00", 0),
        ("2024-05-01T14:00:00+02:00", 0),
        ("2024-05-01T12:00:00.123456789Z", 123_456_789),
        ("2024-05-01T12:00:00.5", 500_000_000),
        ("1714564800", 0),
        ("1714564800.25", 250_000_000),
        ("1714564800250", 250_000_000),
        ("1714564800250.5", 250_500_000),
        ("1714564800000001", 1_000),
        ("1714564800000000001", 1),
    ],
)
def test_a_time_means_one_nanosecond(text, ns):
    assert wall_ns(text) == MAY_1_NOON * 1_000_000_000 + ns


@pytest.mark.parametrize("text", ["", "noon", "2024-13-01", "-5", "0", "nan", "99999999999999999999"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        wall_ns(text)
