"""Spectral vectors: where a node stands in the graph, by the leading eigenvectors of its edges; nothing is learned."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from numpy import ndarray
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from amity.clustering import Clusters
from amity.errors import ConfigError
from amity.graph import Adjacency, Graph
from amity.graph.propagation import propagate
from amity.section import Section

SPARE = 0.25
"""Columns beyond those that are wanted, as a share of them."""
ROUNDS, PRODUCTS = 3, 8
"""Rounds of the filter, and products with the matrix in each."""
POPULARITY = 0.25
"""Power of a node's degree by which its row is stretched."""
BLOCKS = 5
"""Most blocks of columns of all nodes that there ever are at once while they are found, in single precision."""
KEPT = 3
"""Most arrays of finished columns of all nodes: eigenvectors, rows made of them, and these as they are written."""


class SpectralConfig(Section):
    """What stands beside the learned numbers of a vector, so that inner products add up."""

    dim: NonNegativeInt = 128
    """Width of the spectral part; 0 leaves it out. Left out too where it would take more than `memory_gib`."""
    shift: PositiveFloat = 0.5
    """What is added to every degree, in mean degrees: without it small islands take up the leading eigenvectors."""
    power: NonNegativeFloat | Literal["auto"] = "auto"
    """Power of the eigenvalues; `auto` is what finds most friends of the validation part, settled by `amity embed`."""
    share: NonNegativeFloat | Literal["auto"] = "auto"
    """Weight of its inner products, where mean squared lengths are equal; settled like the power."""
    of: Literal["graph", "clusters"] = "graph"
    """Whose eigenvectors they are: the graph's, or those of each cluster alone, which say more of it in as many
    numbers and nothing of edges between clusters. That takes half of the memory, or less, where no cluster is large."""

    @property
    def wanted(self) -> bool:
        """Whether there is to be such a part."""
        return self.dim > 0 and self.share != 0


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The leading eigenvectors V of S = (D + τ)^-½ A (D + τ)^-½, τ a multiple of the mean degree."""

    values: Float64[ndarray, "dim"]
    """The largest eigenvalues, ascending."""
    vectors: Float32[ndarray, "nodes dim"]
    """Their eigenvectors, orthonormal."""
    degrees: Float64[ndarray, "nodes"]
    """Degrees, each with τ added."""

    def rows(self, power: float) -> Float32[ndarray, "nodes dim"]:
        """The vectors V Λᵖ, stretched by degree^`POPULARITY`, of mean squared length 1; eigenvalues below 0 count as 0.

        With p = 1 their inner products are S², the paths of two steps, without what only small eigenvalues say: the
        ideal low-pass filter of GF-CF (Shen et al., 2021, arXiv 2108.07567).
        """
        scale = np.clip(self.values, 0.0, None) ** power * (self.values > 0)
        rows = self.vectors * scale.astype(np.float32)
        rows *= (self.degrees**POPULARITY).astype(np.float32)[:, None]
        return _to_unit_length(rows)


@dataclass(frozen=True, slots=True)
class DividedSpectrum:
    """The spectrum of each cluster by itself: of the edges that stay inside it."""

    members: tuple[Int64[ndarray, "_"], ...]
    """The rows of each cluster."""
    parts: tuple[Spectrum, ...]
    """Its spectrum; narrower than the others where it has fewer members than they have columns."""
    shape: tuple[int, int]
    """How many nodes there are, and how many columns; who is in no cluster has zeros."""

    def rows(self, power: float) -> Float32[ndarray, "nodes dim"]:
        """The rows of each spectrum, turned by a rotation of the cluster's own, drawn at random; see `Spectrum.rows`.

        Inside clusters inner products are what they were, up to one factor for all. The coordinates of two clusters
        have nothing to do with each other: turned, two rows have a cosine whose standard deviation is 1 / √dim, as
        rotations are drawn, where first eigenvectors, whose numbers all have one sign, would have made everybody alike.
        One draw is that of all pairs of two clusters.
        """
        rows = np.zeros(self.shape, np.float32)
        for number, (members, part) in enumerate(zip(self.members, self.parts, strict=True)):
            own = part.rows(power)
            rows[members] = own @ _rotation(self.shape[1], seed=number)[: own.shape[1]]
        return _to_unit_length(rows)


AnySpectrum = Spectrum | DividedSpectrum
"""Of the graph, or of each cluster."""


def find_spectrum(graph: Graph, config: SpectralConfig, clusters: Clusters | None = None) -> AnySpectrum:
    """The spectrum of a graph's messages, or of each cluster's, as the settings say; of one cluster it is the graph's.

    Raises `ConfigError` where `clusters` are wanted and not given, and where those who ask are in none of them.
    """
    if config.of == "graph":
        return find_leading(graph.messages, config.dim, shift=config.shift)
    if clusters is None:
        raise ConfigError(
            'Eigenvectors are to be those of clusters (`embedding.spectral.of` is "clusters"), and there are none. '
            'Give the clusters, or set it to "graph".'
        )
    if clusters.count == 1:
        return find_leading(graph.messages, config.dim, shift=config.shift)
    check_spectral(graph, config)
    members = tuple(graph.candidates.first + clusters.members(cluster) for cluster in range(clusters.count))
    parts = tuple(find_leading(graph.messages.among(rows), config.dim, shift=config.shift) for rows in members)
    return DividedSpectrum(members, parts, (graph.num_nodes, config.dim))


def check_spectral(graph: Graph, config: SpectralConfig) -> None:
    """Raise `ConfigError` where eigenvectors are wanted, those of clusters, and those who ask are in none."""
    if config.wanted and config.of == "clusters" and graph.queries is not graph.candidates:
        raise ConfigError(
            'Eigenvectors are to be those of clusters (`embedding.spectral.of` is "clusters"), but clusters divide '
            f'`{graph.candidates.name}`, and those who ask are `{graph.queries.name}`. Set it to "graph".'
        )


def needed_bytes(graph: Graph, config: SpectralConfig, clusters: Clusters | None = None) -> int:
    """The most memory that it takes to find a spectrum and to stand its rows beside what was learned."""
    nodes, finding = graph.num_nodes, BLOCKS * (1 + SPARE) * graph.num_nodes
    if config.of == "clusters" and clusters and clusters.count > 1:
        finding = BLOCKS * (1 + SPARE) * clusters.sizes().max() + nodes
    return int(max(finding, KEPT * nodes) * config.dim * 4)


def rms_length(rows: Float[ndarray, "nodes dim"]) -> float:
    """The square root of the mean squared length."""
    return float(np.linalg.norm(rows.astype(np.float32, copy=False))) / max(len(rows), 1) ** 0.5


def find_leading(adjacency: Adjacency, dim: int, *, shift: float) -> Spectrum:
    """The `dim` largest eigenvalues of a symmetric adjacency, normalised by degree, and their eigenvectors.

    Subspace iteration under a Chebyshev polynomial that damps the other eigenvalues (Zhou and Saad, 2007). Memory is
    `BLOCKS` arrays of nodes by 1.25 dim numbers. Fewer than `dim` where there are fewer nodes. It begins with random
    columns, always the same ones: what it ends with depends on them by rounding alone.
    """
    degrees = adjacency.degrees().astype(np.float64)
    degrees += shift * degrees.mean() or 1.0
    scale = (1 / np.sqrt(degrees)).astype(np.float32)[:, None]
    size = min(dim + int(SPARE * dim) + 1, len(degrees))
    block = np.random.default_rng(0).standard_normal((len(degrees), size), np.float32)

    def times(columns: Float32[ndarray, "nodes columns"]) -> Float32[ndarray, "nodes columns"]:
        moved = propagate(adjacency, columns * scale)
        moved *= scale
        return moved

    values, bound = np.empty(0), 0.0
    for _ in range(ROUNDS):
        block = _orthonormal(_damp(times, block, bound))
        inner = (block.T @ times(block)).astype(np.float64)
        values, turn = np.linalg.eigh((inner + inner.T) / 2)
        block, bound = block @ turn.astype(np.float32), max(0.0, values[0])
    return Spectrum(values[-dim:], np.ascontiguousarray(block[:, -dim:]), degrees)


def _to_unit_length(rows: Float32[ndarray, "nodes dim"]) -> Float32[ndarray, "nodes dim"]:
    """The same array, its rows of mean squared length 1; zeros stay zeros."""
    rows /= np.float32(max(rms_length(rows), np.finfo(np.float32).tiny))
    return rows


def _damp(
    times: Callable[[ndarray], ndarray], block: Float32[ndarray, "nodes columns"], bound: float
) -> Float32[ndarray, "nodes columns"]:
    """The Chebyshev polynomial of S that is at most 1 between -1 and `bound`, and grows fast above."""
    middle, half = (bound - 1) / 2, (bound + 1) / 2
    before, now = block, (times(block) - np.float32(middle) * block) / np.float32(half)
    for _ in range(PRODUCTS - 1):
        before, now = now, 2 * (times(now) - np.float32(middle) * now) / np.float32(half) - before
    return now


def _rotation(dim: int, *, seed: int) -> Float32[ndarray, "dim dim"]:
    """An orthogonal matrix, drawn at random."""
    return _orthonormal(np.random.default_rng(seed).standard_normal((dim, dim), np.float32))


def _orthonormal(block: Float32[ndarray, "nodes columns"]) -> Float32[ndarray, "nodes columns"]:
    """Orthonormal columns of the same span, by torch: numpy would make several copies in double precision."""
    return np.ascontiguousarray(torch.linalg.qr(torch.from_numpy(block)).Q.numpy())
