"""Gowalla and Yelp2018 as the field reports them: recall@20 and NDCG@20 of LightGCN, alone and with other tasks.

    python experiments/collaborative.py ../shared/data
    python experiments/collaborative.py ../shared/data --networks gowalla_lightgcn --arms gat --page runs/gowalla.md

The split is the published one (NGCF, LightGCN, BARS). Every item is ranked but those that the user has in the train
part; both metrics are means over all users with a test interaction, NDCG over that of the best list of 20. All arms
have the settings of `experiments/collaborative.toml`, laid over those of `experiments/arms/<arm>.toml`; a run is
`runs/collaborative/<network>/<arm>-<seed>`, and what is done is not done again. The table goes to
`experiments/COLLABORATIVE.md`.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from records import refuse_part

from amity import pipeline
from amity.config import Config, load_config, merge, read_page
from amity.evaluation.statistics import estimate

HERE = Path(__file__).parent
SETTINGS, NETWORKS, ARMS = HERE / "collaborative.toml", HERE.parent / "examples" / "datasets", HERE / "arms"
METRICS = ("recall@20", "ndcg@20")
BASE = "gat"
"""The arm without any task beside retrieval."""
REFERENCE = "LightGCN"
"""The published row that the encoder alone is to reproduce."""
PUBLISHED = {
    "gowalla_lightgcn": {"LightGCN": (0.1820, 0.1547), "SimpleX": (0.1872, 0.1557), "GF-CF": (0.1849, 0.1518)},
    "yelp2018_lightgcn": {
        "LightGCN": (0.0653, 0.0532),
        "SimpleX": (0.0701, 0.0575),
        "GF-CF": (0.0697, 0.0571),
        "XSimGCL": (0.0723, 0.0604),
    },
}
"""By the names of `METRICS`: the BARS leaderboard (arXiv 2205.09626), and XSimGCL's own paper (arXiv 2209.02544)."""
TITLES = {
    BASE: "the encoder alone",
    "augmented": "over views, no other task",
    "cca_lightgcn": "with CCA-SSG",
    "grace": "with GRACE",
    "xsimgcl": "with XSimGCL",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a run found."""

    report: dict[str, Any]
    values: dict[str, np.ndarray]
    """By the names of `METRICS`: one number a user, the users of every arm in the same order."""


def main() -> None:
    """Train what is not trained yet, then write the table."""
    given = arguments()
    results: dict[str, dict[str, Found]] = {name: {} for name in given.networks}
    for arm in dict.fromkeys([BASE, *given.arms]):
        for name in given.networks:
            results[name][arm] = train(given, name, arm)
            given.page.write_text(page(results), encoding="utf-8")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/collaborative"))
    parser.add_argument("--networks", nargs="+", choices=PUBLISHED, default=list(PUBLISHED))
    parser.add_argument("--arms", nargs="+", choices=TITLES, default=[BASE, "xsimgcl", "cca_lightgcn"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", type=Path, default=HERE / "COLLABORATIVE.md")
    given = parser.parse_args()
    refuse_part(parser, given)
    return given


def train(given: argparse.Namespace, name: str, arm: str) -> Found:
    """Bring one run up to date, and read what it found."""
    path = given.runs / name / f"{arm}-{given.seed}"
    pipeline.run(path, given.data / name, settings(name, arm, given.seed))
    table = pq.read_table(path / "per_query.parquet", columns=list(METRICS))
    report = json.loads((path / "report.json").read_text(encoding="utf-8"))
    return Found(report, {metric: table[metric].to_numpy() for metric in METRICS})


def settings(name: str, arm: str, seed: int) -> Config:
    """The settings of a network under the arm's, and these under those of all."""
    over = merge(read_page(ARMS / f"{arm}.toml"), read_page(SETTINGS))
    return load_config(NETWORKS / f"{name}.toml", merge(over, {"seed": seed}))


def page(results: dict[str, dict[str, Found]]) -> str:
    """The tables as Markdown."""
    return "\n".join(
        [
            "# Gowalla and Yelp2018",
            "",
            "Made by `python experiments/collaborative.py DATA`, with the settings of `collaborative.toml`. Every item",
            "is ranked but the user's train items. Published rows are the BARS leaderboard's, XSimGCL's its paper's;",
            f"percents are relative to the published {REFERENCE}. Seconds are those of training, on one core of a",
            "machine that did other work too.",
            *(line for name, found in results.items() if found for line in ["", *table(name, found)]),
            "",
        ]
    )


def table(name: str, found: dict[str, Found]) -> list[str]:
    """The rows of one network, beside the published ones, and how far arms lie from the encoder alone."""
    reference = PUBLISHED[name][REFERENCE]
    rows = [f"| {title}, published | {_cells(values, reference)} | | |" for title, values in PUBLISHED[name].items()]
    for arm, run in found.items():
        cells = _cells(tuple(run.values[metric].mean() for metric in METRICS), reference)
        steps, seconds = run.report["config"]["training"]["steps"], run.report["seconds"]["train"]
        rows.append(f"| amity, {TITLES[arm]} | {cells} | {steps:,} | {seconds:,.0f} |")
    heads = ["", *(cell for metric in METRICS for cell in (metric, "")), "steps", "training, s"]
    gaps = [f"{TITLES[arm]} {gap(run, found[BASE])}" for arm, run in found.items() if arm != BASE]
    about = f"{METRICS[0]} against the encoder alone, percent [95% over users, one seed]: {'; '.join(gaps)}."
    lines = [f"## {name}", "", f"| {' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|", *rows]
    return [*lines, "", about] if gaps else lines


def gap(run: Found, base: Found) -> str:
    """The relative difference of the first metric in percent, paired by user."""
    first, second = run.values[METRICS[0]], base.values[METRICS[0]]
    one = estimate((first - second)[:, None])[0]
    value, low, high = (100 * number / second.mean() for number in (one.value, one.low, one.high))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _cells(values: tuple[float, ...], reference: tuple[float, ...]) -> str:
    pairs = zip(values, reference, strict=True)
    return " | ".join(f"{value:.4f} | {100 * (value / other - 1):+.1f}%" for value, other in pairs)


if __name__ == "__main__":
    main()
