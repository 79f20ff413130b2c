"""The encoder's laws: blocks and whole graphs agree, order does not matter, seeds repeat, ids learn sparsely."""

import numpy as np
import pytest
import torch

from amity.encoder import EncoderConfig, FeaturesConfig, InputSource, block_edges, build_model, edges_between
from amity.encoder.graph_encoder import drop_entries, drop_ids
from amity.encoder.states import whole
from amity.errors import ConfigError
from amity.graph import Category, Number
from amity.sampling import sample_neighbors

CONFIGS = [
    EncoderConfig(dim=16, layer=layer, **rest, features=FeaturesConfig(log_degree=True, projections=4))
    for layer in ("gat", "sage", "lightgcn")
    for rest in (
        {"initialization": "identity"},
        {"initialization": "xavier", "activation": "elu", "residual": False, "combine": "last", "output": "dot"},
    )
]


def make_columns(nodes: int) -> tuple:
    rng = np.random.default_rng(5)
    codes = rng.integers(-1, 4, nodes).astype(np.int32)
    return Category("town", codes, ("a", "b", "c", "d")), Number("age", rng.normal(size=nodes))


@pytest.fixture(scope="module")
def graph(make_random_friend_graph):
    return make_random_friend_graph(90, 260, seed=2, columns=make_columns(90))


@torch.no_grad()
def embed_layer_by_layer(model, graph) -> torch.Tensor:
    """Every node from all its neighbours, one layer for all nodes before the next."""
    rows, degrees = np.arange(graph.num_nodes), graph.messages.degrees().astype(np.float32)
    states = [model.encoder.encode_inputs(InputSource.of(model.transform, graph).gather(rows))]
    for layer in model.encoder.layers:
        block = sample_neighbors(graph.messages, rows, fanout=(-1,), seed=0)
        (edges,) = block_edges(block, degrees[block.nodes])
        sources = states[-1][block.nodes]
        states.append(layer(sources[: len(rows)], whole(sources), edges))
    return model.encoder.scale(model.encoder.blend(states))


def embed_block(model, graph, seeds, fanout) -> torch.Tensor:
    block = sample_neighbors(graph.messages, seeds, fanout=fanout, seed=1)
    inputs = InputSource.of(model.transform, graph).gather(block.nodes)
    first = whole(model.encoder.encode_inputs(inputs))
    states = model.encoder.propagate(first, block_edges(block, inputs.degrees.numpy()))
    return model.encoder.scale(model.encoder.blend(states))


