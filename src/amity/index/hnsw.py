"""HNSW: greedy walks on a layered graph of near neighbours (Malkov and Yashunin, 1603.09320), by faiss."""

import faiss
from jaxtyping import Float
from numpy import ndarray
from pydantic import Field, PositiveInt

from amity.index.reduction import Reduction, reduce
from amity.index.threads import faiss_threads, threads_for
from amity.section import Section


class HnswConfig(Section):
    """Settings of the HNSW index."""

    m: int = Field(default=32, ge=2, le=512)
    """Neighbours a candidate has on the upper layers; twice as many on the lowest."""
    ef_construction: PositiveInt = 200
    """How many candidates a walk keeps while the graph is built; more is slower to build and finds more."""
    ef_search: PositiveInt = 128
    """How many candidates a walk keeps during a search, or k where that is more; more is slower and finds more."""

    def fetch(self, wanted: int) -> int:
        """How many candidates to fetch for lists of that length: one more, to see whether the last place is tied."""
        return wanted + 1

    def effort(self, proposer: faiss.Index, fetched: int, widening: int) -> faiss.SearchParameters:
        """How hard faiss searches for that many candidates."""
        return faiss.SearchParametersHNSW(  # pyright: ignore[reportAttributeAccessIssue]
            efSearch=min(widening * max(self.ef_search, fetched), proposer.ntotal)
        )


def build_hnsw(
    vectors: Float[ndarray, "candidates dim"], config: HnswConfig, *, longest: float, seed: int
) -> tuple[faiss.Index, Reduction]:
    """The graph over all candidates.

    The same vectors and seed give the same graph up to `ONE_THREAD_UP_TO` candidates. Beyond, all threads build it
    together, and two builds may differ in a few edges.
    """
    reduction = reduce(vectors, longest=longest)
    index = faiss.IndexHNSWFlat(reduction.width, config.m)
    index.hnsw.efConstruction = config.ef_construction
    index.hnsw.rng = faiss.RandomGenerator(seed)  # pyright: ignore[reportAttributeAccessIssue]
    with faiss_threads(threads_for(vectors)):
        for chunk in reduction.chunks(vectors):
            index.add(chunk)
    return index, reduction
