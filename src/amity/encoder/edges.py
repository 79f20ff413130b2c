"""Who hears whom at one layer: edges from sources to targets, in compressed sparse rows."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int32, Int64, Integer
from numpy import ndarray
from torch import Tensor

from amity.kernels import kernel


class Rows(NamedTuple):
    """Edges as the operations of torch read them, on one device."""

    indptr: Int64[Tensor, "targets_and_one"]
    sources: Int64[Tensor, "edges"]
    """Row i is `sources[indptr[i]:indptr[i + 1]]`."""
    targets: Int64[Tensor, "edges"]
    """The row of each edge."""
    by_source: Int64[Tensor, "edges"]
    """The order of the edges that sorts them by source, and keeps them by target."""
    source_indptr: Int64[Tensor, "sources_and_one"]
    """The edges of source j are `by_source[source_indptr[j]:source_indptr[j + 1]]`."""


@dataclass(frozen=True)
class Edges:
    """Edges from sources to targets, in compressed sparse rows: what one layer hears."""

    indptr: Int64[ndarray, "targets_and_one"]
    """Row i is `indices[indptr[i]:indptr[i + 1]]`."""
    indices: Integer[ndarray, "edges"]
    """Positions among the sources."""
    target_degrees: Float32[ndarray, "targets"]
    """How many neighbours each target has in the whole graph, drawn or not."""
    source_degrees: Float32[ndarray, "sources"]
    """How many neighbours each source has in the whole graph, drawn or not."""
    _placed: dict[torch.device, Rows] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def num_targets(self) -> int:
        """How many targets there are, hearing or not."""
        return len(self.indptr) - 1

    @property
    def num_sources(self) -> int:
        """How many sources there are, heard or not."""
        return len(self.source_degrees)

    @property
    def counts(self) -> Int64[ndarray, "targets"]:
        """How many sources each target hears here."""
        return np.diff(self.indptr)

    @cached_property
    def with_loops(self) -> "Edges":
        """The same edges, each target hearing itself before its sources; targets are the first of the sources."""
        itself = np.arange(self.num_targets, dtype=self.indices.dtype)
        indices = np.insert(self.indices, self.indptr[:-1], itself)
        return Edges(self.indptr + np.arange(len(self.indptr)), indices, self.target_degrees, self.source_degrees)

    @cached_property
    def by_source(self) -> tuple[Int64[ndarray, "sources_and_one"], Int64[ndarray, "edges"], Int32[ndarray, "edges"]]:
        """The edges in the order of their sources, and of targets under each, beside their targets.

        Those of source j stand from the first array's j to its j + 1.
        """
        return _by_source(self.indptr, self.indices, self.num_sources)

    def mean_weights(self) -> Float32[Tensor, "edges 1"]:
        """The weight of each edge that makes a sum a mean."""
        counts = self.counts
        return torch.from_numpy(np.repeat(1.0 / np.maximum(counts, 1), counts).astype(np.float32)[:, None])

    def on(self, device: torch.device) -> Rows:
        """The same edges in the memory of a device, copied once."""
        if device not in self._placed:
            self._placed[device] = _place(self, device)
        return self._placed[device]


def _place(edges: Edges, device: torch.device) -> Rows:
    indptr = torch.from_numpy(edges.indptr).to(device)
    sources = torch.from_numpy(edges.indices).to(device).long()
    targets = torch.arange(edges.num_targets, device=device).repeat_interleave(indptr.diff())
    heard = torch.bincount(sources, minlength=edges.num_sources)
    source_indptr = torch.cat([heard.new_zeros(1), heard.cumsum(0)])
    return Rows(indptr, sources, targets, sources.argsort(stable=True), source_indptr)


@kernel
def _by_source(indptr, indices, num_sources):
    starts = np.zeros(num_sources + 1, np.int64)
    for source in indices:
        starts[source + 1] += 1
    starts = np.cumsum(starts)
    cursor = starts[:-1].copy()
    order, targets = np.empty(len(indices), np.int64), np.empty(len(indices), np.int32)
    for target in range(len(indptr) - 1):
        for edge in range(indptr[target], indptr[target + 1]):
            place = cursor[indices[edge]]
            order[place], targets[place] = edge, target
            cursor[indices[edge]] = place + 1
    return starts, order, targets
