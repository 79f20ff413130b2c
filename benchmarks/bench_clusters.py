"""What dividing costs in training: histories a second under clusters, beside the same encoder without any.

    python benchmarks/bench_clusters.py [--json] [--data ../shared/data] [--arms naive prompts]

MovieLens 1M, with the settings of `experiments/divide/histories.toml` and of an arm: ten clusters by Word2Vec.
The peer is the arm `sasrec`, one softmax over everything. Both learn from the same histories, by turns, on one thread:
what a step costs depends on what it computes, and not on how well its parts share cores.
"""

import argparse
import tempfile
from pathlib import Path

import amity
from amity.clustering import Clusters
from amity.config import Config, load_config, merge, read_page
from amity.splitting import Split, split_edges
from amity.training import Recipe
from amity.training.determinism import deterministic
from amity.training.histories import batch_maker, start, update
from amity.training.memory import kept_memory
from measure import Row, options, paired, rate, show, use_threads

ROOT = Path(__file__).parent.parent
SETTINGS, ARMS = ROOT / "examples" / "datasets" / "ml1m_sequences.toml", ROOT / "experiments" / "divide"
STEPS = 6


class Training:
    """An encoder, and passes of `STEPS` steps over always the same histories."""

    def __init__(self, split: Split, config: Config, clusters: Clusters) -> None:
        divided = None if config.clustering.by == "none" else clusters
        recipe = Recipe(config.sampling, config.encoder, config.objectives, config.training, divided)
        self.model, self.trainable = start(split, recipe, seed=0)
        make = batch_maker(split, self.model, recipe, seed=0)
        self.batches = [make(step) for step in range(STEPS)]

    def run(self) -> None:
        """One pass."""
        with deterministic(), kept_memory():
            for batch in self.batches:
                update(self.trainable, self.model.encoder, *batch, seed=0)


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, repeats=7)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where ml1m_sequences lies")
    parser.add_argument("--arms", nargs="+", default=["naive", "prompts", "token", "mmoe"])
    given = parser.parse_args()
    use_threads(1)
    base = configure("sasrec")
    with tempfile.TemporaryDirectory() as scratch:
        graph = amity.read_graph(given.data / "ml1m_sequences", base.ingestion, storage=Path(scratch) / "graph")
        split = split_edges(graph, base.splitting, Path(scratch) / "split", seed=0)
        clusters = amity.cluster(split, configure("naive").clustering)
        rows = [compare(split, clusters, arm, given) for arm in given.arms]
    show(rows, as_json=given.json)


def compare(split: Split, clusters: Clusters, arm: str, given: argparse.Namespace) -> Row:
    """The row of one arm."""
    ours, peer = (Training(split, configure(name), clusters) for name in (arm, "sasrec"))
    histories = STEPS * configure(arm).sampling.batch_size
    seconds = paired(ours.run, peer.run, repeats=given.repeats)
    return rate(f"undivided: ml1m_sequences, {clusters.count} clusters, {arm}", "histories/s", histories, seconds)


def configure(arm: str) -> Config:
    """The settings of an arm."""
    return load_config(SETTINGS, merge(read_page(ARMS / "histories.toml"), read_page(ARMS / f"{arm}.toml")))


if __name__ == "__main__":
    main()
