"""What damage to the graph leaves of recall, arm by arm: remakes `experiments/ROBUSTNESS.md` and its charts.

    python experiments/robustness.py ../shared/data
    python experiments/robustness.py ../shared/data --networks fb100_caltech --seeds 2 --page runs/robustness.md

Runs are those of `experiments/table.py`, in the same place, made where they are missing: arms with and without a
learned vector for each person. Each is damaged after training, as `amity robustness` does it. Then the graph is aged:
models of an old and of a new snapshot embed either of them, and the test friends of the new one are to be found. Where
later friendships are the truth (foursquare), the new snapshot has half of them, by lot, and the others are the truth;
elsewhere no edge has a time, and the old snapshot is the train graph without 30% of its edges, by lot. The second model
of each run lies in `<network>/aged/`.
"""

import argparse
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from records import refuse_part
from table import settings
from tables import METRIC

from amity import pipeline
from amity.encoder import Model
from amity.evaluation import DamageConfig, per_query_table, summarize_robustness
from amity.evaluation.comparison import ask_the_same
from amity.evaluation.robustness import Arms, find_damages, kept, recall_tables, sample_recall
from amity.evaluation.robustness_page import chart_of_edges
from amity.evaluation.statistics import middle, restrict
from amity.evaluation.style import standalone
from amity.graph import Adjacency, from_pairs, union
from amity.pipeline.arms import gather_arms
from amity.pipeline.robustness import evaluate_hearing
from amity.splitting import HeldOut, Split

HERE = Path(__file__).parent
NETWORKS = ("fb100_reed", "lastfm_hetrec", "foursquare_nyc", "fb100_caltech")
ARMS = ("gat", "augmented", "both")
"""The first is what the others are held against."""
DAMAGE = DamageConfig(edges=(0.1, 0.3, 0.5, 0.8, 1.0))
LATER = {"foursquare_nyc": 0.5}
"""Networks whose test friendships came later, and the share of them that the new snapshot has."""
OLDER = 0.3
"""Elsewhere, the share of the train edges that the old snapshot lacks."""
LOWEST = 2
"""The most train friends of a query of low degree."""
MANY = 100
"""So many queries of low degree a network has at least, where they are told of apart."""
RESAMPLES = 2000
PAGE = HERE / "ROBUSTNESS.md"
ABOUT_AGE = (
    "Recall is that of a model of the new snapshot on the new graph; another model or another graph keeps this of it.",
    "The new snapshot has half of the later friendships (foursquare); elsewhere the old one lacks 30% of train edges.",
)


class Snapshots(NamedTuple):
    """One split at two times; the old graph's edges are among the new one's."""

    old: Split
    new: Split


def main() -> None:
    """Bring the runs up to date, damage them, age their graphs, and write the page."""
    given = arguments()
    lines = introduction(given)
    for title, names, suffix in (
        ("Damaged graphs", given.networks, ""),
        ("Damaged graphs, where nobody has a vector of their own", given.without_ids, "_without_ids"),
    ):
        damaged = {name: pipeline.damage_arms(arms_of(given, name, suffix), DAMAGE).tables for name in names}
        if damaged:
            lines += [f"## {title}", "", *charts(given.page, damaged, suffix), *tables_of(damaged)]
    aged = {name: age_arms(arms_of(given, name, ""), LATER.get(name)) for name in given.aged}
    if aged:
        lines += ["## Aged graphs", "", *ABOUT_AGE, "", *tables_of(aged)]
    given.page.write_text("\n".join(lines), encoding="utf-8")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("runs/table"))
    some = {"nargs": "*", "default": list(NETWORKS)}
    parser.add_argument("--networks", **some, help="those whose graphs are damaged")
    parser.add_argument("--without-ids", **some, help="those where arms without ids are, too")
    parser.add_argument("--aged", **some, help="those whose graphs are aged")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    refuse_part(parser, given)
    return given


