"""A graph that has lost something since a model was trained on it: edges at random, its newest edges, features.

Only what an encoder reads is damaged: the messages and the columns. Relations stay whole, so that who asks, whose
friends are known and what counts as found are those of the undamaged graph.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool
from numpy import ndarray
from pydantic import Field

from amity.graph import Bag, Category, Column, Graph, NodeKind, Number, Vector
from amity.kernels import kernel
from amity.sampling.draws import keyed
from amity.section import Section
from amity.splitting.assignment import NEVER, Rule, row_ranges, threshold, time_cutoffs
from amity.splitting.streams import carried

EDGES, FEATURES = 18, 19
"""What the seed is used for here; lower numbers are those of training and its validation, and histories, whose graphs
are never damaged, have these too."""

Share = Annotated[float, Field(gt=0, le=1)]


class DamageConfig(Section):
    """What a graph loses, one damage at a time."""

    edges: tuple[Share, ...] = (0.1, 0.3, 0.5)
    """Shares of the edges that carry no messages, drawn at random."""
    newest: tuple[Share, ...] = (0.3,)
    """Shares of the edges, the latest ones, that carry no messages; only where edges have times."""
    features: tuple[Share, ...] = (0.3,)
    """Shares of the nodes, drawn at random, of which nothing is known but who they are."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One damage."""

    kind: Literal["edges", "newest", "features"]
    share: float

    @property
    def name(self) -> str:
        """How it is called in tables: `30% of edges`."""
        return f"{100 * self.share:g}% of {'newest edges' if self.kind == 'newest' else self.kind}"

    def apply(self, graph: Graph, *, seed: int) -> Graph:
        """The graph that is left."""
        if self.kind == "features":
            return mask_features(graph, self.share, seed=seed)
        return drop_newest(graph, self.share) if self.kind == "newest" else drop_edges(graph, self.share, seed=seed)


def share_of_edges(name: str) -> float | None:
    """The share in the name of a damage to edges at random; None in that of any other."""
    share, _, kind = name.partition("% of ")
    return float(share) / 100 if kind == "edges" else None


def choose_damages(config: DamageConfig, graph: Graph) -> list[Damage]:
    """Every damage that a graph can take, each once: without times no edge is the newest, and not all have columns."""
    possible: dict[Literal["edges", "newest", "features"], bool] = {
        "edges": True,
        "newest": graph.target.adjacency.times is not None,
        "features": any(kind.columns for kind in graph.kinds),
    }
    found = [Damage(kind, share) for kind, can in possible.items() if can for share in getattr(config, kind)]
    return list(dict.fromkeys(found))


def drop_edges(graph: Graph, share: float, *, seed: int) -> Graph:
    """The same graph where each edge of the first relation is lost to the messages with probability `share`.

    Lost is a pair of nodes, whichever way round, unless another relation still joins it. Which pairs are lost hangs on
    the seed and the two rows alone; what is lost at a share is lost at every larger one.
    """
    key = int(keyed(seed, EDGES, 0))
    return _without(graph, Rule(by_time=False, valid=NEVER, test=threshold(share), seed=key, quiet=NEVER))


def drop_newest(graph: Graph, share: float) -> Graph:
    """The same graph where the latest `share` of the edges of the first relation are lost to the messages.

    Of edges of one instant all are lost, or none. Raises `SplitError` where edges have no times.
    """
    _, last = time_cutoffs(graph.target, 0.0, share)
    return _without(graph, Rule(by_time=True, valid=NEVER, test=last, seed=0, quiet=NEVER))


def mask_features(graph: Graph, share: float, *, seed: int) -> Graph:
    """The same graph where each node has lost every column with probability `share`: all are missing there.

    Which nodes these are hangs on the seed and the row alone; who is lost at a share is lost at every larger one.
    """
    lost = np.empty(graph.num_nodes, np.bool_)
    _draw(lost, threshold(share), seed)
    return replace(graph, kinds=tuple(_forget(kind, lost[kind.rows]) for kind in graph.kinds))


def _without(graph: Graph, rule: Rule) -> Graph:
    """The graph without the messages that only edges outside of the train part of a rule could send."""
    messages = graph.messages
    kept = np.concatenate([carried(messages, graph.relations, rule, rows) for rows in row_ranges(messages.indptr)])
    return graph.with_edges(graph.relations, messages.only(kept))


def _forget(kind: NodeKind, lost: Bool[ndarray, "nodes"]) -> NodeKind:
    return replace(kind, columns=tuple(_forget_column(column, lost) for column in kind.columns))


def _forget_column(column: Column, lost: Bool[ndarray, "nodes"]) -> Column:
    """The column with nothing in some rows, each kind in its own way of missing."""
    match column:
        case Category():
            return replace(column, codes=np.where(lost, np.int32(-1), column.codes))
        case Number() | Vector():
            values = np.array(column.values)
            values[lost] = np.nan
            return replace(column, values=values)
        case Bag():
            sizes = np.diff(column.indptr)
            kept = np.repeat(~lost, sizes)
            indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.where(lost, 0, sizes))])
            return replace(column, indptr=indptr, codes=column.codes[kept], counts=column.counts[kept])


@kernel
def _draw(lost, most, seed):
    for row in range(len(lost)):
        lost[row] = keyed(seed, FEATURES, row) > most
