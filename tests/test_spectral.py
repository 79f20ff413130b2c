"""Spectral vectors are the leading eigenvectors, and stand beside the learned numbers without touching them."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy import ndarray
from scipy.sparse.linalg import eigsh

from amity.clustering import Clusters, undivided
from amity.config import Config
from amity.embedding import AtHand, EmbeddingConfig, SpectralConfig, embed_graph, find_leading
from amity.embedding.spectral import DividedSpectrum, find_spectrum, needed_bytes
from amity.encoder import Division, EncoderConfig, Model, build_model
from amity.errors import ConfigError
from amity.graph import Adjacency, Category, Graph, NodeKind, Relation, from_pairs, reverse, union
from amity.graph.vocabulary import integer_vocabulary
from amity.kernels import mix
from amity.pipeline.spectral import SHARES, settle_spectral
from amity.pipeline.validation import LENGTH
from amity.splitting import Split, SplittingConfig, split_edges
from oracles import as_matrix

FRIENDS = Callable[..., Graph]
USERS, SONGS = 90, 240


@pytest.fixture(scope="module")
def graph(make_random_friend_graph: FRIENDS) -> Graph:
    return make_random_friend_graph(600, 4000, 3)


@pytest.fixture(scope="module")
def split(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Split:
    return split_edges(graph, SplittingConfig(), tmp_path_factory.mktemp("split"), seed=0)


@pytest.fixture(scope="module")
def model(split: Split) -> Model:
    return build_model(split.train, EncoderConfig(dim=16), seed=0)


@pytest.fixture(scope="module")
def likes() -> Graph:
    """People who like songs, mostly those of their own kind, of which there are eight."""
    rng = np.random.default_rng(4)
    users, songs = rng.integers(0, USERS, 3000), rng.integers(0, SONGS, 3000)
    kept = (users % 8 == songs % 8) | (rng.random(3000) < 0.1)
    kinds = tuple(
        NodeKind(name, first, integer_vocabulary(np.arange(count)))
        for name, first, count in (("user", 0, USERS), ("song", USERS, SONGS))
    )
    adjacency = from_pairs(users[kept], USERS + songs[kept], num_nodes=USERS + SONGS)
    relation = Relation("likes", "user", "song", undirected=False, adjacency=adjacency)
    return Graph(kinds, (relation,), union(adjacency, reverse(adjacency)))


@pytest.fixture(scope="module")
def likes_split(likes: Graph, tmp_path_factory: pytest.TempPathFactory) -> Split:
    return split_edges(likes, SplittingConfig(), tmp_path_factory.mktemp("likes"), seed=0)


def normalized(adjacency: Adjacency, shift: float) -> sp.csr_array:
    """(D + τ)^-½ A (D + τ)^-½ by scipy."""
    degrees = adjacency.degrees() + shift * adjacency.degrees().mean()
    return sp.csr_array(sp.diags_array(degrees**-0.5) @ as_matrix(adjacency) @ sp.diags_array(degrees**-0.5))


def settled(split: Split, model: Model, **given: float) -> SpectralConfig:
    return settled_under(EmbeddingConfig(), split, model, **given)


def settled_under(embedding: EmbeddingConfig, split: Split, model: Model, **given: float) -> SpectralConfig:
    spectral = SpectralConfig.model_validate({"dim": 20, **given})
    config = Config(embedding=embedding.model_copy(update={"spectral": spectral}))
    return settle_spectral(model, split, config)[0].spectral


@pytest.mark.parametrize("shift", [0.1, 0.5, 4.0])
def test_eigenvalues_are_those_of_scipy_from_below(graph: Graph, shift: float):
    """Even where they lie so close together as in a random graph."""
    found = find_leading(graph.messages, 20, shift=shift)
    expected = eigsh(normalized(graph.messages, shift), k=20, which="LA", return_eigenvectors=False)
    np.testing.assert_allclose(found.values, np.sort(expected), rtol=0.03)
    assert (found.values <= np.sort(expected) + 1e-5).all()


def test_eigenvectors_are_orthonormal_and_only_scaled_by_the_matrix(graph: Graph):
    found = find_leading(graph.messages, 20, shift=0.5)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(20), atol=1e-4)
    moved = normalized(graph.messages, 0.5) @ found.vectors
    assert np.linalg.norm(moved - found.vectors * found.values, axis=0).max() < 0.05


def test_the_same_graph_gives_the_very_same_vectors(graph: Graph):
    first, again = (find_leading(graph.messages, 20, shift=0.5) for _ in range(2))
    np.testing.assert_array_equal(first.rows(0.5), again.rows(0.5))


MEMORY = """
import numpy as np
from amity.artifacts.memory import peak_memory_bytes, reset_peak_memory
from amity.embedding import find_leading
from amity.embedding.spectral import BLOCKS, SPARE
from amity.graph import from_pairs

