"""The temperature at which scores are probabilities: fitted on the validation part, since training's need not be it."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from amity.evaluation.evaluate import choose_queries
from amity.index import DividedIndex
from amity.index.precision import in_single
from amity.retrieval import DividedRetriever
from amity.retrieval.asking import Question
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
    queries = choose_queries(valid.truth, QUERIES, seed=seed)
    askers, friends = valid.truth.edges_of(queries)
    truth = askers, friends - retriever.embeddings.graph.candidates.first
    question = retriever.question(queries, valid.known)
    return round(likeliest(retriever.index, question, truth, depth=LENGTH, start=retriever.temperature), 4)


def likeliest(
    index: DividedIndex,
    question: Question,
    truth: tuple[Int64[ndarray, "pairs"], Int64[ndarray, "pairs"]],
    *,
    depth: int,
    start: float,
) -> float:
    """The temperature under which held-out friends are likeliest within their clusters: see `fit_temperature`.

    `truth` holds the place of each asker among the queries, and the position of the friend; the members of lists of
    that depth are all added to a cluster's mass.
    """
    askers, friends = truth
    own, depth = index.clusters.of[friends], min(depth, len(index.clusters.of))
    lists = index.search(question.asked, k=depth, excluded=question.excluded, names=question.names)
    scores = _scores(index, question, truth)

    def likelihood(temperature: float) -> float:
        masses = index.log_masses(question.asked, lists, excluded=question.excluded, temperature=temperature)
        return float(np.mean(scores / temperature - masses[askers, own]))

    return maximize(likelihood, start * COLDEST, start * HOTTEST)


def _scores(
    index: DividedIndex, question: Question, truth: tuple[Int64[ndarray, "pairs"], Int64[ndarray, "pairs"]]
) -> Float64[ndarray, "pairs"]:
    """The inner product of each friend with what its cluster is asked by the asker."""
    askers, friends = truth
    scores = np.empty(len(askers), np.float64)
    for cluster, (part, asked) in enumerate(zip(index.parts, question.asked, strict=True)):
        inside = np.flatnonzero(index.clusters.of[friends] == cluster)
        items = in_single(part.vectors[index.places[friends[inside]]])
        scores[inside] = np.einsum("pd,pd->p", in_single(asked[askers[inside]]), items)
    return scores


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
