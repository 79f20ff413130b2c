"""What `table.py` writes: tables in Markdown of what runs found, with intervals of paired differences, and charts."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from records import Found

from amity.errors import ArtifactError
from amity.evaluation.charts import Mark, Series, grouped_bars
from amity.evaluation.page import NAMES
from amity.evaluation.statistics import bootstrap_means_over_seeds, middle, restrict, summarize_means
from amity.graph.degrees import DEGREE_BUCKETS

BASE = "gat"
"""The arm that others are held against; its runs judge the baselines that need no training of ours."""
BESIDE = {"lightgcn": "LightGCN", "sage": "GraphSAGE", "sgc": "SGC"}
"""Arms that are baselines, and what they are called."""
METRICS, METRIC = ("recall@20", "recall@50", "mrr"), "recall@50"
"""What is read of a run, and what is compared."""
LOW = (0, 1)
"""The buckets of those of low degree: at most two train friends."""
FEW = 100
"""Networks with fewer queries a seed stay out of the mean of differences."""
RESAMPLES = 2000
TOGETHER = 5
"""A chart has room for the names of so many networks."""


T = TypeVar("T")
Results = Mapping[str, Mapping[str, Sequence[Found]]]
"""By network and arm: a run a seed. The last arm is the whole system."""
Column = tuple[str, str]
"""An arm, and the name of a column of its runs."""


def page(results: Results) -> str:
    """The tables as Markdown."""
    return "\n".join(
        [
            "# Results",
            "",
            "Made by `python experiments/table.py DATA`. Every candidate is ranked but the query itself and its train",
            "friends; means over seeds, each with a split of its own (foursquare's: later friendships are the truth",
            "of every seed). Intervals are of 95%, from bootstrap samples of seeds and of queries in them; where",
            "there are two or three seeds, they say little of what others would find. Arms are what the learned",
            "numbers find alone; of the system also with eigenvectors beside them, and blended.",
            duration(results),
            "",
            f"## {METRIC} at a glance",
            "",
            *summary_table(results),
            "",
            "Of the last arm, bold is most. The best baseline is the one without a graph network that finds most of",
            "the test part; intervals take it as given.",
            "",
            *(line for metric in METRICS for line in [f"## {metric}", "", *found_table(results, metric), ""]),
            *(f"![recall by network](charts/{name}.svg)" for name in _side_by_side(list(results))),
            "",
            f"Grey is the best baseline of each network, blue `{BASE}`, violet the system.",
            "",
            f"## {METRIC}, queries with at most 2 train friends",
            "",
            *found_table(results, METRIC, LOW),
            "",
            f"## {METRIC} by train friends of the query, means over networks",
            "",
            *degree_table(results),
            "",
            "![recall by train friends](charts/degree.svg)",
            "",
            f"## Relative difference to `{BASE}` of the same seed, {METRIC}, percent",
            "",
            *gap_table(results, against_base(results)),
            "",
            "## The same, queries with at most 2 train friends",
            "",
            *gap_table(results, against_base(results), LOW),
            "",
            f"## Baselines, {METRIC}",
            "",
            *value_table(results, baselines(results)),
            "",
            f"## Relative difference of the system to each baseline, {METRIC}, percent",
            "",
            *gap_table(
                results, {title: (system(results)["blended"], one) for title, one in baselines(results).items()}
            ),
            "",
        ]
    )


def duration(results: Results) -> str:
    """How many runs there are, and how long they took."""
    runs = [run for by_arm in results.values() for found in by_arm.values() for run in found]
    hours = sum(seconds for run in runs for seconds in run.report["seconds"].values()) / 3600
    return f"The {len(runs)} runs took {hours:.1f} hours, had one followed the other."


def charts(results: Results) -> dict[str, str]:
    """By the name of a file: the base and the system beside the best baseline, by network and by degree."""
    columns = {
        "best baseline": ("c1", None),
        BASE: ("c2", (BASE, f"encoder/{METRIC}")),
        "system": ("c0", system(results)["blended"]),
    }
    networks = [(name, [by_arm], ()) for name, by_arm in results.items()]
    degrees = [(bucket, asking(results, number), (number,)) for number, bucket in enumerate(DEGREE_BUCKETS)]
    return {
        f"{name}.svg": grouped_bars(
            [tuple(label.split("_", 1)) for label, _, _ in groups],
            [
                Series(title, color, [Mark(_average(some, column, buckets)) for _, some, buckets in groups])
                for title, (color, column) in columns.items()
            ],
            sentence=f"{METRIC} of the best baseline, of {BASE} and of the system, by {name.split('-')[0]}.",
        )
        for name, groups in (_side_by_side(networks) | {"degree": [group for group in degrees if group[1]]}).items()
    }


def asking(results: Results, bucket: int) -> list[Mapping[str, Sequence[Found]]]:
    """The networks with queries in a bucket of degree."""
    return [one for one in results.values() if any(len(run.of(METRIC, [bucket])) for run in one[BASE])]


def against_base(results: Results) -> dict[str, tuple[Column, Column]]:
    """Every arm but the base, by its encoder alone, beside the base; and the system beside its own single task.

    `sgc`, whose numbers are not learned, stands among the baselines alone.
    """
    arms = {arm: (arm, f"encoder/{METRIC}") for arm in next(iter(results.values())) if arm != "sgc"}
    pairs = {arm: (column, arms[BASE]) for arm, column in arms.items() if arm != BASE}
    if {"system", "lightgcn"} <= arms.keys():
        pairs["system, to lightgcn"] = arms["system"], arms["lightgcn"]
    return pairs


def system(results: Results, metric: str = METRIC) -> dict[str, Column]:
    """The last arm, by how much of it is asked."""
    whole = list(next(iter(results.values())))[-1]
    return {
        "encoder": (whole, f"encoder/{metric}"),
        "vectors": (whole, f"vectors/{metric}"),
        "blended": (whole, metric),
    }


def baselines(results: Results, metric: str = METRIC) -> dict[str, Column]:
    """By what they are called: the baselines that the base's runs judged, and the arms that are baselines."""
    by_arm = next(iter(results.values()))
    judged = {NAMES[name]: (BASE, f"{name}/{metric}") for name in by_arm[BASE][0].report["baselines"]}
    return judged | {title: (arm, f"encoder/{metric}") for arm, title in BESIDE.items() if arm in by_arm}


