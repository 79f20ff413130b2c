"""One layer over the whole graph: what each node tells its neighbours, and what it makes of what it is told."""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy import ndarray
from torch import Tensor

from amity.encoder import Edges
from amity.encoder.graph_encoder import GraphLayer
from amity.encoder.inference import attend_everywhere
from amity.encoder.layers import GatLayer, LightGcnLayer, SageLayer
from amity.encoder.states import whole
from amity.graph import Adjacency
from amity.graph.propagation import propagate


@runtime_checkable
class Propagation(Protocol):
    """A way to compute layers, chunk by chunk; a layer is what `GraphLayer.convolution` gives for all neighbours."""

    def tells_states(self, layer: GraphLayer) -> bool:
        """Whether nodes tell each other their states as they are."""
        ...

    def tell(self, layer: GraphLayer, states: Tensor, first: int) -> Float32[Tensor, "chunk dim"]:
        """What the nodes from `first` on, in these states, tell their neighbours."""
        ...

    def hear(
        self, layer: GraphLayer, told: Float[ndarray, "nodes dim"], first: int, last: int
    ) -> Float32[Tensor, "chunk dim"]:
        """What the layer makes of what was told, before activation and residual."""
        ...


class KernelPropagation:
    """Layers by kernels that run over the rows of the graph; each node is transformed once a layer."""

    def __init__(self, adjacency: Adjacency) -> None:
        self._adjacency = adjacency

    def tells_states(self, layer: GraphLayer) -> bool:
        """Attention tells W h, LightGCN h / √d, GraphSAGE h itself."""
        return isinstance(layer.convolution, SageLayer)

    def tell(self, layer: GraphLayer, states: Tensor, first: int) -> Float32[Tensor, "chunk dim"]:
        """See `Propagation`."""
        if isinstance(layer.convolution, GatLayer):
            return states @ layer.convolution.weight
        if isinstance(layer.convolution, LightGcnLayer):
            return states / self._degrees(first, first + len(states)).clamp(min=1.0).sqrt()
        return states

    def hear(
        self, layer: GraphLayer, told: Float[ndarray, "nodes dim"], first: int, last: int
    ) -> Float32[Tensor, "chunk dim"]:
        """See `Propagation`."""
        convolution = layer.convolution
        if isinstance(convolution, GatLayer):
            vectors = convolution.attention.numpy()
            heard = attend_everywhere(self._adjacency, told, vectors, first=first, last=last)
            return torch.from_numpy(heard) + convolution.bias
        sums = torch.from_numpy(propagate(self._adjacency, told, first=first, last=last))
        degrees = self._degrees(first, last).clamp(min=1.0)
        if isinstance(convolution, LightGcnLayer):
            return sums / degrees.sqrt()
        own = torch.from_numpy(told[first:last].astype(np.float32))
        return (sums / degrees) @ convolution.neighbors + own @ convolution.itself + convolution.bias

    def _degrees(self, first: int, last: int) -> Float32[Tensor, "chunk 1"]:
        return torch.from_numpy(np.diff(self._adjacency.indptr[first : last + 1]).astype(np.float32))[:, None]


class DevicePropagation:
    """Layers by their own `forward` on a device, which is sent the states of each chunk and of its neighbours."""

    def __init__(self, adjacency: Adjacency, device: torch.device) -> None:
        self._adjacency, self._device = adjacency, device

    def tells_states(self, layer: GraphLayer) -> bool:  # noqa: ARG002 (the promise's signature)
        """Always: the layer transforms what it hears."""
        return True

    def tell(self, layer: GraphLayer, states: Tensor, first: int) -> Float32[Tensor, "chunk dim"]:  # noqa: ARG002
        """See `Propagation`."""
        return states

    def hear(
        self, layer: GraphLayer, told: Float[ndarray, "nodes dim"], first: int, last: int
    ) -> Float32[Tensor, "chunk dim"]:
        """See `Propagation`."""
        nodes, edges = _neighborhood(self._adjacency, first, last)
        sources = torch.from_numpy(told[nodes]).to(self._device).float()
        return layer.convolution(sources[: last - first], whole(sources), edges).cpu()


def _neighborhood(adjacency: Adjacency, first: int, last: int) -> tuple[ndarray, Edges]:
    """The nodes of a chunk, then their other neighbours; and all their edges."""
    begin, end = adjacency.indptr[first], adjacency.indptr[last]
    neighbors = adjacency.indices[begin:end].astype(np.int64)
    inside = (neighbors >= first) & (neighbors < last)
    others = np.unique(neighbors[~inside])
    positions = np.where(inside, neighbors - first, last - first + np.searchsorted(others, neighbors))
    nodes = np.concatenate([np.arange(first, last), others])
    degrees = (adjacency.indptr[nodes + 1] - adjacency.indptr[nodes]).astype(np.float32)
    edges = Edges(adjacency.indptr[first : last + 1] - begin, positions, degrees[: last - first], degrees)
    return nodes, edges
