"""Embedding-based retrieval on graphs of people and things."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amity.config import Config, load_config
    from amity.embedding import Embeddings
    from amity.encoder import Model
    from amity.errors import AmityError
    from amity.evaluation import Evaluation
    from amity.graph import Graph
    from amity.pipeline import cluster, embed, evaluate, read_graph, run, settle, split, train
    from amity.retrieval import Candidates, Retriever
    from amity.splitting import HeldOut, Split

    __version__: str

# Threads that wait for work look for it briefly, then sleep: sleeping at once took a step of training 120 ms instead of
# 87, and looking for long made kernels 3 to 4 times slower beside other work. OpenMP reads it when torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__all__ = [
    "AmityError",
    "Candidates",
    "Config",
    "Embeddings",
    "Evaluation",
    "Graph",
    "HeldOut",
    "Model",
    "Retriever",
    "Split",
    "cluster",
    "embed",
    "evaluate",
    "load_config",
    "read_graph",
    "run",
    "settle",
    "split",
    "train",
]

_HOMES = {
    "AmityError": "errors",
    "Candidates": "retrieval",
    "Config": "config",
    "Embeddings": "embedding",
    "Evaluation": "evaluation",
    "Graph": "graph",
    "HeldOut": "splitting",
    "Model": "encoder",
    "Retriever": "retrieval",
    "Split": "splitting",
    "load_config": "config",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import amity` costs next to nothing."""
    if name == "__version__":
        return import_module("importlib.metadata").version("amity")
    if name not in __all__:
        raise AttributeError(f"module 'amity' has no attribute {name!r}")
    return getattr(import_module(f"amity.{_HOMES.get(name, 'pipeline')}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
