"""A step on a small graph, with everything that objectives need."""

from collections.abc import Callable

import numpy as np
import pytest

from amity.encoder import EncoderConfig, Inputs, InputSource, Model, build_model
from amity.graph import Category, Graph
from amity.sampling import Batch, sample_neighbors

Stage = tuple[Model, Batch, Inputs]


@pytest.fixture(scope="session")
def graph(make_random_friend_graph: Callable[..., Graph]) -> Graph:
    town = Category("town", np.arange(120, dtype=np.int32) % 5, tuple("abcde"))
    return make_random_friend_graph(120, 500, columns=(town,))


@pytest.fixture(scope="session")
def make_stage() -> Callable[[Graph, EncoderConfig], Stage]:
    """An untrained model, a batch of 30 rows around 70 nodes of a graph, and the batch's inputs."""

    def make(graph: Graph, config: EncoderConfig) -> Stage:
        model = build_model(graph, config, seed=0)
        block = sample_neighbors(graph.messages, np.arange(70), fanout=(4, 3)[: config.layers], seed=1)
        rng = np.random.default_rng(0)
        batch = Batch(
            step=0,
            block=block,
            queries=rng.integers(0, 70, 30),
            candidates=np.arange(40),
            positives=rng.integers(0, 40, 30),
            masked=np.zeros((30, 40), bool),
            log_rates=np.zeros(40, np.float32),
            clusters=np.zeros(40, np.int32),
        )
        return model, batch, InputSource.of(model.transform, graph).gather(block.nodes)

    return make


@pytest.fixture(scope="session")
def stage(graph: Graph, make_stage: Callable[[Graph, EncoderConfig], Stage]) -> Stage:
    """Of attention, whose layers have something to learn."""
    return make_stage(graph, EncoderConfig(dim=8, layer="gat", dropout=0.0))
