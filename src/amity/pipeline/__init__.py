"""The public verbs, and all of them in order."""

from amity.pipeline.arms import Arms, read_arms
from amity.pipeline.demonstration import demo
from amity.pipeline.robustness import damage_arms
from amity.pipeline.running import Done, configure, open_run, run, run_stage
from amity.pipeline.stages import STAGES, Stage
from amity.pipeline.sweep import Sweep, sweep
from amity.pipeline.verbs import cluster, embed, evaluate, read_graph, settle, split, train
from amity.pipeline.work import Work

__all__ = [
    "STAGES",
    "Arms",
    "Done",
    "Stage",
    "Sweep",
    "Work",
    "cluster",
    "configure",
    "damage_arms",
    "demo",
    "embed",
    "evaluate",
    "open_run",
    "read_arms",
    "read_graph",
    "run",
    "run_stage",
    "settle",
    "split",
    "sweep",
    "train",
]
