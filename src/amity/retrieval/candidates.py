"""What a person asks and is answered: candidates by their raw ids, best first."""

from dataclasses import dataclass

from jaxtyping import Int64
from numpy import ndarray

from amity.errors import RetrievalError
from amity.graph import Graph


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
