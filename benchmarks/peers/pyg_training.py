"""The model of amity in PyTorch Geometric, as its users would write it: the peer of `bench_training.py`.

`LinkNeighborLoader` samples 15 x 10 neighbours of 512 friendships and 512 uniform nodes, deduplicated, by torch-sparse;
two `GATConv` layers of 4 heads with residuals and the mean of all states; retrieval, CCA-SSG and GraphMAE share the
sampled block and the first states. It does a little less than amity: the pairs of a batch stay in the graph, no
candidate but the positive is masked, and logQ is left out.
"""

from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, normalize
from torch_geometric.data import Data
from torch_geometric.loader import LinkNeighborLoader
from torch_geometric.nn import GATConv, SimpleConv
from torch_geometric.sampler import NegativeSampling, NeighborSampler
from torch_geometric.utils import dropout_edge

EDGE_DROP, FEATURE_DROP, MASKED_EDGE_DROP = 0.2, 0.2, 0.3
DECORRELATION, GAMMA, TEMPERATURE, CODE = 1e-3, 3.0, 0.1, 64
PAIRS = 100_000
"""Friendships that are learned from: a loader makes a Python list of them all for each pass."""


class Encoder(nn.Module):
    """The first states, and two layers of attention over them."""

    def __init__(self, data: Data, dim: int, *, ids: bool) -> None:
        super().__init__()
        self.tokens = nn.Embedding(int(data.tokens.max()) + 1, dim) if data.tokens.shape[1] else None
        self.numbers = nn.Linear(data.x.shape[1], dim) if data.x.shape[1] else None
        self.ids = nn.Embedding(data.num_nodes, dim) if ids else None
        self.layers = nn.ModuleList(GATConv(dim, dim // 4, heads=4) for _ in range(2))

    def encode(self, batch: Data) -> Tensor:
        """The first state of every node of the batch: the sum of all that is known of it."""
        states = []
        if self.tokens is not None:
            states.append(self.tokens(batch.tokens).sum(1))
        if self.numbers is not None:
            states.append(self.numbers(batch.x))
        if self.ids is not None:
            states.append(self.ids(batch.n_id))
        return torch.stack(states).sum(0)

    def forward(self, states: Tensor, edges: Tensor) -> Tensor:
        """The mean of the states before and after each layer."""
        reached = [states]
        for layer in self.layers:
            states = layer(states, edges) + states
            reached.append(states)
        return torch.stack(reached).mean(0)


class Multitask(nn.Module):
    """The encoder, the heads, and the loss of a batch."""

    def __init__(self, data: Data, dim: int, *, ids: bool) -> None:
        super().__init__()
        self.encoder = Encoder(data, dim, ids=ids)
        self.head = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, CODE))
        self.mask = nn.Parameter(0.1 * torch.randn(dim))
        self.bridge = nn.Linear(dim, dim, bias=False)
        self.mean = SimpleConv(aggr="mean")
        self.decoder = nn.Linear(dim, data.y.shape[1])

    def forward(self, batch: Data) -> Tensor:
        """The weighted sum of the three losses."""
        states = self.encoder.encode(batch)
        auxiliary = self.cca_ssg(batch, states)
        if batch.y.shape[1]:
            auxiliary = auxiliary + self.graphmae(batch, states)
        return self.retrieval(batch, states) + 0.1 * auxiliary

    def retrieval(self, batch: Data, states: Tensor) -> Tensor:
        """Softmax of each query's positive among the positives of the batch and the uniform nodes."""
        vectors = normalize(self.encoder(states, batch.edge_index))
        candidates = torch.cat([vectors[batch.dst_pos_index], vectors[batch.dst_neg_index]])
        scores = vectors[batch.src_index] @ candidates.T / TEMPERATURE
        return cross_entropy(scores, torch.arange(len(scores)))

    def cca_ssg(self, batch: Data, states: Tensor) -> Tensor:
        """Two views of the seeds agree, and their dimensions do not."""
        seeds, views = seeds_of(batch), []
        for _ in range(2):
            edges, _ = dropout_edge(batch.edge_index, p=EDGE_DROP)
            kept = torch.rand(states.shape[1]) >= FEATURE_DROP
            codes = self.head(self.encoder(states * kept, edges)[seeds])
            views.append((codes - codes.mean(0)) / (codes.std(0) + 1e-6) / len(codes) ** 0.5)
        first, second = views
        redundancy = sum((view.T @ view - torch.eye(CODE)).square().sum() for view in views)
        return ((first - second).square().sum() + DECORRELATION * redundancy) / CODE

    def graphmae(self, batch: Data, states: Tensor) -> Tensor:
        """What is known of the masked queries is read off their neighbours."""
        masked = torch.unique(batch.src_index)
        edges, _ = dropout_edge(batch.edge_index, p=MASKED_EDGE_DROP)
        hidden = states.clone()
        hidden[masked] = self.mask
        codes = self.bridge(self.encoder(hidden, edges))
        codes[masked] = 0.0
        restored = self.decoder(self.mean(codes, edges)[masked])
        return ((1 - cosine_similarity(restored, batch.y[masked])).clamp(min=0) ** GAMMA).mean()


def seeds_of(batch: Data) -> Tensor:
    """The nodes that the batch was sampled around."""
    return torch.unique(torch.cat([batch.src_index, batch.dst_pos_index, batch.dst_neg_index]))


class Training:
    """The loop: `run` takes so many steps of the batches that a loader gives."""

    def __init__(self, data: Data, *, ids: bool, dim: int, batch_size: int) -> None:
        self.data, self.batch_size = data, batch_size
        self.model = Multitask(data, dim, ids=ids)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=5e-3)
        pairs = data.edge_index[:, data.edge_index[0] < data.edge_index[1]]
        self.pairs = pairs[:, torch.randperm(pairs.shape[1])[:PAIRS]]
        self.sampler = NeighborSampler(data, [15, 10], share_memory=True)

    def loader(self, *, workers: int) -> LinkNeighborLoader:
        """Batches made in the loop, or in worker processes; these are no forks, which can hang after OpenMP has run."""
        return LinkNeighborLoader(
            self.data,
            num_neighbors=[15, 10],
            batch_size=self.batch_size,
            edge_label_index=self.pairs,
            neg_sampling=NegativeSampling("triplet", amount=1),
            neighbor_sampler=self.sampler,
            shuffle=True,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context="forkserver" if workers else None,
        )

    def run(self, loader: LinkNeighborLoader, steps: int) -> None:
        """The first steps of a pass over the loader."""
        for batch in islice(loader, steps):
            loss = self.model(batch)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
