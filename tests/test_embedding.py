"""The whole graph, layer by layer, is what sampling with infinite fan-out gives; on disk it is the same."""

import re
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.lib.format import open_memmap
from scipy.sparse import csr_matrix

from amity.embedding import EmbeddingConfig, embed_graph, open_embeddings
from amity.embedding.embedding import fill_vectors
from amity.embedding.learned import Learned
from amity.embedding.propagation import DevicePropagation
from amity.embedding.states import Rows, Storage
from amity.encoder import EncoderConfig, InputSource, Model, block_edges, build_model
from amity.encoder.states import whole
from amity.errors import ArtifactError
from amity.graph import Category, Graph, NodeKind, Relation, from_pairs, reverse, union
from amity.graph.vocabulary import Vocabulary, hash_strings, integer_vocabulary, new_slots
from amity.sampling import sample_neighbors


@pytest.fixture(scope="module")
def graph(make_random_friend_graph: Callable[..., Graph]) -> Graph:
    rng = np.random.default_rng(0)
    town = Category("town", rng.integers(-1, 5, 150).astype(np.int32), tuple("abcde"))
    return make_random_friend_graph(150, 500, 2, columns=(town,))


def shaken_model(graph: Graph, layer: str, settings: dict | None = None, *, popularity: float = 0.0) -> Model:
    """A model whose parameters are all away from where they begin."""
    config = EncoderConfig.model_validate(
        {"dim": 16, "layer": layer, "popularity": popularity, "features": {"ids": "learned"}, **(settings or {})}
    )
    model = build_model(graph, config, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("layer", ["gat", "sage", "lightgcn"])
def test_layer_by_layer_equals_sampling_with_infinite_fanout(graph: Graph, layer: str):
    model = shaken_model(graph, layer)
    seeds = np.random.default_rng(0).permutation(graph.num_nodes)[:40]
    block = sample_neighbors(graph.messages, seeds, fanout=(-1, -1), seed=0)
    inputs = InputSource.of(model.transform, graph).gather(block.nodes)
    with torch.no_grad():
        first = whole(model.encoder.encode_inputs(inputs))
        states = model.encoder.propagate(first, block_edges(block, inputs.degrees.numpy()))
        sampled = model.encoder.scale(model.encoder.blend(states))
    vectors = embed_graph(model, graph).vectors
    np.testing.assert_allclose(vectors[seeds], sampled.numpy(), atol=1e-5, rtol=1e-5)
    assert np.ptp(vectors, axis=0).min() > 1e-2  # Nodes differ: equality above says something.


@pytest.mark.parametrize("combine", ["mean", "last"])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_kernels_over_the_whole_graph_equal_the_layers_own_forward(
    graph: Graph, layers: int, residual: bool, combine: str
):
    for layer in ("gat", "sage", "lightgcn"):
        settings = {"layers": layers, "residual": residual, "combine": combine, "activation": "elu"}
        model = shaken_model(graph, layer, settings)
        storage, chunk = Storage(None, (graph.num_nodes, 16), np.float32), 64
        way = DevicePropagation(graph.messages, torch.device("cpu"))
        expected = storage.new("vectors")
        fill_vectors(model, graph, Learned(model.encoder, expected), storage, chunk, (list(model.encoder.layers), way))
        np.testing.assert_allclose(embed_graph(model, graph).vectors, expected.array, atol=1e-5, rtol=1e-4)


def test_the_attention_of_a_hub_is_that_of_the_layer_for_any_number_of_threads(
    make_friend_graph: Callable[..., Graph],
):
    hub = make_friend_graph(np.zeros(500, np.int64), np.arange(1, 501), num_nodes=502)
    expected = embed_graph(shaken_model(hub, "gat"), hub).vectors
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        np.testing.assert_array_equal(embed_graph(shaken_model(hub, "gat"), hub).vectors, expected)
    finally:
        numba.set_num_threads(threads)


@pytest.mark.parametrize("layer", ["gat", "sage", "lightgcn"])
def test_half_precision_takes_half_the_room_and_rounds(graph: Graph, tmp_path: Path, layer: str):
    model = shaken_model(graph, layer)
    exact = embed_graph(model, graph).vectors
    made = embed_graph(model, graph, tmp_path, EmbeddingConfig(precision="half", memory_gib=1e-9, parquet=True))
    assert made.vectors.dtype == np.float16
    np.testing.assert_allclose(made.vectors.astype(np.float32), exact, atol=5e-3)
    table = pq.read_table(tmp_path / "user.parquet")
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist(), np.float16), made.vectors)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_vectors(graph: Graph):
    model = shaken_model(graph, "gat")
    made = embed_graph(model, graph, device="cuda").vectors
    np.testing.assert_allclose(made, embed_graph(model, graph).vectors, atol=1e-4)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_vectors_on_disk_do_not_depend_on_the_chunk(graph: Graph, tmp_path: Path, chunk: int):
    model = shaken_model(graph, "gat")
    expected = embed_graph(model, graph).vectors
    made = embed_graph(model, graph, tmp_path, EmbeddingConfig(chunk=chunk, memory_gib=1e-9))
    np.testing.assert_allclose(made.vectors, expected, atol=1e-5)
    np.testing.assert_array_equal(open_embeddings(tmp_path, graph).vectors, made.vectors)
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.npy"]