def arms_of(given: argparse.Namespace, network: str, suffix: str) -> list[str]:
    """The arms as `amity robustness` takes them, their runs brought up to date."""
    texts = []
    for arm in ARMS:
        paths = [given.runs / network / f"{arm}{suffix}-{seed}" for seed in range(given.seeds)]
        for seed, path in enumerate(paths):
            pipeline.run(path, given.data / network, settings(network, f"{arm}{suffix}", seed))
        texts.append(f"{arm}={','.join(map(str, paths))}")
    return texts


def age_arms(texts: Sequence[str], later: float | None) -> Arms:
    """What the queries of each run find in a new graph, by models and graphs of either time."""
    return gather_arms(texts, lambda work: age(work, later), until="train").tables


def age(work: pipeline.Work, later: float | None) -> pa.Table:
    """What each query of a run finds in a new graph, by models and graphs of either time."""
    times = take_snapshots(work.split(), later=later, seed=work.config.seed)
    if later is None:
        new, old = work.model(), second_model(work, times.old)
    else:
        old, new = work.model(), second_model(work, times.new)
    ways = {
        "old model, new graph": (old, times.new),
        "new model, old graph": (new, times.old),
        "old model, old graph": (old, times.old),
    }
    graph, truth = times.new.train, times.new.test
    whole = evaluate_hearing(new, graph, graph, truth, work.config)
    beside = {
        name: evaluate_hearing(model, heard.train, graph, truth, work.config) for name, (model, heard) in ways.items()
    }
    return per_query_table(whole, graph, truth.truth, beside)


def take_snapshots(split: Split, *, later: float | None, seed: int) -> Snapshots:
    """The split before and after some edges came: a share of the test edges where these are `later`, else of train."""
    train = split.train.target.adjacency
    if later is None:
        _, older = divide(train, OLDER, seed=seed)
        return Snapshots(with_friends(split, older, split.test), split)
    came, truth = divide(split.test.truth, later, seed=seed)
    test = replace(split.test, truth=truth)
    return Snapshots(with_friends(split, train, test), with_friends(split, union(train, came), test))


def divide(adjacency: Adjacency, share: float, *, seed: int) -> tuple[Adjacency, Adjacency]:
    """A share of the friendships, drawn by lot, and all others; both directions of one stay together."""
    sources, targets = adjacency.sources(), adjacency.indices.astype(np.int64)
    keys = np.minimum(sources, targets) * adjacency.num_nodes + np.maximum(sources, targets)
    friendships, places = np.unique(keys, return_inverse=True)
    drawn = (np.random.default_rng(seed).random(len(friendships)) < share)[places]
    some, others = (from_pairs(sources[part], targets[part], num_nodes=adjacency.num_nodes) for part in (drawn, ~drawn))
    return some, others


def with_friends(split: Split, friends: Adjacency, test: HeldOut) -> Split:
    """The split with other train friendships, in a graph of nothing but friendships."""
    assert len(split.train.relations) == 1
    graph = split.train.with_edges((replace(split.train.target, adjacency=friends),), friends)
    return replace(split, train=graph, supervision=friends, test=test)


def second_model(work: pipeline.Work, split: Split) -> Model:
    """The run's model as it would be of another snapshot; trained once."""
    digest = work.run.stages["train"].digest[:12]
    path = work.run.path.parent / "aged" / f"{work.run.path.name}-{digest}.safetensors"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        pipeline.train(split, work.config).save(path)
    return Model.open(path)


def introduction(given: argparse.Namespace) -> list[str]:
    """What the page is about."""
    options = {"networks": given.networks, "without-ids": given.without_ids, "aged": given.aged}
    typed = [f"--{name} {' '.join(names)}".strip() for name, names in options.items() if tuple(names) != NETWORKS]
    return [
        "# Robustness",
        "",
        f"Made by `python {' '.join(['experiments/robustness.py DATA', *typed, f'--seeds {given.seeds}'])}`.",
        "Models are trained on the whole train graph and embed a damaged one; queries, known friends and truth stay.",
        "Edges are friendships, lost both ways; without 30% of features, 30% of the people have none at all. Rows of a",
        f"damage say how much is kept: {METRIC} of vectors alone over the same without the damage, in percent;",
        f"differences are in points of it. Intervals are of 95%, from {RESAMPLES:,} bootstrap samples of seeds and",
        "queries, paired between arms; those of a mean over networks take the networks as given. Nothing here is",
        "adjusted for many comparisons.",
        "",
    ]