@pytest.mark.parametrize("config", CONFIGS)
def test_a_block_of_infinite_fanout_gives_what_the_whole_graph_gives(graph, config):
    model = build_model(graph, config, seed=3)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7)) * 0.1)
        model.encoder.ids.weight[-1] = 0
    seeds = np.array([3, 88, 41, 0])
    vectors = embed_block(model, graph, seeds, (-1,) * config.layers)
    torch.testing.assert_close(vectors, embed_layer_by_layer(model, graph)[seeds], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", ["gat", "sage", "lightgcn"])
def test_three_layers_agree_too(graph, layer):
    model = build_model(graph, EncoderConfig(dim=16, layer=layer, layers=3), seed=4)
    seeds = np.array([10, 5])
    vectors = embed_block(model, graph, seeds, (-1, -1, -1))
    torch.testing.assert_close(vectors, embed_layer_by_layer(model, graph)[seeds], rtol=1e-5, atol=1e-5)


def test_identity_initialization_is_propagation_without_weights(graph):
    """Attention as it begins is a mean over a node and its neighbours."""
    model = build_model(graph, EncoderConfig(dim=16, layer="gat", output="dot", residual=False), seed=5)
    matrix = np.eye(90)
    matrix[graph.messages.sources(), graph.messages.indices] = 1
    assert_propagates(model, graph, matrix / matrix.sum(1, keepdims=True))


def test_unless_it_is_said_vectors_are_those_of_lightgcn(graph):
    """The mean of X, S X and S² X, S = D^-½ A D^-½, whatever is said of residuals."""
    config = EncoderConfig(output="dot")
    assert (config.layer, config.layers, config.residual) == ("lightgcn", 2, True)
    matrix, degrees = np.zeros((90, 90)), np.maximum(graph.messages.degrees(), 1)
    matrix[graph.messages.sources(), graph.messages.indices] = 1
    assert_propagates(build_model(graph, config, seed=5), graph, matrix / np.sqrt(np.outer(degrees, degrees)))


def assert_propagates(model, graph, matrix: np.ndarray) -> None:
    walk = torch.tensor(matrix, dtype=torch.float32)
    with torch.no_grad():
        first = model.encoder.encode_inputs(InputSource.of(model.transform, graph).gather(np.arange(90)))
    wanted = (first + walk @ first + walk @ walk @ first) / 3
    torch.testing.assert_close(embed_layer_by_layer(model, graph), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS[:2])
def test_the_order_of_seeds_does_not_matter(graph, config):
    model = build_model(graph, config, seed=6)
    seeds = np.array([7, 2, 60, 33])
    turned = embed_block(model, graph, seeds[::-1].copy(), (-1, -1))
    torch.testing.assert_close(turned.flip(0), embed_block(model, graph, seeds, (-1, -1)))


def test_reach_adds_codes_of_neighbours_without_changing_what_the_block_knows(graph):
    block = sample_neighbors(graph.messages, np.array([1, 2, 3]), fanout=(4, 3), seed=0)
    degrees = np.ones(len(block.nodes), np.float32)
    first, second = block_edges(block, degrees, reach=1)
    assert len(first.counts) == len(second.counts) == second.num_sources == block.hops[1]
    assert (second.indices < block.hops[1]).all()
    kept = block.indices[block.indices < block.hops[1]]
    assert np.array_equal(second.indices, kept)
    few = edges_between(block, degrees, targets=3, sources=3)
    assert (few.indices < 3).all()


def test_vectors_have_length_one_under_cosine_only(graph):
    for output, unit in (("cosine", True), ("dot", False)):
        vectors = embed_block(build_model(graph, EncoderConfig(output=output), seed=0), graph, np.arange(5), (-1, -1))
        assert torch.allclose(vectors.norm(dim=1), torch.ones(5)) is unit


def test_the_same_seed_makes_the_same_parameters_and_another_seed_others(graph):
    one, two, three = (build_model(graph, EncoderConfig(), seed=seed).encoder.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["tokens"], three["tokens"])


def test_only_the_ids_of_a_block_get_gradients_and_strangers_never_do(graph):
    model = build_model(graph, EncoderConfig(), seed=0)
    inputs = InputSource.of(model.transform, graph).gather(np.array([4, 9]))
    inputs.ids[1] = model.transform.num_ids
    model.encoder.encode_inputs(inputs).square().sum().backward()
    gradient = model.encoder.ids.weight.grad.coalesce()
    touched = gradient.indices()[0][gradient.values().abs().sum(1) > 0]
    assert touched.tolist() == [4]


def test_a_share_of_the_ids_becomes_the_strangers_and_the_others_stay():
    ids = torch.arange(4000)
    first, again = (drop_ids(ids, rate=0.3, stranger=9999, generator=torch.Generator().manual_seed(1)) for _ in "ab")
    assert torch.equal(first, again)
    dropped = first == 9999
    assert torch.equal(first[~dropped], ids[~dropped])
    assert abs(float(dropped.float().mean()) - 0.3) < 0.03


def test_ids_are_left_out_in_training_only(graph):
    features = FeaturesConfig(id_dropout=0.5)
    model = build_model(graph, EncoderConfig(dim=16, features=features, dropout=0.0), seed=0)
    inputs = InputSource.of(model.transform, graph).gather(np.arange(90))
    whole, again = (model.encoder.encode_inputs(inputs) for _ in range(2))
    trained = model.encoder.encode_inputs(inputs, generator=torch.Generator().manual_seed(0))
    assert torch.equal(whole, again)
    assert 20 < int((trained != whole).any(1).sum()) < 70


def test_dropout_repeats_with_its_generator_and_keeps_the_mean():
    states = torch.ones(400, 50)
    first, again = (drop_entries(states, rate=0.3, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    assert abs(float(first.mean()) - 1) < 0.02


def test_heads_that_do_not_divide_the_width_are_refused(graph):
    with pytest.raises(ConfigError, match=r"10 .* is no multiple of 4"):
        build_model(graph, EncoderConfig(dim=10, layer="gat"), seed=0)
    build_model(graph, EncoderConfig(dim=10), seed=0)  # LightGCN has no heads.
