"""Who may be asked about and who may be found; and what a person is answered: candidates by their raw ids."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from amity.errors import RetrievalError
from amity.graph import Adjacency, Graph


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates of one query, best first; prints as a table."""

    query: int | str
    """The raw id that asked, as it was given."""
    kind: str
    """What kind of node the candidates are."""
    ids: tuple[int | str, ...]
    """Their raw ids."""
    scores: tuple[float, ...]
    """By what they are ranked: inner products with the query, or the sums of a blend."""

    def __len__(self) -> int:
        return len(self.ids)

    def to_json(self) -> list[dict[str, Any]]:
        """One entry a candidate, best first."""
        return [{"id": raw_id, "score": score} for raw_id, score in zip(self.ids, self.scores, strict=True)]

    def __str__(self) -> str:
        width = max([len(self.kind), *(len(str(raw_id)) for raw_id in self.ids)])
        lines = [f"{len(self)} candidates for {self.query}", f"{'rank':>4}  {self.kind:<{width}}    score"]
        lines += [
            f"{place:>4}  {raw_id!s:<{width}}  {score:>7.4f}"
            for place, (raw_id, score) in enumerate(zip(self.ids, self.scores, strict=True), start=1)
        ]
        return "\n".join(lines)


def refuse_unknown(graph: Graph, queries: Int64[ndarray, "queries"], k: int) -> None:
    """Raise `RetrievalError` for queries that are no rows of the graph, and for lists without a place."""
    if len(queries) and not 0 <= queries.min() <= queries.max() < graph.num_nodes:
        raise RetrievalError(
            f"Queries are rows of the graph, 0 to {graph.num_nodes - 1:,}; found {queries.min()} to "
            f"{queries.max()}. Ask for rows that graph.row(id) gives."
        )
    if k < 1:
        raise RetrievalError(f"A list needs at least one place, and k is {k}. Ask for k of 1 or more.")


def refuse_strangers(graph: Graph, queries: Int64[ndarray, "queries"]) -> None:
    """Raise `RetrievalError` for queries of another kind than those who ask, for whom alone questions were learned."""
    inside = (queries >= graph.queries.first) & (queries < graph.queries.first + graph.queries.count)
    if not inside.all():
        raise RetrievalError(
            f"{np.count_nonzero(~inside)} of {len(queries)} queries are no {graph.queries.name}, and what is asked was "
            f"learned for these alone. Ask with the id of one of {graph.queries.name}."
        )


def excluded_positions(graph: Graph, queries: Int64[ndarray, "queries"], known: Adjacency | None) -> Adjacency:
    """The positions among the candidates that each query must not get: itself, its friends, those known.

    Row q is that of the q-th query; in `known` it is that of the node.
    """
    asked = np.arange(len(queries))
    pairs = [(asked, queries), graph.target.adjacency.edges_of(queries)]
    if known is not None:
        pairs.append(known.edges_of(queries))
    askers, rows = (np.concatenate(side) for side in zip(*pairs, strict=True))
    positions = rows - graph.candidates.first
    inside = (positions >= 0) & (positions < graph.candidates.count)
    keys = np.unique(askers[inside] * graph.candidates.count + positions[inside])
    starts = np.searchsorted(keys, np.arange(len(queries) + 1) * graph.candidates.count)
    return Adjacency(starts, keys % graph.candidates.count)
