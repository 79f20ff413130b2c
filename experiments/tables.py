"""What `table.py` writes: tables in Markdown of what runs found, with intervals of paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from amity.evaluation.page import NAMES
from amity.evaluation.statistics import bootstrap_means_over_seeds, middle
from amity.retrieval import HEURISTICS

BASE = "gat"
"""The arm that others are held against; its runs judge the baselines that need no training of ours."""
BESIDE = {"lightgcn": "LightGCN", "sage": "GraphSAGE", "sgc": "SGC"}
"""Arms that are baselines, and what they are called: they stand in the table of baselines alone."""
METRIC, LOWEST = "recall@50", 2
"""What is compared, and the most train friends of a query of low degree."""
METRICS = ("recall@20", "recall@50", "mrr")
"""What is read of a run."""
ENCODER, VECTORS = f"encoder/{METRIC}", f"vectors/{METRIC}"
"""What the learned numbers find alone, and all numbers; `METRIC` itself is of their blend with heuristics."""
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Found:
    """What a run found."""

    values: dict[str, np.ndarray]
    """By the name of a column of `per_query.parquet`."""
    low: np.ndarray
    """Which queries have few train friends."""
    report: dict[str, Any]


Results = Mapping[str, Mapping[str, Sequence[Found]]]
"""By network and arm: a run a seed."""
Column = tuple[str, str]
"""An arm, and the name of a column of its runs."""


def page(results: Results) -> str:
    """The tables as Markdown; the last arm that is no baseline is the whole system."""
    arms = [arm for arm in next(iter(results.values())) if arm not in BESIDE]
    others = [arm for arm in arms if arm != BASE]
    return "\n".join(
        [
            "# Results",
            "",
            "Made by `python experiments/table.py DATA`. Every candidate is ranked but the query itself and its train",
            "friends; means over seeds, each with a split of its own (foursquare's: later friendships are the truth",
            "of every seed). Intervals of paired differences are of 95%, from bootstrap samples of seeds and queries.",
            "Arms are what vectors find alone; the blend is with heuristics.",
            "",
            f"## {METRIC}",
            "",
            *found_table(results, arms, low=False),
            "",
            f"## {METRIC}, queries with at most {LOWEST} train friends",
            "",
            *found_table(results, arms, low=True),
            "",
            f"## Relative difference to `{BASE}` of the same seed, {METRIC}, percent",
            "",
            *gap_table(results, {arm: ((arm, VECTORS), (BASE, VECTORS)) for arm in others}, low=False),
            "",
            f"## The same, queries with at most {LOWEST} train friends",
            "",
            *gap_table(results, {arm: ((arm, VECTORS), (BASE, VECTORS)) for arm in others}, low=True),
            "",
            *baselines(results, arms[-1]),
        ]
    )


def baselines(results: Results, whole: str) -> list[str]:
    """What baselines find beside the base's vectors and the whole, and how far each of the two lies from each."""
    columns = baseline_columns(results)
    ours = {f"`{BASE}`": (BASE, VECTORS), f"blend of {whole}": (whole, METRIC)}
    return [
        f"## Baselines, {METRIC}",
        "",
        *value_table(results, columns | ours),
        *(
            line
            for name, one in ours.items()
            for line in (
                "",
                f"### Relative difference of {name} to each baseline, percent",
                "",
                *gap_table(results, {baseline: (one, other) for baseline, other in columns.items()}, low=False),
            )
        ),
        "",
    ]


def baseline_columns(results: Results) -> dict[str, Column]:
    """By what they are called: the baselines that the base's runs judged, and the arms that are baselines."""
    by_arm = next(iter(results.values()))
    judged = {NAMES[name]: (BASE, f"{name}/{METRIC}") for name in by_arm[BASE][0].report["baselines"]}
    return judged | {title: (arm, VECTORS) for arm, title in BESIDE.items() if arm in by_arm}


def value_table(results: Results, columns: Mapping[str, Column]) -> list[str]:
    """A row a network: what each column finds in the mean over seeds."""
    rows = [f"| network | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for name, by_arm in results.items():
        cells = [f"{_mean(by_arm[arm], column, low=False):.4f}" for arm, column in columns.values()]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def found_table(results: Results, arms: Sequence[str], *, low: bool) -> list[str]:
    """A row a network: the best heuristic, each arm by its vectors alone, and the whole system."""
    heads = ["network", "seeds", "queries", "best heuristic", *arms, f"blend of {arms[-1]}", "against the heuristic"]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, by_arm in results.items():
        base, whole = by_arm[BASE], by_arm[arms[-1]]
        heuristic, best = best_heuristic(base, low=low)
        cells = [_mean(by_arm[arm], VECTORS, low=low) for arm in arms]
        blended = _mean(whole, METRIC, low=low)
        queries = np.mean([run.low.sum() if low else len(run.low) for run in base])
        shown = " | ".join(f"{value:.4f}" for value in cells)
        gain = f"{100 * (blended / best - 1):+.1f}%" if best else "–"
        rows.append(
            f"| {name} | {len(base)} | {queries:,.0f} | {best:.4f} ({heuristic}) | {shown} | {blended:.4f} | {gain} |"
        )
    return rows


def best_heuristic(runs: Sequence[Found], *, low: bool) -> tuple[str, float]:
    """The heuristic that finds most in the mean over seeds, and what it finds."""
    values = {name: _mean(runs, f"{name}/{METRIC}", low=low) for name in HEURISTICS}
    best = max(values, key=values.__getitem__)
    return best, values[best]


def gap_table(results: Results, pairs: Mapping[str, tuple[Column, Column]], *, low: bool) -> list[str]:
    """A row a network, and one for their mean: by how much the first of each pair finds more than the second."""
    rows = [f"| network | {' | '.join(pairs)} |", "|---" * (1 + len(pairs)) + "|"]
    samples = {name: [relative(by_arm, *pair, low=low) for pair in pairs.values()] for name, by_arm in results.items()}
    means = [
        np.mean([one for one in of_pair if np.isfinite(one).all()], axis=0)
        for of_pair in zip(*samples.values(), strict=True)
    ]
    for name, found in [*samples.items(), ("**mean**", means)]:
        rows.append(f"| {name} | {' | '.join(map(_interval, found))} |")
    return rows


def relative(by_arm: Mapping[str, Sequence[Found]], one: Column, other: Column, *, low: bool) -> np.ndarray:
    """The relative difference in percent: first as it is, then of bootstrap samples of seeds and of queries in them."""
    tables = []
    for run, base in zip(by_arm[one[0]], by_arm[other[0]], strict=True):
        kept = base.low if low else np.ones_like(base.low)
        tables.append(np.stack([run.values[one[1]][kept], base.values[other[1]][kept]], axis=1))
    tables = [table for table in tables if len(table)]
    if not tables:
        return np.full(RESAMPLES + 1, np.nan)
    whole = np.mean([table.mean(0) for table in tables], axis=0)
    samples = bootstrap_means_over_seeds(tables, resamples=RESAMPLES, seed=len(tables[0]))
    both = np.concatenate([whole[None], samples])
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * (both[:, 0] / both[:, 1] - 1)


def _interval(samples: np.ndarray) -> str:
    if not np.isfinite(samples).all():
        return "–"
    low, high = middle(samples[1:], 0.95)
    return f"{samples[0]:+.1f} [{low:+.1f}, {high:+.1f}]"


def _mean(runs: Sequence[Found], column: str, *, low: bool) -> float:
    kept = [run.values[column][run.low] if low else run.values[column] for run in runs]
    return float(np.mean([values.mean() for values in kept if len(values)] or [0.0]))
