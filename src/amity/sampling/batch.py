"""Batches: supervision pairs in a shuffled order, their columns, and the neighbourhood that computes both."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64
from numpy import ndarray
from pydantic import Field, NonNegativeInt, PositiveInt

from amity.sampling.draws import keyed
from amity.sampling.negatives import count_ends, log_draw_rates, mask_known, row_lengths, uniform_nodes
from amity.sampling.neighbors import Block, sample_neighbors
from amity.sampling.numbering import number
from amity.sampling.order import shuffled
from amity.section import Section
from amity.splitting import Pairs, Split

ORDER, NEGATIVES, NEIGHBORS = range(3)
"""What the seed is used for: each draws from a stream of its own."""


class SamplingConfig(Section):
    """How batches are drawn."""

    fanout: tuple[Annotated[int, Field(ge=-1)], ...] = (15, 10)
    """Neighbours drawn per hop, nearest hop first; its length is the number of hops; -1 takes all."""
    batch_size: PositiveInt = 512
    """Supervision edges a step, a row each; a friendship is asked from either side once an epoch."""
    negatives: NonNegativeInt = 512
    """Uniform candidates a step, beside the positives of the batch."""
    prefetched: PositiveInt = 4
    """Batches made ahead while the encoder computes; no more threads than that make them, a batch each."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from: rows of (query, positive) against columns of candidates."""

    step: int
    block: Block
    """The surroundings of all queries and candidates, without the edges of this step's pairs in either direction."""
    queries: Int64[ndarray, "queries"]
    """Position in `block.nodes` of each row's query; queries may repeat."""
    candidates: Int64[ndarray, "candidates"]
    """Position in `block.nodes` of each column's node; distinct: the positives of the batch, then the negatives."""
    positives: Int64[ndarray, "queries"]
    """The column of each row's positive."""
    masked: Bool[ndarray, "queries candidates"]
    """Where a column is the query itself, or a train edge of the query other than the row's positive."""
    log_rates: Float32[ndarray, "candidates"]
    """Log of how often the column's node is expected to be drawn in one step, for logQ."""


@dataclass(frozen=True, slots=True)
class BatchMaker:
    """Makes the batch of any step; made by `prepare`."""

    split: Split
    config: SamplingConfig
    seed: int
    frequency: Int32[ndarray, "nodes"]
    """How many supervising edges end at each node; a friendship ends at both."""

    @classmethod
    def prepare(cls, split: Split, config: SamplingConfig, *, seed: int) -> "BatchMaker":
        """Count how often each node can be a positive: its degree, since friendships end at both sides."""
        if split.train.target.undirected:
            return cls(split, config, seed, row_lengths(split.supervision))
        frequency = np.zeros(split.train.num_nodes, np.int32)
        count_ends(frequency, split.supervision.indices)
        return cls(split, config, seed, frequency)

    def __call__(self, step: int) -> Batch:
        """The batch of a step: a pure function of the split, the section, the seed and the step."""
        queries, targets = self._pairs(step)
        rows = range(*self.split.train.candidates.rows.indices(self.split.train.num_nodes))
        negatives = uniform_nodes(self.config.negatives, rows, seed=self._seed(NEGATIVES), step=step)
        columns, slots, places = number(_NONE, _NONE, np.concatenate([targets, negatives]))
        positives = places[: len(targets)].astype(np.int64)
        nodes, _, positions = number(_NONE, _NONE, np.concatenate([queries, columns]))
        block = sample_neighbors(
            self.split.train.messages,
            nodes,
            fanout=self.config.fanout,
            seed=int(keyed(self._seed(NEIGHBORS), step, 0)),
            excluded=Pairs(queries, targets),
        )
        return Batch(
            step,
            block,
            queries=positions[: len(queries)].astype(np.int64),
            candidates=positions[len(queries) :].astype(np.int64),
            positives=positives,
            masked=mask_known(self.split.train.target.adjacency, queries, (columns, slots), positives),
            log_rates=log_draw_rates(
                self.frequency[columns],
                per_edge=self.config.batch_size / self.split.supervision.num_edges,
                per_candidate=self.config.negatives / len(rows),
            ),
        )

    def _pairs(self, step: int) -> tuple[Int64[ndarray, "queries"], Int64[ndarray, "queries"]]:
        """The queries and positives of a step; edges follow each other through epochs without a gap."""
        size = self.config.batch_size
        places = np.arange(step * size, (step + 1) * size)
        edges = self.split.supervision
        chosen = shuffled(places, size=edges.num_edges, seed=self._seed(ORDER))
        queries = np.searchsorted(edges.indptr, chosen, side="right") - 1
        return queries, edges.indices[chosen].astype(np.int64)

    def _seed(self, use: int) -> int:
        return int(keyed(self.seed, use, 0))


def make_batch(split: Split, config: SamplingConfig, *, seed: int, step: int) -> Batch:
    """The batch of one step; prepare a `BatchMaker` once where many are wanted."""
    return BatchMaker.prepare(split, config, seed=seed)(step)


_NONE = np.empty(0, np.int64)
