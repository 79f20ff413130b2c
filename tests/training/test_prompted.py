"""A network that one vector for each person cannot tell, and prompts can."""

from collections.abc import Callable

import numpy as np
import pytest

from amity.clustering import Clusters
from amity.embedding import embed_graph
from amity.encoder import EncoderConfig
from amity.evaluation.in_cluster import in_cluster_recall
from amity.graph import Category, Graph
from amity.index import IndexConfig
from amity.objectives import ObjectivesConfig
from amity.pipeline.validation import validation
from amity.retrieval import DividedRetriever
from amity.sampling import SamplingConfig
from amity.splitting import Split, SplittingConfig, split_edges
from amity.training import Recipe, TrainingConfig, train_model

PEOPLE, KINDS = 320, 4
TWO = Clusters((np.arange(PEOPLE) % 2).astype(np.int32), ("alike", "unlike"))


@pytest.fixture(scope="module")
def split(make_friend_graph: Callable[..., Graph], tmp_path_factory: pytest.TempPathFactory) -> Split:
    """In the first community, and between both, friends are of one kind; in the second, of kinds 0 and 1, or 2 and 3.

    There whoever is of one kind has the same vector, so that inner products rank first whom nobody befriends.
    """
    rng = np.random.default_rng(0)
    kind = rng.integers(0, KINDS, PEOPLE)
    pairs = rng.integers(0, PEOPLE, (60_000, 2))
    both_unlike = (pairs % 2 == 1).all(1)
    wanted = np.where(both_unlike, kind[pairs[:, 0]] ^ 1, kind[pairs[:, 0]])
    friends = pairs[kind[pairs[:, 1]] == wanted][:4000]
    town = Category("town", (2 * kind + np.arange(PEOPLE) % 2).astype(np.int32), tuple("abcdefgh"))
    graph = make_friend_graph(friends[:, 0], friends[:, 1], num_nodes=PEOPLE, columns=(town,))
    return split_edges(graph, SplittingConfig(), tmp_path_factory.mktemp("split"), seed=0)


def found_in_clusters(split: Split, kind: str) -> np.ndarray:
    """The share of the held-out friends among the 20 and the 50 best of their clusters."""
    encoder = {"dim": 16, "popularity": 0, "prompts": {"kind": kind}, "features": {"ids": "none"}}
    recipe = Recipe(
        SamplingConfig(fanout=(10, 5), batch_size=256, negatives=128, global_share=0.0),
        EncoderConfig.model_validate(encoder),
        ObjectivesConfig.model_validate({"cca_ssg": {"weight": 0}, "graphmae": {"weight": 0}}),
        TrainingConfig.model_validate({"steps": 150, "learning_rate": 0.02, "first_validation": 50, "patience": 1e9}),
        TWO,
    )
    model = train_model(split, recipe, seed=0, validate=validation(split, recipe, seed=0))
    made = embed_graph(model, split.train)
    index = DividedRetriever.build(made, TWO, IndexConfig(kind="exact")).index
    queries = np.flatnonzero(split.test.truth.degrees())
    return in_cluster_recall(made, index, split.test, queries).mean(0)[1:]


@pytest.fixture(scope="module")
def plain(split: Split) -> np.ndarray:
    return found_in_clusters(split, "none")


@pytest.mark.parametrize("kind", ["product", "token", "mmoe"])
def test_prompts_find_friends_that_one_vector_for_all_clusters_cannot(split: Split, plain: np.ndarray, kind: str):
    assert (found_in_clusters(split, kind) > plain + 0.1).all()