def summary_table(results: Results) -> list[str]:
    """A row a network: the system, part by part, beside the best baseline without a graph network."""
    rows = head(["network", "people", "seeds", "encoder", "vectors", "blended", "best baseline", "against it, 95%"])
    gaps = []
    for name, by_arm in results.items():
        people, columns = by_arm[BASE][0].report["candidates"], system(results)
        found = [mean(by_arm, column) for column in columns.values()]
        column, best = _best(by_arm, METRIC)
        gaps.append(relative(by_arm, columns["blended"], column))
        cells = " | ".join(f"**{value:.3f}**" if value == max(found) else f"{value:.3f}" for value in found)
        about, beside = f"{name} | {people:,} | {len(by_arm[BASE])}", f"{best:.3f} ({_title(column)})"
        rows.append(f"| {about} | {cells} | {beside} | {interval(gaps[-1], '%')} |")
    return [*rows, f"| **mean of {len(gaps)}** | | | | | | | {interval(np.mean(gaps, axis=0), '%')} |"]


def found_table(results: Results, metric: str, buckets: Sequence[int] = ()) -> list[str]:
    """A row a network: the best baseline without a graph network, each arm, and the whole system."""
    by_arm = next(iter(results.values()))
    arms = {f"`{arm}`": (arm, f"encoder/{metric}") for arm in by_arm if arm not in BESIDE}
    last = list(arms)[-1]
    whole = {f"{last}, {title}": column for title, column in system(results, metric).items() if title != "encoder"}
    columns = {**arms, **whole}
    rows = head(["network", "seeds", "queries", "best baseline without a graph network", *columns, "against it"])
    for name, by_arm in results.items():
        runs, (column, best) = by_arm[BASE], _best(by_arm, metric, buckets)
        queries = np.mean([len(run.of(metric, buckets)) for run in runs])
        found = [mean(by_arm, column, buckets) for column in columns.values()]
        gain = f"{100 * (found[-1] / best - 1):+.1f}%" if best else "–"
        shown = " | ".join(f"{value:.4f}" for value in found)
        rows.append(f"| {name} | {len(runs)} | {queries:,.0f} | {best:.4f} ({_title(column)}) | {shown} | {gain} |")
    return rows


def degree_table(results: Results) -> list[str]:
    """A row a bucket: what each arm, the system and the best baseline of each network find in the mean."""
    by_arm = next(iter(results.values()))
    columns = {f"`{arm}`": (arm, f"encoder/{METRIC}") for arm in by_arm} | {
        f"system, {title}": column for title, column in system(results).items() if title != "encoder"
    }
    rows = head(["friends", "networks", "best baseline", *columns])
    for number, bucket in enumerate(DEGREE_BUCKETS):
        asked = asking(results, number)
        means = [_average(asked, column, [number]) for column in (None, *columns.values())]
        rows.append(f"| {bucket} | {len(asked)} | {' | '.join(f'{value:.4f}' for value in means)} |")
    return rows


