"""Lists of several clusters as one, best first; and choices from it: with fair shares, or without repeating itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from numpy import ndarray

from amity.index.hits import NOBODY, Hits
from amity.index.precision import in_single
from amity.index.ranking import inner_product, to_key
from amity.kernels import kernel, shared
from amity.retrieval.quotas import Lots, share_in_places

Groups = Int64[ndarray, "queries places"]
"""The group of each place of a ranking, counted from 0; of an empty place it does not matter."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """The lists of several clusters as one, best first."""

    hits: Hits
    clusters: Int64[ndarray, "queries places"]
    """Out of whose list each place comes; -1 where it is empty."""

    def chosen(self, places: Int64[ndarray, "queries k"]) -> "Ranked":
        """Only some of the places, in this order; -1 is an empty one."""
        taken = np.maximum(places, 0)
        rows, scores, clusters = (
            np.take_along_axis(one, taken, 1) for one in (self.hits.rows, self.hits.scores, self.clusters)
        )
        return Ranked(Hits(rows, scores).where(places >= 0), np.where(places >= 0, clusters, NOBODY))


def rank_together(
    lists: Sequence[Hits],
    offsets: Float64[ndarray, "queries clusters"],
    lots: Lots,
    *,
    length: int,
    limits: Int64[ndarray, "queries clusters"] | None = None,
) -> Ranked:
    """The best of several lists, whose rows are distinct, by score + offset; of each list at most the first `limits`.

    Equal sums fall by lot, by query and candidate, so that neither the order of clusters nor that of lists matters.
    """
    rows, scores = np.stack([one.rows for one in lists]), np.stack([one.scores for one in lists])
    limits = np.full(offsets.shape, rows.shape[2]) if limits is None else limits
    shape = len(lots), length
    clusters, found = np.full(shape, NOBODY, np.int64), np.full(shape, NOBODY, np.int64)
    sums = np.full(shape, -np.inf, np.float32)
    shared(_rank_together, len(lots), (rows, scores), (offsets, limits), lots, (clusters, found, sums))
    return Ranked(Hits(found, sums), clusters)


def choose_fairly(ranked: Ranked, groups: Groups, *, k: int, bounds: tuple[float, float]) -> Ranked:
    """The first k of a ranking that give each group its share: the smallest, where it has so many, and the largest.

    `groups` is the group of each place, counted from 0. First every group gets the smallest share, by its best; then
    the list is filled from the first on, nobody beyond the largest share; then, where it is not full, regardless of
    that. The smallest share is rounded down, the largest up. The list keeps the order of the ranking.
    """
    chosen = np.full((len(groups), k), NOBODY, np.int64)
    rows = np.ascontiguousarray(ranked.hits.rows)
    shared(_choose, len(groups), rows, (groups, int(groups.max(initial=0)) + 1), share_in_places(bounds, k), chosen)
    return ranked.chosen(chosen)


def diversify(
    ranked: Ranked,
    vectors: Float[ndarray, "candidates dim"],
    groups: Groups,
    limits: Int64[ndarray, "queries groups"],
    *,
    k: int,
    relevance: float,
) -> Ranked:
    """Maximal marginal relevance (Carbonell and Goldstein, 1998): the k of a ranking that are good and unlike.

    The next one is, of those left, the i with the largest

        λ r_i - (1 - λ) max_{j chosen} cos(x_i, x_j),  r_i its score, brought to [0, 1] over the ranking

    λ = 1, all relevance, is the ranking as it stands. `groups` is the group of each place, and of group g no more than
    `limits[:, g]` are chosen. Rows of the ranking are rows of `vectors`. Scores stay what they were.
    """
    chosen = np.full((len(groups), k), NOBODY, np.int64)
    rows, scores = ranked.hits.rows, ranked.hits.scores.astype(np.float64)
    low = np.where(rows < 0, np.inf, scores).min(axis=1, initial=np.inf, keepdims=True)
    span = scores.max(axis=1, initial=-np.inf, keepdims=True) - low
    worth = relevance * (scores - low) / np.where(span > 0, span, 1)
    distinct, places = np.unique(rows, return_inverse=True)
    units = _units(vectors[np.maximum(distinct, 0)])
    ranking = rows, places.reshape(rows.shape), worth, groups
    shared(_diversify, len(groups), ranking, units, limits.copy(), 1 - relevance, chosen)
    return ranked.chosen(chosen)


def _units(vectors: Float[ndarray, "some dim"]) -> Float32[ndarray, "some dim"]:
    singles = in_single(vectors)
    lengths = np.linalg.norm(singles, axis=1, keepdims=True)
    return singles / np.where(lengths > 0, lengths, 1)


@kernel
def _rank_together(part, lists, terms, lots, ranked):
    rows, scores = lists
    offsets, limits = terms
    clusters, found, sums = ranked
    heads = np.empty(len(rows), np.int64)
    for q in range(*part):
        heads[:] = 0
        for place in range(found.shape[1]):
            best, best_sum, best_lot = -1, -np.inf, np.uint64(0)
            for c in range(len(rows)):
                head = heads[c]
                if head >= min(limits[q, c], rows.shape[2]) or rows[c, q, head] < 0:
                    continue
                total = scores[c, q, head] + offsets[q, c]
                if best >= 0 and total < best_sum:
                    continue
                lot = to_key(np.float32(0), rows[c, q, head], lots[q])
                if best < 0 or total > best_sum or lot > best_lot:
                    best, best_sum, best_lot = c, total, lot
            if best < 0:
                break
            clusters[q, place], found[q, place] = best, rows[best, q, heads[best]]
            sums[q, place] = best_sum
            heads[best] += 1


@kernel
def _choose(part, rows, grouping, bounds, chosen):
    groups, num_groups = grouping
    least, most = bounds
    k = chosen.shape[1]
    for q in range(*part):
        held, taken = np.zeros(num_groups, np.int64), np.zeros(rows.shape[1], np.bool_)
        count = 0
        for limit in (least, most, k):
            for place in range(rows.shape[1]):
                group = groups[q, place]
                if count < k and rows[q, place] >= 0 and not taken[place] and held[group] < limit:
                    taken[place] = True
                    held[group] += 1
                    count += 1
        chosen[q, :count] = np.flatnonzero(taken)


@kernel
def _diversify(part, ranking, units, limits, penalty, chosen):
    rows, places, worth, groups = ranking
    nearest = np.empty(rows.shape[1])
    for q in range(*part):
        nearest[:] = -1.0
        for place in range(chosen.shape[1]):
            best, most = -1, -np.inf
            for i in range(len(nearest)):
                margin = worth[q, i] - penalty * nearest[i]
                if rows[q, i] >= 0 and limits[q, groups[q, i]] > 0 and nearest[i] < np.inf and margin > most:
                    best, most = i, margin
            if best < 0:
                break
            chosen[q, place] = best
            limits[q, groups[q, best]] -= 1
            for i in range(len(nearest)):
                nearest[i] = max(nearest[i], inner_product(units[places[q, best]], units[places[q, i]]))
            nearest[best] = np.inf
