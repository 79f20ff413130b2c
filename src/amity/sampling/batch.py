"""Batches: supervision pairs in a shuffled order, their columns, and the neighbourhood that computes both."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64
from numpy import ndarray
from pydantic import Field, NonNegativeInt, PositiveInt

from amity.clustering import Clusters, undivided
from amity.errors import ConfigError
from amity.graph import reverse
from amity.sampling.draws import keyed
from amity.sampling.duplicates import duplicated_nodes, with_duplicates
from amity.sampling.locality import Locality, Negatives
from amity.sampling.negatives import count_ends, log_column_rates, mask_known, row_lengths
from amity.sampling.neighbors import Block, sample_neighbors
from amity.sampling.numbering import number
from amity.sampling.pairs import Drawn, PairsInRuns, ShuffledPairs
from amity.section import Section
from amity.splitting import Pairs, Split

ORDER, NEGATIVES, NEIGHBORS = range(3)
"""What the seed is used for: each draws from a stream of its own."""


class SamplingConfig(Section):
    """How batches are drawn."""

    fanout: tuple[Annotated[int, Field(ge=-1)], ...] = (15, 10)
    """Neighbours drawn per hop, nearest hop first; its length is the number of hops; -1 takes all."""
    batch_size: PositiveInt = 512
    """Supervision edges a step, a row each; a friendship is asked from either side once an epoch. Runs of
    `clusters_per_step` are of one length, and leave out what does not divide. Of a sequence encoder: histories a
    step."""
    negatives: NonNegativeInt = 512
    """Candidates a step that are drawn beside the positives of the batch. Of a sequence encoder: distinct ones, in all;
    where there are no more candidates than that, the softmax is over everything."""
    global_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Where candidates are divided: the share of these, and of positives from all over, that every row is compared
    with; the others meet rows of their own cluster alone. 1 is the undivided softmax."""
    clusters_per_step: NonNegativeInt = 0
    """Where the candidates of a graph are divided: in how many runs a step's positives are drawn, each from one cluster
    or from a few small ones; 0 draws from all over. Few make many hard negatives; rows of other clusters then meet
    drawn negatives alone."""
    positions: float = Field(default=1.0, gt=0.0, le=1.0)
    """Of a sequence encoder: the share of a history's places, drawn anew at each step, that are learned from."""
    prefetched: PositiveInt = 4
    """Batches made ahead while the encoder computes; no more threads than that make them, a batch each."""
    duplicates: bool = False
    """Whether nodes with few friends have a duplicate, which is asked for its original once an epoch: by its features
    alone, without neighbours or a vector of its own (NodeDup, arXiv 2402.09711)."""
    duplicate_degree: NonNegativeInt = 2
    """Nodes with at most so many train friends have a duplicate."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from: rows of (query, positive) against columns of candidates."""

    step: int
    block: Block
    """The surroundings of all queries and candidates, without the edges of this step's pairs in either direction."""
    queries: Int64[ndarray, "queries"]
    """Position in `block.nodes` of each row's query; queries may repeat."""
    candidates: Int64[ndarray, "candidates"]
    """Position in `block.nodes` of each column's node; distinct: of each cluster the positives, then the negatives."""
    positives: Int64[ndarray, "queries"]
    """The column of each row's positive."""
    masked: Bool[ndarray, "queries candidates"]
    """Where a column is the query itself, or a train edge of the query other than the row's positive, or lies in
    another cluster than that and is not for every row."""
    log_rates: Float32[ndarray, "*queries candidates"]
    """Log of how likely the column's node is a column of a step, for logQ; for each row where candidates are divided
    and some are for every row, and there, of another cluster, over the global share: see `amity.sampling.locality`."""
    clusters: Int32[ndarray, "candidates"]
    """The cluster of each column's node, ascending."""
    duplicates: range = range(0)
    """Positions in `block.nodes` of the duplicates among the queries, whose positives are their originals."""


