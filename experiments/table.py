"""Train every arm on every network with several seeds, and remake the tables of `experiments/RESULTS.md`.

    python experiments/table.py ../shared/data                        # all of it: hours
    python experiments/table.py ../shared/data --networks fb100_reed lastfm_hetrec --arms gat both --seeds 3

A run is `runs/table/<network>/<arm>-<seed>`; what is done is not done again, so that an interrupted table goes on. The
arms are `experiments/arms/*.toml`, laid over the settings of the network in `examples/datasets/`. All arms of a seed
have the same split, the same negatives and the same settings beside their own; what they are told apart by is the
validation part alone (when to stop, and the weights of the blend). The heuristics are judged once a seed.
"""

import argparse
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from amity import pipeline
from amity.config import Config, load_config
from amity.evaluation import EvaluationConfig
from amity.evaluation.statistics import bootstrap_means_over_seeds, middle

HERE = Path(__file__).parent
SETTINGS, ARMS = HERE.parent / "examples" / "datasets", HERE / "arms"
NETWORKS = {
    "fb100_caltech": 5,
    "fb100_reed": 5,
    "fb100_amherst": 5,
    "fb100_johnshopkins": 5,
    "fb100_mit": 5,
    "fb100_cornell": 3,
    "ego_facebook": 5,
    "twitch_engb": 5,
    "twitch_de": 5,
    "github_social": 3,
    "facebook_pages": 3,
    "deezer_hu": 3,
    "lastfm_hetrec": 5,
    "foursquare_nyc": 5,
    "foursquare_saopaulo": 5,
}
"""How many seeds each network is trained with."""
CHOSEN = ("gat", "augmented", "cca", "graphmae", "both")
BASE = "gat"
"""The arm that others are held against."""
METRIC, LOWEST = "recall@50", 2
"""What is compared, and the most train friends of a query of low degree."""
RESAMPLES = 2000
PAGE = HERE / "RESULTS.md"


@dataclass(frozen=True, slots=True)
class Found:
    """What a run found."""

    values: dict[str, np.ndarray]
    """By the name of a column of `per_query.parquet`."""
    low: np.ndarray
    """Which queries have few train friends."""
    report: dict[str, Any]


def main() -> None:
    """Train what is not trained yet, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/table"))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--arms", nargs="+", default=CHOSEN, help=f"files of {ARMS.name}/; {BASE} is always among them")
    parser.add_argument("--seeds", type=int, help="instead of what the network says")
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    if given.page == PAGE and (given.networks, given.arms, given.seeds) != (list(NETWORKS), CHOSEN, None):
        parser.error(f"{PAGE.name} holds the whole table; say where the page of a part is to go: --page FILE")
    arms = list(dict.fromkeys([BASE, *given.arms]))
    results = {}
    for name in given.networks:
        seeds = range(given.seeds or NETWORKS[name])
        results[name] = {arm: [train(given, name, arm, seed) for seed in seeds] for arm in arms}
        given.page.write_text(page(results, arms), encoding="utf-8")


def train(given: argparse.Namespace, name: str, arm: str, seed: int) -> Found:
    """Bring one run up to date, and read what it found."""
    path = given.runs / name / f"{arm}-{seed}"
    pipeline.run(path, given.data / name, settings(name, arm, seed))
    table = pq.read_table(path / "per_query.parquet")
    values = {column: table[column].to_numpy() for column in table.column_names if "@" in column or "mrr" in column}
    report = json.loads((path / "report.json").read_text(encoding="utf-8"))
    return Found(values, table["degree"].to_numpy() <= LOWEST, report)


def settings(name: str, arm: str, seed: int) -> Config:
    """The settings of a network, with those of the arm laid over them."""
    places = SETTINGS / f"{name}.toml", SETTINGS / f"{name.split('_', maxsplit=1)[0]}.toml"
    over = tomllib.loads((ARMS / f"{arm}.toml").read_text(encoding="utf-8"))
    judged = {"baselines": EvaluationConfig().baselines if arm == BASE else ()}
    return load_config(next(place for place in places if place.exists()), over | {"seed": seed, "evaluation": judged})


def page(results: dict[str, dict[str, list[Found]]], arms: Sequence[str]) -> str:
    """The tables as Markdown."""
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
            *gap_table(results, [arm for arm in arms if arm != BASE], low=False),
            "",
            f"## The same, queries with at most {LOWEST} train friends",
            "",
            *gap_table(results, [arm for arm in arms if arm != BASE], low=True),
            "",
        ]
    )


def found_table(results: dict[str, dict[str, list[Found]]], arms: Sequence[str], *, low: bool) -> list[str]:
    """A row a network: the best heuristic, each arm by its vectors alone, and the whole system."""
    heads = ["network", "seeds", "queries", "best heuristic", *arms, f"blend of {arms[-1]}", "against the heuristic"]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, by_arm in results.items():
        base, whole = by_arm[BASE], by_arm[arms[-1]]
        heuristic, best = best_heuristic(base, low=low)
        cells = [_mean(runs, f"vectors/{METRIC}", low) for runs in by_arm.values()]
        blended = _mean(whole, METRIC, low)
        queries = np.mean([run.low.sum() if low else len(run.low) for run in base])
        shown = " | ".join(f"{value:.4f}" for value in cells)
        gain = f"{100 * (blended / best - 1):+.1f}%" if best else "–"
        rows.append(
            f"| {name} | {len(base)} | {queries:,.0f} | {best:.4f} ({heuristic}) | {shown} | {blended:.4f} | {gain} |"
        )
    return rows


def best_heuristic(runs: list[Found], *, low: bool) -> tuple[str, float]:
    """The heuristic that finds most in the mean over seeds, and what it finds."""
    names = runs[0].report["baselines"]
    values = {name: _mean(runs, f"{name}/{METRIC}", low) for name in names}
    best = max(values, key=values.__getitem__)
    return best, values[best]


def gap_table(results: dict[str, dict[str, list[Found]]], arms: Sequence[str], *, low: bool) -> list[str]:
    """A row a network, and one for their mean: by how much each arm's vectors find more than the base's."""
    rows = [f"| network | {' | '.join(arms)} |", "|---" * (1 + len(arms)) + "|"]
    samples = {name: {arm: relative(by_arm, arm, low=low) for arm in arms} for name, by_arm in results.items()}
    means = {arm: np.mean([of[arm] for of in samples.values() if np.isfinite(of[arm]).all()], axis=0) for arm in arms}
    for name, of in [*samples.items(), ("**mean**", means)]:
        rows.append(f"| {name} | {' | '.join(_interval(of[arm]) for arm in arms)} |")
    return rows


def relative(by_arm: dict[str, list[Found]], arm: str, *, low: bool) -> np.ndarray:
    """The relative difference in percent: first as it is, then of bootstrap samples of seeds and of queries in them."""
    tables = []
    for run, base in zip(by_arm[arm], by_arm[BASE], strict=True):
        kept = base.low if low else np.ones_like(base.low)
        tables.append(np.stack([one.values[f"vectors/{METRIC}"][kept] for one in (run, base)], axis=1))
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


def _mean(runs: list[Found], column: str, low: bool) -> float:  # noqa: FBT001 (private)
    kept = [run.values[column][run.low] if low else run.values[column] for run in runs]
    return float(np.mean([values.mean() for values in kept if len(values)] or [0.0]))


if __name__ == "__main__":
    main()
