import numpy as np
import pytest
from scipy.stats import chisquare

from amity.sampling import drop_edges, sample_neighbors
from amity.sampling.views import surroundings


@pytest.fixture
def block(make_random_friend_graph):
    graph = make_random_friend_graph(400, 6000, 1)
    return sample_neighbors(graph.messages, np.arange(100), fanout=(12, 8), seed=1)


def edges(block) -> list[tuple[int, int]]:
    targets = np.repeat(np.arange(len(block.indptr) - 1), np.diff(block.indptr))
    return list(zip(targets.tolist(), block.indices.tolist(), strict=True))


def test_a_view_keeps_the_nodes_and_drops_its_share_of_edges(block):
    view = drop_edges(block, rate=0.3, seed=1)
    assert view.nodes is block.nodes
    assert view.hops == block.hops
    assert set(edges(view)) < set(edges(block))
    kept = np.array([view.num_edges, block.num_edges - view.num_edges])
    assert chisquare(kept, block.num_edges * np.array([0.7, 0.3])).pvalue > 1e-4


def test_dropping_nothing_and_everything(block):
    assert edges(drop_edges(block, rate=0, seed=1)) == edges(block)
    assert edges(drop_edges(block, rate=1, seed=1)) == []


def test_two_views_drop_independently_and_repeat_themselves(block):
    first, again, other = (set(edges(drop_edges(block, rate=0.5, seed=seed))) for seed in (1, 1, 2))
    assert first == again
    assert len(first & other) / block.num_edges == pytest.approx(0.25, abs=0.03)


def test_the_surroundings_of_some_seeds_are_what_the_whole_block_says_of_them(block):
    seeds = np.array([5, 3, 77])
    inner = surroundings(block, seeds)
    assert inner.nodes[:3].tolist() == seeds.tolist()
    assert len(inner.hops) == len(block.hops)
    expanded = len(inner.indptr) - 1
    for place in range(expanded):
        heard = inner.nodes[inner.indices[inner.indptr[place] : inner.indptr[place + 1]]]
        outer = inner.nodes[place]
        assert sorted(heard) == sorted(block.indices[block.indptr[outer] : block.indptr[outer + 1]])
