"""Runs side by side: differences paired by seed and by query, on the same queries and the same truth."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from amity.errors import ArtifactError, ConfigError
from amity.evaluation.evaluate import Evaluation, EvaluationConfig, Tables, by_degree
from amity.evaluation.statistics import Estimate, bootstrap_means_over_seeds, holm, middle, p_value, summarize_means
from amity.graph import Adjacency, Graph
from amity.kernels import kernel, mix

IDENTITY = ("query", "truth")
"""Columns that must be the same in two runs for their values to be compared."""
COLUMNS = (*IDENTITY, "degree", "num_targets")
"""Columns that are not metrics."""


def per_query_table(
    evaluation: Evaluation, graph: Graph, truth: Adjacency, beside: Mapping[str, Evaluation] | None = None
) -> pa.Table:
    """The values of each query, to be kept for later comparisons.

    Columns: `query`, its raw id; `truth`, a hash of the raw ids of its held-out targets; `degree`, `num_targets`;
    one float64 column a metric; and one a metric of each evaluation of the same queries `beside`, as `ppr/recall@50`.
    """
    rows, kind = evaluation.queries, graph.candidates
    return pa.table(
        {
            "query": graph.queries.vocabulary.ids(rows - graph.queries.first),
            "truth": _hash_truth(rows, truth.indptr, truth.indices, kind.vocabulary.keys, kind.first),
            "degree": evaluation.degrees,
            "num_targets": evaluation.num_targets,
            **evaluation.values,
            **{
                f"{name}/{metric}": values
                for name, one in (beside or {}).items()
                for metric, values in one.values.items()
            },
        }
    )


def write_per_query(
    evaluation: Evaluation,
    graph: Graph,
    truth: Adjacency,
    path: Path,
    beside: Mapping[str, Evaluation] | None = None,
) -> None:
    """Write `per_query_table` as Parquet."""
    pq.write_table(per_query_table(evaluation, graph, truth, beside), path, compression="zstd")


def read_per_query(path: Path) -> pa.Table:
    """Read what `write_per_query` wrote; raises `ArtifactError` where the file is not such a table."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path} cannot be read as Parquet ({error}). Evaluate that run again.") from error
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise ArtifactError(
            f"{path} holds no {' and no '.join(missing)} column, so it does not tell what each query found. "
            "Evaluate that run again."
        )
    return table


def compare(
    arms: Mapping[str, Mapping[int, pa.Table]], config: EvaluationConfig | None = None, *, seed: int = 0
) -> dict[str, Any]:
    """What each arm finds, and by how much it differs from the first, seed by seed and query by query.

    `arms` holds by the name of an arm, and by the seed of each of its runs, the tables of `per_query_table`. Seeds may
    have queries of their own (a random split hangs on the seed): arms are paired within a seed, and a mean is over
    seeds of means over queries. Intervals are of the bootstrap over seeds and over queries within them, or beside them
    where these are the same under all seeds; over queries alone where there is one seed. Only metrics that all runs
    have are compared; of these not `mrr`, which hangs on the length of the whole list, where runs had lists of
    different lengths. Buckets go by the degree in the first arm. Returns

        {"arms": [...], "seeds": [...], "queries": ..., "family": {...},
         "metrics": {arm: {metric: estimate}}, "differences": {arm: {metric: estimate}}}

    with estimates as in `report.json`. Differences also have `relative`, in percent of the first arm's mean and
    resampled with it, and `p`, of that difference alone. The *family* is what claims may rest on: recall at the
    headline length of every arm but the first against the first, over all queries and in each degree bucket that has
    any. In it `p_adjusted` is Holm's, for as many comparisons as the family holds; nothing else is adjusted.

    Raises `ConfigError` where arms have other seeds, or two runs of one seed were not asked the same.
    """
    config = config or EvaluationConfig()
    metrics = _check(arms, f"recall@{config.headline}")
    first, *others = arms
    seeds = sorted(arms[first])
    columns = [(name, metric) for name in arms for metric in metrics]
    tables = [np.column_stack([arms[name][one][metric].to_numpy() for name, metric in columns]) for one in seeds]
    degrees = [arms[first][one]["degree"].to_numpy() for one in seeds]
    shared = ask_the_same([arms[first][one] for one in seeds])
    entries = by_degree(
        lambda parts: _describe(parts, len(metrics), config, seed=seed, shared=shared), tables, degrees, shared=shared
    )
    named = iter(entries)
    found = {name: {metric: next(named) for metric in metrics} for name in arms}
    differences = {name: {metric: next(named) for metric in metrics} for name in others}
    family = _describe_family(differences, f"recall@{config.headline}", first)
    about = {"arms": list(arms), "seeds": seeds, "queries": sum(map(len, tables)), "family": family}
    return {**about, "metrics": found, "differences": differences}


def adjust(differences: Iterable[dict[str, Any]]) -> int:
    """Give p values adjusted by Holm to differences and, `by_degree`, their buckets; how many comparisons these are."""
    entries = [one for entry in differences for one in (entry, *entry["by_degree"].values())]
    family = [entry for entry in entries if entry["p"] is not None]
    for entry, adjusted in zip(family, holm(np.array([entry["p"] for entry in family])), strict=True):
        entry["p_adjusted"] = float(adjusted)
    return len(family)


