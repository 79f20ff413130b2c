from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from amity.graph import Adjacency, from_pairs, open_adjacency, save_adjacency
from amity.sampling import Block, sample_neighbors
from amity.splitting import Pairs


def random_adjacency(num_nodes: int, num_edges: int, seed: int) -> Adjacency:
    """Directed edges, some nodes far more often than others, some not at all."""
    rng = np.random.default_rng(seed)
    sources = (num_nodes * rng.random(num_edges) ** 2).astype(np.int64)
    return from_pairs(sources, rng.integers(0, num_nodes, num_edges), num_nodes=num_nodes)


def stars(count: int, leaves: int) -> Adjacency:
    """`count` nodes, each with the same `leaves` neighbours, which have none."""
    sources = np.repeat(np.arange(count), leaves)
    return from_pairs(sources, np.tile(np.arange(count, count + leaves), count), num_nodes=count + leaves)


def rows(block: Block) -> list[list[int]]:
    """The neighbours drawn for each expanded node, as rows of the graph."""
    return [block.nodes[row].tolist() for row in np.split(block.indices, block.indptr[1:-1])]


def same(first: Block, second: Block) -> bool:
    arrays = all(np.array_equal(getattr(first, n), getattr(second, n)) for n in ("nodes", "indptr", "indices"))
    return arrays and first.hops == second.hops


graphs = st.builds(random_adjacency, st.integers(1, 40), st.integers(0, 300), st.integers(0, 10**6))
fanouts = st.lists(st.integers(-1, 7), min_size=1, max_size=3).map(tuple)


@settings(max_examples=60)
@given(adjacency=graphs, fanout=fanouts, seed=st.integers(-(2**63), 2**63 - 1), data=st.data())
def test_a_block_obeys_its_laws(adjacency, fanout, seed, data):
    num_nodes = adjacency.num_nodes
    node = st.integers(0, num_nodes - 1)
    seeds = np.array(data.draw(st.lists(node, unique=True, max_size=8)), np.int64)
    pairs = data.draw(st.lists(st.tuples(node, node), max_size=12))
    excluded = Pairs(np.array([a for a, _ in pairs], np.int64), np.array([b for _, b in pairs], np.int64))
    block = sample_neighbors(adjacency, seeds, fanout=fanout, seed=seed, excluded=excluded)
    banned = set(pairs) | {(b, a) for a, b in pairs}

    assert block.nodes[: block.hops[0]].tolist() == seeds.tolist()
    assert len(np.unique(block.nodes)) == len(block.nodes) == block.hops[-1]
    assert len(block.hops) == len(fanout) + 1
    assert len(block.indptr) == block.hops[-2] + 1
    depth = np.searchsorted(block.hops, np.arange(len(block.nodes)), side="right")
    for place, drawn in enumerate(rows(block) if block.hops[-2] else []):
        available = set(adjacency.neighbors(block.nodes[place]).tolist())
        available -= {b for a, b in banned if a == block.nodes[place]}
        limit = fanout[depth[place]]
        assert len(set(drawn)) == len(drawn) == (len(available) if limit < 0 else min(limit, len(available)))
        assert set(drawn) <= available
    first_seen = [*range(block.hops[0]), *dict.fromkeys(p for p in block.indices.tolist() if p >= block.hops[0])]
    assert first_seen == list(range(len(block.nodes)))


def test_hops_are_the_distances_of_breadth_first_search():
    adjacency = random_adjacency(60, 120, 3)
    block = sample_neighbors(adjacency, np.array([5, 7]), fanout=(-1, -1, -1), seed=0)
    reached, hops = {5, 7}, [2]
    for _ in range(3):
        reached |= {n for node in list(reached) for n in adjacency.neighbors(node).tolist()}
        hops.append(len(reached))
    assert block.hops == tuple(hops)
    assert set(block.nodes.tolist()) == reached


@pytest.mark.parametrize(("leaves", "count"), [(6, 3), (7, 1), (5, 4), (8, 2)])
def test_every_set_of_neighbours_is_equally_likely(leaves, count):
    block = sample_neighbors(stars(20_000, leaves), np.arange(20_000), fanout=(count,), seed=11)
    drawn = np.sort(block.indices.reshape(-1, count), axis=1)
    codes = (1 << np.unique(drawn, return_inverse=True)[1].reshape(-1, count)).sum(1)
    sets, observed = np.unique(codes, return_counts=True)
    assert len(sets) == len(list(combinations(range(leaves), count)))
    assert chisquare(observed).pvalue > 1e-4