def test_vectors_are_stretched_by_the_power_of_the_degree(graph: Graph):
    plain, stretched = (
        embed_graph(shaken_model(graph, "gat", popularity=power), graph).vectors for power in (0.0, 0.5)
    )
    degrees = np.maximum(graph.messages.degrees(), 1)
    np.testing.assert_allclose(stretched, plain * np.sqrt(degrees)[:, None], rtol=1e-5)
    assert degrees.max() > 4 * degrees.min()


def test_parquet_holds_the_raw_ids_beside_the_vectors(graph: Graph, tmp_path: Path):
    made = embed_graph(shaken_model(graph, "gat"), graph, tmp_path, EmbeddingConfig(parquet=True, chunk=64))
    table = pq.read_table(tmp_path / "user.parquet")
    assert table["id"].to_pylist() == list(range(150))
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist(), np.float32), made.vectors)


def test_each_kind_of_node_has_its_table_with_text_ids_where_they_are_text(tmp_path: Path):
    names = ["é", "bob", "carol", ""]
    offsets = np.cumsum([0, *(len(name.encode()) for name in names)])
    text = np.frombuffer("".join(names).encode(), np.uint8)
    users = NodeKind("user", 0, Vocabulary(hash_strings(offsets, text), new_slots(4), offsets, text))
    songs = NodeKind("song", 4, integer_vocabulary(np.array([30, 10, 20])))
    likes = from_pairs(np.array([0, 1, 2]), np.array([4, 5, 6]), num_nodes=7)
    relation = Relation("likes", "user", "song", undirected=False, adjacency=likes)
    graph = Graph((users, songs), (relation,), union(likes, reverse(likes)))
    made = embed_graph(shaken_model(graph, "gat"), graph, tmp_path, EmbeddingConfig(parquet=True, chunk=3))
    tables = [pq.read_table(tmp_path / f"{kind}.parquet") for kind in ("user", "song")]
    assert [table["id"].to_pylist() for table in tables] == [names, [30, 10, 20]]
    vectors = [vector for table in tables for vector in table["vector"].to_pylist()]
    np.testing.assert_array_equal(np.array(vectors, np.float32), made.vectors)


def test_on_disk_no_state_of_all_nodes_is_held_in_memory(
    make_random_friend_graph: Callable[..., Graph], tmp_path: Path
):
    large = make_random_friend_graph(10_000, 20_000)
    model = build_model(large, EncoderConfig(dim=64), seed=0)
    peaks = []
    for directory in (None, tmp_path):
        tracemalloc.start()
        size = embed_graph(model, large, directory, EmbeddingConfig(chunk=128, memory_gib=1e-9)).vectors.nbytes
        peaks.append(tracemalloc.get_traced_memory()[1] / size)
        tracemalloc.stop()
    assert peaks[0] > 2.5
    assert peaks[1] < 0.75


@pytest.mark.skipif(sys.platform != "linux", reason="reads the pages of a mapping from /proc")
@pytest.mark.parametrize("columns", [slice(None), slice(512), slice(512, None)])
def test_written_rows_leave_memory_even_where_they_are_but_some_columns(tmp_path: Path, columns: slice):
    mapped = open_memmap(tmp_path / "vectors.npy", mode="w+", dtype=np.float32, shape=(4096, 1024))
    rows = Rows(mapped[:, columns], lambda: None)
    for first in range(0, 4096, 256):
        rows.write(first, first + 256, torch.ones(256, rows.array.shape[1]))
    assert resident_bytes("vectors.npy") < mapped.nbytes / 8
    assert rows.array.min() == 1
    assert resident_bytes("vectors.npy") == pytest.approx(mapped.nbytes, rel=0.1)


