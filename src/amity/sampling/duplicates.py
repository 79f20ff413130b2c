"""Duplicates: nodes with few friends learn to be found by their features alone (NodeDup, arXiv 2402.09711)."""

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from amity.errors import ConfigError
from amity.graph import Graph
from amity.sampling.neighbors import Block


def duplicated_nodes(graph: Graph, *, degree: int) -> Int64[ndarray, "duplicated"]:
    """Those who ask and have at most so many friends; `ConfigError` where nobody who asks can be found."""
    relation = graph.target
    if relation.source != relation.target:
        raise ConfigError(
            "A duplicate asks for its original among the candidates (`sampling.duplicates`), but here "
            f"{relation.source} nodes ask and {relation.target} nodes are the candidates. Turn duplicates off."
        )
    rows = graph.queries.rows
    starts = relation.adjacency.indptr[rows.start : rows.stop + 1]
    return rows.start + np.flatnonzero(starts[1:] - starts[:-1] <= degree)


def with_duplicates(block: Block, nodes: Int64[ndarray, "duplicates"]) -> Block:
    """A block with further seeds behind its own: duplicates of some rows of the graph.

    A duplicate's one edge is to its original, and the step that asks for it may not use it: it hears from nobody,
    and nobody hears from it.
    """
    seeds, count = block.hops[0], len(nodes)
    later = (block.indices >= seeds).astype(block.indices.dtype)
    return Block(
        np.insert(block.nodes, seeds, nodes),
        np.insert(block.indptr, seeds, np.repeat(block.indptr[seeds], count)),
        block.indices + block.indices.dtype.type(count) * later,
        tuple(size + count for size in block.hops),
    )
