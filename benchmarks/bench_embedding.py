"""Nodes a second, and peak memory, of embedding a whole graph by two layers of attention.

    python benchmarks/bench_embedding.py [--json] [--data ../shared/data] [--people 1000000] [--friendships 10000000]

The peer is `peers/pyg_embedding.py`: PyTorch Geometric's layer-wise inference with the same weights and threads;
the vectors must agree before anything is timed. It is handed the first states of all nodes, which amity makes of the
inputs within the time measured. The power-law graph has 32 numbers a person; dim 64, 4 heads. Memory is by how much a
fresh process grows, the graph loaded before. The bound is what random reads of the neighbours' rows, by the same
threads and prefetching, allow: our rate counts edges of both layers.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from amity.artifacts.memory import peak_memory_bytes, reset_peak_memory
from amity.embedding import embed_graph
from amity.encoder import EncoderConfig, InputSource, Model, build_model
from amity.graph import Graph
from amity.graph.propagation import propagate
from amity.graph.storage import open_graph, save_graph
from amity.pipeline import read_graph
from bench_training import synthesize
from measure import Row, cost, options, paired, rate, show, use_threads
from peers import pyg_embedding

THREADS = 2


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, repeats=1)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where fb100_many lies")
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--friendships", type=int, default=10_000_000)
    parser.add_argument("--graphs", nargs="+", default=["power-law", "fb100_many"])
    settings = parser.parse_args()
    _use_threads()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in settings.graphs:
            rows += compare(name, _make(name, settings, Path(scratch)), Path(scratch), settings.repeats)
    show(rows, as_json=settings.json)


def compare(name: str, graph: Graph, scratch: Path, repeats: int) -> list[Row]:
    """The rows of one graph."""
    model = _model(graph)
    peer = pyg_embedding.convolutions(model.encoder), _states(model, graph), _edges(graph)
    np.testing.assert_allclose(embed_graph(model, graph).vectors, pyg_embedding.embed(*peer).numpy(), atol=1e-4)
    seconds = paired(lambda: embed_graph(model, graph), lambda: pyg_embedding.embed(*peer), repeats=repeats)
    title = f"pyg layer-wise inference {name}"
    rows = [rate(title, "nodes/s", graph.num_nodes, seconds)]
    del peer
    folder, file = scratch / f"memory-{name}", scratch / f"{name}.safetensors"
    save_graph(graph, folder)
    model.save(file)
    rows.append(cost(f"{title}, peak memory", "MiB", *(_peak_mib(work, folder, file) for work in (_ours, _peers))))
    states = _states(model, graph).numpy()
    begin = time.perf_counter()
    propagate(graph.messages, states)
    bound = graph.messages.num_edges / (time.perf_counter() - begin)
    ours = 2 * graph.messages.num_edges / float(np.median(seconds[:, 0]))
    return [*rows, Row(f"bound: random rows of 256 bytes {name}, ours whole", ours, bound, ours / bound, "edges/s")]


def _peak_mib(work: Callable[[Path, Path], None], folder: Path, file: Path) -> float:
    """By the kernel's count of this process alone: that of `getrusage` begins at the peak of the parent."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth, (work, folder, file))


def _growth(work: Callable[[Path, Path], None], folder: Path, file: Path) -> float:
    reset_peak_memory()
    before = peak_memory_bytes()
    work(folder, file)
    return (peak_memory_bytes() - before) / 2**20


def _ours(folder: Path, file: Path) -> None:
    _use_threads()
    embed_graph(Model.open(file), open_graph(folder))


def _peers(folder: Path, file: Path) -> None:
    _use_threads()
    graph, model = open_graph(folder), Model.open(file)
    pyg_embedding.embed(pyg_embedding.convolutions(model.encoder), _states(model, graph), _edges(graph))


def _make(name: str, settings: argparse.Namespace, scratch: Path) -> Graph:
    if name == "power-law":
        return synthesize(settings.people, settings.friendships)
    return read_graph(settings.data / name, storage=scratch / name)


def _model(graph: Graph) -> Model:
    config = {"layer": "gat", "dim": 64, "output": "dot", "initialization": "xavier", "features": {"ids": "none"}}
    return build_model(graph, EncoderConfig.model_validate(config), seed=0)


@torch.no_grad()
def _states(model: Model, graph: Graph) -> torch.Tensor:
    source = InputSource.of(model.transform, graph)
    parts = np.array_split(np.arange(graph.num_nodes), graph.num_nodes // 16_384 + 1)
    return torch.cat([model.encoder.encode_inputs(source.gather(rows)) for rows in parts])


def _edges(graph: Graph) -> torch.Tensor:
    return torch.from_numpy(np.stack([graph.messages.indices.astype(np.int64), graph.messages.sources()]))


def _use_threads() -> None:
    use_threads(THREADS)


if __name__ == "__main__":
    main()