def resident_bytes(name: str) -> int:
    _, *after = re.split(rf"^.*/{name}$", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE)
    return sum(1024 * int(re.findall(r"^Rss: *(\d+) kB$", one, re.MULTILINE)[0]) for one in after)


def test_vectors_of_another_graph_are_refused(graph: Graph, tmp_path: Path, make_friend_graph: Callable[..., Graph]):
    embed_graph(shaken_model(graph, "gat"), graph, tmp_path)
    other = make_friend_graph(np.array([0]), np.array([1]), num_nodes=149)
    with pytest.raises(ArtifactError, match=r"shape \(150, 16\), of float32, and the graph has 149 nodes"):
        open_embeddings(tmp_path, other)


def test_stored_questions_come_back_as_they_were_saved(graph: Graph, tmp_path: Path):
    embed_graph(shaken_model(graph, "gat"), graph, tmp_path)
    rng = np.random.default_rng(0)
    asking = rng.standard_normal((3, 150, 16)).astype(np.float32)
    intent = np.full((150, 3), 1 / 3, np.float32)
    np.save(tmp_path / "asking.npy", asking)
    np.save(tmp_path / "intent.npy", intent)
    opened = open_embeddings(tmp_path, graph)
    np.testing.assert_array_equal(opened.asking, asking)
    np.testing.assert_array_equal(opened.intent, intent)
    np.testing.assert_array_equal(opened.asked(np.array([7, 5]), cluster=2), asking[2, [7, 5]])


def test_every_cluster_is_asked_with_the_vectors_where_nothing_else_is_known(graph: Graph):
    embeddings = embed_graph(shaken_model(graph, "gat"), graph)
    np.testing.assert_array_equal(embeddings.asked(np.array([7, 5]), cluster=2), embeddings.vectors[[7, 5]])


@pytest.mark.parametrize(
    ("shapes", "complaint"),
    [
        ({"asking": (3, 149, 16)}, r"asking.npy .* 150 nodes of the graph ask clusters with vectors of 16 numbers"),
        ({"asking": (3, 150, 15)}, r"asking.npy .* 150 nodes of the graph ask clusters with vectors of 16 numbers"),
        ({"asking": (150, 16)}, r"asking.npy .* 150 nodes of the graph ask clusters with vectors of 16 numbers"),
        ({"intent": (149, 3)}, r"intent.npy .* 150 nodes of the graph ask"),
        ({"asking": (3, 150, 16), "intent": (150, 4)}, r"intent.npy .* 3 clusters are asked"),
    ],
)
def test_what_clusters_are_asked_with_must_fit_the_graph(
    graph: Graph, tmp_path: Path, shapes: dict[str, tuple[int, ...]], complaint: str
):
    embed_graph(shaken_model(graph, "gat"), graph, tmp_path)
    for name, shape in shapes.items():
        np.save(tmp_path / f"{name}.npy", np.zeros(shape, np.float32))
    with pytest.raises(ArtifactError, match=complaint):
        open_embeddings(tmp_path, graph)


def test_a_node_without_friends_or_features_gets_a_finite_vector(make_friend_graph: Callable[..., Graph]):
    lonely = make_friend_graph(np.array([0, 1]), np.array([1, 2]), num_nodes=5)
    vectors = embed_graph(shaken_model(lonely, "gat"), lonely).vectors
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("powers", [(-0.7, -0.5), (0.0, -1.0)])
@pytest.mark.parametrize("on_disk", [False, True])
def test_a_message_pass_is_the_product_with_the_scaled_adjacency(
    graph: Graph, tmp_path: Path, on_disk: bool, powers: tuple[float, float]
):
    model = shaken_model(graph, "gat", {})
    plain = embed_graph(model, graph).vectors
    config = EmbeddingConfig(message_pass=0.3, heard_power=powers[0], sent_power=powers[1], chunk=50)
    found = embed_graph(model, graph, tmp_path / "embeddings" if on_disk else None, config).vectors
    edges = graph.messages
    matrix = csr_matrix((np.ones(len(edges.indices)), edges.indices, edges.indptr), shape=(graph.num_nodes,) * 2)
    degrees = np.maximum(edges.degrees(), 1).astype(float)[:, None]
    heard = degrees ** powers[0] * (matrix @ (degrees ** powers[1] * plain))
    np.testing.assert_allclose(found, 0.7 * plain + 0.3 * heard, rtol=1e-4, atol=1e-5)
