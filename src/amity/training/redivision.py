"""Redivision: clusters that are made anew, now and then, by what has been learned so far."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from amity.clustering import Clusters
from amity.encoder import Model

Divide = Callable[[Model, Clusters], Clusters]
"""A model, and the clusters that it has learned under, to as many others; see `divide_again`."""


class Redivision(nn.Module):
    """The clusters as they stand; kept with the parameters, so that a checkpoint, and the best step, have both."""

    of: Tensor

    def __init__(self, clusters: Clusters, divide: Divide, *, every: int) -> None:
        super().__init__()
        self.first, self.divide, self.every = clusters, divide, every
        self.register_buffer("of", torch.from_numpy(clusters.of.copy()))

    def restart(self) -> None:
        """Go back to the clusters that there were first."""
        self.of.copy_(torch.from_numpy(self.first.of.copy()))

    @property
    def clusters(self) -> Clusters:
        """How the candidates are divided now."""
        return Clusters(self.of.numpy(force=True).copy(), self.first.names)

    def segments(self, steps: range) -> Iterator[range]:
        """The steps between two divisions, one after the other."""
        first = steps.start
        while first < steps.stop:
            last = min(first - first % self.every + self.every, steps.stop)
            yield range(first, last)
            first = last

    def begin(self, step: int, model: Model) -> None:
        """Divide anew where a step is the first of a segment, but for the very first."""
        if step and step % self.every == 0:
            self.of.copy_(torch.from_numpy(self.divide(model, self.clusters).of))
