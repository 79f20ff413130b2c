"""Building an index, and measuring what it finds."""

from dataclasses import replace
from typing import Literal, NamedTuple

import faiss
import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy import ndarray
from pydantic import Field, PositiveInt

from amity.errors import IndexingError
from amity.graph import Adjacency
from amity.index.approximate import ApproximateIndex
from amity.index.exact import ExactIndex, exact_index
from amity.index.hits import Index, nothing_excluded
from amity.index.hnsw import HnswConfig, build_hnsw
from amity.index.ivf import IvfConfig, build_ivf
from amity.index.ivfpq import IvfpqConfig, build_ivfpq
from amity.section import Section

EXACT_UP_TO = 1_000_000
"""Up to so many candidates `auto` compares with everyone: some 2 ms of one core for a query, and nothing to build."""
DIALS = {
    "hnsw": ("ef_search", "ef_construction"),
    "ivf": ("probes",),
    "ivfpq": ("probes", "rerank", "code_bytes"),
}
"""What makes each kind find more."""


class IndexConfig(Section):
    """Settings of the index that candidates are searched in."""

    kind: Literal["auto", "exact", "hnsw", "ivf", "ivfpq"] = "auto"
    """`exact` compares with everyone; `ivfpq` is small, quick to build and quick to search; `ivf` and `hnsw` hold a
    second copy of all vectors in memory. `auto` is exact up to 1,000,000 candidates; beyond it is `ivfpq`, and doubles
    its `probes` until it finds its target."""
    target_recall: float = Field(default=0.95, ge=0, le=1)
    """The share of the exact lists that an approximate index must find, or it is refused."""
    measured_k: PositiveInt = 50
    """The length of the lists by which that is measured."""
    measured_queries: PositiveInt = 1000
    """How many candidates, drawn at random, ask for those lists."""
    hnsw: HnswConfig = HnswConfig()
    """Settings of `hnsw`."""
    ivf: IvfConfig = IvfConfig()
    """Settings of `ivf`."""
    ivfpq: IvfpqConfig = IvfpqConfig()
    """Settings of `ivfpq`."""

    def kind_for(self, num_candidates: int) -> Literal["exact", "hnsw", "ivf", "ivfpq"]:
        """The kind that so many candidates get."""
        if self.kind == "auto":
            return "exact" if num_candidates <= EXACT_UP_TO else "ivfpq"
        return self.kind


def build_index(
    vectors: Float[ndarray, "candidates dim"],
    config: IndexConfig,
    *,
    seed: int,
    asking: Float[ndarray, "queries dim"] | None = None,
    device: torch.device | str = "cpu",
    numbers: Int64[ndarray, "candidates"] | None = None,
) -> Index:
    """Index vectors by inner product; they may be memory-mapped, and are not copied but to a GPU that is to help.

    Its recall is measured by vectors drawn from `asking`, where other nodes than the candidates will ask. `numbers` are
    what lists call candidates and what their ties fall by, where that is not their position.
    The same vectors, config and seed give the same index (for HNSW see `build_hnsw`).
    Raises `IndexingError` for vectors that cannot be compared, and for an index that misses its target recall.
    """
    exact = exact_index(vectors, seed=seed, device=device, numbers=numbers)
    kind = config.kind_for(len(exact.vectors))
    if kind == "exact":
        return exact
    index = _approximate(exact, config, kind)
    exam = _set_exam(exact, config, asking)
    recall = _recall(index, exam)
    while config.kind == "auto" and recall < config.target_recall and (harder := _harder(index)):
        index, recall = harder, _recall(harder, exam)
    if recall < config.target_recall:
        raise IndexingError(_missed(recall, config, kind))
    return replace(index, recall=recall)


def draw_measuring(count: int, config: IndexConfig, *, seed: int) -> Int64[ndarray, "measuring"]:
    """Who of so many are to measure recall."""
    return np.random.default_rng(seed).choice(count, min(config.measured_queries, count), replace=False)


class _Exam(NamedTuple):
    """Queries, and the score that the last of each exact list has."""

    queries: Float[ndarray, "queries dim"]
    excluded: Adjacency
    names: Int64[ndarray, "queries"]
    length: int
    least: Float32[ndarray, "queries 1"]


def _set_exam(exact: ExactIndex, config: IndexConfig, asking: Float[ndarray, "queries dim"] | None) -> _Exam:
    """Queries drawn from `asking`, or from the candidates, who then do not get themselves."""
    vectors = exact.vectors if asking is None else asking
    drawn = draw_measuring(len(vectors), config, seed=exact.seed)
    oneself = Adjacency(np.arange(len(drawn) + 1), drawn) if asking is None else nothing_excluded(len(drawn))
    length = min(config.measured_k, len(exact.vectors) - (asking is None))
    truth = exact.search(vectors[drawn], k=max(1, length), excluded=oneself, names=drawn)
    return _Exam(vectors[drawn], oneself, drawn, length, truth.scores[:, -1:])


def _recall(index: ApproximateIndex, exam: _Exam) -> float:
    """The share of the exact lists that an index finds; 1 where there is nobody to find.

    A candidate that scores as high as the last of the exact list counts as found, so that equal scores do not matter.
    """
    if exam.length == 0 or len(exam.queries) == 0:
        return 1.0
    found = index.search(exam.queries, k=exam.length, excluded=exam.excluded, names=exam.names)
    return float((found.scores >= exam.least).mean())


def _approximate(exact: ExactIndex, config: IndexConfig, kind: Literal["hnsw", "ivf", "ivfpq"]) -> ApproximateIndex:
    about = {"longest": exact.longest, "seed": exact.seed}
    if kind == "hnsw":
        return ApproximateIndex(exact, *build_hnsw(exact.vectors, config.hnsw, **about), config.hnsw)
    if kind == "ivf":
        return ApproximateIndex(exact, *build_ivf(exact.vectors, config.ivf, **about), config.ivf)
    return ApproximateIndex(exact, *build_ivfpq(exact.vectors, config.ivfpq, **about), config.ivfpq)


def _harder(index: ApproximateIndex) -> ApproximateIndex | None:
    """The same index, which reads twice as many lists; None where it reads them all."""
    assert isinstance(index.config, IvfpqConfig)
    assert isinstance(index.proposer, faiss.IndexIVF)
    if index.config.probes >= index.proposer.nlist:
        return None
    return replace(index, config=index.config.model_copy(update={"probes": 2 * index.config.probes}))


def _missed(recall: float, config: IndexConfig, kind: str) -> str:
    futile = {"probes"} if config.kind == "auto" else set()  # All lists were read in the end.
    left = [name for name in DIALS[kind] if name not in futile]
    dials = ", ".join(f"index.{kind}.{name} ({getattr(getattr(config, kind), name)})" for name in left)
    return (
        f"The {kind} index finds {recall:.1%} of the exact lists of {config.measured_k}, and "
        f"index.target_recall asks for {config.target_recall:.1%}. Raise one of {dials}, lower the target, "
        'or search with index.kind = "exact".'
    )
