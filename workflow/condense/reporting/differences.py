"""Differences of two methods at common seeds, with the interval of their mean."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

LEVEL = 0.95  # of the intervals
NUMBERS = ("no common seed", "one seed", "two seeds")
FEWEST = len(NUMBERS)  # differences that an interval is computed from


@dataclass(frozen=True)
class Difference:
    """Mean of differences, with the ends of its t interval; these are None for fewer than three."""

    seeds: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def between(cls, first: pd.Series, second: pd.Series) -> "Difference":
        """First less second at common seeds; series are indexed by seed."""
        from scipy.stats import t

        gaps = (first - second).dropna().to_numpy()
        if not len(gaps):
            return cls(0)
        mean = float(gaps.mean())
        if len(gaps) < FEWEST:
            return cls(len(gaps), mean)
        half = float(t.ppf((1 + LEVEL) / 2, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps)))
        return cls(len(gaps), mean, mean - half, mean + half)

    def negated(self) -> "Difference":
        """Second less first."""
        mean, low, high = (None if end is None else -end for end in (self.mean, self.high, self.low))
        return Difference(self.seeds, mean, low, high)

    @property
    def resolved(self) -> bool:
        """Whether there is an interval and zero lies outside it."""
        return self.low is not None and (self.low > 0 or self.high < 0)

    def words(self, digits: int) -> str:
        """The difference with its interval and its verdict."""
        mean = "–" if self.mean is None else signed(self.mean, digits)
        if self.low is None:
            return f"measured {mean}, {NUMBERS[self.seeds]} and no interval"
        low, high = signed(self.low, digits), signed(self.high, digits)
        verdict = "resolved" if self.resolved else "not resolved from zero"
        return f"measured {mean}, {LEVEL:.0%} interval {low} to {high} over {self.seeds} seeds, {verdict}"


def signed(value: float, digits: int) -> str:
    """A number with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−")
