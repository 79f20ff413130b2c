"""IVF-PQ: an inverted file of product-quantized vectors, in codes of four bits that are read by shuffling registers.

Jégou, Douze and Schmid (2011), "Product quantization for nearest neighbor search"; André, Kermarrec and Le Scouarnec
(2017), "Accelerated nearest neighbor search with Quick ADC"; by faiss. A code stands for the difference between a
vector and the mean of its list, and its inner product with the query is added to that of the mean.
"""

import faiss
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import Field, PositiveInt

from amity.index.ivf import read_lists
from amity.index.lists import Lists, fill, place_lists
from amity.index.reduction import Reduction
from amity.index.threads import faiss_threads, threads_for
from amity.section import Section

WORDS = 16
"""How many words a codebook has: as many as four bits tell apart."""


class IvfpqConfig(Section):
    """Settings of the IVF-PQ index."""

    list_size: PositiveInt = 64
    """How many candidates a list holds on average, at least: there are at most 4 √candidates lists, and 65,536."""
    code_bytes: int = Field(default=32, ge=1, le=256)
    """Bytes that stand for a vector in the lists, at most: two codes each, and a code covers at least a coordinate."""
    probes: PositiveInt = 64
    """How many lists are read for a query; more is slower and finds more."""
    rerank: PositiveInt = 4
    """How many times k candidates are compared again by their true vectors."""

    def fetch(self, wanted: int) -> int:
        """How many candidates to fetch for lists of that length."""
        return self.rerank * wanted + 1

    def effort(self, proposer: faiss.Index, fetched: int, widening: int) -> faiss.SearchParameters:
        """How hard faiss searches for that many candidates."""
        return read_lists(proposer, fetched, widening * self.probes)


def build_ivfpq(
    vectors: Float[ndarray, "candidates dim"], config: IvfpqConfig, *, longest: float, seed: int
) -> tuple[faiss.Index, Reduction]:
    """The inverted file over all candidates; the same vectors and seed give the same one."""
    coordinates = -(-vectors.shape[1] // (2 * config.code_bytes))
    codes = -(-vectors.shape[1] // coordinates)
    reduction = Reduction(longest, extended=False, width=codes * coordinates)
    with faiss_threads(threads_for(vectors)):
        lists = place_lists(vectors, list_size=config.list_size, width=reduction.width, seed=seed)
        index = faiss.IndexIVFPQFastScan(
            faiss.IndexFlatIP(reduction.width), reduction.width, len(lists.means), codes, 4, faiss.METRIC_INNER_PRODUCT
        )
        index.by_residual = True  # without it, half as many are found
        index.pq.cp.seed = seed % 2**31
        index.pq.cp.min_points_per_centroid = 1  # a hint about small sets, printed past our log
        enough = np.resize(lists.points, (max(len(lists.points), WORDS), reduction.width))
        fill(index, Lists(lists.means, enough), reduction.chunks(vectors))
    return index, reduction
