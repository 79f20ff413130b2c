"""How sure a mean over queries is: bootstrap intervals, also of paired differences (Efron, 1979)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Num
from numpy import ndarray

DRAWS_AT_ONCE = 2**22
"""How many draws of queries are held in memory at a time."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries with its interval; NaN where there is no query."""

    value: float
    low: float
    high: float
    queries: int
    """How many queries the mean is over."""

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, null for NaN."""
        numbers = {name: getattr(self, name) for name in ("value", "low", "high")}
        return {**{name: None if np.isnan(x) else x for name, x in numbers.items()}, "queries": self.queries}


def estimate(
    values: Num[ndarray, "queries columns"], *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> list[Estimate]:
    """The mean of each column over the queries that have a value (are not NaN), with a percentile bootstrap interval.

    The interval holds the middle `confidence` of the means of `resamples` samples, each of as many queries as there
    are, drawn with replacement. One seed draws the same queries whatever the values, so the difference of two columns
    is estimated in pairs by passing the column of differences: what both find hard cancels out.
    """
    present = ~np.isnan(values)
    counts = present.sum(axis=0)
    if len(values) == 0 or not present.any():
        return [Estimate(np.nan, np.nan, np.nan, 0) for _ in counts]
    means = bootstrap_means(values, resamples=resamples, seed=seed)
    estimates = []
    for column, count in enumerate(counts):
        drawn = means[~np.isnan(means[:, column]), column]
        low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2]) if count else (np.nan, np.nan)
        value = values[present[:, column], column].mean() if count else np.nan
        estimates.append(Estimate(float(value), float(low), float(high), int(count)))
    return estimates


def bootstrap_means(
    values: Num[ndarray, "queries columns"], *, resamples: int, seed: int
) -> Float64[ndarray, "resamples columns"]:
    """The mean of each column in many samples as large as `values`, drawn from its rows with replacement.

    NaN counts as no value; a sample without any has the mean NaN.
    """
    rng = np.random.default_rng(seed)
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0)
    means, size = [], len(values)
    whole = bool(present.all())
    for start in range(0, resamples, max(1, DRAWS_AT_ONCE // size)):
        samples = min(max(1, DRAWS_AT_ONCE // size), resamples - start)
        draws = rng.integers(0, size, (samples, size)) + size * np.arange(samples)[:, None]
        times_drawn = np.bincount(draws.ravel(), minlength=samples * size).reshape(samples, size).astype(np.float64)
        with np.errstate(invalid="ignore"):
            means.append((times_drawn @ filled) / (size if whole else times_drawn @ present))
    return np.concatenate(means)
