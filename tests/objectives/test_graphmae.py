"""The masked reconstruction against numpy, and its laws."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from amity.encoder import Edges, FeaturesConfig, FeatureTransform, Inputs, fit_features
from amity.graph import Category, Column, Graph, NodeKind, Number, Relation, from_pairs
from amity.graph.vocabulary import integer_vocabulary
from amity.objectives import graphmae_loss
from amity.objectives.graphmae import TOKEN_WIDTH, GraphMae, GraphMaeConfig, feature_vectors, feature_width


@pytest.mark.parametrize("gamma", [1.0, 2.0, 3.0])
def test_it_is_the_mean_scaled_cosine_error(gamma):
    rng = np.random.default_rng(0)
    restored, features = rng.normal(size=(9, 6)), rng.normal(size=(9, 6))
    lengths = np.linalg.norm(restored, axis=1) * np.linalg.norm(features, axis=1)
    wanted = np.mean((1 - (restored * features).sum(1) / lengths) ** gamma)
    found = graphmae_loss(torch.tensor(restored), torch.tensor(features), gamma=gamma)
    assert float(found) == pytest.approx(wanted, rel=1e-9)


def test_it_is_zero_at_agreement_of_directions_and_two_to_the_gamma_at_worst():
    features = torch.randn(5, 4)
    assert float(graphmae_loss(features * 3, features)) == pytest.approx(0, abs=1e-9)
    assert float(graphmae_loss(-features, features, gamma=3.0)) == pytest.approx(8, rel=1e-5)


def test_nodes_without_features_do_not_count():
    restored, features = torch.randn(4, 3), torch.randn(4, 3)
    features[1] = 0
    kept = [0, 2, 3]
    torch.testing.assert_close(graphmae_loss(restored, features), graphmae_loss(restored[kept], features[kept]))
    assert float(graphmae_loss(restored, torch.zeros(4, 3))) == 0


def make_inputs(dense: torch.Tensor, rows: list[dict[int, float]]) -> Inputs:
    nodes = len(rows)
    return Inputs(
        dense=dense,
        structure=torch.empty(nodes, 0),
        indptr=torch.tensor(np.append(0, np.cumsum([len(row) for row in rows]))),
        tokens=torch.tensor([token for row in rows for token in row], dtype=torch.int64),
        weights=torch.tensor([weight for row in rows for weight in row.values()], dtype=torch.float32),
        ids=torch.arange(nodes),
        degrees=torch.ones(nodes),
    )


def transform_of(*columns: Column, kinds: int = 1) -> FeatureTransform:
    """Fitted on a few nodes of the first of some kinds."""
    shapes = [NodeKind(f"kind {i}", 4 * i, integer_vocabulary(np.arange(4))) for i in range(kinds)]
    edges = from_pairs(np.array([0]), np.array([1]), num_nodes=4 * kinds)
    relation = Relation("knows", "kind 0", "kind 0", undirected=False, adjacency=edges)
    graph = Graph((replace(shapes[0], columns=columns), *shapes[1:]), (relation,), edges)
    return fit_features(graph, FeaturesConfig())


TOWN = Category("town", np.array([0, 0, 1, 1], np.int32), ("a", "b"))
AGE = Number("age", np.arange(4, dtype=np.float32))


@pytest.mark.parametrize("columns", [(AGE,), (TOWN,), (AGE, TOWN)])
def test_of_several_kinds_no_node_is_to_restore_which_it_is_of(columns: tuple[Column, ...]):
    one, two = transform_of(*columns), transform_of(*columns, kinds=2)
    assert feature_width(one) == feature_width(two) == sum(2 if column is AGE else TOKEN_WIDTH for column in columns)
    rows = [{0: 1.0, 2: 1.0}, {0: 1.0, 3: 1.0}, {1: 1.0}] if TOWN in columns else [{0: 1.0}, {0: 1.0}, {1: 1.0}]
    inputs = make_inputs(torch.randn(3, one.num_numbers), rows)
    found = feature_vectors(inputs, torch.arange(3), two)
    assert found.shape == (3, feature_width(two))
    bare = [{token: weight for token, weight in row.items() if token > 1} for row in rows]
    torch.testing.assert_close(found, feature_vectors(make_inputs(inputs.dense, bare), torch.arange(3), one))


def test_what_is_to_be_restored_has_blocks_of_unit_length():
    inputs = make_inputs(torch.randn(3, 2) * 100, [{0: 1.0, 7: 0.5}, {3: 1.0}, {0: 1.0}])
    features = feature_vectors(inputs, torch.tensor([0, 2]), transform_of(AGE, TOWN))
    assert features.shape == (2, 2 + TOKEN_WIDTH)
    torch.testing.assert_close(features[:, :2].norm(dim=1), torch.ones(2))
    torch.testing.assert_close(features[:, 2:].norm(dim=1), torch.ones(2))


def test_the_projection_of_tokens_is_additive_and_keeps_sets_apart():
    inputs = make_inputs(torch.empty(4, 0), [{0: 1.0}, {1: 2.0}, {0: 1.0, 1: 2.0}, {2: 1.0}])
    town = transform_of(TOWN)
    signs = [feature_vectors(inputs, torch.tensor([node]), town)[0] * TOKEN_WIDTH**0.5 for node in (0, 1, 3)]
    assert all((sign.abs() - 1).abs().max() < 1e-5 for sign in signs)
    both = feature_vectors(inputs, torch.tensor([2]), town)[0]
    summed = signs[0] + 2 * signs[1]
    torch.testing.assert_close(both, summed / summed.norm())
    assert abs(float(signs[0] @ signs[2])) < TOKEN_WIDTH / 2


def test_the_decoder_sees_the_neighbours_and_never_the_masked_node_itself():
    head = GraphMae(GraphMaeConfig(), 4, transform_of(AGE), generator=torch.Generator().manual_seed(0))
    edges = Edges(np.array([0, 2, 3]), np.array([1, 2, 0], np.int32), np.ones(2, np.float32), np.ones(3, np.float32))
    codes, masked = torch.randn(3, 4, requires_grad=True), torch.tensor([0])
    restored = head.decode(codes, masked, edges)
    wanted = (codes[1] + codes[2]) / 2 @ head.bridge @ head.decoder + head.bias
    torch.testing.assert_close(restored[0], wanted)
    both = head.decode(codes, torch.tensor([0, 1]), edges)
    torch.testing.assert_close(both[0], codes[2] / 2 @ head.bridge @ head.decoder + head.bias)
    torch.testing.assert_close(both[1], head.bias)
    restored.sum().backward()
    assert (codes.grad[0] == 0).all()
