"""Train every arm on every network with several seeds, and remake the tables of `experiments/RESULTS.md`.

    python experiments/table.py ../shared/data                        # all of it: hours
    python experiments/table.py ../shared/data --kept                 # of what has been run so far: minutes
    python experiments/table.py ../shared/data --networks fb100_reed --arms gat both --seeds 3 --page runs/reed.md

A run is `runs/table/<network>/<arm>-<seed>`, and what it found is kept in `experiments/records/table/`. What has a
record of the settings of today is not run again, so that an interrupted table goes on, on this machine or another;
the page is written when all has been run. As
many runs as there are cores are made at a time. The arms are `experiments/arms/*.toml`, laid over the settings of the
network in `examples/datasets/`. All arms of a seed have the same split, the same negatives and the same settings beside
their own; what they are told apart by is the validation part alone (when to stop, and the weights of the blend).
Baselines without an arm are judged once a seed.
"""

import argparse
import os
import tomllib
from dataclasses import replace
from pathlib import Path

from records import Found, read_record, refuse_none, refuse_part
from running import Places, bring_up_to_date, has_record
from tables import BASE, BESIDE, METRICS, Results, charts, page

from amity.config import Config, load_config, merge
from amity.evaluation.factorization import FACTORIZATIONS
from amity.evaluation.style import standalone
from amity.retrieval import HEURISTICS

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
CHOSEN = ("gat", *BESIDE, "augmented", "cca", "graphmae", "both", "system")
"""The arms; the last one is what the tables hold against the baselines."""
WHOLE = "system"
"""The arm that is judged with all that stands beside the encoder."""
ENCODER_ALONE = {"embedding": {"spectral": {"dim": 0}}, "retrieval": {"blend": {"heuristics": []}}}
"""Laid over the others, which are judged by their encoder alone."""
PAGE, RECORDS = HERE / "RESULTS.md", HERE / "records" / "table"


def main() -> None:
    """Train what is not trained yet, then write the tables."""
    given = arguments()
    arms, places = list(dict.fromkeys([BASE, *given.arms])), Places(given.data, given.runs, given.records)
    results = {}
    for name in given.networks:
        seeds = range(given.seeds or NETWORKS[name])
        runs = {(arm, seed): places.run(name, arm, settings(name, arm, seed)) for seed in seeds for arm in arms}
        if given.kept:
            seeds = [seed for seed in seeds if all(has_record(runs[arm, seed]) for arm in arms)]
        else:
            bring_up_to_date(list(runs.values()), metrics=METRICS, jobs=given.jobs)
        if not seeds:
            print(f"{name}: left out, since no seed has a record of every arm", flush=True)
            continue
        results[name] = {arm: [read(runs[arm, seed].record) for seed in seeds] for arm in arms}
    refuse_none(results, given.records)
    write(given.page, results)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/table"))
    parser.add_argument("--records", type=Path, default=RECORDS, help="what runs found, kept apart from them")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--arms", nargs="+", default=CHOSEN, help=f"files of {ARMS.name}/; {BASE} is always among them")
    parser.add_argument("--seeds", type=int, help="instead of what the network says")
    parser.add_argument("--kept", action="store_true", help="train nothing; of seeds, those with all arms recorded")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many runs at a time; one a core")
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    refuse_part(parser, given)
    return given


def write(path: Path, results: Results) -> None:
    """The page, and the charts in a folder beside it."""
    path.write_text(page(results), encoding="utf-8")
    (path.parent / "charts").mkdir(exist_ok=True)
    for name, chart in charts(results).items():
        (path.parent / "charts" / name).write_text(standalone(chart), encoding="utf-8")


def read(record: Path) -> Found:
    """What a run found, and its parts."""
    found = read_record(record)
    values = found.values
    for part, rest in (("vectors/", ""), ("encoder/", "vectors/")):  # Where nothing stands beside it, a part is all.
        values = {part + metric: values[rest + metric] for metric in METRICS} | values
    return replace(found, values=values)


def settings(name: str, arm: str, seed: int) -> Config:
    """The settings of a network, with those of the arm laid over them."""
    places = SETTINGS / f"{name}.toml", SETTINGS / f"{name.split('_', maxsplit=1)[0]}.toml"
    over = tomllib.loads((ARMS / f"{arm}.toml").read_text(encoding="utf-8"))
    over = over if arm == WHOLE else merge(over, ENCODER_ALONE)
    judged = {"baselines": (*HEURISTICS, *FACTORIZATIONS) if arm == BASE else ()}
    return load_config(next(place for place in places if place.exists()), over | {"seed": seed, "evaluation": judged})


if __name__ == "__main__":
    main()
