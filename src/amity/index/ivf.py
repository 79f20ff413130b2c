"""IVF: an inverted file of whole vectors (Jégou, Douze and Schmid, 2011), by faiss."""

import faiss
from jaxtyping import Float
from numpy import ndarray
from pydantic import PositiveInt

from amity.index.lists import fill, place_lists
from amity.index.reduction import Reduction
from amity.index.threads import faiss_threads, threads_for
from amity.section import Section


class IvfConfig(Section):
    """Settings of the IVF index."""

    list_size: PositiveInt = 64
    """How many candidates a list holds on average, at least: there are at most 4 √candidates lists, and 65,536."""
    probes: PositiveInt = 64
    """How many lists are read for a query; more is slower and finds more."""

    def fetch(self, wanted: int) -> int:
        """How many candidates to fetch for lists of that length: one more, to see whether the last place is tied."""
        return wanted + 1

    def effort(self, proposer: faiss.Index, fetched: int, widening: int) -> faiss.SearchParameters:
        """How hard faiss searches for that many candidates."""
        return read_lists(proposer, fetched, widening * self.probes)


def read_lists(proposer: faiss.Index, fetched: int, probes: int) -> faiss.SearchParameters:
    """Read that many lists, or as many more as hold twice what is to be fetched."""
    assert isinstance(proposer, faiss.IndexIVF)
    enough = -(-2 * fetched * proposer.nlist // proposer.ntotal)
    # Beyond all lists, faiss counts missing ones into the scale of its four-bit codes, and finds nearly nobody.
    probes = min(max(probes, enough), proposer.nlist)
    return faiss.SearchParametersIVF(nprobe=probes)  # pyright: ignore[reportCallIssue]


def build_ivf(
    vectors: Float[ndarray, "candidates dim"], config: IvfConfig, *, longest: float, seed: int
) -> tuple[faiss.Index, Reduction]:
    """The inverted file over all candidates; the same vectors and seed give the same one."""
    reduction = Reduction(longest, extended=False, width=vectors.shape[1])
    with faiss_threads(threads_for(vectors)):
        lists = place_lists(vectors, list_size=config.list_size, width=reduction.width, seed=seed)
        index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(reduction.width), reduction.width, len(lists.means), faiss.METRIC_INNER_PRODUCT
        )
        fill(index, lists, reduction.chunks(vectors))
    return index, reduction
