"""What the auxiliary objectives cost: pairs a second with CCA-SSG and GraphMAE, beside retrieval alone.

    python benchmarks/bench_objectives.py [--json] [--data ../shared/data] [--layer gat]

Ours is what `amity run` does by default: auxiliary objectives on a share of the seeds at every third step, the
retrieval pass as one of the views. It is held against retrieval alone (1 / ratio is what a step costs), and against
every view of every seed with an encoder pass of its own at every step. All three learn from the same batches of
fb100_mit, by turns.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from amity.encoder import EncoderConfig
from amity.objectives import ObjectivesConfig
from amity.pipeline import read_graph
from amity.sampling import SamplingConfig, prefetch
from amity.splitting import Split, SplittingConfig, split_edges
from amity.training import Recipe, TrainingConfig
from amity.training.determinism import deterministic
from amity.training.memory import kept_memory
from amity.training.step import batch_maker, start, update
from measure import Row, options, paired, rate, show, use_threads

FIRST, STEPS, THREADS = 130, 60, 2
"""A pass begins after the early steps, whose gradients are looked at often, and holds each pattern of views whole."""
ALONE: dict[str, Any] = {"cca_ssg": {"weight": 0.0}, "graphmae": {"weight": 0.0}}
EVERYTHING: dict[str, Any] = {"views": {"share": 1.0, "every": 1, "retrieval_is_first": False}}


class Training:
    """An encoder, and passes of `STEPS` steps over always the same batches."""

    def __init__(self, split: Split, layer: str, objectives: dict[str, Any]) -> None:
        encoder = EncoderConfig.model_validate({"layer": layer})
        recipe = Recipe(SamplingConfig(), encoder, ObjectivesConfig.model_validate(objectives), TrainingConfig())
        self.model, self.trainable = start(split, recipe, seed=0)
        self.make = batch_maker(split, self.model, recipe, seed=0)

    def run(self) -> None:
        """One pass."""
        steps = range(FIRST, FIRST + STEPS)
        with deterministic(), kept_memory(), prefetch(self.make, steps, workers=THREADS) as batches:
            for batch, inputs in batches:
                update(self.trainable, self.model.encoder, batch, inputs, seed=0)


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, repeats=5)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where fb100_mit lies")
    parser.add_argument("--layer", nargs="+", default=["gat", "lightgcn"])
    settings = parser.parse_args()
    use_threads(THREADS)
    with tempfile.TemporaryDirectory() as scratch:
        graph = read_graph(settings.data / "fb100_mit", storage=Path(scratch) / "graph")
        split = split_edges(graph, SplittingConfig(), Path(scratch) / "split", seed=0)
        rows = [row for layer in settings.layer for row in compare(split, layer, settings)]
    show(rows, as_json=settings.json)


def compare(split: Split, layer: str, settings: argparse.Namespace) -> list[Row]:
    """The rows of one kind of layer."""
    ours, pairs = Training(split, layer, {}), STEPS * SamplingConfig().batch_size
    peers = {"retrieval alone": ALONE, "all views at every step": EVERYTHING}
    return [
        rate(
            f"{name}: fb100_mit, {layer}",
            "pairs/s",
            pairs,
            paired(ours.run, Training(split, layer, objectives).run, repeats=settings.repeats),
        )
        for name, objectives in peers.items()
    ]


if __name__ == "__main__":
    main()
