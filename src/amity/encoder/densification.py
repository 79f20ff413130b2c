"""Densification: who has no neighbours hears from those most like them in features (LiGNN, arXiv 2402.11139)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray
from pydantic import NonNegativeInt

from amity.encoder.features import FeatureTransform
from amity.encoder.inputs import InputSource
from amity.graph import Adjacency, Graph, from_pairs, union
from amity.kernels import kernel, mix, shared
from amity.section import Section

CHUNK = 1 << 23
"""Similarities that are held at once."""
LEAST = 1e-3
"""Nodes less alike than this have nothing in common."""
JITTER = 1e-6
"""What is added to a similarity, at most, so that of equals not always the same are taken."""


class DensificationConfig(Section):
    """Messages from nodes with like features to those that have few neighbours, or none, where a graph is embedded."""

    neighbors: NonNegativeInt = 0
    """From how many others a node with few neighbours hears; 0 turns densification off."""
    degree: NonNegativeInt = 0
    """Nodes with at most so many neighbours hear from them; nodes with more are heard."""


@dataclass(frozen=True, slots=True)
class Profiles:
    """The features of some nodes, each node of unit length, or zero where nothing is known of it."""

    dense: Float64[ndarray, "nodes numbers"]
    indptr: Int64[ndarray, "nodes_and_one"]
    """Tokens of node i are `tokens[indptr[i]:indptr[i + 1]]`."""
    tokens: Int64[ndarray, "entries"]
    weights: Float64[ndarray, "entries"]

    @classmethod
    def gather(cls, source: InputSource, rows: Int64[ndarray, "nodes"]) -> Self:
        """Every column counts alike: a number or vector has length 1 on average, as a category or a bag has.

        What is missing, or too rare to have a token of its own, is in common with nobody.
        """
        inputs, says = source.gather(rows), _says(source.transform)
        dense = inputs.dense.numpy().astype(np.float64) * _scales(source.transform)
        indptr, tokens = inputs.indptr.numpy(), inputs.tokens.numpy()
        weights = inputs.weights.numpy() * says[tokens]
        owners = np.repeat(np.arange(len(rows)), np.diff(indptr))
        squares = (dense**2).sum(1) + np.bincount(owners, weights**2, minlength=len(rows))
        lengths = np.sqrt(np.maximum(squares, 1e-24))
        return cls(dense / lengths[:, None], indptr, tokens, weights / lengths[owners])


def densify(graph: Graph, transform: FeatureTransform, config: DensificationConfig) -> Adjacency:
    """The messages of a graph and further ones; its own where densification is off.

    A node of at most `config.degree` neighbours hears from up to `config.neighbors` nodes of its kind that have more,
    those of the highest cosine of features; they do not hear from it. All messages then lie in memory.
    """
    if not config.neighbors:
        return graph.messages
    source, few = InputSource.of(transform, graph), graph.messages.degrees() <= config.degree
    hearing, heard = [], []
    for kind in graph.kinds:
        rows = kind.first + np.flatnonzero(few[kind.rows]), kind.first + np.flatnonzero(~few[kind.rows])
        for nodes, others in most_alike(source, *rows, count=config.neighbors):
            hearing.append(nodes)
            heard.append(others)
    none = np.empty(0, np.int64)
    pairs = np.concatenate([none, *hearing]), np.concatenate([none, *heard])
    return union(graph.messages, from_pairs(*pairs, num_nodes=graph.num_nodes))


def most_alike(
    source: InputSource, nodes: Int64[ndarray, "nodes"], others: Int64[ndarray, "others"], *, count: int
) -> Iterator[tuple[Int64[ndarray, "pairs"], Int64[ndarray, "pairs"]]]:
    """For each node up to `count` of the others whose features are most alike, as pairs, chunk by chunk of nodes."""
    known = Profiles.gather(source, others)
    order = np.argsort(known.tokens, kind="stable")
    starts = np.searchsorted(known.tokens, np.arange(source.transform.num_tokens + 1), sorter=order)
    owners = np.repeat(np.arange(len(others)), np.diff(known.indptr))
    holders = starts, owners[order], known.weights[order]
    size, count = max(1, CHUNK // max(len(others), 1)), min(count, len(others))
    for first in range(0, len(nodes) if count else 0, size):
        asking = nodes[first : first + size]
        profiles = Profiles.gather(source, asking)
        scores = profiles.dense @ known.dense.T
        tokens = profiles.indptr, profiles.tokens, profiles.weights
        shared(_add_common_tokens, len(asking), asking, tokens, holders, scores)
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        alike = np.take_along_axis(scores, best, axis=1) > LEAST
        yield np.repeat(asking, alike.sum(1)), others[best[alike]]


def _says(transform: FeatureTransform) -> Float64[ndarray, "tokens"]:
    """0 for tokens that say nothing of a node."""
    says = np.ones(transform.num_tokens)
    says[: transform.first_token] = 0.0
    for column in transform.tokens:
        says[[column.rare, column.missing]] = 0.0
    return says


def _scales(transform: FeatureTransform) -> Float64[ndarray, "numbers"]:
    """What brings each number or vector to length 1 on average; 0 for the flag that marks it missing."""
    blocks = [np.append(np.full(len(column.mean), len(column.mean) ** -0.5), 0.0) for column in transform.numbers]
    return np.concatenate([np.empty(0), *blocks])


@kernel
def _add_common_tokens(part, nodes, profiles, holders, scores):
    """Add the products of the weights of common tokens to each score, and a little that tells equals apart."""
    indptr, tokens, weights = profiles
    starts, owners, shares = holders
    for row in range(*part):
        for entry in range(indptr[row], indptr[row + 1]):
            for place in range(starts[tokens[entry]], starts[tokens[entry] + 1]):
                scores[row, owners[place]] += weights[entry] * shares[place]
        for other in range(scores.shape[1]):
            bits = mix(mix(nodes[row]) ^ other) & 0xFFFFFF
            scores[row, other] += JITTER * bits / 0x1000000
