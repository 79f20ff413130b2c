"""What is to be made of scores: their temperature, and what they and learned intent say of clusters, by validation."""

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from amity.evaluation.calibration import calibrate, maximize
from amity.evaluation.evaluate import choose_queries
from amity.index import DividedIndex
from amity.index.precision import in_single
from amity.retrieval import Confidence, DividedRetriever
from amity.retrieval.asking import Question
from amity.retrieval.merging import log_shares
from amity.retrieval.quotas import TINY
from amity.splitting import HeldOut

QUERIES, LENGTH = 2000, 100
"""How many queries say so at most, and the length of the lists whose members are all added to a cluster's mass."""
COLDEST, HOTTEST = 1 / 8, 64
"""Between which multiples of the temperature of training the best one is looked for."""
LEAST, MOST = 1 / 64, 64
"""Between which multiples of the power of learned intent that of what scores imply is looked for."""

Truth = tuple[Int64[ndarray, "pairs"], Int64[ndarray, "pairs"]]
"""The place of each asker among the queries, and the position of a friend."""
Shares = Float64[ndarray, "pairs clusters"]
"""Of each pair of an asker and a friend, the logarithm of how likely each cluster is."""


def fit_confidence(retriever: DividedRetriever, valid: HeldOut, *, seed: int) -> Confidence:
    """What makes the held-out friends of the validation part likeliest: within their clusters, then between these.

    The temperature T is where Σ s_k(u, i) / T - log Z_k(u; T) is largest, over pairs of a query u and a friend i in
    cluster k; it is concave in 1 / T. Where eigenvectors stand beside learned numbers, scores spread wider than in
    training, and at its temperature a merge would believe them too much. The powers a and b are those under which
    p(k | u) ~ q(k | u)^a r(k | u)^b is likeliest, with q what scores imply and r learned intent. Where nothing is held
    out, the retriever keeps its own.
    """
    if not valid.truth.num_edges:
        return retriever.confidence
    queries = choose_queries(valid.truth, QUERIES, seed=seed)
    askers, friends = valid.truth.edges_of(queries)
    truth = askers, friends - retriever.embeddings.graph.candidates.first
    start, question = retriever.confidence.temperature, retriever.question(queries, valid.known)
    return confide(retriever.index, question, truth, depth=LENGTH, start=start)


def confide(index: DividedIndex, question: Question, truth: Truth, *, depth: int, start: float) -> Confidence:
    """The same of one index; the members of lists of that depth are all added to a cluster's mass."""
    askers, friends = truth
    own, depth = index.clusters.of[friends].astype(np.int64), min(depth, len(index.clusters.of))
    lists = index.search(question.asked, k=depth, excluded=question.excluded, names=question.names)
    scores = _scores(index, question, truth)

    def masses(temperature: float) -> Float64[ndarray, "queries clusters"]:
        return index.log_masses(question.asked, lists, excluded=question.excluded, temperature=temperature)

    def likelihood(temperature: float) -> float:
        return float(np.mean(scores / temperature - masses(temperature)[askers, own]))

    temperature = maximize(likelihood, start * COLDEST, start * HOTTEST)
    if question.intent is None:
        return Confidence(temperature)
    learned = np.log(np.maximum(question.intent.astype(np.float64), TINY))
    return Confidence(temperature, *weigh(log_shares(masses(temperature))[askers], learned[askers], own))


def weigh(implied: Shares, learned: Shares, own: Int64[ndarray, "pairs"]) -> tuple[float, float]:
    """The powers a and b of two likelihoods of clusters, given as logarithms, under which their product tells best.

    The mean of log softmax(a log q + b log r) at the pairs' own clusters is concave in a and b, and so has one peak
    along a / b.
    """
    ratio = maximize(lambda one: -calibrate(learned + one * implied, own).loss_after, LEAST, MOST)
    power = 1 / calibrate(learned + ratio * implied, own).temperature
    return ratio * power, power


def _scores(index: DividedIndex, question: Question, truth: Truth) -> Float64[ndarray, "pairs"]:
    """The inner product of each friend with what its cluster is asked by the asker."""
    askers, friends = truth
    scores = np.empty(len(askers), np.float64)
    for cluster, (part, asked) in enumerate(zip(index.parts, question.asked, strict=True)):
        inside = np.flatnonzero(index.clusters.of[friends] == cluster)
        items = in_single(part.vectors[index.places[friends[inside]]])
        scores[inside] = np.einsum("pd,pd->p", in_single(asked[askers[inside]]), items)
    return scores
