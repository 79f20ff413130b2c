"""Edges as numbers in a file, between the one reading of their table and the moment when all ids are known.

Nodes without a table get their rows in the order of their ids, and the last edge may name the first of them. So ends
are numbered in order of first sight while the edges are read, which costs the decoding and the look-ups, and these
numbers become rows afterwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer
from numpy import ndarray

from amity.ingestion.buckets import Bucket
from amity.ingestion.nodes import MAX_NUMBERS
from amity.ingestion.sorting import Span, split_pairs

NUMBERS = Span(MAX_NUMBERS, MAX_NUMBERS)
"""Between which numbers pairs lie that wait."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The edges of a relation, their ends numbered."""

    bucket: Bucket
    fields: tuple[str, ...]
    """What the edges carry."""
    reports: dict[str, dict[str, Any]]
    """What became of the rows of each table."""
    ranks: tuple[Integer[ndarray, "ids"] | None, ...] = (None, None)
    """The row of each number, for sources and for targets; None where a number is a row."""

    def chunks(
        self, rows: int
    ) -> Iterator[tuple[Int64[ndarray, "edges"], Int64[ndarray, "edges"], dict[str, ndarray]]]:
        """The rows of sources and targets, and what the edges carry; their file is gone at the end."""
        for begin in range(0, self.bucket.size, rows):
            keys, carried = self.bucket.load(begin, rows)
            ends = split_pairs(keys, NUMBERS.target_bits)
            sources, targets = (
                end if ranks is None else ranks[end].astype(np.int64)
                for end, ranks in zip(ends, self.ranks, strict=True)
            )
            yield sources, targets, carried
        self.bucket.remove()
