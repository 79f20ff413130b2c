"""What lists are worth: recall, hit rate, NDCG and MRR of each query; coverage, Gini and similarity of all lists.

Lists are rows of the graph, best first, -1 where a list has ended; the truth is an adjacency whose row is the query.
"""

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Integer, Num
from numpy import ndarray

from amity.graph import Adjacency
from amity.index.ranking import contains
from amity.kernels import kernel, shared
from amity.splitting.streams import find_edge

Lists = Integer[ndarray, "queries k"]
"""Rows of the graph, best first, -1 where the list has ended."""
Relevance = Bool[ndarray, "queries k"]
"""Whether each place of a list holds one of the truth."""
Sizes = Int64[ndarray, "queries"]
"""How many targets each query has in the truth."""
PerQuery = Float64[ndarray, "queries"]
"""One number a query."""


def find_truth(lists: Lists, queries: Int64[ndarray, "queries"], truth: Adjacency) -> Int64[ndarray, "queries k"]:
    """The edge of the truth that each place of a list has found, a position in `truth.indices`; -1 where it is none."""
    found = np.full(lists.shape, -1, np.int64)
    shared(_find_truth, len(queries), lists, queries, truth.indptr, truth.indices, found)
    return found


def recall(relevant: Relevance, sizes: Sizes, k: int) -> PerQuery:
    """Hits among the first k / targets; NaN where there is no target."""
    return _ratio(relevant[:, :k].sum(axis=1), sizes)


def hit_rate(relevant: Relevance, k: int) -> PerQuery:
    """1 where any of the first k is a target, else 0."""
    return np.where(relevant[:, :k].any(axis=1), 1.0, 0.0)


def ndcg(relevant: Relevance, sizes: Sizes, k: int) -> PerQuery:
    """Discounted gain, the sum over hits of 1 / log2(1 + place), over the same of the best list there can be.

    The best list begins with min(k, targets) targets. NaN where there is no target. Järvelin and Kekäläinen (2002).
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    best = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(sizes, k)]
    return _ratio(relevant[:, :k] @ discounts[: relevant.shape[1]], best)


def reciprocal_rank(relevant: Relevance) -> PerQuery:
    """1 / place of the first target; 0 where the list holds none. Its mean over the queries is MRR."""
    return relevant.any(axis=1) / (1.0 + relevant.argmax(axis=1))


def exposure(lists: Lists, *, first: int, count: int) -> Int64[ndarray, "candidates"]:
    """In how many lists each candidate stands; candidates are rows `first` to `first + count`."""
    return np.bincount(lists[lists >= 0] - first, minlength=count)


def coverage(exposures: Int64[ndarray, "candidates"]) -> float:
    """The share of the candidates that stand in any list."""
    return float((exposures > 0).mean())


def gini(exposures: Num[ndarray, "candidates"]) -> float:
    """How unequally exposure is shared: 0 when all get the same, 1 - 1/candidates when one gets everything.

    G = sum_i (2i - n - 1) x_i / (n sum_i x_i) over ascending x_i; NaN where nobody is shown.
    """
    ascending = np.sort(exposures)
    n, total = len(ascending), float(ascending.sum())
    return float((2 * np.arange(1, n + 1) - n - 1) @ ascending / (n * total)) if total else float("nan")


def cluster_entropy(clusters: Integer[ndarray, "queries k"]) -> PerQuery:
    """How evenly clusters share a list, in bits: -Σ_k p_k log2 p_k over their shares of its places.

    0 where one cluster has them all, log2 of the number of clusters where all have as many. `clusters` are those of the
    places, -1 where a list has ended; NaN for an empty list.
    """
    counts = np.zeros((len(clusters), int(clusters.max(initial=0)) + 1))
    present = clusters >= 0
    np.add.at(counts, (np.nonzero(present)[0], clusters[present]), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    bits = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
    return np.where(present.any(axis=1), np.abs(bits), np.nan)


def popularity_deciles(degrees: Num[ndarray, "candidates"], *, seed: int) -> Int64[ndarray, "candidates"]:
    """The decile of each candidate by its degree: 0 for the tenth with the least, 9 for the most; equal ones by lot."""
    lots = np.random.default_rng(seed).permutation(len(degrees))
    ranks = np.empty(len(degrees), np.int64)
    ranks[np.lexsort((lots, degrees))] = np.arange(len(degrees))
    return ranks * 10 // max(len(degrees), 1)


def intra_list_similarity(lists: Lists, vectors: Float[ndarray, "nodes dim"]) -> PerQuery:
    """The mean cosine between two places of the same list; NaN where a list holds fewer than two.

    With unit vectors u, the sum over ordered pairs is |sum u|^2 - sum |u|^2.
    """
    present = (lists >= 0)[..., None]
    listed = vectors[np.maximum(lists, 0)].astype(np.float64)
    lengths = np.linalg.norm(listed, axis=-1, keepdims=True)
    units = present * listed / np.where(lengths > 0, lengths, 1)
    count = present.sum(axis=(1, 2))
    pairs = np.square(units.sum(axis=1)).sum(axis=1) - np.square(units).sum(axis=(1, 2))
    return _ratio(pairs, count * (count - 1))


def near_pairs(
    truth: Adjacency, queries: Int64[ndarray, "queries"], messages: Adjacency
) -> Bool[ndarray, "truth_edges"]:
    """Which pairs of the truth lie within two hops in the message graph; False for those of other queries."""
    near = np.zeros(truth.num_edges, np.bool_)
    rows, others = (truth.indptr, truth.indices), (messages.indptr, messages.indices)
    shared(_near_pairs, len(queries), rows, queries, others, near)
    return near


def _ratio(numerator: ndarray, denominator: ndarray) -> PerQuery:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator != 0)


@kernel
def _find_truth(part, lists, queries, indptr, indices, found):
    for i in range(*part):
        for place in range(lists.shape[1]):
            found[i, place] = find_edge(indptr, indices, queries[i], lists[i, place])


@kernel
def _near_pairs(part, truth, queries, messages, near):
    truth_indptr, truth_indices = truth
    indptr, indices = messages
    for i in range(*part):
        own = indices[indptr[queries[i]] : indptr[queries[i] + 1]]
        for edge in range(truth_indptr[queries[i]], truth_indptr[queries[i] + 1]):
            other = truth_indices[edge]
            near[edge] = contains(own, other) or _share_entry(own, indices[indptr[other] : indptr[other + 1]])


@kernel
def _share_entry(first, second):
    """Whether two sorted rows share an entry."""
    i = j = 0
    while i < len(first) and j < len(second):
        if first[i] == second[j]:
            return True
        if first[i] < second[j]:
            i += 1
        else:
            j += 1
    return False
