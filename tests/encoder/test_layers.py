"""Layers against those of PyTorch Geometric."""

import numpy as np
import torch
from torch_geometric.nn import GATConv, LGConv, SAGEConv

from amity.encoder import Edges
from amity.encoder.layers import GatLayer, LightGcnLayer, SageLayer
from amity.encoder.states import whole


def whole_graph_edges(graph) -> Edges:
    degrees = graph.messages.degrees().astype(np.float32)
    return Edges(graph.messages.indptr, graph.messages.indices, degrees, degrees)


def coordinates(graph) -> torch.Tensor:
    return torch.from_numpy(np.stack([graph.messages.indices, graph.messages.sources()]).astype(np.int64))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def assert_same_with_gradients(layer, oracle, graph, *, dim: int) -> None:
    states = torch.randn(graph.num_nodes, dim, generator=generator())
    ours, theirs = states.clone().requires_grad_(), states.clone().requires_grad_()
    found, wanted = layer(ours, whole(ours), whole_graph_edges(graph)), oracle(theirs, coordinates(graph))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    found.square().sum().backward()
    wanted.square().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)


def test_the_attention_layer_is_gatconv(make_random_friend_graph):
    layer, oracle = GatLayer(16, heads=4, identity=False, generator=generator()), GATConv(16, 4, heads=4)
    with torch.no_grad():
        oracle.lin.weight.copy_(layer.weight.T)
        oracle.att_src.copy_(layer.attention[:1])
        oracle.att_dst.copy_(layer.attention[1:])
    assert_same_with_gradients(layer, oracle, make_random_friend_graph(80, 300), dim=16)


def test_the_mean_layer_is_sageconv(make_random_friend_graph):
    layer, oracle = SageLayer(12, identity=False, generator=generator()), SAGEConv(12, 12)
    with torch.no_grad():
        oracle.lin_l.weight.copy_(layer.neighbors.T)
        oracle.lin_l.bias.copy_(layer.bias)
        oracle.lin_r.weight.copy_(layer.itself.T)
    assert_same_with_gradients(layer, oracle, make_random_friend_graph(80, 300), dim=12)


def test_the_layer_without_parameters_is_lgconv(make_random_friend_graph):
    assert_same_with_gradients(LightGcnLayer(), LGConv(), make_random_friend_graph(80, 300), dim=8)


def test_a_sampled_lightgcn_sum_is_right_on_average(make_random_friend_graph):
    graph = make_random_friend_graph(40, 300)
    edges = whole_graph_edges(graph)
    row = int(np.argmax(edges.counts))
    states, rng = torch.randn(40, 4, generator=generator()), np.random.default_rng(0)
    exact = LightGcnLayer()(states, whole(states), edges)[row]
    drawn = []
    for _ in range(3000):
        chosen = rng.choice(graph.messages.neighbors(row), 5, replace=False).astype(np.int32)
        few = Edges(np.array([0, 5]), chosen, edges.target_degrees[row : row + 1], edges.source_degrees)
        drawn.append(LightGcnLayer()(states[row : row + 1], whole(states), few)[0])
    samples = torch.stack(drawn)
    error = samples.std(0) / len(samples) ** 0.5
    assert ((samples.mean(0) - exact).abs() < 4 * error).all()
