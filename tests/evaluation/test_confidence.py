"""What is fitted: the temperature by which friends were drawn, in whatever units; and what tells of clusters."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.clustering import Clusters
from amity.embedding import Embeddings
from amity.evaluation import fit_confidence
from amity.evaluation.calibration import maximize
from amity.evaluation.confidence import weigh
from amity.graph import Adjacency, from_pairs
from amity.retrieval import Confidence, DividedRetriever
from amity.splitting import HeldOut

SIZE, DIM, COUNT = 240, 6, 3


def drawn(graph, temperature: float) -> tuple[DividedRetriever, HeldOut]:
    """Friends drawn from the softmax over each cluster, four of each cluster for everybody."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((SIZE, DIM)).astype(np.float32)
    clusters = Clusters((np.arange(SIZE) % COUNT).astype(np.int32), ("a", "b", "c"))
    logits = vectors @ vectors.T / temperature + rng.gumbel(size=(4, SIZE, SIZE))
    logits[:, np.arange(SIZE), np.arange(SIZE)] = -np.inf
    friends = [np.arange(SIZE)[c::COUNT][logits[:, :, c::COUNT].argmax(axis=2)] for c in range(COUNT)]
    pairs = np.broadcast_to(np.arange(SIZE), (COUNT, 4, SIZE)).ravel(), np.stack(friends).ravel()
    nothing = Adjacency(np.zeros(SIZE + 1, np.int64), np.empty(0, np.int32))
    retriever = DividedRetriever.build(Embeddings(vectors, graph), clusters)
    return replace(retriever, confidence=Confidence(1.0)), HeldOut(from_pairs(*pairs, num_nodes=SIZE), nothing)


@pytest.fixture(scope="module")
def alone(make_random_friend_graph):
    """People who know nobody yet."""
    return make_random_friend_graph(SIZE, 0)


@pytest.mark.parametrize("temperature", [0.7, 2.0, 10.0])
def test_the_temperature_by_which_friends_were_drawn_is_found(alone, temperature):
    retriever, valid = drawn(alone, temperature)
    assert fit_confidence(retriever, valid, seed=0).temperature == pytest.approx(temperature, rel=0.25)


def test_vectors_in_other_units_have_a_temperature_in_their_square(alone):
    retriever, valid = drawn(alone, 2.0)
    longer = replace(retriever.embeddings, vectors=2 * retriever.embeddings.vectors)
    other = replace(DividedRetriever.build(longer, retriever.index.clusters), confidence=Confidence(4.0))
    first, second = (fit_confidence(one, valid, seed=0).temperature for one in (retriever, other))
    assert second == pytest.approx(4 * first, rel=0.01)


def test_without_anything_held_out_the_confidence_stays(alone):
    retriever, valid = drawn(alone, 2.0)
    assert fit_confidence(retriever, HeldOut(valid.known, valid.known), seed=0) == Confidence(1.0)


@settings(max_examples=30)
@given(peak=st.floats(0.011, 90))
def test_a_peak_is_found(peak):
    assert maximize(lambda x: -(np.log(x / peak) ** 2), 0.01, 100) == pytest.approx(peak, rel=0.01)


@pytest.mark.parametrize(("implied", "learned"), [(1.0, 1.0), (0.3, 0.9), (2.0, 0.5), (1.0, 0.05)])
def test_the_powers_by_which_clusters_were_drawn_are_found(implied: float, learned: float):
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 20_000, 5))
    own = (implied * first + learned * second + rng.gumbel(size=first.shape)).argmax(axis=1)
    np.testing.assert_allclose(weigh(first, second, own), (implied, learned), atol=0.05)


def test_two_that_say_the_same_share_the_power():
    rng = np.random.default_rng(0)
    told = rng.standard_normal((20_000, 5))
    own = (told + rng.gumbel(size=told.shape)).argmax(axis=1)
    assert sum(weigh(told, told, own)) == pytest.approx(1, abs=0.05)
