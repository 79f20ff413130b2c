"""The nodes of one kind: their ids, from a table of nodes or from the ends of edges."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64, Integer
from numpy import ndarray

from amity.errors import DataError
from amity.graph.vocabulary import Vocabulary
from amity.ingestion.schema import NodesConfig
from amity.ingestion.tables import Chunk, Table
from amity.ingestion.values import check_ids, present, read_ids
from amity.ingestion.vocabulary import VocabularyBuilder

MAX_NUMBERS = 2**31
"""How many nodes of a kind edges alone may name."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes of one kind in the order of their rows, and the tables that tell of them."""

    kind: str
    config: NodesConfig
    vocabulary: Vocabulary
    tables: tuple[Table, ...] = ()
    """None where the nodes are the ends of edges."""
    dropped: tuple[Int64[ndarray, "dropped"], ...] = ()
    """For each table, the rows that make no node: their id is null, or was seen before."""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """For each table, how many rows were read, and how many dropped for what."""

    @property
    def is_text(self) -> bool:
        """Whether the ids are text."""
        return self.vocabulary.id_offsets is not None

    def chunks(self, columns: Sequence[str], *, rows: int) -> Iterator[Chunk]:
        """The rows that make nodes, in the order of the nodes."""
        for table, dropped in zip(self.tables, self.dropped, strict=True):
            for chunk in table.chunks(columns, rows=rows):
                begin, end = np.searchsorted(dropped, [chunk.first, chunk.first + chunk.num_rows])
                kept = np.ones(chunk.num_rows, bool)
                kept[dropped[begin:end] - chunk.first] = False
                yield chunk.keep(kept)


def read_nodes(kind: str, config: NodesConfig, tables: Sequence[Table], *, rows: int) -> Nodes:
    """Number the nodes of a table in its order; of rows with one id the first counts, rows without id are dropped.

    Raises `DataError` where ids are of several types, or none is left.
    """
    builder = VocabularyBuilder(text=check_ids(tables[0], config.id), expected=sum(table.num_rows for table in tables))
    dropped, counts = [], {}
    for table in tables:
        _check_alike(table, tables[0])
        lost, nulls = _add_table(builder, table, config.id, rows)
        dropped.append(lost)
        counts[table.name] = {"rows": table.num_rows, "null_ids": nulls, "duplicate_ids": len(lost) - nulls}
    if builder.size == 0:
        raise tables[0].fault(
            config.id, None, "every id is null, so there are no nodes", "Name another column as `id`."
        )
    return Nodes(kind, config, builder.finish(), tuple(tables), tuple(dropped), counts)


def sort_nodes(kind: str, config: NodesConfig, builder: VocabularyBuilder) -> tuple[Nodes, Integer[ndarray, "ids"]]:
    """The ends of edges in the order of their ids, and the row of each in order of first sight.

    Raises `DataError` where there are none.
    """
    if builder.size == 0:
        raise DataError(
            f"No edge is left that names a {kind}: ids are null, or no flag claims them. Fill in the ids, check the "
            "flags, or give a table of nodes."
        )
    if builder.size > MAX_NUMBERS:
        raise DataError(
            f"The edges name {builder.size:,} nodes of the kind {kind}, and without a table of nodes 2^31 fit. "
            "Divide the graph, or give a table of nodes."
        )
    vocabulary, ranks = builder.finish_in_order()
    return Nodes(kind, config, vocabulary), ranks


def _add_table(builder: VocabularyBuilder, table: Table, column: str, rows: int) -> tuple[ndarray, int]:
    lost, nulls = [], 0
    for chunk in table.chunks([column], rows=rows):
        ids = read_ids(chunk, column)
        valid = np.flatnonzero(present(ids))
        fresh = np.zeros(len(ids), bool)
        fresh[valid[builder.add(ids.drop_null() if ids.null_count else ids)[1]]] = True
        nulls += ids.null_count
        lost.append(chunk.first + np.flatnonzero(~fresh))
    return np.concatenate(lost), nulls


def _check_alike(table: Table, first: Table) -> None:
    for name in first.schema.names:
        if table.type_of(name) != first.type_of(name):
            raise table.fault(
                name, None, f"the type is {table.type_of(name)} here and {first.type_of(name)} in {first.name}",
                "Write the tables of one kind alike.",
            )  # fmt: skip
