"""Divide and conquer against one encoder for everything: train every arm with several seeds, and write the tables.

    python experiments/divide.py ../shared/data                                 # all of it: hours
    python experiments/divide.py ../shared/data --kept                          # of what has been run so far: seconds
    python experiments/divide.py ../shared/data --networks ml1m_sequences --arms naive prompts --seeds 1 --page ml1m.md

An arm is a file of `experiments/divide/`, laid over the settings of its family (`histories.toml`, `friends.toml`,
`reviews.toml`, `colleges.toml`), and these over the network's, in `experiments/` or `examples/datasets/`. A run is
`runs/divide/<network>/<arm>-<seed>`, and what it found is kept in `experiments/records/divide/`. What has a record of
the settings of today is not run again, and as many runs are made at a time as there are cores.
The first arm of a family is what the others are held against, and its runs judge the baselines. Nothing is chosen by
the test part.
"""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from records import Found, refuse_none, refuse_part
from running import Places, bring_up_to_date, gather
from tables import Results, head, interval, relative

from amity.config import Config, load_config, merge, read_page
from amity.evaluation.page import NAMES

HERE = Path(__file__).parent
NETWORKS, ARMS = HERE.parent / "examples" / "datasets", HERE / "divide"
METRICS, COMPARED = ("recall@20", "recall@50", "hit_rate@10", "ndcg@10"), ("recall@20", "recall@50")
"""What is read of a run, and by what arms are held against each other."""
INSIDE = ("recall@5", "recall@20", "recall@50")
"""What is told of each cluster alone."""
PROMPTLESS = "naive"
"""The divided arm without prompts, which those with prompts are held against too."""
STEERED = "prompts"
"""The arm whose steering is shown."""


@dataclass(frozen=True, slots=True)
class Family:
    """Networks that are divided in the same ways."""

    seeds: Mapping[str, int]
    """By the name of a network: how many seeds it is trained with."""
    arms: tuple[str, ...]
    """The first one is what the others are held against."""
    baselines: tuple[str, ...]
    """Judged beside the first arm."""
    one_split: bool = False
    """Whether all seeds have the same split, so that the first one's baselines are those of all."""
    large: bool = False
    """Whether one run at a time fits into memory."""


OF_HISTORIES = ("sasrec", "sasrec_bce", "sasrec_plus", "comirec", PROMPTLESS, "mmoe", "token", "inputs", STEERED)
BESIDE_HISTORIES = ("popularity", "bpr", "ials")
FAMILIES = {
    "histories": Family({"ml1m_sequences": 5}, OF_HISTORIES, BESIDE_HISTORIES, one_split=True),
    "reviews": Family({"amazon_beauty_s3rec": 5}, OF_HISTORIES, BESIDE_HISTORIES, one_split=True),
    "friends": Family(
        {"fb100_cornell": 3},
        ("undivided", PROMPTLESS, STEERED),
        ("resource_allocation", "ppr"),
    ),
    "colleges": Family(
        {"fb100_many": 1},
        ("undivided", PROMPTLESS, STEERED, "communities"),
        ("resource_allocation", "ppr"),
        large=True,
    ),
}
"""By the name of the file with the settings that all its arms share."""
PUBLISHED: Mapping[str, Mapping[str, tuple[float | None, ...]]] = {
    "ml1m_sequences": {
        "MF": (0.120, 0.231, None, None),
        "SASRec": (0.183, 0.337, None, None),
        "SASRec+": (0.220, 0.367, None, None),
        "MIND": (0.186, 0.343, None, None),
        "ComiRec-SA": (0.192, 0.341, None, None),
        "divided, no prompts": (0.221, 0.366, None, None),
        "divided, MMoE": (0.224, 0.371, None, None),
        "divided, prompts": (0.234, 0.375, None, None),
        "SASRec, 3,000 negatives": (None, None, 0.3159, None),
    },
    "amazon_beauty_s3rec": {
        "SASRec": (0.0902, None, 0.0605, 0.0318),
        "S3-Rec": (0.0994, None, 0.0647, 0.0327),
        "TIGER": (None, None, 0.0648, 0.0384),
    },
}
"""By the names of `METRICS`: arXiv 2302.02657 (as a secondary source has it), arXiv 2309.07602; S3-Rec and TIGER by
their own papers. One item is held out of each history, so that recall and hit rate are the same number."""


def main() -> None:
    """Train what is not trained yet, then write the tables."""
    given = arguments()
    results: dict[str, dict[str, list[Found]]] = {}
    places = Places(given.data, given.runs, given.records)
    for kind, family in FAMILIES.items():
        arms = [arm for arm in family.arms if arm == family.arms[0] or arm in (given.arms or family.arms)]
        for name in [one for one in family.seeds if one in given.networks]:
            seeds = range(given.seeds or family.seeds[name])
            runs = {arm: [places.run(name, arm, settings(kind, name, arm, seed)) for seed in seeds] for arm in arms}
            if not given.kept:
                by_seed = [run for of_seed in zip(*runs.values(), strict=True) for run in of_seed]
                bring_up_to_date(by_seed, metrics=METRICS, jobs=1 if family.large else given.jobs)
            results[name] = gather(name, runs)
    results = {name: by_arm for name, by_arm in results.items() if by_arm}
    refuse_none(results, given.records)
    given.page.write_text(page(results), encoding="utf-8")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everywhere = [name for family in FAMILIES.values() for name in family.seeds]
    parser.add_argument("data", type=Path, help="the folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/divide"))
    parser.add_argument("--records", type=Path, default=HERE / "records" / "divide", help="what runs found")
    parser.add_argument("--networks", nargs="+", choices=everywhere, default=everywhere)
    every_arm = sorted({arm for family in FAMILIES.values() for arm in family.arms})
    parser.add_argument("--arms", nargs="+", choices=every_arm, help="a family's first is always among them")
    parser.add_argument("--seeds", type=int, help="instead of what the network says")
    parser.add_argument("--kept", action="store_true", help="train nothing: take what has a record")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many runs at a time; one a core")
    parser.add_argument("--page", type=Path, default=HERE / "DIVIDE.md")
    given = parser.parse_args()
    refuse_part(parser, given)
    return given