def tables_of(found: dict[str, Arms]) -> list[str]:
    """The table of all queries; and that of those with few friends, of networks where there are many of them."""
    low = {network: arms for network, arms in found.items() if min(map(np.count_nonzero, few_friends(arms))) >= MANY}
    if not low:
        return [*kept_table(found), ""]
    title = f"Queries with at most {LOWEST} train friends, where there are {MANY} or more:"
    return [*kept_table(found), "", title, "", *kept_table(low, few=True), ""]


def few_friends(arms: Arms) -> list[np.ndarray]:
    """Of each seed, which queries have few friends."""
    return [table["degree"].to_numpy() <= LOWEST for _, table in sorted(next(iter(arms.values())).items())]


def kept_table(found: dict[str, Arms], *, few: bool = False) -> list[str]:
    """A row for each damage and network, and one for the mean of several networks; of queries with `few` friends."""
    arms = list(next(iter(found.values())))
    heads = ["damage", "network", *arms, *(f"{arm} − {arms[0]}" for arm in arms[1:])]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    damages = find_damages(next(iter(found.values())), METRIC)
    samples = {network: sampled(tables, damages, few=few) for network, tables in found.items()}
    for network, recall in samples.items():
        whole = " | ".join(f"{value:.4f}" for value in recall[0, :, 0])
        rows.append(f"| none, {METRIC} | {network} | {whole}{' | –' * (len(arms) - 1)} |")
    for number, damage in enumerate(damages):
        shares = {network: kept(recall)[:, :, number] for network, recall in samples.items()}
        if len(shares) > 1:
            shares["**mean**"] = np.mean(list(shares.values()), axis=0)
        for network, share in shares.items():
            cells = [_interval(share[:, arm]) for arm in range(len(arms))]
            cells += [_interval(share[:, arm] - share[:, 0], sign="+") for arm in range(1, len(arms))]
            rows.append(f"| {damage} | {network} | {' | '.join(cells)} |")
    return rows


def sampled(arms: Arms, damages: Sequence[str], *, few: bool) -> np.ndarray:
    """Mean recall and its bootstrap samples; of each network its own, so that they can be averaged."""
    runs = [table for _, table in sorted(next(iter(arms.values())).items())]
    seed, shared = zlib.crc32(runs[0]["truth"].to_numpy().tobytes()), ask_the_same(runs)
    tables = recall_tables(arms, METRIC, damages)
    tables = restrict(tables, few_friends(arms), shared=shared) if few else tables
    return sample_recall(tables, len(arms), resamples=RESAMPLES, seed=seed, shared=shared)


def charts(page: Path, found: dict[str, Arms], suffix: str) -> list[str]:
    """Recall by the share of edges dropped: a picture a network, written beside the page, two in a row."""
    folder = page.parent / "charts"
    folder.mkdir(parents=True, exist_ok=True)
    cells = []
    for network, tables in found.items():
        name = f"robustness-{network}{suffix}.svg"
        chart = chart_of_edges(summarize_robustness(tables), kept=False)
        (folder / name).write_text(standalone(chart), encoding="utf-8")
        cells.append(f"{network}<br>![{METRIC} of each arm]({folder.name}/{name})")
    cells += [""] * (len(cells) % 2)
    rows = [f"| {first} | {second} |" for first, second in zip(cells[::2], cells[1::2], strict=True)]
    return [f"{METRIC} by the share of edges dropped:", "", rows[0], "|---|---|", *rows[1:], ""]


def _interval(samples: np.ndarray, sign: str = "") -> str:
    if not np.isfinite(samples).any():
        return "–"
    low, high = middle(samples[1:], 0.95)
    return f"{100 * samples[0]:{sign}.1f} [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


if __name__ == "__main__":
    main()
