"""Run the main job on real networks and remake the table of `experiments/RESULTS.md`.

    python experiments/spine.py ../shared/data [--runs runs] [--only fb100_mit ...]

Each network is one `amity run` in a process of its own, so that its peak memory is its own; a finished run is not
run again. The networks' tables are described by `examples/datasets/*.toml`.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
SETTINGS = HERE.parent / "examples" / "datasets"
NETWORKS = (
    "fb100_mit",
    "fb100_cornell",
    "github_social",
    "deezer_hu",
    "foursquare_nyc",
    "lastfm_hetrec",
    "fb100_many",
)
BASELINES = {
    "popularity": "popularity",
    "common_neighbors": "CN",
    "adamic_adar": "AA",
    "resource_allocation": "RA",
    "ppr": "PPR",
}
STAGES = ("ingest", "split", "train", "embed", "index", "evaluate")


def main() -> None:
    """Run what is not done yet, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--only", nargs="*", default=NETWORKS)
    arguments = parser.parse_args()
    for name in arguments.only:
        command = [sys.executable, "-m", "amity", "run", arguments.runs / name, "--data", arguments.data / name]
        places = HERE / f"{name}.toml", SETTINGS / f"{name}.toml", SETTINGS / f"{name.split('_')[0]}.toml"
        command += ["-c", next(path for path in places if path.exists())]
        subprocess.run([str(part) for part in command], check=True)
    reports = {
        name: json.loads((arguments.runs / name / "report.json").read_text())
        for name in NETWORKS
        if (arguments.runs / name / "report.json").exists()
    }
    (HERE / "RESULTS.md").write_text(page(reports))


def page(reports: dict[str, dict]) -> str:
    """The tables as Markdown."""
    made = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return "\n".join(
        [
            "# Results",
            "",
            f"Made by `python experiments/spine.py DATA` on {made}: defaults, seed 0, one run each (fb100_many:",
            "`experiments/fb100_many.toml`). Every candidate is ranked but known friends; 95% bootstrap intervals over",
            "queries. A tenth of the friendships is test and a twentieth valid; foursquare_nyc trains on the",
            "old snapshot (less a twentieth, valid) and is tested on the friends made since.",
            "",
            "## recall@50, all queries",
            "",
            *found(reports, None),
            "",
            "## recall@50, lowest non-empty bucket of train degree",
            "",
            *found(reports, "lowest"),
            "",
            "## Seconds and peak memory",
            "",
            *costs(reports),
            "",
        ]
    )


def found(reports: dict[str, dict], bucket: str | None) -> list[str]:
    """One row a network: amity beside the baselines."""
    rows = [f"| network | queries | amity | {' | '.join(BASELINES.values())} |", "|---" * (3 + len(BASELINES)) + "|"]
    for name, report in reports.items():
        metric = report["metrics"]["recall@50"]
        lowest = next((b for b, entry in metric["by_degree"].items() if entry["queries"]), None) if bucket else None
        own = metric["by_degree"][lowest] if lowest else metric
        cells = [
            (entry["by_degree"][lowest] if lowest else entry)["value"]
            for entry in (report["baselines"][baseline]["recall@50"] for baseline in BASELINES)
        ]
        title = f"{name} (degree {lowest})" if lowest else name
        queries = own["queries"] if lowest else report["queries"]
        shown = " | ".join(f"{value:.3f}" for value in cells)
        ours = f"**{own['value']:.3f}** [{own['low']:.3f}, {own['high']:.3f}]"
        rows.append(f"| {title} | {queries:,} | {ours} | {shown} |")
    return rows


def costs(reports: dict[str, dict]) -> list[str]:
    """One row a network: seconds of each stage, and the peak memory of the process."""
    rows = [f"| network | {' | '.join(STAGES)} | all | peak |", "|---" * (3 + len(STAGES)) + "|"]
    for name, report in reports.items():
        seconds = [report["seconds"].get(stage, 0.0) for stage in STAGES]
        peak = max(report["peak_rss_bytes"].values())
        shown = " | ".join(f"{value:,.1f}" for value in seconds)
        rows.append(f"| {name} | {shown} | {sum(seconds):,.0f} | {peak / 2**30:.2f} GiB |")
    return rows


if __name__ == "__main__":
    main()