def random(nodes):
    ends = np.random.default_rng(0).integers(0, nodes, (2, 4 * nodes))
    return from_pairs(*np.hstack([ends, ends[::-1]]), num_nodes=nodes)

find_leading(random(1000), 80, shift=0.5)
large = random(150_000)
reset_peak_memory()
before = peak_memory_bytes()
find_leading(large, 80, shift=0.5)
print((peak_memory_bytes() - before) / (BLOCKS * (1 + SPARE) * 80 * 150_000 * 4))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_no_more_memory_is_taken_than_is_reckoned_with():
    ended = subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True)
    assert 0.5 < float(ended.stdout) < 1.25


def test_between_two_kinds_inner_products_are_those_of_the_singular_vectors(likes: Graph):
    """A user's with a song's: U Σ² Vᵀ, of the part of S that says which user likes which song."""
    found = find_leading(likes.messages, USERS + SONGS, shift=0.5)
    U, sigma, Vt = np.linalg.svd(normalized(likes.messages, 0.5).toarray()[:USERS, USERS:], full_matrices=False)
    stretch = found.degrees**0.25
    expected = (U * sigma**2) @ Vt * np.outer(stretch[:USERS], stretch[USERS:])
    rows = found.rows(1.0)
    products = rows[:USERS] @ rows[USERS:].T
    np.testing.assert_allclose(products / np.linalg.norm(products), expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.parametrize("nodes", [1, 3, 30])
def test_a_graph_with_fewer_nodes_than_columns_keeps_all_of_its_spectrum(make_random_friend_graph: FRIENDS, nodes: int):
    adjacency = make_random_friend_graph(nodes, 2 * nodes, 0).messages
    found = find_leading(adjacency, 40, shift=0.5)
    assert found.vectors.shape == (nodes, nodes)
    expected = np.linalg.eigvalsh(normalized(adjacency, 0.5).toarray()) if adjacency.num_edges else np.zeros(nodes)
    np.testing.assert_allclose(found.values, expected, atol=1e-4)


def test_with_the_first_power_inner_products_are_paths_of_two_steps(make_random_friend_graph: FRIENDS):
    """All eigenvectors, those of negative eigenvalues left out: V Λ² Vᵀ is the positive part of S²."""
    adjacency = make_random_friend_graph(40, 120, 5).messages
    found = find_leading(adjacency, 40, shift=0.5)
    matrix = normalized(adjacency, 0.5).toarray()
    values, vectors = np.linalg.eigh(matrix)
    stretch = found.degrees**0.25
    expected = (vectors * np.clip(values, 0, None) ** 2) @ vectors.T * np.outer(stretch, stretch)
    products = found.rows(1.0) @ found.rows(1.0).T
    np.testing.assert_allclose(products / np.trace(products), expected / np.trace(expected), atol=1e-5)


def test_nobody_without_friends_has_a_spectral_vector(lonely: Adjacency):
    rows = find_leading(lonely, 5, shift=0.5).rows(1.0)
    assert np.abs(rows[lonely.degrees() == 0]).max() < 1e-4
    assert np.abs(rows[lonely.degrees() > 0]).max() > 0.1


def test_a_graph_without_edges_has_spectral_vectors_of_zeros(make_friend_graph: FRIENDS):
    nobody = np.empty(0, np.int64)
    for power in (0.0, 0.5, 1.0):
        rows = find_leading(make_friend_graph(nobody, nobody, num_nodes=30).messages, 8, shift=0.5).rows(power)
        np.testing.assert_array_equal(rows, np.zeros((30, 8)))


@pytest.fixture(scope="module")
def lonely(make_random_friend_graph: FRIENDS) -> Adjacency:
    few = make_random_friend_graph(30, 100, 2).messages
    return Adjacency(np.append(few.indptr, [few.indptr[-1]] * 10), few.indices)


def test_inner_products_add_up(graph: Graph, model: Model):
    config = EmbeddingConfig(spectral=SpectralConfig(dim=20, power=1.0, share=2.0))
    plain, beside = embed_graph(model, graph).vectors, embed_graph(model, graph, None, config).vectors
    np.testing.assert_array_equal(beside[:, :16], plain)
    rows = find_leading(graph.messages, 20, shift=0.5).rows(1.0)
    unit = (plain**2).sum() / len(plain)
    expected = plain @ plain.T + 2.0 * unit * rows @ rows.T
    np.testing.assert_allclose(beside @ beside.T, expected, atol=1e-3 * np.abs(expected).max())


def test_neither_strangers_who_are_heard_nor_a_last_message_pass_touch_the_spectral_part(
    make_random_friend_graph: FRIENDS,
):
    town = Category("town", np.arange(200, dtype=np.int32) % 7, tuple("abcdefg"))
    graph = make_random_friend_graph(200, 300, 1, columns=(town,))
    model = build_model(graph, EncoderConfig(dim=16), seed=0)
    spectral = {"dim": 12, "power": 0.5, "share": 0.5}
    pages = [{}, {"densification": {"neighbors": 3, "degree": 1}}, {"message_pass": 0.4}]
    rows = find_leading(graph.messages, 12, shift=0.5).rows(0.5)
    learned = []
    for page in pages:
        alone = embed_graph(model, graph, None, EmbeddingConfig.model_validate(page)).vectors
        vectors = embed_graph(model, graph, None, EmbeddingConfig.model_validate(page | {"spectral": spectral})).vectors
        np.testing.assert_array_equal(vectors[:, :16], alone)
        np.testing.assert_allclose(vectors[:, 16:], rows * ((alone**2).sum() / len(alone) * 0.5) ** 0.5, atol=1e-5)
        learned.append(alone)
    assert not any(np.allclose(learned[0], other) for other in learned[1:])


@pytest.mark.parametrize("precision", ["single", "half"])
def test_files_hold_what_memory_holds(graph: Graph, model: Model, tmp_path: Path, precision: str):
    spectral = {"dim": 20, "power": 0.5, "share": 1.0}
    config = EmbeddingConfig.model_validate({"spectral": spectral, "precision": precision, "memory_gib": 1e-9})
    kept = embed_graph(model, graph, None, config).vectors
    np.testing.assert_allclose(embed_graph(model, graph, tmp_path, config).vectors, kept, atol=2e-3)
    assert kept.dtype == (np.float16 if precision == "half" else np.float32)


@pytest.mark.parametrize("given", [{}, {"share": 0.0, "power": 1.0}, {"share": 1.0}, {"power": 1.0}])
def test_without_a_share_and_a_power_there_are_learned_numbers_alone(
    graph: Graph, model: Model, given: dict[str, float]
):
    config = EmbeddingConfig.model_validate({"spectral": given})
    np.testing.assert_array_equal(embed_graph(model, graph, None, config).vectors, embed_graph(model, graph).vectors)


def test_what_is_given_stays(split: Split, model: Model):
    assert settled(split, model, share=0.3, power=0.7).model_dump() == {
        "dim": 20, "shift": 0.5, "share": 0.3, "power": 0.7, "of": "graph"
    }  # fmt: skip
    assert settled(split, model, share=0.3).share == 0.3
    assert settled(split, model, power=0.7).power == 0.7
    without = settled(split, model, share=0.0, power=0.7)
    assert (without.share, without.power) == (0.0, 0.7)


@pytest.mark.parametrize("page", [{}, {"message_pass": 0.9, "heard_power": 0.5}, {"precision": "half"}])
def test_what_is_chosen_finds_no_fewer_of_the_validation_friends(split: Split, model: Model, page: dict):
    embedding = EmbeddingConfig.model_validate(page)
    chosen = settled_under(embedding, split, model, power=1.0).share
    found = recalls(split, model, embedding)
    assert found[chosen] == max(found.values())


def test_for_two_kinds_too_and_there_eigenvectors_find_what_an_untrained_encoder_does_not(likes_split: Split):
    model = build_model(likes_split.train, EncoderConfig(dim=16), seed=0)
    chosen = settled(likes_split, model, power=1.0).share
    found = recalls(likes_split, model)
    assert found[chosen] == max(found.values()) > found[0.0]


def recalls(split: Split, model: Model, embedding: EmbeddingConfig | None = None) -> dict[float | None, float]:
    """By the share of the spectral part, the first power of its eigenvalues."""
    return {share: valid_recall(split, model, share, embedding) for share in (0.0, *SHARES)}


def valid_recall(split: Split, model: Model, share: float, embedding: EmbeddingConfig | None = None) -> float:
    """By brute force: every query, every candidate."""
    spectral = SpectralConfig(dim=20, power=1.0, share=share)
    config = (embedding or EmbeddingConfig()).model_copy(update={"spectral": spectral})
    vectors = embed_graph(model, split.train, None, config).vectors.astype(np.float32)
    return float(np.mean([recall_of(query, vectors, split) for query in asking(split)]))


def asking(split: Split) -> ndarray:
    return np.flatnonzero(split.valid.truth.degrees())


def recall_of(query: int, vectors: ndarray, split: Split) -> float:
    scores = np.full(len(vectors), -np.inf)
    rows = split.train.candidates.rows
    scores[rows] = vectors[rows] @ vectors[query]
    scores[np.append(split.train.target.adjacency.neighbors(query), query)] = -np.inf
    truth = split.valid.truth.neighbors(query)
    return float(np.isin(truth, np.argsort(-scores)[:LENGTH]).mean())


def test_the_choice_looks_at_no_test_friend(split: Split, model: Model):
    other = np.array([mix(edge) for edge in range(split.test.truth.num_edges)]) % split.train.num_nodes
    test = Adjacency(split.test.truth.indptr, np.sort(other).astype(split.test.truth.indices.dtype))
    planted = Split(split.train, split.supervision, split.valid, type(split.test)(test, split.test.known))
    assert settled(planted, model) == settled(split, model)


def test_beyond_its_memory_the_part_is_left_out_and_that_is_said(
    split: Split, model: Model, capsys: pytest.CaptureFixture[str]
):
    config = Config.model_validate({"embedding": {"memory_gib": 1e-6}})
    chosen, spectrum = settle_spectral(model, split, config)
    assert (chosen.spectral.share, spectrum) == (0.0, None)
    assert "without spectral vectors" in capsys.readouterr().err


def test_the_choice_among_a_pool_of_nearly_all_is_as_good_as_among_all(split: Split, model: Model):
    pooled = Config.model_validate(
        {
            "sampling": {"fanout": [-1, -1]},
            "embedding": {"spectral": {"dim": 20, "power": 1.0}},
            "training": {"validation_candidates": split.train.num_nodes - 1},
        }
    )
    share = settle_spectral(model, split, pooled)[0].spectral.share
    found = recalls(split, model)
    assert found[share] > 0.95 * max(found.values())
    assert min(found.values()) < 0.85 * max(found.values())


@pytest.fixture(scope="module")
def apart(make_random_friend_graph: FRIENDS) -> tuple[Graph, Clusters]:
    """Two colleges, and a dozen people of a third, fewer than there are columns; some friendships between them."""
    parts, firsts = [make_random_friend_graph(size, 8 * size, 5).messages for size in (300, 200, 12)], (0, 300, 500)
    bridges = np.array([[0, 310], [5, 400], [299, 505], [450, 511]])
    sources = [part.sources() + first for part, first in zip(parts, firsts, strict=True)]
    targets = [part.indices + first for part, first in zip(parts, firsts, strict=True)]
    sources, targets = np.concatenate([*sources, bridges[:, 0]]), np.concatenate([*targets, bridges[:, 1]])
    adjacency = from_pairs(sources, targets, num_nodes=512)
    adjacency = union(adjacency, reverse(adjacency))
    kinds = (NodeKind("user", 0, integer_vocabulary(np.arange(512))),)
    graph = Graph(kinds, (Relation("knows", "user", "user", undirected=True, adjacency=adjacency),), adjacency)
    return graph, Clusters(np.repeat(np.arange(3, dtype=np.int32), (300, 200, 12)), ("north", "south", "west"))


OF_CLUSTERS = SpectralConfig(dim=20, of="clusters")


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_inside_a_cluster_inner_products_are_those_of_its_own_graph(apart: tuple[Graph, Clusters], power: float):
    graph, clusters = apart
    rows = find_spectrum(graph, OF_CLUSTERS, clusters).rows(power)
    for cluster in range(3):
        members = clusters.members(cluster)
        alone = find_leading(graph.messages.among(members), 20, shift=OF_CLUSTERS.shift).rows(power)
        np.testing.assert_allclose(rows[members] @ rows[members].T, alone @ alone.T, atol=1e-4)


def test_between_clusters_inner_products_are_noise(apart: tuple[Graph, Clusters]):
    """Of the spread that independent directions have; the first eigenvectors alone would give them one sign."""
    graph, clusters = apart
    rows = find_spectrum(graph, OF_CLUSTERS, clusters).rows(1.0)
    north, south = rows[:300], rows[300:500]
    products = (north @ south.T) / np.outer(np.linalg.norm(north, axis=1), np.linalg.norm(south, axis=1))
    assert 0.5 < products.std() * 20**0.5 < 2
    inside = (north @ north.T)[~np.eye(300, dtype=bool)].mean()
    assert abs((north @ south.T).mean()) < inside / 2


def test_one_cluster_has_the_spectrum_of_the_graph(graph: Graph):
    found = find_spectrum(graph, OF_CLUSTERS, undivided(600)).rows(0.5)
    np.testing.assert_array_equal(found, find_leading(graph.messages, 20, shift=OF_CLUSTERS.shift).rows(0.5))


def test_spectra_of_clusters_take_no_more_memory_than_is_reckoned_with(make_random_friend_graph: FRIENDS):
    """As far as numpy allocates it, which is all but the decomposition of one cluster's columns."""
    graph, config = make_random_friend_graph(20_000, 60_000, 7), SpectralConfig(dim=64, of="clusters")
    clusters = Clusters(np.arange(20_000, dtype=np.int32) % 10, tuple("abcdefghij"))
    find_spectrum(graph, config.model_copy(update={"dim": 1}), clusters)
    tracemalloc.start()
    rows = find_spectrum(graph, config, clusters).rows(0.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    reckoned = needed_bytes(graph, config, clusters)
    assert rows.nbytes * 1.5 < peak < reckoned < needed_bytes(graph, config) / 2


def test_spectra_of_clusters_want_clusters_of_those_who_ask(graph: Graph, likes: Graph):
    with pytest.raises(ConfigError, match="Give the clusters"):
        find_spectrum(graph, OF_CLUSTERS)
    with pytest.raises(ConfigError, match="divide `song`, and those who ask are `user`"):
        find_spectrum(likes, OF_CLUSTERS, Clusters(np.arange(SONGS, dtype=np.int32) % 2, ("odd", "even")))


def test_a_divided_model_settles_and_embeds_with_the_spectra_of_its_clusters(split: Split):
    halves = Clusters(np.arange(600, dtype=np.int32) % 2, ("even", "odd"))
    model = build_model(split.train, EncoderConfig(dim=16), division=Division(2), seed=0)
    config = Config(embedding=EmbeddingConfig(spectral=OF_CLUSTERS))
    chosen, spectrum = settle_spectral(model, split, config, halves)
    assert "auto" not in (chosen.spectral.share, chosen.spectral.power)
    assert isinstance(spectrum, DividedSpectrum)
    given = chosen.model_copy(update={"spectral": OF_CLUSTERS.model_copy(update={"power": 0.5, "share": 1.0})})
    made = [
        embed_graph(model, split.train, None, given, at_hand=at_hand).vectors
        for at_hand in (AtHand(spectrum), AtHand(clusters=halves))
    ]
    np.testing.assert_array_equal(*made)
    assert np.abs(made[0][:, 16:]).max() > 0
