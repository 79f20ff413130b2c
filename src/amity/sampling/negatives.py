"""Negatives: uniform candidates, which columns a row must not count as negative, and how often each is drawn."""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, Integer
from numpy import ndarray

from amity.graph import Adjacency
from amity.kernels import kernel, shared
from amity.sampling.draws import below, keyed
from amity.sampling.numbering import position_of
from amity.splitting.streams import find_edge

LOW = 0x7FFF
"""The low bits of a node that tell for most friends that they are no column, without a look-up."""


def uniform_nodes(count: int, nodes: range, *, seed: int, step: int) -> Int64[ndarray, "count"]:
    """Draw rows of the graph from a range, with repetition, each as likely."""
    return _uniform_nodes(count, nodes.start, len(nodes), (seed, step))


def mask_known(
    adjacency: Adjacency,
    queries: Int64[ndarray, "rows"],
    columns: tuple[Int64[ndarray, "columns"], Int64[ndarray, "slots"]],
    positives: Integer[ndarray, "rows"],
) -> Bool[ndarray, "rows columns"]:
    """True where a column is the query itself or anybody whom the query knows, other than the row's positive.

    `queries` are rows of the graph, `columns` distinct ones as `number` gives them, with their slots, `positives`
    the column of each row that stays unmasked, -1 for none. The whole row of the adjacency counts, not only what the
    batch holds.
    """
    nodes, slots = columns
    masked = np.zeros((len(queries), len(nodes)), np.bool_)
    likely = np.zeros(LOW + 1, np.bool_)
    likely[nodes & LOW] = True
    rows = adjacency.indptr, adjacency.indices
    shared(_mask_known, len(queries), rows, (queries, positives), (nodes, slots, likely), masked)
    return masked


def log_column_rates(
    frequency: Integer[ndarray, "columns"],
    *,
    per_edge: float | Float64[ndarray, "columns"],
    missed: float | Float64[ndarray, "columns"],
) -> Float32[ndarray, "columns"]:
    """Log of how likely each node is a column of a step: log(1 - (1 - per_edge)^f missed).

    `frequency` f counts the supervising edges that end at the node, `per_edge` is how often each of them is in a step
    (certain from 1 on), `missed` how likely no negative is the node: the sampling rate of logQ (Yi et al., 2019;
    2507.09331) of columns that are distinct, whichever source they come from. Edges count as if they were drawn each
    for itself.
    """
    return np.log(1.0 - (1.0 - np.minimum(per_edge, 1.0)) ** frequency * missed).astype(np.float32)


def row_lengths(adjacency: Adjacency) -> Int32[ndarray, "nodes"]:
    """The number of neighbours of each node, in half the memory of `Adjacency.degrees`."""
    lengths = np.empty(adjacency.num_nodes, np.int32)
    return np.subtract(adjacency.indptr[1:], adjacency.indptr[:-1], out=lengths, casting="same_kind")


@kernel
def count_ends(counts, ends):
    """Add to `counts`, in place, how often each node stands in `ends`."""
    for node in ends:
        counts[node] += 1


@kernel
def _uniform_nodes(count, first, size, key):
    nodes = np.empty(count, np.int64)
    for i in range(count):
        nodes[i] = first + below(keyed(key[0], key[1], i), size)
    return nodes


@kernel
def _mask_known(part, rows, asked, columns, masked):
    indptr, indices = rows
    queries, positives = asked
    nodes, slots, likely = columns
    for row in range(*part):
        query = queries[row]
        if indptr[query + 1] - indptr[query] <= 4 * len(nodes):
            _mask_friends(indices[indptr[query] : indptr[query + 1]], slots, likely, masked[row])
        else:
            for column in range(len(nodes)):
                masked[row, column] = find_edge(indptr, indices, query, nodes[column]) >= 0
        itself = position_of(slots, query)
        if itself >= 0:
            masked[row, itself] = True
        if positives[row] >= 0:
            masked[row, positives[row]] = False


@kernel
def _mask_friends(friends, slots, likely, masked):
    for friend in friends:
        if likely[friend & LOW]:
            column = position_of(slots, np.int64(friend))
            if column >= 0:
                masked[column] = True
