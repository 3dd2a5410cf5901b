"""Exponentially weighted mean and variance with a gain that is safe from the first sample. Inlined into the detectors."""

from __future__ import annotations

import math

from kernels.columns import F8, I8

# A deviation this small beside the mean is rounding, not process noise: no z is made of it.
_DEVIATION_MIN = 1e-12
_GUARD = 0.1  # part of the gain that is left while alarming: an anomaly does not teach itself away


def z_of(x: float, mean: float, variance: float) -> float:
    """Return how many standard deviations `x` lies from the mean; 0 while there is no spread to measure it by."""
    if not variance > 0.0:
        return 0.0
    deviation = math.sqrt(variance)
    if deviation <= _DEVIATION_MIN * abs(mean):
        return 0.0
    return (x - mean) / deviation


def learn(x: float, r: int, alpha: F8, mean: F8, variance: F8, count: I8, alarming: int) -> None:
    """Teach row `r` one sample. The gain is max(alpha, 1/(n+1)); a sample whose square overflows teaches nothing."""
    gain = 1.0 / (float(count[r]) + 1.0)
    if gain < alpha[r]:
        gain = alpha[r]
    if alarming != 0:
        gain = gain * _GUARD
    old_mean = mean[r]
    old_variance = variance[r]
    if count[r] == 0:
        old_mean = x
        old_variance = 0.0
    distance = x - old_mean
    new_mean = old_mean + gain * distance
    new_variance = old_variance + gain * (distance * distance * (1.0 - gain) - old_variance)
    if new_mean - new_mean == 0.0 and new_variance - new_variance == 0.0:
        mean[r] = new_mean
        variance[r] = new_variance
        count[r] += 1
