"""How sure a mean is, over queries and over seeds: bootstrap intervals (Efron, 1979), and many comparisons at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Num
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
    means = bootstrap_means(values, resamples=resamples, seed=seed)
    return summarize_means([values], means, confidence=confidence)


def bootstrap_means(
    values: Num[ndarray, "queries columns"], *, resamples: int, seed: int
) -> Float64[ndarray, "resamples columns"]:
    """The mean of each column in many samples as large as `values`, drawn from its rows with replacement.

    NaN counts as no value; a sample without any has the mean NaN.
    """
    size, columns = values.shape
    rng = np.random.default_rng(seed)
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0)
    means = np.full((resamples, columns), np.nan)
    whole, step = bool(present.all()), max(1, DRAWS_AT_ONCE // max(size, 1))
    for start in range(0, resamples if size else 0, step):
        samples = min(step, resamples - start)
        draws = rng.integers(0, size, (samples, size)) + size * np.arange(samples)[:, None]
        times_drawn = np.bincount(draws.ravel(), minlength=samples * size).reshape(samples, size).astype(np.float64)
        with np.errstate(invalid="ignore"):
            means[start : start + samples] = (times_drawn @ filled) / (size if whole else times_drawn @ present)
    return means


def bootstrap_means_over_seeds(
    tables: Sequence[Num[ndarray, "_ columns"]], *, resamples: int, seed: int, shared: bool = False
) -> Float64[ndarray, "resamples columns"]:
    """The mean over seeds (a table each) of the means over queries, in many samples of seeds and of their queries.

    A sample draws as many seeds as there are with replacement, and as many queries of each as it has: two levels
    (Davison and Hinkley, 1997, section 3.8). Where all seeds have the same queries, row by row (`shared`), it draws
    queries once for all its seeds: another seed does not say anew how hard they are (Owen, 2007, The pigeonhole
    bootstrap). With one table it is `bootstrap_means`. A seed without a value in a column is left out of the means
    there.

    Of intervals of 95%, simulated, some 98% cover the truth where seeds differ by their queries alone (whose noise is
    in both levels), 95% where seeds add as much noise of their own, and only 84% (five seeds) or 77% (three) where
    nearly all noise is the seeds': few seeds do not tell how far seeds lie apart.
    """
    drawn = np.random.default_rng([seed, len(tables)]).integers(0, len(tables), (resamples, len(tables)))
    if shared:
        by_seed = np.stack([bootstrap_means(table, resamples=resamples, seed=seed) for table in tables])
        return _mean_of_present(by_seed[drawn.T, np.arange(resamples)])
    means = np.empty((*drawn.shape, tables[0].shape[1]))
    for number, table in enumerate(tables):
        places = drawn == number
        means[places] = bootstrap_means(table, resamples=int(places.sum()), seed=seed + number)
    return _mean_of_present(means.swapaxes(0, 1))


def restrict(
    tables: Sequence[Num[ndarray, "_ columns"]], kept: Sequence[Bool[ndarray, "_"]], *, shared: bool = False
) -> list[Num[ndarray, "_ columns"]]:
    """Some queries of each seed; of `shared` ones those that any seed keeps, NaN under the others."""
    if not shared:
        return [table[rows] for table, rows in zip(tables, kept, strict=True)]
    anywhere = np.any(kept, axis=0)
    return [np.where(rows[anywhere, None], table[anywhere], np.nan) for table, rows in zip(tables, kept, strict=True)]


def summarize_means(
    tables: Sequence[Num[ndarray, "_ columns"]], means: Float64[ndarray, "resamples columns"], *, confidence: float
) -> list[Estimate]:
    """Of each column the mean over seeds (a table each, of equal weight) with the interval of its bootstrap means."""
    counts = np.sum([(~np.isnan(table)).sum(axis=0) for table in tables], axis=0)
    values = _mean_of_present(np.stack([_mean_of_present(table) for table in tables]))
    return [
        Estimate(float(value), *middle(drawn, confidence), int(count))
        for value, drawn, count in zip(values, means.T, counts, strict=True)
    ]


def middle(drawn: Float64[ndarray, "resamples"], confidence: float) -> tuple[float, float]:
    """The limits between which the middle `confidence` of what was drawn lies; NaN where nothing was."""
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return np.nan, np.nan
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def p_value(means: Float64[ndarray, "resamples"]) -> float:
    """Twice how often bootstrap means of a difference lie on the rarer side of zero; NaN where there is none.

    p = 2 min(1 + #(mean <= 0), 1 + #(mean >= 0)) / (1 + resamples), at most 1: the confidence at which the percentile
    interval begins to hold zero, and never 0, for a sample can tell no less than one in its number.
    """
    drawn = means[~np.isnan(means)]
    if not len(drawn):
        return np.nan
    rarer = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    return min(1.0, 2 * (1 + rarer) / (1 + len(drawn)))


def holm(p_values: Float64[ndarray, "comparisons"]) -> Float64[ndarray, "comparisons"]:
    """P values adjusted for being many: below α with a false one among them in a share of at most α of all studies.

    The i-th smallest of m is multiplied by m - i + 1, is no smaller than the one before it and at most 1 (Holm, 1979).
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return adjusted


def _mean_of_present(values: Num[ndarray, "rows *rest"]) -> Float64[ndarray, "*rest"]:
    """The mean along the first axis of what is not NaN; NaN where nothing is."""
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(present, values, 0.0).sum(axis=0) / present.sum(axis=0)
