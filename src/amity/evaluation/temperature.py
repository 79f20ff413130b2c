"""The temperature at which scores are probabilities: fitted on the validation part, since training's need not be it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from amity.evaluation.evaluate import choose_queries
from amity.graph import Adjacency
from amity.index import DividedIndex, Hits
from amity.index.divided import Asked
from amity.retrieval import DividedRetriever
from amity.retrieval.candidates import excluded_positions
from amity.splitting import HeldOut

QUERIES, LENGTH = 2000, 100
"""How many queries say so at most, and the length of the lists whose members are all added to a cluster's mass."""
COLDEST, HOTTEST = 1 / 8, 64
"""Between which multiples of the temperature of training the best one is looked for."""
STEPS = 16
"""How often the interval is cut: to less than a hundredth of a logarithm."""
GOLDEN = (math.sqrt(5) - 1) / 2


def fit_temperature(retriever: DividedRetriever, valid: HeldOut, *, seed: int) -> float:
    """The T under which the held-out friends of the validation part are likeliest within their clusters.

    That is Σ s_k(u, i) / T - log Z_k(u; T) over pairs of a query u and a friend i in cluster k, concave in 1 / T. Where
    eigenvectors stand beside learned numbers, scores spread wider than in training, and at its temperature a merge
    would believe them too much. Where nothing is held out, the retriever keeps its own.
    """
    if not valid.truth.num_edges:
        return retriever.temperature
    embeddings, index = retriever.embeddings, retriever.index
    graph = embeddings.graph
    queries = choose_queries(valid.truth, QUERIES, seed=seed)
    excluded = excluded_positions(graph, queries, valid.known)
    asked = [embeddings.asked(queries, cluster=cluster) for cluster in range(index.clusters.count)]
    lists = index.search(asked, k=min(LENGTH, graph.candidates.count), excluded=excluded, names=queries)

    askers = np.repeat(np.arange(len(queries)), valid.truth.degrees_of(queries))
    friends = np.concatenate([valid.truth.neighbors(query) for query in queries]) - graph.candidates.first
    pairs = Pairs(askers, friends, embeddings.vectors[graph.candidates.rows])
    return round(likeliest(index, Answered(asked, lists, excluded), pairs, start=retriever.temperature), 4)


@dataclass(frozen=True, slots=True)
class Answered:
    """What some queries asked of every cluster, and what they were answered."""

    asked: Asked
    lists: Sequence[Hits]
    """The best of each cluster."""
    excluded: Adjacency
    """Whom each query must not get, as positions among all candidates."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Queries and held-out friends of theirs."""

    askers: Int64[ndarray, "pairs"]
    """Places among the queries."""
    friends: Int64[ndarray, "pairs"]
    """Positions among the candidates."""
    vectors: Float[ndarray, "candidates dim"]


def likeliest(index: DividedIndex, answered: Answered, pairs: Pairs, *, start: float) -> float:
    """The temperature under which pairs are likeliest within their clusters: see `fit_temperature`."""
    askers, own, asked = pairs.askers, index.clusters.of[pairs.friends], answered.asked
    each = zip(askers, pairs.friends, own, strict=True)
    scores = np.array([asked[k][u] @ pairs.vectors[i] for u, i, k in each], np.float64)

    def likelihood(temperature: float) -> float:
        masses = index.log_masses(asked, answered.lists, excluded=answered.excluded, temperature=temperature)
        return float(np.mean(scores / temperature - masses[askers, own]))

    return maximize(likelihood, start * COLDEST, start * HOTTEST)


def maximize(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function of one peak between two positive numbers is largest; by golden sections of the logarithm."""
    left, right = math.log(low), math.log(high)
    inner = [right - GOLDEN * (right - left), left + GOLDEN * (right - left)]
    values = [function(math.exp(place)) for place in inner]
    for _ in range(STEPS):
        if values[0] > values[1]:
            right, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = right - GOLDEN * (right - left)
            values[0] = function(math.exp(inner[0]))
        else:
            left, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = left + GOLDEN * (right - left)
            values[1] = function(math.exp(inner[1]))
    return math.exp((left + right) / 2)