def test_neighbours_of_a_hub_are_equally_likely():
    block = sample_neighbors(stars(3000, 700), np.arange(3000), fanout=(40,), seed=2)
    observed = np.bincount(block.nodes[block.indices] - 3000, minlength=700)
    # Drawing without replacement spreads the counts less than independent draws: by (700 - 40) / 699.
    statistic = ((observed - observed.mean()) ** 2 / observed.mean()).sum() * 699 / 660
    assert 550 < statistic < 860  # 699 degrees of freedom: the outer 1e-4 on either side


def test_what_remains_beside_an_excluded_neighbour_is_equally_likely():
    count, leaves = 20_000, 7
    banned = np.arange(count), np.full(count, count + 3)
    for excluded in (Pairs(*banned), Pairs(*reversed(banned))):
        block = sample_neighbors(stars(count, leaves), np.arange(count), fanout=(3,), seed=5, excluded=excluded)
        drawn = np.sort(block.nodes[block.indices].reshape(-1, 3), axis=1) - count
        assert 3 not in drawn
        _, observed = np.unique((1 << drawn).sum(1), return_counts=True)
        assert len(observed) == len(list(combinations(range(leaves - 1), 3)))
        assert chisquare(observed).pvalue > 1e-4


def test_hops_and_seeds_draw_independently():
    adjacency = stars(20_000, 6)
    first, other = (
        sample_neighbors(adjacency, np.arange(20_000), fanout=(1,), seed=seed).indices - 20_000 for seed in (1, 2)
    )
    table = np.bincount(first * 6 + other, minlength=36)
    assert chisquare(table).pvalue > 1e-4


def test_a_seed_repeats_itself_and_another_differs():
    adjacency = random_adjacency(500, 10_000, 1)
    first, again, other = (sample_neighbors(adjacency, np.arange(50), fanout=(5, 5), seed=s) for s in (1, 1, 2))
    assert same(first, again)
    assert not same(first, other)


def test_what_is_drawn_for_a_node_hangs_on_no_other_seed():
    adjacency = random_adjacency(500, 10_000, 1)
    alone = sample_neighbors(adjacency, np.array([42]), fanout=(5,), seed=1)
    among = sample_neighbors(adjacency, np.array([7, 42, 99]), fanout=(5,), seed=1)
    assert rows(alone)[0] == rows(among)[1]


def test_a_mapped_file_gives_the_same_block(tmp_path):
    adjacency = random_adjacency(500, 10_000, 1)
    save_adjacency(adjacency, tmp_path)
    mapped = sample_neighbors(open_adjacency(tmp_path), np.arange(50), fanout=(5, 5), seed=1)
    assert same(mapped, sample_neighbors(adjacency, np.arange(50), fanout=(5, 5), seed=1))


def test_wide_indices_give_the_same_block():
    adjacency = random_adjacency(500, 10_000, 1)
    wide = Adjacency(adjacency.indptr, adjacency.indices.astype(np.int64))
    first, second = (sample_neighbors(a, np.arange(50), fanout=(5, 5), seed=1) for a in (adjacency, wide))
    assert same(first, second)


def test_isolated_seeds_have_empty_rows():
    adjacency = from_pairs(np.array([0]), np.array([1]), num_nodes=4)
    block = sample_neighbors(adjacency, np.array([3, 0, 2]), fanout=(5, 5), seed=0)
    assert block.nodes.tolist() == [3, 0, 2, 1]
    assert block.hops == (3, 4, 4)
    assert block.indptr.tolist() == [0, 0, 1, 1, 1]


def test_repeated_seeds_are_refused():
    with pytest.raises(ValueError, match="3 were given, of which 2 differ"):
        sample_neighbors(random_adjacency(5, 9, 0), np.array([1, 2, 1]), fanout=(2,), seed=0)


@pytest.mark.parametrize("excluding", [True, False])
def test_a_memorising_scorer_finds_the_positive_only_where_its_edge_is_not_excluded(excluding):
    """The planted leak: a query that hears from its own positive can repeat it."""
    adjacency = random_adjacency(300, 1, 0)
    rng = np.random.default_rng(0)
    some, others = rng.integers(0, 300, 3000), rng.integers(0, 300, 3000)
    adjacency = from_pairs(np.concatenate([some, others]), np.concatenate([others, some]), num_nodes=300)
    pairs = Pairs(some[:40], others[:40])
    seeds = np.unique(np.concatenate([pairs.sources, pairs.targets]))
    block = sample_neighbors(adjacency, seeds, fanout=(-1, -1), seed=0, excluded=pairs if excluding else None)
    heard = {int(node): set(row) for node, row in zip(block.nodes, rows(block), strict=False)}
    found = [t in heard[s] for s, t in zip(pairs.sources.tolist(), pairs.targets.tolist(), strict=True)]
    found += [s in heard[t] for s, t in zip(pairs.sources.tolist(), pairs.targets.tolist(), strict=True)]
    assert np.mean(found) == (0 if excluding else 1)