def refuse_unpaired(arms: Mapping[str, Mapping[int, pa.Table]]) -> None:
    """Raise `ConfigError` where arms have other seeds, or two runs of one seed were not asked the same."""
    first, *others = arms
    for name in others:
        _refuse_other_seeds(first, sorted(arms[first]), name, sorted(arms[name]))
        for seed, table in arms[first].items():
            _refuse_unlike(first, table, name, arms[name][seed], seed=seed)


def ask_the_same(tables: Sequence[pa.Table]) -> bool:
    """Whether runs have the same queries with the same truth, row by row, as those of several seeds may."""
    first, *others = (table.select(list(IDENTITY)) for table in tables)
    return all(table.equals(first) for table in others)


def _describe(
    tables: Tables, num_metrics: int, config: EvaluationConfig, *, seed: int, shared: bool
) -> list[dict[str, Any]]:
    """Estimates of the columns, those of the first arm first, and then of the others' differences from the first."""
    gaps = [
        table[:, num_metrics:] - np.tile(table[:, :num_metrics], len(table.T) // num_metrics - 1) for table in tables
    ]
    whole = [np.hstack([table, gap]) for table, gap in zip(tables, gaps, strict=True)]
    means = bootstrap_means_over_seeds(whole, resamples=config.resamples, seed=seed, shared=shared)
    estimates = summarize_means(whole, means, confidence=config.confidence)
    entries = [one.to_json() for one in estimates]
    for column in range(len(tables[0].T), len(entries)):
        base = column % num_metrics
        value = _percent(estimates[column].value, estimates[base].value)
        limits = middle(_percent(means[:, column], means[:, base]), config.confidence)
        relative = Estimate(float(value), *limits, estimates[column].queries)
        p = p_value(means[:, column])
        entries[column] |= {"relative": relative.to_json(), "p": None if np.isnan(p) else p}
    return entries


def _describe_family(differences: dict[str, dict[str, Any]], headline: str, first: str) -> dict[str, Any]:
    """What the adjusted p values are of."""
    found = [one[headline] for one in differences.values()]
    buckets = [bucket for bucket, entry in found[0]["by_degree"].items() if entry["queries"]]
    return {"metric": headline, "against": first, "arms": list(differences), "degrees": buckets, "size": adjust(found)}


def _percent(gap: Any, base: Any) -> Any:
    """NaN where there is nothing to be relative to."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(base) > 0, 100 * np.divide(gap, base), np.nan)


def _check(arms: Mapping[str, Mapping[int, pa.Table]], headline: str) -> list[str]:
    """Refuse arms that cannot be paired; the metrics that all runs have."""
    if len(arms) < 2:
        raise ConfigError(
            f"A comparison needs two runs or more, and there is {next(iter(arms), 'none')}. Name another: "
            "RUN, or ARM=RUN,RUN for runs that differ by their seed."
        )
    refuse_unpaired(arms)
    tables = [table for arm in arms.values() for table in arm.values()]
    metrics = [name for name in tables[0].column_names if name not in COLUMNS and "/" not in name]
    shared = [name for name in metrics if all(name in table.column_names for table in tables)]
    if len(set(map(_depth, tables))) > 1:
        shared = [name for name in shared if name != "mrr"]
    if headline not in shared:
        raise ConfigError(
            f"These runs cannot be compared by {headline}, the headline of the first: not all have measured it. "
            "Evaluate them with the same `evaluation.k` and `evaluation.headline`."
        )
    return shared


def _depth(table: pa.Table) -> int:
    """How long the lists were by which a run was judged: as the longest recall."""
    return max((int(name[7:]) for name in table.column_names if name.startswith("recall@")), default=0)


def _refuse_other_seeds(first: str, seeds: list[int], name: str, others: list[int]) -> None:
    if seeds != others:
        raise ConfigError(
            f"{first} and {name} cannot be compared: runs are paired by their seed, and {first} has "
            f"{_list(seeds)}, {name} {_list(others)}. Give both a run of each seed."
        )


def _list(seeds: list[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _refuse_unlike(first_name: str, first: pa.Table, name: str, table: pa.Table, *, seed: int) -> None:
    if len(first) != len(table) or not first["query"].equals(table["query"]):
        raise ConfigError(
            f"{first_name} and {name} cannot be compared: they were asked about different queries ({len(first):,} and "
            f"{len(table):,} under seed {seed}). Evaluate both on the same data, with the same seed and the same "
            "`evaluation.queries`."
        )
    unlike = np.count_nonzero(first["truth"].to_numpy() != table["truth"].to_numpy())
    if unlike:
        raise ConfigError(
            f"{first_name} and {name} cannot be compared: for {unlike:,} of {len(first):,} queries different targets "
            "were held out. Split both in the same way, from the same data and with the same seed."
        )


@kernel
def _hash_truth(queries, indptr, indices, keys, first):
    """A sum of hashes of raw ids, so that the order of the rows does not matter; `keys[0]` is that of row `first`."""
    hashes = np.zeros(len(queries), np.int64)
    for i in range(len(queries)):
        for edge in range(indptr[queries[i]], indptr[queries[i] + 1]):
            hashes[i] += mix(keys[indices[edge] - first])
    return hashes
