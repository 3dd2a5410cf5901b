"""Mean, variance and z of one tag, sample by sample, from the docstrings of `ewma` and `cusum`."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Moments:
    alpha: float
    mean: float
    variance: float
    count: int

    def z(self, x: float) -> float:
        if self.variance <= 0 or math.isnan(self.variance):
            return 0.0
        deviation = math.sqrt(self.variance)
        if deviation <= abs(self.mean) * 1e-12:
            return 0.0
        return (x - self.mean) / deviation

    def learn(self, x: float, alarming: bool) -> None:
        w = max(self.alpha, 1 / (self.count + 1))
        if alarming:
            w *= 0.1
        mean, variance = (self.mean, self.variance) if self.count else (x, 0.0)
        d = x - mean
        mean, variance = mean + w * d, variance + w * (d * d * (1 - w) - variance)
        if math.isfinite(mean) and math.isfinite(variance):
            self.mean, self.variance, self.count = mean, variance, self.count + 1
