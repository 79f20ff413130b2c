"""Runs side by side: paired differences on the same queries and the same truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from amity.errors import ArtifactError, ConfigError
from amity.evaluation.evaluate import Evaluation, EvaluationConfig, estimate_by_degree
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


def compare(tables: dict[str, pa.Table], config: EvaluationConfig | None = None, *, seed: int = 0) -> dict[str, Any]:
    """What each run finds, and by how much it differs from the first, query by query.

    `tables` are those of `per_query_table` by the name of the run. Only metrics that all runs have are compared.
    Buckets go by the degree in the first run. Returns

        {"queries": ..., "runs": [...], "metrics": {run: {metric: estimate}}, "differences": {run: {metric: estimate}}}

    with estimates as in `report.json`. Raises `ConfigError` where two runs were not asked the same.
    """
    config = config or EvaluationConfig()
    names = list(tables)
    if len(names) < 2:
        raise ConfigError(
            f"A comparison needs two runs or more, and there is {names[0] if names else 'none'}. Name another."
        )
    first = tables[names[0]]
    for name in names[1:]:
        _refuse_unlike(names[0], first, name, tables[name])
    own = [c for c in first.column_names if c not in COLUMNS and "/" not in c]
    shared = [c for c in own if all(c in table.column_names for table in tables.values())]
    values = {name: {metric: table[metric].to_numpy() for metric in shared} for name, table in tables.items()}
    degrees = first["degree"].to_numpy()
    gaps = {name: {m: values[name][m] - values[names[0]][m] for m in shared} for name in names[1:]}
    return {
        "queries": len(first),
        "runs": names,
        "metrics": {name: estimate_by_degree(values[name], degrees, config, seed=seed) for name in names},
        "differences": {name: estimate_by_degree(gaps[name], degrees, config, seed=seed) for name in names[1:]},
    }


def _refuse_unlike(first_name: str, first: pa.Table, name: str, table: pa.Table) -> None:
    if len(first) != len(table) or not first["query"].equals(table["query"]):
        raise ConfigError(
            f"{first_name} and {name} cannot be compared: they were asked about different queries ({len(first):,} and "
            f"{len(table):,}). Evaluate both on the same data, with the same seed and the same `evaluation.queries`."
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
