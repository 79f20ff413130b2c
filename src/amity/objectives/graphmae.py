"""GraphMAE: what is known of a masked node is read off its neighbours (Hou et al., 2022)."""

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy import ndarray
from pydantic import Field, NonNegativeFloat
from torch import Generator, Tensor, nn
from torch.nn.functional import cosine_similarity, normalize

from amity.encoder import Edges, FeatureTransform, Inputs, edges_between
from amity.encoder.aggregation import weighted_sums
from amity.encoder.parameters import matrix
from amity.kernels import kernel, mix
from amity.objectives.step import Step
from amity.section import Section

TOKEN_WIDTH = 64
"""Width of the random projection of a node's tokens; the signs of a token hang on its number alone."""


class GraphMaeConfig(Section):
    """Settings of the GraphMAE objective; it is off on graphs without features, where there is nothing to restore.

    It is off under one layer too, which gives no codes to the neighbours from which it would be restored.
    """

    weight: NonNegativeFloat = 0.1
    """Factor on this loss in the total; 0 turns the objective off."""
    gamma: float = Field(default=3.0, ge=1.0)
    """Power of the cosine error: above 1, nodes that are nearly right matter less."""
    edge_drop: float = Field(default=0.3, ge=0.0, lt=1.0)
    """Share of the edges that the masked view loses."""


class GraphMae(nn.Module):
    """The objective, its mask token and its decoder: a linear map, the masked set to zero, one graph convolution."""

    def __init__(self, config: GraphMaeConfig, dim: int, transform: FeatureTransform, *, generator: Generator) -> None:
        super().__init__()
        self.config, self.transform, width = config, transform, feature_width(transform)
        self.mask = mask_token(dim, generator=generator)
        self.bridge = matrix(dim, dim, generator=generator)
        self.decoder = matrix(dim, width, generator=generator)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The scaled cosine error of what is known of the masked queries."""
        block = step.dropped(self.config.edge_drop, "graphmae")
        # The decoder hears the neighbours of the masked nodes, so their codes are wanted too.
        codes = step.encoder.blend(step.propagate(block, step.hide(self.mask), reach=1))
        edges = edges_between(block, step.degrees, targets=block.hops[0], sources=len(codes))
        known = feature_vectors(step.inputs, step.on_device(step.roots)[step.masked], self.transform)
        return graphmae_loss(self.decode(codes, step.masked, edges), known, gamma=self.config.gamma)

    def decode(
        self, codes: Float[Tensor, "sources dim"], masked: Int64[Tensor, "masked"], edges: Edges
    ) -> Float[Tensor, "masked width"]:
        """The features of the masked nodes, restored from the codes of their neighbours.

        `edges` lead from nodes with codes to the first of them; all masked nodes are among those. The linear map comes
        after the mean, whose map is the mean of the maps: masked nodes are fewer than their neighbours.
        """
        known = codes.index_fill(0, masked, 0.0)
        means = weighted_sums(known, edges.mean_weights().to(known.device), edges)
        return means[masked] @ self.bridge @ self.decoder + self.bias


def mask_token(dim: int, *, generator: Generator) -> nn.Parameter:
    """What stands in for a masked node. Random: a zero token under a normalisation has a gradient of about 1e10."""
    return nn.Parameter(torch.randn(dim, generator=generator) * 0.1)


def graphmae_loss(
    restored: Float[Tensor, "nodes width"], features: Float[Tensor, "nodes width"], *, gamma: float = 3.0
) -> Float[Tensor, ""]:
    """The scaled cosine error, as a mean over the nodes that have features: (1 - cos(x, z))^γ.

    Eq. 4 of arXiv 2409.14682, eq. 2 of GraphMAE (arXiv 2205.10803). It is 0 where all agree and 2^γ at most; 0 too
    where no node has features.
    """
    known = features.any(1)
    errors = (1.0 - cosine_similarity(restored[known], features[known], dim=1)).clamp(min=0.0) ** gamma
    return errors.sum() / known.sum().clamp(min=1)


def feature_width(transform: FeatureTransform) -> int:
    """Width of what `feature_vectors` gives; 0 for a graph without features."""
    return transform.num_numbers + (TOKEN_WIDTH if transform.tokens else 0)


def feature_vectors(
    inputs: Inputs, nodes: Int64[Tensor, "masked"], transform: FeatureTransform
) -> Float32[Tensor, "masked width"]:
    """What of some nodes is to be restored: their numbers, then their tokens, each block of unit length.

    Tokens are a set, so they stand here as a fixed projection: the weighted sum of one random vector of signs a
    token. Without the scaling block by block, the cosine would see the largest block only. The token of a node's kind
    is not restored: it stays where all else is masked, and would tell nothing.
    """
    blocks = [inputs.dense[nodes]] if inputs.dense.shape[1] else []
    if transform.tokens:
        rows = inputs.indptr.numpy(), inputs.tokens.numpy(), inputs.weights.numpy()
        projected = _project_tokens(rows, nodes.numpy(force=True), int(transform.first_token > 0), TOKEN_WIDTH)
        blocks.append(torch.from_numpy(projected).to(inputs.dense.device))
    return torch.cat([normalize(block, dim=1) for block in blocks], dim=1)


@kernel
def _project_tokens(rows: tuple[ndarray, ndarray, ndarray], nodes: ndarray, left_out: int, width: int) -> ndarray:
    indptr, tokens, weights = rows
    sums = np.zeros((len(nodes), width), np.float32)
    for row in range(len(nodes)):
        for entry in range(indptr[nodes[row]] + left_out, indptr[nodes[row] + 1]):
            bits = mix(tokens[entry])
            for column in range(width):
                sums[row, column] += weights[entry] if (bits >> column) & 1 else -weights[entry]
    return sums
