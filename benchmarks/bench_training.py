"""Supervision pairs a second of a whole training step: sample, gather, three tasks, backward, update.

    python benchmarks/bench_training.py [--json] [--data ../shared/data] [--people 1000000] [--friendships 20000000]

The peer is `peers/pyg_training.py`, the same model in PyTorch Geometric: dim 128, 4 heads, two layers, fan-out 15 x 10,
512 pairs and 512 uniform nodes a step, retrieval with CCA-SSG and GraphMAE. Both train on the same graphs by turns, on
as many threads, a pass of `--steps` steps at a time, each with its batches made ahead from nothing; of the peer's
loaders (in the loop, or in one worker process) the one that is faster at first counts. fb100_mit has the columns of its
table and a vector for each person; the power-law graph has 32 numbers a person and no such vectors. The peer is spared
some work: it keeps the pairs of a batch in the graph, masks nobody and corrects nothing. The last row is the share of
our passes in which the encoder waits for a batch.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data
from torch_geometric.loader import LinkNeighborLoader

from amity.encoder import EncoderConfig, Inputs, InputSource, Model
from amity.graph import Graph, NodeKind, Relation, Vector
from amity.graph.vocabulary import integer_vocabulary
from amity.log import say
from amity.objectives import ObjectivesConfig
from amity.objectives.graphmae import feature_vectors
from amity.objectives.step import ViewsConfig
from amity.pipeline import read_graph
from amity.sampling import SamplingConfig, prefetch
from amity.splitting import Split, SplittingConfig, split_edges
from amity.training import Recipe, TrainingConfig
from amity.training.determinism import deterministic
from amity.training.memory import kept_memory
from amity.training.step import batch_maker, start, update
from bench_sampling import power_law_graph
from measure import Row, options, paired, rate, show, use_threads
from peers import pyg_training

BATCH, DIM, THREADS = 512, 128, 2
FEW = 2
"""Steps by which a loader of the peer is chosen."""


class Ours:
    """Our loop, without its log and its validations."""

    def __init__(self, split: Split, ids: str, steps: int) -> None:
        encoder = EncoderConfig.model_validate({"layer": "gat", "dim": DIM, "features": {"ids": ids}})
        objectives = ObjectivesConfig(views=ViewsConfig(share=1.0, every=1, retrieval_is_first=False))
        recipe = Recipe(SamplingConfig(batch_size=BATCH), encoder, objectives, TrainingConfig())
        self.model, self.trainable = start(split, recipe, seed=0)
        self.make = batch_maker(split, self.model, recipe, seed=0)
        self.first, self.steps = 0, steps
        self.waited_s: list[float] = []

    def run(self) -> None:
        """So many further steps."""
        steps = range(self.first, self.first + self.steps)
        with deterministic(), kept_memory(), prefetch(self.make, steps) as batches:
            for batch, inputs in batches:
                update(self.trainable, self.model.encoder, batch, inputs, seed=0)
        self.first += self.steps
        self.waited_s.append(batches.waited_s)


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, repeats=3)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where fb100_mit lies")
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--friendships", type=int, default=20_000_000)
    parser.add_argument("--steps", type=int, default=4, help="steps of a pass")
    settings = parser.parse_args()
    use_threads(THREADS)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, ids, read in (
            ("fb100_mit", "learned", lambda: read_graph(settings.data / "fb100_mit", storage=Path(scratch) / "mit")),
            ("power-law", "none", lambda: synthesize(settings.people, settings.friendships)),
        ):
            split = split_edges(read(), SplittingConfig(), Path(scratch) / f"split-{name}", seed=0)
            rows += compare(name, split, ids, settings)
    show(rows, as_json=settings.json)


def compare(name: str, split: Split, ids: str, settings: argparse.Namespace) -> list[Row]:
    """The rows of one graph."""
    ours = Ours(split, ids, settings.steps)
    say(f"{name}: our model is made")
    data = as_data(split.train, ours.model)
    peer = pyg_training.Training(data, ids=ids == "learned", dim=DIM, batch_size=BATCH)
    say(f"{name}: the peer's model is made")
    loader = faster(peer, name)
    say(f"{name}: training by turns, {settings.repeats + 1} passes of {settings.steps} steps each")
    seconds = paired(ours.run, lambda: peer.run(loader, settings.steps), repeats=settings.repeats)
    share = 100 * np.median(np.array(ours.waited_s[1:]) / seconds[:, 0])
    return [
        rate(f"pyg {name} batch {BATCH} three tasks", "pairs/s", settings.steps * BATCH, seconds),
        Row(f"none: {name}, share of the step that the encoder waits for a batch", float(share), 0.0, 0.0, "%"),
    ]


def faster(peer: pyg_training.Training, name: str) -> LinkNeighborLoader:
    """The loader of the peer that takes less time for a few steps, after a few that warm it up."""
    seconds = {}
    for workers in (0, 1):
        loader = peer.loader(workers=workers)
        peer.run(loader, FEW)
        begin = time.perf_counter()
        peer.run(loader, FEW)
        seconds[loader] = time.perf_counter() - begin
        say(f"{name}: {FEW} steps of the peer with {workers} workers took {seconds[loader]:.2f} s")
    return min(seconds, key=seconds.__getitem__)


def synthesize(people: int, friendships: int) -> Graph:
    """The power-law graph of the sampling benchmark, with 32 numbers a person."""
    adjacency = power_law_graph(people, friendships)
    numbers = np.random.default_rng(3).standard_normal((people, 32), np.float32)
    kind = NodeKind("user", 0, integer_vocabulary(np.arange(people)), (Vector("numbers", numbers),))
    return Graph((kind,), (Relation("friend", "user", "user", undirected=True, adjacency=adjacency),), adjacency)


def as_data(graph: Graph, model: Model) -> Data:
    """The graph as PyTorch Geometric has it: all people's tokens, numbers, and what is to be restored of them."""
    inputs = InputSource.of(model.transform, graph).gather(np.arange(graph.num_nodes))
    edges = np.stack([graph.messages.sources(), graph.messages.indices.astype(np.int64)])
    return Data(
        x=inputs.dense,
        tokens=tokens_by_column(inputs),
        y=feature_vectors(inputs, torch.arange(graph.num_nodes)),
        edge_index=torch.from_numpy(edges),
        num_nodes=graph.num_nodes,
    )


def tokens_by_column(inputs: Inputs) -> torch.Tensor:
    """One token a category, (nodes, categories); a bag would have any number, and neither graph has one."""
    return inputs.tokens.reshape(len(inputs.indptr) - 1, -1)


if __name__ == "__main__":
    main()
