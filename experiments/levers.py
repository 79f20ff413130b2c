"""What can be done after training, each lever alone and all together: remakes `experiments/LEVERS.md`.

    python experiments/levers.py ../shared/data
    python experiments/levers.py ../shared/data --networks fb100_reed --seeds 2 --page runs/levers.md

A lever is a file of `experiments/levers/`, laid over the settings of the arm `system` of `experiments/table.py`. Models
are those of its runs, in the same place, trained one after the other where they are missing; a run is copied for each
lever, and only what comes after training is made again. What each found is kept in `experiments/records/levers/`.
"""

import argparse
import os
import shutil
import tomllib
from pathlib import Path

from records import Found, read_record, refuse_part
from running import Places, Run, bring_up_to_date, has_record
from table import NETWORKS as KNOWN
from table import WHOLE, settings
from tables import LOW, METRIC, METRICS, Column, Results, gap_table, value_table

from amity import log, pipeline
from amity.artifacts import remove
from amity.config import Config, load_config, merge

HERE = Path(__file__).parent
NETWORKS = (
    "fb100_reed",
    "fb100_caltech",
    "foursquare_nyc",
    "foursquare_saopaulo",
    "lastfm_hetrec",
    "ego_facebook",
    "twitch_engb",
)
ALONE = "alone"
LEVERS = (
    ALONE,
    "expansion_mean",
    "expansion_max",
    "expansion_fusion",
    "message_pass",
    "eigenvectors",
    "blend",
    "system",
    "everything",
)
"""The first is what the others are held against."""


def main() -> None:
    """Bring the runs up to date, and write the page."""
    given = arguments()
    results: dict[str, dict[str, list[Found]]] = {}
    log.set_silent(True)
    places = Places(given.data, given.runs / "levers", given.records)
    for name in given.networks:
        for seed in range(given.seeds):
            of_seed = [places.run(name, lever, under(settings(name, WHOLE, seed), lever)) for lever in LEVERS]
            for run in of_seed:
                prepare(run, given.runs / "table" / name / f"{WHOLE}-{seed}", name=name, seed=seed)
            bring_up_to_date(of_seed, metrics=METRICS, jobs=given.jobs)
            for lever, run in zip(LEVERS, of_seed, strict=True):
                results.setdefault(name, {}).setdefault(lever, []).append(read_record(run.record))
    given.page.write_text(page(results), encoding="utf-8")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where those of the table lie, and these")
    parser.add_argument("--records", type=Path, default=HERE / "records" / "levers", help="what runs found")
    parser.add_argument("--networks", nargs="+", choices=KNOWN, default=list(NETWORKS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many runs at a time; one a core")
    parser.add_argument("--page", type=Path, default=HERE / "LEVERS.md")
    given = parser.parse_args()
    refuse_part(parser, given)
    return given


def prepare(run: Run, trained: Path, *, name: str, seed: int) -> None:
    """Copy the trained run, to be judged under other settings, unless there is a record of that."""
    if has_record(run):
        return
    pipeline.run(trained, run.data, settings(name, WHOLE, seed))
    staged = run.path.with_name(f".new-{run.path.name}")
    remove(staged)
    shutil.copytree(trained, staged)
    remove(run.path)
    staged.rename(run.path)


def under(config: Config, lever: str) -> Config:
    """The settings with those of a lever laid over them."""
    over = tomllib.loads((HERE / "levers" / f"{lever}.toml").read_text(encoding="utf-8"))
    return load_config(flags=merge(config.model_dump(exclude_unset=True), over))


def page(results: Results) -> str:
    """The tables as Markdown."""
    columns: dict[str, Column] = {f"`{lever}`": (lever, METRIC) for lever in LEVERS}
    pairs = {title: (column, (ALONE, METRIC)) for title, column in columns.items() if column[0] != ALONE}
    seeds = min(len(found) for by_lever in results.values() for found in by_lever.values())
    return "\n".join(
        [
            "# Levers after training",
            "",
            "Made by `python experiments/levers.py DATA`. All columns of a network and seed have one trained model,",
            "that of the arm `system`; each lever is a file of `experiments/levers/`.",
            f"Means over {seeds} seeds; test part.",
            "Weights of a blend and the share of eigenvectors are chosen on the validation part; a message pass and an",
            "expansion are as their files say.",
            "",
            f"## {METRIC}",
            "",
            *value_table(results, columns),
            "",
            f"## Relative difference to `{ALONE}`, {METRIC}, percent",
            "",
            *gap_table(results, pairs),
            "",
            "## The same, queries with at most 2 train friends",
            "",
            *gap_table(results, pairs, LOW),
            "",
        ]
    )


if __name__ == "__main__":
    main()
