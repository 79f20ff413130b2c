"""What is known of each node: raw columns, as they were ingested, before any normalisation."""

from dataclasses import dataclass

from jaxtyping import Float, Float32, Int32, Int64
from numpy import ndarray


@dataclass(frozen=True, slots=True)
class Number:
    """One number a node; NaN where it is missing."""

    name: str
    values: Float[ndarray, "nodes"]


@dataclass(frozen=True, slots=True)
class Category:
    """One of several values a node."""

    name: str
    codes: Int32[ndarray, "nodes"]
    """Row of `dictionary`; -1 where the value is missing."""
    dictionary: tuple[str, ...]
    """The distinct values, as text."""


@dataclass(frozen=True, slots=True)
class Vector:
    """A dense vector a node; a row of NaN where it is missing."""

    name: str
    values: Float[ndarray, "nodes width"]
    """In half precision where the table is."""


@dataclass(frozen=True, slots=True)
class Bag:
    """Any number of values a node, each with a count: words, tags, venues, genres.

    Row i is `codes[indptr[i]:indptr[i + 1]]`, sorted and distinct.
    """

    name: str
    indptr: Int64[ndarray, "nodes_and_one"]
    codes: Int32[ndarray, "entries"]
    """Row of `dictionary`."""
    counts: Float32[ndarray, "entries"]
    """How often the value occurs in the bag, at least 1 unless the table gave its own counts."""
    dictionary: tuple[str, ...]
    """The distinct values, as text."""


Column = Number | Category | Vector | Bag
