"""Seeds -> Batch: neighbourhoods, negatives, views of a block, histories, and a loader that keeps ahead."""

from amity.sampling.batch import Batch, BatchMaker, SamplingConfig
from amity.sampling.histories import Histories, HistoryBatch, HistoryMaker, histories_before, histories_of
from amity.sampling.loader import Prefetcher, prefetch
from amity.sampling.neighbors import Block, sample_neighbors
from amity.sampling.views import drop_edges

__all__ = [
    "Batch",
    "BatchMaker",
    "Block",
    "Histories",
    "HistoryBatch",
    "HistoryMaker",
    "Prefetcher",
    "SamplingConfig",
    "drop_edges",
    "histories_before",
    "histories_of",
    "prefetch",
    "sample_neighbors",
]
