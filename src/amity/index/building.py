"""Building an index, and measuring what it finds."""

from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import Field, PositiveInt

from amity.errors import IndexingError
from amity.graph import Adjacency
from amity.index.approximate import ApproximateIndex
from amity.index.exact import exact_index
from amity.index.hits import Index, nothing_excluded
from amity.index.hnsw import HnswConfig, build_hnsw
from amity.index.ivfpq import IvfpqConfig, build_ivfpq
from amity.section import Section


class IndexConfig(Section):
    """Settings of the index that candidates are searched in."""

    kind: Literal["exact", "hnsw", "ivfpq"] = "exact"
    """`exact` compares with everyone; `hnsw` is fast and holds a second copy in memory; `ivfpq` is small."""
    target_recall: float = Field(default=0.95, ge=0, le=1)
    """The share of the exact lists that an approximate index must find, or it is refused."""
    measured_k: PositiveInt = 50
    """The length of the lists by which that is measured."""
    measured_queries: PositiveInt = 1000
    """How many candidates, drawn at random, ask for those lists."""
    hnsw: HnswConfig = HnswConfig()
    """Settings of `hnsw`."""
    ivfpq: IvfpqConfig = IvfpqConfig()
    """Settings of `ivfpq`."""


def build_index(
    vectors: Float[ndarray, "candidates dim"],
    config: IndexConfig,
    *,
    seed: int,
    asking: Float[ndarray, "queries dim"] | None = None,
) -> Index:
    """Index vectors by inner product; they may be memory-mapped, and are not copied.

    Its recall is measured by vectors drawn from `asking`, where other nodes than the candidates will ask. The same
    vectors, config and seed give the same index (for HNSW see `build_hnsw`).
    Raises `IndexingError` for vectors that cannot be compared, and for an index that misses its target recall.
    """
    exact = exact_index(vectors, seed=seed)
    if config.kind == "exact":
        return exact
    if config.kind == "hnsw":
        built = build_hnsw(exact.vectors, config.hnsw, longest=exact.longest, seed=seed)
        index = ApproximateIndex(exact, *built, config.hnsw)
    else:
        built = build_ivfpq(exact.vectors, config.ivfpq, longest=exact.longest, seed=seed)
        index = ApproximateIndex(exact, *built, config.ivfpq)
    recall = measure_recall(index, k=config.measured_k, num_queries=config.measured_queries, asking=asking)
    if recall < config.target_recall:
        raise IndexingError(_missed(recall, config))
    return replace(index, recall=recall)


def measure_recall(
    index: ApproximateIndex, *, k: int, num_queries: int, asking: Float[ndarray, "queries dim"] | None = None
) -> float:
    """The share of the exact lists that an index finds, for queries drawn by its seed.

    They are drawn from `asking`, or from the candidates, who then do not get themselves. A candidate that scores as
    high as the last of the exact list counts as found, so that equal scores do not matter. 1 where there is nobody to
    find.
    """
    vectors = index.vectors if asking is None else asking
    drawn = np.random.default_rng(index.exact.seed).choice(len(vectors), min(num_queries, len(vectors)), replace=False)
    oneself = Adjacency(np.arange(len(drawn) + 1), drawn) if asking is None else nothing_excluded(len(drawn))
    truth, found = (
        searched.search(vectors[drawn], k=k, excluded=oneself, names=drawn).scores for searched in (index.exact, index)
    )
    length = min(k, len(index.vectors) - (asking is None))
    if length == 0 or len(drawn) == 0:
        return 1.0
    return float((found[:, :length] >= truth[:, length - 1 : length]).mean())


def _missed(recall: float, config: IndexConfig) -> str:
    names = {"hnsw": ("ef_search", "ef_construction"), "ivfpq": ("probes", "rerank", "code_bytes")}[config.kind]
    section = config.hnsw if config.kind == "hnsw" else config.ivfpq
    dials = ", ".join(f"index.{config.kind}.{name} ({getattr(section, name)})" for name in names)
    return (
        f"The {config.kind} index finds {recall:.1%} of the exact lists of {config.measured_k}, and "
        f"index.target_recall asks for {config.target_recall:.1%}. Raise one of {dials}, lower the target, "
        'or search with index.kind = "exact".'
    )
