"""What k-means divides where neither histories nor a column decide: eigenvectors, or what another run has learned."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from amity.artifacts import Run
from amity.artifacts.run import MANIFEST
from amity.clustering import ClusteringConfig
from amity.config import Config
from amity.embedding.spectral import find_leading
from amity.errors import ConfigError
from amity.graph import Graph
from amity.pipeline.work import Work
from amity.splitting import Split

SHIFT = 1.0
"""What is added to every degree before eigenvectors are divided, in mean degrees."""


def vectors_to_divide(split: Split, config: ClusteringConfig) -> Float[ndarray, "candidates dim"] | None:
    """The candidates' vectors; None where `divide` makes its own, or needs none.

    By `eigenvectors` there are as many numbers as clusters: with rows scaled to length 1 this is spectral clustering,
    regularised (Qin and Rohe, 2013, arXiv 1309.4111). Raises `ConfigError` where the split of a run is another one, and
    `ArtifactError` where the run is not whole.
    """
    graph = split.train
    if config.by == "eigenvectors" and graph.messages.num_edges:
        return find_leading(graph.messages, config.count, shift=SHIFT).vectors[graph.candidates.rows]
    if config.by == "run":
        return _learned(graph, Path(config.run))[graph.candidates.rows]
    return None


def hash_other_run(work: Work) -> dict[str, str]:
    """The digest of the embeddings of another run, where candidates are divided by it and it is at hand."""
    config = work.config.clustering
    path = Path(config.run)
    if config.by != "run" or not (path / MANIFEST).is_file():
        return {}
    made = Run(path, write=False).stages.get("embed")
    return {} if made is None else {f"run {path}": made.digest}


def _learned(graph: Graph, path: Path) -> Float[ndarray, "nodes dim"]:
    """The vectors of a run that was trained on the same graph."""
    run = Run(path, write=False)
    embeddings = Work(run, Config()).embeddings()
    made_from, there = run.stages["embed"].inputs.get("split"), run.stages["split"].digest
    if made_from != there or not _alike(embeddings.graph, graph):
        raise ConfigError(
            f"The candidates cannot be divided by the run {path}: it was trained on another split, which may have seen "
            "what is held out here. Give both runs the same tables, seed, `[ingestion]` and `[splitting]`."
        )
    return embeddings.vectors


def _alike(first: Graph, second: Graph) -> bool:
    """Whether two train graphs have the same nodes, and the same edges in the relation that is divided and beyond."""
    ids = [[kind.vocabulary.keys for kind in graph.kinds] for graph in (first, second)]
    edges = [
        [part for one in (graph.target.adjacency, graph.messages) for part in (one.indptr, one.indices)]
        for graph in (first, second)
    ]
    return all(len(one) == len(other) and all(map(np.array_equal, one, other)) for one, other in (ids, edges))
