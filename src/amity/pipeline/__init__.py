"""The public verbs, and all of them in order."""

from amity.pipeline.demonstration import demo
from amity.pipeline.running import Done, configure, open_run, run, run_stage
from amity.pipeline.stages import STAGES, Stage, Work
from amity.pipeline.verbs import embed, evaluate, read_graph, split, train

__all__ = [
    "STAGES",
    "Done",
    "Stage",
    "Work",
    "configure",
    "demo",
    "embed",
    "evaluate",
    "open_run",
    "read_graph",
    "run",
    "run_stage",
    "split",
    "train",
]
