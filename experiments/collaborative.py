"""Gowalla and Yelp2018 as the field reports them: recall@20 and NDCG@20 of LightGCN, alone and with other tasks.

    python experiments/collaborative.py ../shared/data                           # an hour of two cores
    python experiments/collaborative.py ../shared/data --kept                    # of what has been run so far: seconds
    python experiments/collaborative.py ../shared/data --networks gowalla_lightgcn --arms gat --page runs/gowalla.md

The split is the published one (NGCF, LightGCN, BARS). Every item is ranked but those that the user has in the train
part; both metrics are means over all users with a test interaction, NDCG over that of the best list of 20. All arms
have the settings of `experiments/collaborative.toml`, laid over those of `experiments/arms/<arm>.toml`; a run is
`runs/collaborative/<network>/<arm>-<seed>`, what it found is kept in `experiments/records/collaborative/`, and what
has a record of the settings of today is not run again. The table goes to `experiments/COLLABORATIVE.md`.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from records import Found, refuse_none, refuse_part
from running import Places, bring_up_to_date, gather
from tables import Results, head, interval, mean, relative

from amity.config import Config, load_config, merge, read_page

HERE = Path(__file__).parent
SETTINGS, NETWORKS, ARMS = HERE / "collaborative.toml", HERE.parent / "examples" / "datasets", HERE / "arms"
RECORDS = HERE / "records" / "collaborative"
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


def main() -> None:
    """Train what is not trained yet, then write the table."""
    given = arguments()
    arms, places = list(dict.fromkeys([BASE, *given.arms])), Places(given.data, given.runs, given.records)
    results: dict[str, dict[str, list[Found]]] = {}
    for name in given.networks:
        runs = {arm: [places.run(name, arm, settings(name, arm, seed)) for seed in range(given.seeds)] for arm in arms}
        if not given.kept:
            bring_up_to_date([run for some in runs.values() for run in some], metrics=METRICS, jobs=given.jobs)
        results[name] = gather(name, runs)
    results = {name: by_arm for name, by_arm in results.items() if by_arm}
    refuse_none(results, given.records)
    given.page.write_text(page(results), encoding="utf-8")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/collaborative"))
    parser.add_argument("--records", type=Path, default=RECORDS, help="what runs found, kept apart from them")
    parser.add_argument("--networks", nargs="+", choices=PUBLISHED, default=list(PUBLISHED))
    parser.add_argument("--arms", nargs="+", choices=TITLES, default=[BASE, "xsimgcl", "cca_lightgcn"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--kept", action="store_true", help="train nothing: take what has a record")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many runs at a time; one a core")
    parser.add_argument("--page", type=Path, default=HERE / "COLLABORATIVE.md")
    given = parser.parse_args()
    refuse_part(parser, given)
    return given


def settings(name: str, arm: str, seed: int) -> Config:
    """The settings of a network under the arm's, and these under those of all."""
    over = merge(read_page(ARMS / f"{arm}.toml"), read_page(SETTINGS))
    return load_config(NETWORKS / f"{name}.toml", merge(over, {"seed": seed}))


def page(results: Results) -> str:
    """The tables as Markdown."""
    return "\n".join(
        [
            "# Gowalla and Yelp2018",
            "",
            "Made by `python experiments/collaborative.py DATA`, with the settings of `collaborative.toml`; under",
            "`--kept`, what has no record yet is left out. Every item is ranked but the user's train items. Published",
            "rows are the BARS leaderboard's, XSimGCL's its paper's; percents are relative to the published",
            f"{REFERENCE}. Seconds are those of training, on one core of a machine that did other work too.",
            *(line for name, found in results.items() for line in ["", *table(name, found)]),
            "",
        ]
    )


def table(name: str, by_arm: Mapping[str, Sequence[Found]]) -> list[str]:
    """The rows of one network, beside the published ones, and how far arms lie from the encoder alone."""
    reference, columns = PUBLISHED[name][REFERENCE], [cell for metric in METRICS for cell in (metric, "")]
    rows = head(["", *columns, "seeds", "steps", "training, s"])
    rows += [f"| {title}, published | {_cells(values, reference)} | | | |" for title, values in PUBLISHED[name].items()]
    for arm, found in by_arm.items():
        cells = _cells([mean(by_arm, (arm, metric)) for metric in METRICS], reference)
        steps, seconds = found[0].settings["training"]["steps"], [run.report["seconds"]["train"] for run in found]
        rows.append(f"| amity, {TITLES[arm]} | {cells} | {len(found)} | {steps:,} | {np.median(seconds):,.0f} |")
    gaps = [
        f"{TITLES[arm]} {interval(relative(by_arm, (arm, METRICS[0]), (BASE, METRICS[0])))}"
        for arm in by_arm
        if arm != BASE
    ]
    about = f"{METRICS[0]} against the encoder alone, percent [95%, over users and seeds]: {'; '.join(gaps)}."
    return [f"## {name}", "", *rows, *(["", about] if gaps else [])]


def _cells(values: Sequence[float], reference: Sequence[float]) -> str:
    pairs = zip(values, reference, strict=True)
    return " | ".join(f"{value:.4f} | {100 * (value / other - 1):+.1f}%" for value, other in pairs)


if __name__ == "__main__":
    main()
