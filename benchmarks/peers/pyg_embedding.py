"""Layer-wise inference of PyTorch Geometric, as in its example `reddit.py`: the peer of `bench_embedding.py`.

For each layer, for each batch of a `NeighborLoader` with all neighbours (by torch-sparse; pyg-lib has no wheel here):
gather the states of the batch, apply the layer, collect the results. `GATConv` carries the weights of amity's layers.
"""

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import NeighborLoader
from torch_geometric.nn import GATConv

from amity.encoder import GraphEncoder

BATCH = 1024


def convolutions(encoder: GraphEncoder) -> list[GATConv]:
    """`GATConv` with the weights of each layer."""
    made = []
    for layer in encoder.layers:
        ours = layer.convolution
        heads, width = ours.attention.shape[1:]
        convolution = GATConv(encoder.dim, width, heads=heads)
        with torch.no_grad():
            convolution.lin.weight.copy_(ours.weight.T)
            convolution.att_src.copy_(ours.attention[:1])
            convolution.att_dst.copy_(ours.attention[1:])
            convolution.bias.copy_(ours.bias)
        made.append(convolution)
    return made


@torch.no_grad()
def embed(convolutions: list[GATConv], states: Tensor, edges: Tensor) -> Tensor:
    """The mean of the states before and after each layer, with residuals."""
    data = Data(edge_index=edges, num_nodes=len(states))
    loader = NeighborLoader(data, num_neighbors=[-1], batch_size=BATCH, shuffle=False)
    total = states.clone()
    for convolution in convolutions:
        reached = []
        for batch in loader:
            heard = states[batch.n_id]
            reached.append((convolution(heard, batch.edge_index) + heard)[: batch.batch_size])
        states = torch.cat(reached)
        total += states
    return total / (len(convolutions) + 1)