def value_table(results: Results, columns: Mapping[str, Column]) -> list[str]:
    """A row a network: what each column finds in the mean over seeds."""
    rows = head(["network", *columns])
    for name, by_arm in results.items():
        cells = [f"{mean(by_arm, column):.4f}" for column in columns.values()]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def gap_table(results: Results, pairs: Mapping[str, tuple[Column, Column]], buckets: Sequence[int] = ()) -> list[str]:
    """A row a network, and one for their mean: by how much the first of each pair finds more than the second."""
    rows = head(["network", *pairs])
    samples = {name: [relative(by_arm, *pair, buckets) for pair in pairs.values()] for name, by_arm in results.items()}
    queries = {
        name: [len(run.of(METRIC, buckets)) for run in next(iter(one.values()))] for name, one in results.items()
    }
    many = [name for name, counts in queries.items() if np.mean(counts) >= FEW]
    if many:
        samples[f"**mean of {len(many)}**"] = list(np.mean([samples[name] for name in many], axis=0))
    for name, found in samples.items():
        rows.append(f"| {name} | {' | '.join(map(interval, found))} |")
    return rows


def relative(
    by_arm: Mapping[str, Sequence[Found]], one: Column, other: Column, buckets: Sequence[int] = ()
) -> np.ndarray:
    """The relative difference in percent: first as it is, then of bootstrap samples of seeds and of queries in them.

    NaN where there is nothing to be relative to.
    Runs are paired by their seeds, and those of a seed that the other arm lacks left out. Raises `ArtifactError` where
    two of one seed were asked for other queries.
    """
    others = {run.settings["seed"]: run for run in by_arm[other[0]]}
    runs = [(run, others[run.settings["seed"]]) for run in by_arm[one[0]] if run.settings["seed"] in others]
    if any(run.asked != base.asked for run, base in runs):
        raise ArtifactError(
            f"Runs of {one[0]} and {other[0]} of one seed were not asked the same: they were made of other tables, or "
            "split by other code. Delete the records of one of them, and run it again."
        )
    shared = len({run.asked for run, _ in runs}) == 1
    tables = [np.stack([run.values[one[1]], base.values[other[1]]], axis=1) for run, base in runs]
    tables = restrict(tables, [run.among(buckets) for run, _ in runs], shared=shared)
    if not any(map(len, tables)):
        return np.full(RESAMPLES + 1, np.nan)
    samples = bootstrap_means_over_seeds(tables, resamples=RESAMPLES, seed=len(tables[0]), shared=shared)
    whole = [found.value for found in summarize_means(tables, samples, confidence=0.95)]
    both = np.concatenate([[whole], samples])
    return 100 * (both[:, 0] / np.where(both[:, 1] > 0, both[:, 1], np.nan) - 1)


def _side_by_side(networks: Sequence[T]) -> dict[str, Sequence[T]]:
    """The networks of each chart, by its name."""
    firsts = range(0, len(networks), TOGETHER)
    return {f"network-{number}": networks[first : first + TOGETHER] for number, first in enumerate(firsts, 1)}


def _best(by_arm: Mapping[str, Sequence[Found]], metric: str, buckets: Sequence[int] = ()) -> tuple[Column, float]:
    """The baseline among those that the base's runs judged which finds most in the mean over seeds."""
    columns = [(BASE, f"{name}/{metric}") for name in by_arm[BASE][0].report["baselines"]]
    values = {column: mean(by_arm, column, buckets) for column in columns}
    best = max(values, key=values.__getitem__)
    return best, values[best]


def _title(column: Column) -> str:
    return NAMES[column[1].split("/")[0]]


def mean(by_arm: Mapping[str, Sequence[Found]], column: Column, buckets: Sequence[int] = ()) -> float:
    """The mean over seeds of what a column finds; 0 where no query is in these buckets."""
    kept = [run.of(column[1], buckets) for run in by_arm[column[0]]]
    return float(np.mean([values.mean() for values in kept if len(values)] or [0.0]))


def _average(
    some: Sequence[Mapping[str, Sequence[Found]]], column: Column | None, buckets: Sequence[int] = ()
) -> float:
    """The mean over networks of a column; of the best baseline of each without one."""
    means = [_best(one, METRIC, buckets)[1] if column is None else mean(one, column, buckets) for one in some]
    return float(np.mean(means)) if means else np.nan


def interval(samples: np.ndarray, unit: str = "") -> str:
    """What `relative` gives, with the middle 95% of those of its samples that are numbers."""
    if np.isnan(samples[0]):
        return "–"
    low, high = middle(samples[1:], 0.95)
    return f"{samples[0]:+.1f}{unit} [{low:+.1f}, {high:+.1f}]"


def head(titles: Sequence[str]) -> list[str]:
    """The first two lines of a table in Markdown."""
    return [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
