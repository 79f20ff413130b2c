"""What a node makes of its neighbours: attention, a mean, or a sum scaled by degree."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from amity.encoder.aggregation import weighted_sums
from amity.encoder.attention import attend
from amity.encoder.edges import Edges
from amity.encoder.parameters import matrix
from amity.encoder.states import States

FEWER = 2
"""So many times fewer must the targets be for their sums to be mapped: such sums are as wide as all heads together."""


class GatLayer(nn.Module):
    """Graph attention (arXiv 1710.10903): GATConv with self-loops, its heads side by side."""

    def __init__(self, dim: int, *, heads: int, identity: bool, generator: Generator) -> None:
        super().__init__()
        self.weight = _square(dim, identity=identity, generator=generator)
        self.attention = nn.Parameter(torch.zeros(2, heads, dim // heads))
        self.bias = nn.Parameter(torch.zeros(dim))
        if not identity:
            nn.init.xavier_uniform_(self.attention, generator=generator)

    def forward(
        self, targets: Float[Tensor, "targets dim"], sources: States, edges: Edges
    ) -> Float[Tensor, "targets dim"]:
        """The attention of each target over its sources and itself; the targets are the first of the sources.

        A sum of W h is W times a sum of h: the map is applied to whichever are fewer.
        """
        heads = self.attention.shape[1]
        if edges.num_sources > FEWER * len(targets):
            slices = self.weight.unflatten(1, (heads, -1))
            projection = torch.einsum("ihw,phw->iph", slices, self.attention).flatten(1)
            heard = torch.bmm(attend(sources.values, projection, edges, groups=1), slices.transpose(0, 1))
        else:
            projection = torch.cat([torch.block_diag(*vectors).T for vectors in self.attention], dim=1)
            heard = attend(sources.times(self.weight), projection, edges, groups=heads)
        return heard.transpose(0, 1).flatten(1) + self.bias


class SageLayer(nn.Module):
    """GraphSAGE with the mean aggregator (arXiv 1706.02216, algorithm 1): W₁ mean_j h_j + W₂ h_i + b."""

    def __init__(self, dim: int, *, identity: bool, generator: Generator) -> None:
        super().__init__()
        self.neighbors = _square(dim, identity=identity, generator=generator)
        itself = matrix(dim, dim, generator=generator)
        self.itself = nn.Parameter(torch.zeros(dim, dim)) if identity else itself
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(
        self, targets: Float[Tensor, "targets dim"], sources: States, edges: Edges
    ) -> Float[Tensor, "targets dim"]:
        """The mean over the sources of each target, zero where there are none, beside the target itself."""
        means = weighted_sums(sources.values, edges.mean_weights(), edges)
        return means @ self.neighbors + targets @ self.itself + self.bias


class LightGcnLayer(nn.Module):
    """Propagation without parameters (LightGCN, arXiv 2002.02126, eq. 7): Σ_j h_j / √(d_i d_j).

    Where only some neighbours of i were drawn, their sum is scaled up to its degree d_i in the whole graph, which
    makes it an unbiased estimate.
    """

    def forward(
        self,
        targets: Float[Tensor, "targets dim"],  # noqa: ARG002 (a layer's signature; LightGCN has no self-loop)
        sources: States,
        edges: Edges,
    ) -> Float[Tensor, "targets dim"]:
        """The scaled sum over the sources of each target."""
        counts = edges.counts
        outer = np.repeat(np.sqrt(edges.target_degrees) / np.maximum(counts, 1), counts)
        weights = outer / np.sqrt(np.maximum(edges.source_degrees, 1))[edges.indices]
        return weighted_sums(sources.values, torch.from_numpy(weights[:, None]).to(sources.values.dtype), edges)


def _square(dim: int, *, identity: bool, generator: Generator) -> nn.Parameter:
    return nn.Parameter(torch.eye(dim)) if identity else matrix(dim, dim, generator=generator)
