"""Whom an arm helps: recall@50 by the number of train friends, beside that of the first arm of the same seeds.

    python experiments/by_degree.py runs/table/fb100_reed/ gat both --seeds 3 --part valid

Reads runs that `experiments/table.py` made, which makes none of what it has records of. Vectors alone, in points
(hundredths of recall); intervals are of 95%, from bootstrap samples of seeds and queries.
"""

import argparse
from pathlib import Path

import numpy as np

from amity.evaluation import EvaluationConfig, evaluate
from amity.evaluation.statistics import bootstrap_means_over_seeds, summarize_means
from amity.graph.degrees import DEGREE_BUCKETS, degree_buckets
from amity.pipeline import open_run

LENGTH, RESAMPLES = 50, 2000
ALL = "all"


def main() -> None:
    """Print one table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="the folder of a network's runs")
    parser.add_argument("arms", nargs="+", help="the first is what the others are held against")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--part", choices=("valid", "test"), default="valid")
    given = parser.parse_args()
    found = [
        [judge(given.runs / f"{arm}-{seed}", part=given.part) for arm in given.arms] for seed in range(given.seeds)
    ]
    print("\n".join(table(given.arms, found)))


def judge(path: Path, *, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The bucket of each query of a run, and the points that its vectors find."""
    work = open_run(path, until="index")
    split, retriever = work.split(), work.retriever()
    config = EvaluationConfig(k=(LENGTH,), headline=LENGTH)
    found = evaluate(retriever, split.train, getattr(split, part), config, seed=work.config.seed)
    return degree_buckets(found.degrees), 100 * found.values[f"recall@{LENGTH}"]


def table(arms: list[str], found: list[list[tuple[np.ndarray, np.ndarray]]]) -> list[str]:
    """A row a bucket: how many queries all seeds have together, what the first arm finds, what others find more."""
    rows = [f"| train friends | queries | {' | '.join(arms)} |", "|---" * (2 + len(arms)) + "|"]
    for number, bucket in enumerate([*DEGREE_BUCKETS, ALL]):
        tables = []
        for of_seed in found:
            kept = np.full(len(of_seed[0][0]), fill_value=True) if bucket == ALL else of_seed[0][0] == number
            values = np.stack([points[kept] for _, points in of_seed], axis=1)
            tables.append(np.hstack([values[:, :1], values[:, 1:] - values[:, :1]]))
        tables = [one for one in tables if len(one)]
        if tables:
            means = bootstrap_means_over_seeds(tables, resamples=RESAMPLES, seed=0)
            base, *gaps = summarize_means(tables, means, confidence=0.95)
            cells = [f"{gap.value:+.1f} [{gap.low:+.1f}, {gap.high:+.1f}]" for gap in gaps]
            rows.append(f"| {bucket} | {base.queries:,} | {base.value:.1f} | {' | '.join(cells)} |")
    return rows


if __name__ == "__main__":
    main()