@dataclass(frozen=True, slots=True)
class BatchMaker:
    """Makes the batch of any step; made by `prepare`."""

    split: Split
    config: SamplingConfig
    seed: int
    frequency: Int32[ndarray, "nodes"]
    """How many supervising edges end at each node; a friendship ends at both, a duplicate's at its original."""
    pairs: ShuffledPairs | PairsInRuns
    """What is learned from."""
    locality: Locality
    """How the candidates are divided."""

    @classmethod
    def prepare(
        cls, split: Split, config: SamplingConfig, clusters: Clusters | None = None, *, seed: int
    ) -> "BatchMaker":
        """Count how often each node can be a positive: its degree, since friendships end at both sides.

        Without clusters there is one, which holds all candidates.

        Raises `ConfigError` where there are to be duplicates, but nobody who asks can be found, and where a step of few
        clusters would have nothing for rows of other ones.
        """
        supervision, undirected = split.supervision, split.train.target.undirected
        if undirected:
            frequency = row_lengths(supervision)
        else:
            frequency = np.zeros(split.train.num_nodes, np.int32)
            count_ends(frequency, supervision.indices)
        duplicated = duplicated_nodes(split.train, degree=config.duplicate_degree) if config.duplicates else _NONE
        frequency[duplicated] += 1
        rows = range(*split.train.candidates.rows.indices(split.train.num_nodes))
        locality = Locality.of(clusters or undivided(len(rows)), rows, share=config.global_share)
        count, runs, order = locality.clusters.count, config.clusters_per_step, int(keyed(seed, ORDER, 0))
        if runs and count > 1:
            _check_shared(config)
            asked_by = supervision if undirected else reverse(supervision)
            pairs = PairsInRuns.of(asked_by, frequency, locality, runs=runs, seed=order)
        else:
            pairs = ShuffledPairs(supervision, duplicated, count, seed=order)
        return cls(split, config, seed, frequency, pairs, locality)

    def __call__(self, step: int) -> Batch:
        """The batch of a step: a pure function of the split, the section, the seed and the step."""
        pairs = self.pairs.draw(step, self.config.batch_size)
        queries, targets = pairs.queries, pairs.targets
        negatives = self.locality.draw(targets, self.config.negatives, seed=self._seed(NEGATIVES), step=step)
        drawn = np.concatenate([targets, negatives.everywhere, negatives.inside])
        order, places = np.argsort(self.locality.of_nodes(drawn), kind="stable"), np.empty(len(drawn), np.int64)
        columns, slots, places[order] = number(_NONE, _NONE, drawn[order])
        positives = places[: len(targets)]
        nodes, _, positions = number(_NONE, _NONE, np.concatenate([queries, columns]))
        block = sample_neighbors(
            self.split.train.messages,
            nodes,
            fanout=self.config.fanout,
            seed=int(keyed(self._seed(NEIGHBORS), step, 0)),
            excluded=Pairs(queries, targets),
        )
        asking, itself = positions[: len(queries)].astype(np.int64), queries == targets
        duplicates = range(len(nodes), len(nodes) + int(itself.sum()))
        asking[itself] = duplicates
        abroad = self.locality.abroad(targets, columns)
        log_rates = self._log_rates(columns, pairs, negatives, abroad)
        shared = round(self.locality.share * len(targets)) if pairs.abroad else 0
        abroad[:, places[:shared]] = abroad[:, places[len(targets) : len(targets) + len(negatives.everywhere)]] = False
        return Batch(
            step,
            with_duplicates(block, queries[itself]) if duplicates else block,
            queries=asking,
            candidates=positions[len(queries) :].astype(np.int64),
            positives=positives,
            masked=mask_known(self.split.train.target.adjacency, queries, (columns, slots), positives) | abroad,
            log_rates=log_rates,
            clusters=self.locality.of_nodes(columns),
            duplicates=duplicates,
        )

    def _log_rates(
        self,
        columns: Int64[ndarray, "candidates"],
        pairs: Drawn,
        negatives: Negatives,
        abroad: Bool[ndarray, "queries candidates"],
    ) -> Float32[ndarray, "*queries candidates"]:
        """How likely each is a column for its own cluster; for another, where it then counts λ times as much."""
        frequency, home, share = self.frequency[columns], self.locality.of_nodes(columns), self.locality.share
        own = log_column_rates(frequency, per_edge=pairs.home[home], missed=negatives.missed[home])
        if share == 0 or (share == 1 and pairs.abroad):
            return own
        per_edge, missed = share * pairs.abroad, negatives.missed_everywhere
        elsewhere = log_column_rates(frequency, per_edge=per_edge, missed=missed) - np.log(np.float32(share))
        return np.where(abroad, elsewhere, own)

    def _seed(self, use: int) -> int:
        return int(keyed(self.seed, use, 0))


def _check_shared(config: SamplingConfig) -> None:
    if config.global_share and not round(config.global_share * config.negatives):
        raise ConfigError(
            f"A step's positives come from some clusters (`sampling.clusters_per_step` is {config.clusters_per_step}) "
            f"and are for rows of these alone, and of its negatives (`sampling.negatives` is {config.negatives}) none "
            f"is for all rows, though `sampling.global_share` is {config.global_share:g}. Draw more negatives, or set "
            "the share to 0."
        )


_NONE = np.empty(0, np.int64)
