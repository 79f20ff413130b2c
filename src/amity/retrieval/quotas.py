"""How many places of a list each cluster gets: by intent, within bounds, in whole numbers."""

import numpy as np
from jaxtyping import Float64, Int64, UInt64
from numpy import ndarray

from amity.index.ranking import to_key
from amity.kernels import kernel, shared

TINY = 1e-300
"""The least probability of a cluster; keeps logarithms finite."""
EQUAL = 1e-9
"""Shares that differ by no more count as equal: what the order of a sum changes."""

Lots = UInt64[ndarray, "queries"]
"""A random number for each query (`make_salts`), by which its ties fall."""


def quotas(
    intent: Float64[ndarray, "queries clusters"],
    held: Int64[ndarray, "queries clusters"],
    lots: Lots,
    *,
    k: int,
    alpha: float,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Int64[ndarray, "queries clusters"]:
    """How many of k places each cluster gets, M_k; together k, or all there are.

        M_k = clip(λ p(k | u)^α, least_k, most_k),  with λ such that Σ M_k = k

    `held` is how many candidates a cluster has for a query. A place that a cluster cannot fill is so handed on to the
    others, in proportion to p^α; α = 0 gives equal shares, α = inf the best cluster first. `bounds` are the smallest
    and the largest share of a list for each cluster: the smallest is rounded down, the largest up, and where others
    cannot fill the list it is exceeded, since no place stays empty. Shares are rounded by largest remainder: equal
    remainders fall to the larger p, and then by lot.
    """
    least, most = share_in_places(bounds, k)
    shares = np.zeros(held.shape, np.int64)
    logs = np.log(np.maximum(intent, TINY))
    for lowest, highest in ((np.minimum(held, least), np.minimum(held, most)), (np.zeros_like(held), held)):
        left = k - shares.sum(axis=1)
        dealt = np.zeros_like(shares)
        room = np.minimum(highest, held - shares)
        shared(_deal, len(lots), left, (logs, float(alpha)), (lowest, room), lots, dealt)
        shares += dealt
    return shares


def share_in_places(bounds: tuple[float, float], k: int) -> tuple[int, int]:
    """The smallest and the largest share of k places, in places."""
    return int(np.floor(bounds[0] * k + EQUAL)), int(np.ceil(bounds[1] * k - EQUAL))


@kernel
def _deal(part, counts, intent, bounds, lots, dealt):
    """Deal so many places of each query to clusters: at least the lowest, at most the highest, else by p^α."""
    logs, alpha = intent
    lowest, highest = bounds
    for q in range(*part):
        least, most = np.minimum(lowest[q], highest[q]), highest[q]
        count = max(min(counts[q], most.sum()), least.sum())
        shares = _share_out(count, (logs[q], alpha), least, most)
        _round_shares(shares, count, most, (logs[q], lots[q]), dealt[q])


@kernel
def _share_out(count, intent, least, most):
    """clip(λ p^α, least, most) with the λ that makes the sum `count`: whoever breaks a bound the worse way is held."""
    logs, alpha = intent
    shares, is_open = np.zeros(len(logs)), np.ones(len(logs), np.bool_)
    while is_open.any():
        weights = _weigh(logs, alpha, is_open)
        left = count - shares[~is_open].sum()
        over, under = 0.0, 0.0
        for c in np.flatnonzero(is_open):
            shares[c] = left * weights[c]
            over += max(shares[c] - most[c], 0.0)
            under += max(least[c] - shares[c], 0.0)
        if over + under == 0:
            break
        for c in np.flatnonzero(is_open):
            if over >= under and shares[c] > most[c]:
                shares[c], is_open[c] = most[c], False
            elif over < under and shares[c] < least[c]:
                shares[c], is_open[c] = least[c], False
    return shares


@kernel
def _weigh(logs, alpha, is_open):
    """p^α of the open clusters, of sum 1; by differences of logarithms, so that any α will do."""
    highest = logs[is_open].max()
    weights = np.zeros(len(logs))
    for c in np.flatnonzero(is_open):
        below = logs[c] - highest
        weights[c] = 1.0 if alpha == 0 or below == 0 else np.exp(alpha * below)
    return weights / weights.sum()


@kernel
def _round_shares(shares, count, most, order, rounded):
    """Whole numbers of the sum `count`: rounded down, and then up by largest remainder."""
    logs, lot = order
    for c in range(len(shares)):
        rounded[c] = np.int64(shares[c] + EQUAL)
    for _ in range(count - rounded.sum()):
        best, best_lot = -1, np.uint64(0)
        for c in range(len(shares)):
            if rounded[c] >= most[c]:
                continue
            own = to_key(np.float32(0), c, lot)
            ahead = 1.0 if best < 0 else (shares[c] - rounded[c]) - (shares[best] - rounded[best])
            if abs(ahead) <= EQUAL:
                ahead = logs[c] - logs[best]
            if ahead > 0 or (ahead == 0 and own > best_lot):
                best, best_lot = c, own
        rounded[best] += 1
