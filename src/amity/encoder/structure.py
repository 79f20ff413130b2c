"""Inputs that the graph itself gives: how many friends a node has, and where in the graph it stands."""

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray
from pydantic import BaseModel, ConfigDict

from amity.graph import Graph
from amity.graph.propagation import propagate
from amity.kernels import kernel, mix

POWERS = (0.5, 1.0, 1.0)
"""Weights of one, two and three steps of propagation."""


class StructureTransform(BaseModel):
    """What must be remembered of the training graph to compute structural inputs on another one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log_degree: bool
    """Whether the standardised log-degree is an input."""
    mean: float
    """Mean of log(1 + degree)."""
    deviation: float
    """Standard deviation of log(1 + degree)."""
    whitening: tuple[tuple[float, ...], ...]
    """Makes the random rows of the training graph orthonormal, dim by dim; empty without projections."""

    @property
    def width(self) -> int:
        """How many structural inputs a node has."""
        return int(self.log_degree) + len(self.whitening)


def fit_structure(graph: Graph, *, log_degree: bool, projections: int) -> StructureTransform:
    """Learn on the training graph what its structural inputs are standardised by."""
    mean, deviation = _log_degrees(graph.messages.indptr)
    whitening: tuple[tuple[float, ...], ...] = ()
    if projections:
        rows = random_rows(graph, projections)
        values, vectors = np.linalg.eigh(rows.T.astype(np.float64) @ rows / len(rows))
        inverse_root = (vectors / np.sqrt(np.maximum(values, 1e-9))) @ vectors.T
        whitening = tuple(tuple(map(float, row)) for row in inverse_root)
    return StructureTransform(log_degree=log_degree, mean=mean, deviation=deviation or 1.0, whitening=whitening)


def structural_inputs(
    degrees: Int64[ndarray, "nodes"], projections: Float32[ndarray, "nodes projections"], transform: StructureTransform
) -> Float32[ndarray, "nodes width"]:
    """The structural inputs of some nodes, from the messages alone: log-degree, then their rows of `project`."""
    if not transform.log_degree:
        return projections
    logs = (np.log1p(degrees) - transform.mean) / transform.deviation
    return np.hstack([logs.astype(np.float32)[:, None], projections])


def project(graph: Graph, transform: StructureTransform) -> Float32[ndarray, "nodes projections"]:
    """FastRP (arXiv 1908.11512, eq. 5): the weighted sum of (D⁻¹A)ᵏ R, each row scaled to unit length first.

    Of every node at once; of width 0, and no size, without projections.
    """
    if not transform.whitening:
        return np.empty((graph.num_nodes, 0), np.float32)
    whitening = np.array(transform.whitening, np.float32)
    scale = (1.0 / np.maximum(graph.messages.degrees(), 1)).astype(np.float32)[:, None]
    rows = random_rows(graph, len(whitening)) @ whitening
    total = np.zeros_like(rows)
    for weight in POWERS:
        rows = propagate(graph.messages, rows) * scale
        total += weight * rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return total


def random_rows(graph: Graph, width: int) -> Float32[ndarray, "nodes width"]:
    """Random signs for each node, a function of its kind and raw id alone: the same on every snapshot."""
    rows = np.empty((graph.num_nodes, width), np.float32)
    for number, kind in enumerate(graph.kinds):
        _fill_signs(node_keys(kind.vocabulary.keys, number), rows[kind.rows])
    return rows


@kernel
def node_keys(keys, kind):
    """One 64-bit number for each raw id, apart for each kind of node."""
    hashes = np.empty(len(keys), np.int64)
    for row in range(len(keys)):
        hashes[row] = mix(keys[row] ^ mix(kind + 1))
    return hashes


@kernel
def _log_degrees(indptr):
    """Mean and deviation of log(1 + degree), in one pass (Welford, 1962), so that no array of all nodes is made."""
    mean, squares = 0.0, 0.0
    for row in range(len(indptr) - 1):
        value = np.log1p(np.float64(indptr[row + 1] - indptr[row]))
        shift = value - mean
        mean += shift / (row + 1)
        squares += shift * (value - mean)
    return mean, np.sqrt(squares / max(len(indptr) - 1, 1))


@kernel
def _fill_signs(keys, rows):
    for row in range(rows.shape[0]):
        bits = np.int64(0)
        for column in range(rows.shape[1]):
            if column % 64 == 0:
                bits = mix(keys[row] + column)
            rows[row, column] = 1.0 if (bits >> (column % 64)) & 1 else -1.0


def fingerprint(keys: Int64[ndarray, "nodes"]) -> str:
    """A hash of raw ids in their order, in hexadecimal."""
    return f"{_fold(keys) & 0xFFFFFFFFFFFFFFFF:016x}"


@kernel
def _fold(keys):
    value = np.int64(0)
    for key in keys:
        value = mix(value ^ key)
    return value
