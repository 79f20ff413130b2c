"""What parts of a system find alone, judged as the whole is."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from amity.device import check_device
from amity.embedding import Embeddings
from amity.evaluation import Evaluation
from amity.index import IndexConfig
from amity.pipeline import verbs
from amity.pipeline.work import Work
from amity.retrieval import AnyRetriever, DividedRetriever, Recommender, Retriever
from amity.retrieval.blend import VECTORS

UNDIVIDED = "undivided"
"""The vectors that all clusters share, searched as if there were none."""


def evaluate_parts(work: Work, retriever: AnyRetriever, recommender: Recommender) -> dict[str, Evaluation]:
    """What the vectors find without the blend, and without clusters; then the learned numbers and the spectral ones."""
    parts: dict[str, AnyRetriever] = {} if recommender is retriever else {VECTORS: retriever}
    for name, vectors in _vectors(work, retriever):
        embeddings = Embeddings(vectors, retriever.embeddings.graph)
        built = Retriever.build(
            embeddings, IndexConfig(kind="exact"), seed=work.config.seed, device=check_device(work.config.device)
        )
        parts[name] = replace(built, expansion=work.config.retrieval.expansion)
    test, config = work.split().test, work.config
    return {name: verbs.evaluate(one, test, config.evaluation, seed=config.seed) for name, one in parts.items()}


def _vectors(work: Work, retriever: AnyRetriever) -> Iterator[tuple[str, Float[ndarray, "nodes dim"]]]:
    """Vectors that are judged alone, by name."""
    vectors = retriever.embeddings.vectors
    learned = work.run.stages["embed"].summary.get("learned", vectors.shape[1])
    if isinstance(retriever, DividedRetriever):
        yield UNDIVIDED, vectors
    if learned < vectors.shape[1]:
        yield "encoder", np.ascontiguousarray(vectors[:, :learned])
        yield "spectral", np.ascontiguousarray(vectors[:, learned:])
