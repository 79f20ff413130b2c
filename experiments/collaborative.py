"""Gowalla and Yelp2018 as the field reports them: recall@20 and NDCG@20 of LightGCN, alone and with other tasks.

    python experiments/collaborative.py ../shared/data [--networks gowalla_lightgcn] [--arms gat xsimgcl]

The split is the published one (NGCF, LightGCN, BARS). Every item is ranked but those that the user has in the train
part; both metrics are means over all users with a test interaction, NDCG over that of the best list of 20. All arms
have the settings of `experiments/collaborative.toml`, with `experiments/arms/<arm>.toml` over them; a run is
`runs/collaborative/<network>/<arm>-<seed>`, and what is done is not done again. The table goes to
`experiments/COLLABORATIVE.md`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from amity import pipeline
from amity.config import Config, load_config, merge, read_page

HERE = Path(__file__).parent
SETTINGS, NETWORKS, ARMS = HERE / "collaborative.toml", HERE.parent / "examples" / "datasets", HERE / "arms"
METRICS = ("recall@20", "ndcg@20")
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
"""Recall@20 and NDCG@20: the BARS leaderboard (arXiv 2205.09626), and XSimGCL's own paper (arXiv 2209.02544)."""
TITLES = {
    "gat": "the encoder alone",
    "augmented": "over views, no other task",
    "cca": "with CCA-SSG",
    "cheap": "with CCA-SSG, cheap views",
    "grace": "with GRACE",
    "xsimgcl": "with XSimGCL",
}


def main() -> None:
    """Train what is not trained yet, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/collaborative"))
    parser.add_argument("--networks", nargs="+", choices=PUBLISHED, default=list(PUBLISHED))
    parser.add_argument("--arms", nargs="+", choices=TITLES, default=["gat", "xsimgcl", "cheap"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", type=Path, default=HERE / "COLLABORATIVE.md")
    given = parser.parse_args()
    reports: dict[str, dict[str, Any]] = {name: {} for name in given.networks}
    for arm in given.arms:
        for name in given.networks:
            reports[name][arm] = train(given, name, arm)
            given.page.write_text(page(reports), encoding="utf-8")


def train(given: argparse.Namespace, name: str, arm: str) -> dict[str, Any]:
    """Bring one run up to date; its report."""
    path = given.runs / name / f"{arm}-{given.seed}"
    pipeline.run(path, given.data / name, settings(name, arm, given.seed))
    return json.loads((path / "report.json").read_text(encoding="utf-8"))


def settings(name: str, arm: str, seed: int) -> Config:
    """The settings of a network under those of all, and these under the arm's."""
    over = merge(read_page(SETTINGS), read_page(ARMS / f"{arm}.toml"))
    return load_config(NETWORKS / f"{name}.toml", merge(over, {"seed": seed}))


def page(reports: dict[str, dict[str, Any]]) -> str:
    """The tables as Markdown."""
    return "\n".join(
        [
            "# Gowalla and Yelp2018",
            "",
            "Made by `python experiments/collaborative.py DATA`, with the settings of `collaborative.toml`. Every item",
            "is ranked but the user's train items. Published rows are the BARS leaderboard's, XSimGCL's its paper's.",
            "Seconds are those of training on one core of a machine that did other work too.",
            *(line for name, found in reports.items() if found for line in ["", *table(name, found)]),
            "",
        ]
    )


def table(name: str, found: dict[str, Any]) -> list[str]:
    """The rows of one network, beside the published ones."""
    reference = PUBLISHED[name][REFERENCE]
    rows = [f"| {title}, published | {_cells(values, reference)} | | |" for title, values in PUBLISHED[name].items()]
    for arm, report in found.items():
        values = tuple(report["metrics"][metric]["value"] for metric in METRICS)
        training, seconds = report["config"]["training"], report["seconds"]["train"]
        rows.append(f"| amity, {TITLES[arm]} | {_cells(values, reference)} | {training['steps']:,} | {seconds:,.0f} |")
    heads = ["", *(f"{metric} | against {REFERENCE}" for metric in METRICS), "steps", "training, s"]
    return [f"## {name}", "", f"| {' | '.join(heads)} |", "|---" + "|---:" * 6 + "|", *rows]


def _cells(values: tuple[float, ...], reference: tuple[float, ...]) -> str:
    pairs = zip(values, reference, strict=True)
    return " | ".join(f"{value:.4f} | {100 * (value / other - 1):+.1f}%" for value, other in pairs)


if __name__ == "__main__":
    main()
