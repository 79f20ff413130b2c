"""One index per cluster: K searches and their merge against one search over everybody, at equal recall@100.

    python benchmarks/bench_divided.py --json

The vectors are those of `bench_index.py`: they look trained. k-means divides them into K clusters of unequal sizes,
with one index each. "One index" is the same kind of index over all vectors; both exclude 30 of the candidates that each
query would find. Exact indexes find the same lists. For approximate ones the probes (or `ef_search`) of each side are
raised, twofold in two steps, until the recall of its lists against exact search reaches 0.98; the row tells both.
"Weighed" merges by calibrated scores with alpha 0.5, for which the mass of every cluster is computed too. Runs
alternate, on the same threads; a ratio of 0.83 is 1.2 times the time.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import faiss
import numba
import numpy as np
import torch

from amity.clustering import Clusters
from amity.graph import Adjacency
from amity.index import DividedIndex, Index, IndexConfig, build_divided, build_index, nothing_excluded
from amity.index.approximate import ApproximateIndex
from amity.index.hits import Hits
from amity.index.hnsw import HnswConfig
from amity.retrieval.asking import Confidence, Question, ask_for
from amity.retrieval.merging import MergeConfig, merge
from bench_index import ENOUGH, EXCLUDED, K, in_words, look_trained
from measure import Row, options, paired, rate, show

TEMPERATURE = 0.1
NO_GROUPS = np.zeros(1, np.int64)

Search = Callable[[], Hits]


def main() -> None:
    given = read_options()
    numba.set_num_threads(min(given.threads, numba.get_num_threads()))
    faiss.omp_set_num_threads(given.threads)
    torch.set_num_threads(given.threads)
    rows = []
    for size in given.sizes:
        num_candidates, dim = map(int, size.split("x"))
        vectors = look_trained(num_candidates, dim, spread=0.6)
        for count in given.clusters:
            clusters = divide(vectors, count)
            for kind in given.kinds:
                rows += measure(vectors, clusters, kind, given)
    show(rows, as_json=given.json)


def read_options() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--sizes", nargs="+", default=["200000x64"], metavar="CANDIDATESxDIM")
    parser.add_argument("--clusters", nargs="+", type=int, default=[10])
    parser.add_argument("--kinds", nargs="+", default=["exact", "ivfpq", "hnsw"])
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def divide(vectors: np.ndarray, count: int) -> Clusters:
    """By k-means, as trained embeddings would be."""
    kmeans = faiss.Kmeans(vectors.shape[1], count, niter=5, seed=1)
    kmeans.train(vectors)
    assert kmeans.index is not None
    of = kmeans.index.search(vectors, 1)[1][:, 0].astype(np.int32)  # pyright: ignore[reportCallIssue]
    return Clusters(of, tuple(map(str, range(count))))


def measure(vectors: np.ndarray, clusters: Clusters, kind: str, given: argparse.Namespace) -> list[Row]:
    """The rows of one kind."""
    queries = vectors[np.random.default_rng(1).choice(len(vectors), given.queries, replace=False)]
    exact = build_index(vectors, IndexConfig(kind="exact"), seed=0)
    best = exact.search(queries, k=2 * EXCLUDED, excluded=nothing_excluded(len(queries))).rows[:, ::2]
    barred = Adjacency(np.arange(len(queries) + 1) * EXCLUDED, np.sort(best, axis=1).ravel())
    least = exact.search(queries, k=K, excluded=barred).scores[:, -1:]
    config = IndexConfig.model_validate({"kind": kind, "target_recall": 0, "measured_queries": 1})

    whole, found_by_one = dial(
        build_index(vectors, config, seed=0), lambda index: index.search(queries, k=K, excluded=barred), least
    )
    divided, found_by_many = dial(
        build_divided(vectors, clusters, config, seed=0),
        lambda index: search_divided(index, vectors, queries, barred, alpha=1.0),
        least,
    )
    what = f"{in_words(len(vectors))} x {vectors.shape[1]} in {clusters.count} {kind} indexes"
    recalls = "" if kind == "exact" else f", recall {found_by_many:.3f} and {found_by_one:.3f}"
    peers = {"one index": 1.0, "one index, weighed:": 0.5}
    return [
        rate(
            f"{peer} {what}{recalls}",
            "queries/s",
            len(queries),
            paired(
                lambda alpha=alpha: search_divided(divided, vectors, queries, barred, alpha=alpha),
                lambda: whole.search(queries, k=K, excluded=barred),
                repeats=given.repeats,
            ),
        )
        for peer, alpha in peers.items()
    ]


def search_divided(
    index: DividedIndex, vectors: np.ndarray, queries: np.ndarray, barred: Adjacency, *, alpha: float
) -> Hits:
    """The merged lists of all clusters, as `DividedRetriever` makes them."""
    question = Question((queries,) * index.clusters.count, None, barred, np.arange(len(queries)))
    config = MergeConfig(alpha=alpha)
    answers = ask_for(index, question, [config], k=K, confidence=Confidence(TEMPERATURE))
    return merge(answers, config, k=K, temperature=TEMPERATURE, vectors=vectors, groups=NO_GROUPS).hits


def dial(index: Any, search: Callable[[Any], Hits], least: np.ndarray) -> tuple[Any, float]:
    """The index with the least effort that finds enough, and what it finds."""
    for trial in efforts(index):
        recall = float((search(trial).scores >= least).mean())
        if recall >= ENOUGH:
            break
    return trial, recall


def efforts(index: Index | DividedIndex) -> Iterator[Index | DividedIndex]:
    """The same index, searched harder and harder."""
    for step in range(24):
        if isinstance(index, DividedIndex):
            yield replace(index, parts=tuple(harder(part, step) for part in index.parts))
        else:
            yield harder(index, step)


def harder(index: Index, step: int) -> Index:
    """The same index, with 2^(step / 2) times the least effort; an exact one as it is."""
    if not isinstance(index, ApproximateIndex):
        return index
    name, least = ("ef_search", 32) if isinstance(index.config, HnswConfig) else ("probes", 4)
    return replace(index, config=index.config.model_copy(update={name: round(least * 2 ** (step / 2))}))


if __name__ == "__main__":
    main()
