"""k-hop neighbourhoods: up to a fan-out of neighbours a node, uniformly without replacement, every node once."""

from dataclasses import dataclass

import numba
import numpy as np
from jaxtyping import Int32, Int64, Integer
from numpy import ndarray

from amity.graph import Adjacency
from amity.kernels import kernel, parallel_kernel
from amity.sampling.draws import choose, keyed
from amity.sampling.numbering import ask_for, number, position_of
from amity.splitting import Pairs
from amity.splitting.streams import find_edge

ALL = -1
"""The fan-out that takes every neighbour."""
RUN = 256
"""Nodes whose neighbours one thread draws at a time."""


@dataclass(frozen=True, slots=True)
class Block:
    """The sampled surroundings of some seeds, as a small graph of its own.

    With L hops, layer l of an encoder computes `nodes[:hops[L - 1 - l]]` from `nodes[:hops[L - l]]` along the
    rows of `indptr` that belong to its targets.
    """

    nodes: Int64[ndarray, "nodes"]
    """Rows of the graph, distinct: the seeds, then those first met at hop 1, then at hop 2, and so on."""
    indptr: Int64[ndarray, "expanded_and_one"]
    """Row i, for i < hops[-2], is `indices[indptr[i]:indptr[i + 1]]`: the neighbours drawn for `nodes[i]`."""
    indices: Int32[ndarray, "edges"]
    """Positions in `nodes`; distinct within a row."""
    hops: tuple[int, ...]
    """How many nodes lie within 0, 1, 2, ... hops of the seeds."""

    @property
    def num_edges(self) -> int:
        """How many neighbours were drawn in all."""
        return len(self.indices)


def sample_neighbors(
    adjacency: Adjacency,
    seeds: Integer[ndarray, "seeds"],
    *,
    fanout: tuple[int, ...],
    seed: int,
    excluded: Pairs | None = None,
) -> Block:
    """Draw neighbours of the distinct seeds, then of those drawn, a hop for each entry of `fanout`.

    A node with no more neighbours than the fan-out gives all of them, as does a fan-out of -1. The `excluded` pairs
    and their reverses never appear; what remains is as likely as if they were not in the graph. What is drawn for
    a node hangs on the seed, the hop and the node alone. Raises `ValueError` where a seed is repeated.
    """
    nodes, slots, _ = number(_NONE, _NONE, np.asarray(seeds, np.int64))
    if len(nodes) != len(seeds):
        raise ValueError(f"seeds are to be distinct: {len(seeds)} were given, of which {len(nodes)} differ")
    rows = _read_only(adjacency.indptr), _read_only(adjacency.indices)
    banned = _both_ways(excluded)
    indptr, indices, hops = [np.zeros(1, np.int64)], [np.empty(0, np.int32)], [0, len(nodes)]
    num_edges = 0
    for hop, limit in enumerate(fanout):
        newest = nodes[hops[-2] :]
        holes = _group(_holes(*rows, slots, (*banned, hops[-2])), len(newest))
        most = limit if limit >= 0 else np.iinfo(np.int64).max
        offsets, found = _draw(*rows, newest, holes, most, (seed, hop))
        nodes, slots, positions = number(nodes, slots, found)
        indptr.append(num_edges + offsets[1:])
        num_edges += len(found)
        indices.append(positions)
        hops.append(len(nodes))
    return Block(nodes, np.concatenate(indptr), np.concatenate(indices), tuple(hops[1:]))


_NONE = np.empty(0, np.int64)


def _read_only(values: ndarray) -> ndarray:
    """A view that cannot be written, as of a mapped file, so that a kernel is compiled for one type only."""
    view = values.view()
    view.flags.writeable = False
    return view


def _both_ways(pairs: Pairs | None) -> tuple[Int64[ndarray, "pairs"], Int64[ndarray, "pairs"]]:
    if pairs is None:
        return _NONE, _NONE
    sources, targets = np.asarray(pairs.sources, np.int64), np.asarray(pairs.targets, np.int64)
    return np.concatenate([sources, targets]), np.concatenate([targets, sources])


def _group(holes: Int64[ndarray, "holes"], count: int) -> tuple[Int64[ndarray, "count_and_one"], ndarray]:
    """The distinct ranks of the holes of each of `count` nodes, end to end, and where those of each begin."""
    holes = np.unique(holes[holes >= 0])
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(holes >> 32, minlength=count), out=starts[1:])
    return starts, holes & 0xFFFFFFFF


@parallel_kernel
def _holes(indptr, indices, slots, banned):
    """For each banned edge of the newest nodes: which of them, shifted by 32, and its rank in the row; else -1."""
    sources, targets, begin = banned
    holes = np.full(len(sources), np.int64(-1))
    for i in numba.prange(len(sources)):
        newest = position_of(slots, sources[i]) - begin
        if newest >= 0:
            place = find_edge(indptr, indices, sources[i], targets[i])
            if place >= 0:
                holes[i] = (newest << 32) + place - indptr[sources[i]]
    return holes


@parallel_kernel
def _draw(indptr, indices, nodes, holes, limit, key):
    """The neighbours drawn for each node, end to end, and where those of each begin."""
    starts, ranks = holes
    begins, sizes = np.empty(len(nodes), np.int64), np.empty(len(nodes), np.int64)
    for i in numba.prange(len(nodes)):
        begins[i] = indptr[nodes[i]]
        sizes[i] = indptr[nodes[i] + 1] - begins[i] - (starts[i + 1] - starts[i])
    offsets = np.zeros(len(nodes) + 1, np.int64)
    for i in range(len(nodes)):
        offsets[i + 1] = offsets[i] + min(sizes[i], limit)
    found = np.empty(offsets[-1], indices.dtype)
    for run in numba.prange(-(-len(nodes) // RUN)):
        rows = run * RUN, min(len(nodes), (run + 1) * RUN)
        _choose_ranks(found, (offsets, begins, sizes), nodes, indices, rows, key)
        _step_over(found, offsets, starts, ranks, rows)
        _gather(found, offsets, begins, indices, rows)
    return offsets, found


@kernel
def _choose_ranks(found, spans, nodes, indices, rows, key):
    """Choose for each node as many ranks among the neighbours that remain as there is room for.

    What stands at these ranks is asked for at once, so that it comes while the next ones are chosen.
    """
    offsets, begins, sizes = spans
    for i in range(*rows):
        first, count = offsets[i], offsets[i + 1] - offsets[i]
        if count < sizes[i]:
            choose(found[first : first + count], sizes[i], keyed(key[0], key[1], nodes[i]))
        else:
            for rank in range(count):
                found[first + rank] = rank
        for place in range(first, first + count):
            ask_for(indices, begins[i] + found[place])  # pyright: ignore[reportCallIssue] - as in `number`


@kernel
def _step_over(found, offsets, starts, holes, rows):
    """Turn ranks among the neighbours that remain into ranks among all."""
    for i in range(*rows):
        if starts[i] == starts[i + 1]:
            continue
        for place in range(offsets[i], offsets[i + 1]):
            hole = starts[i]
            while hole < starts[i + 1] and holes[hole] <= found[place]:
                found[place] += 1
                hole += 1


@kernel
def _gather(found, offsets, begins, indices, rows):
    """Turn ranks into neighbours; a pass of its own, so that what was asked for has come."""
    for i in range(*rows):
        for place in range(offsets[i], offsets[i + 1]):
            found[place] = indices[begins[i] + found[place]]