def settings(kind: str, name: str, arm: str, seed: int) -> Config:
    """The settings of a network, under those of its family, under those of the arm."""
    family = FAMILIES[kind]
    places = HERE / f"{name}.toml", NETWORKS / f"{name}.toml", NETWORKS / f"{name.split('_', maxsplit=1)[0]}.toml"
    over = merge(read_page(ARMS / f"{kind}.toml"), read_page(ARMS / f"{arm}.toml"))
    asked = arm == family.arms[0] and not (family.one_split and seed)
    judged = {"evaluation": {"baselines": family.baselines if asked else ()}, "seed": seed}
    return load_config(next(place for place in places if place.exists()), merge(over, judged))


def page(results: Mapping[str, Results]) -> str:
    """The tables as Markdown."""
    return "\n".join(
        [
            "# Divide and conquer",
            "",
            "Made by `python experiments/divide.py DATA`; under `--kept`, what has no record yet is left out. Every",
            "candidate is ranked but those that the user has; means over the seeds that an arm has, differences over",
            "those that both arms have. Where all seeds have one split, the baselines are judged on it once. Intervals",
            "are of 95%, from bootstrap samples of seeds and of queries in them. Seconds are of training. Published",
            "rows are of leave-one-out with full ranking, by other people's code; those of arXiv 2302.02657 have a",
            "much weaker SASRec.",
            *(line for name, by_arm in results.items() for line in ["", f"## {name}", "", *tables(name, by_arm)]),
            "",
        ]
    )


def tables(name: str, by_arm: Results) -> list[str]:
    """All that there is to tell of one network."""
    base, *others = by_arm
    runs = by_arm[base]
    rows = head(["", "seeds", *METRICS, "training, s"])
    for title, values in PUBLISHED.get(name, {}).items():
        cells = " | ".join("" if one is None else f"{one:.4f}" for one in values)
        rows.append(f"| {title}, published | | {cells} | |")
    for baseline in runs[0].report["baselines"]:
        judged = [run for run in runs if baseline in run.report["baselines"]]
        rows.append(f"| {NAMES[baseline]} | {len(judged)} | {_cells(judged, METRICS, f'{baseline}/')} | |")
    for arm, found in by_arm.items():
        seconds = np.median([run.report["seconds"]["train"] for run in found])
        rows.append(f"| `{arm}` | {len(found)} | {_cells(found, METRICS)} | {seconds:,.0f} |")
    about = f"Queries of each seed: {len(runs[0].degrees):,}."
    told = [about, "", *rows, "", *gaps(by_arm, base, others), *inside(by_arm)]
    return [*told, *(steering(by_arm[STEERED][0]) if STEERED in by_arm else [])]


def gaps(by_arm: Results, base: str, others: list[str]) -> list[str]:
    """By how much each arm finds more than the first, and than the divided one without prompts, in percent."""
    against = [base, *([PROMPTLESS] if PROMPTLESS in by_arm else [])]
    columns = list(product(against, COMPARED))
    rows = head(["relative difference, percent", *(f"{metric} to `{one}`" for one, metric in columns)])
    for arm in others:
        pairs = [((arm, metric), (one, metric)) for one, metric in columns]
        cells = ["–" if arm == pair[1][0] else interval(relative(by_arm, *pair)) for pair in pairs]
        rows.append(f"| `{arm}` | {' | '.join(cells)} |")
    return rows


def inside(by_arm: Results) -> list[str]:
    """What each divided arm finds in the cluster of what was held out, and how well it tells which cluster that is."""
    measured = {"calibration_error": "calibration error", "accuracy": "likeliest cluster right"}
    rows = []
    for arm, found in by_arm.items():
        reports = [run.report for run in found if "in_cluster" in run.report]
        if reports:
            values = [[one["in_cluster"][name]["value"] for one in reports] for name in INSIDE]
            values += [[one["intent"][name] for one in reports if "intent" in one] for name in measured]
            rows.append(f"| `{arm}` | {' | '.join(f'{np.mean(one):.3f}' if one else '' for one in values)} |")
    return ["", *head(["within the cluster", *INSIDE, *measured.values()]), *rows] if rows else []


def steering(found: Found) -> list[str]:
    """Recall against diversity and fairness as intent counts for more: the first seed's, by merge and alpha."""
    length = found.settings["evaluation"]["headline"]
    shown = {f"recall@{length}": "", f"entropy@{length}": ", bits", f"coverage@{length}": "", f"gini@{length}": ""}
    rows = head(["merge", "alpha", *(name + unit for name, unit in shown.items()), f"gini_clusters@{length}"])
    for by, points in found.report["steering"].items():
        for point in points:
            values = [point[name]["value"] if isinstance(point[name], dict) else point[name] for name in shown]
            cells = " | ".join(f"{value:.4f}" for value in [*values, point[f"gini_clusters@{length}"]])
            rows.append(f"| {by} | {point['alpha']:g} | {cells} |")
    return ["", f"Steering of `{STEERED}`, the first seed:", "", *rows]


def _cells(runs: list[Found], metrics: tuple[str, ...], part: str = "") -> str:
    return " | ".join(f"{np.mean([run.values[part + metric].mean() for run in runs]):.4f}" for metric in metrics)


if __name__ == "__main__":
    main()
