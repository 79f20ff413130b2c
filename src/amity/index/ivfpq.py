"""IVF-PQ: an inverted file of product-quantized vectors (Jégou, Douze and Schmid, 2011), by faiss."""

from dataclasses import replace

import faiss
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import Field, PositiveInt

from amity.index.precision import in_single
from amity.index.reduction import Reduction, reduce
from amity.index.threads import faiss_threads, threads_for
from amity.section import Section

POINTS_PER_LIST = 64
"""How many candidates for each list are drawn to place the lists."""
LEAST_POINTS = 65536
"""How many candidates are drawn at least, where there are so many; a codebook has 256 words."""


class IvfpqConfig(Section):
    """Settings of the IVF-PQ index."""

    list_size: PositiveInt = 256
    """How many candidates an inverted list holds on average; the number of lists follows."""
    code_bytes: int = Field(default=32, ge=1, le=256)
    """Bytes that stand for a vector in the lists, at most; each covers as many coordinates as the next."""
    probes: PositiveInt = 32
    """How many lists are read for a query; more is slower and finds more."""
    rerank: PositiveInt = 4
    """How many times k candidates are compared again by their true vectors."""

    def fetch(self, wanted: int) -> int:
        """How many candidates to fetch for lists of that length."""
        return self.rerank * wanted + 1

    def effort(self, fetched: int, widening: int) -> faiss.SearchParameters:
        """How hard faiss searches: at least twice as many candidates are read as are to be fetched."""
        probes = widening * max(self.probes, -(-2 * fetched // self.list_size))
        return faiss.SearchParametersIVF(nprobe=probes)  # pyright: ignore[reportCallIssue]


def build_ivfpq(
    vectors: Float[ndarray, "candidates dim"], config: IvfpqConfig, *, longest: float, seed: int
) -> tuple[faiss.Index, Reduction]:
    """The inverted file over all candidates; the same vectors and seed give the same one.

    Fewer than 256 candidates get codebooks of fewer words, as many as fit.
    """
    reduction = reduce(vectors, longest=longest)
    coordinates = -(-reduction.width // config.code_bytes)
    code_bytes = -(-reduction.width // coordinates)
    reduction = replace(reduction, width=code_bytes * coordinates)
    num_lists = -(-len(vectors) // config.list_size)
    bits = min(8, max(1, len(vectors).bit_length() - 1))
    index = faiss.IndexIVFPQ(
        faiss.IndexFlatL2(reduction.width), reduction.width, num_lists, code_bytes, bits, faiss.METRIC_L2
    )
    for parameters in (index.cp, index.pq.cp):
        parameters.seed = seed % 2**31
        parameters.min_points_per_centroid = 1  # a hint about small sets, printed past our log
    points = reduction.items(in_single(_draw(vectors, max(LEAST_POINTS, POINTS_PER_LIST * num_lists), seed)))
    with faiss_threads(threads_for(vectors)):
        index.train(np.resize(points, (max(len(points), 2), reduction.width)))  # a codebook has two words at least
        for chunk in reduction.chunks(vectors):
            index.add(chunk)
    return index, reduction


def _draw(vectors: ndarray, size: int, seed: int) -> ndarray:
    """Some of the candidates, in order, so that a memory-mapped file is read forwards."""
    if len(vectors) <= size:
        return vectors
    return vectors[np.sort(np.random.default_rng(seed).choice(len(vectors), size, replace=False))]
