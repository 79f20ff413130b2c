"""k-hop neighbourhoods: up to a fan-out of neighbours a node, uniformly without replacement, every node once."""

from dataclasses import dataclass

import numba
import numpy as np
from jaxtyping import Int32, Int64, Integer
from numpy import ndarray

from amity.graph import Adjacency
from amity.kernels import kernel, parallel_kernel
from amity.sampling.draws import choose, keyed
from amity.sampling.numbering import number, position_of
from amity.splitting import Pairs
from amity.splitting.streams import find_edge

ALL = -1
"""The fan-out that takes every neighbour."""


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
        begin = hops[-2]
        holes = np.sort(_holes(*rows, nodes, slots, (*banned, begin))) if len(banned[0]) else _NONE
        offsets, found = _draw(
            *rows, nodes[begin:], holes, limit if limit >= 0 else np.iinfo(np.int64).max, (seed, hop)
        )
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


@kernel
def _holes(indptr, indices, nodes, slots, banned):
    """Where the banned edges of the newest nodes lie in `indices`, unsorted and distinct."""
    sources, targets, begin = banned
    holes = set()
    holes.add(np.int64(-1))
    for i in range(len(sources)):
        if position_of(nodes, slots, sources[i]) >= begin:
            holes.add(find_edge(indptr, indices, sources[i], targets[i]))
    holes.remove(np.int64(-1))
    places = np.empty(len(holes), np.int64)
    for i, hole in enumerate(holes):
        places[i] = hole
    return places


@parallel_kernel
def _draw(indptr, indices, nodes, holes, limit, key):
    """The neighbours drawn for each node, end to end, and where those of each begin."""
    sizes = np.empty(len(nodes), np.int64)
    for i in numba.prange(len(nodes)):
        sizes[i] = indptr[nodes[i] + 1] - indptr[nodes[i]] - _count_holes(indptr, nodes[i], holes)
    offsets = np.zeros(len(nodes) + 1, np.int64)
    for i in range(len(nodes)):
        offsets[i + 1] = offsets[i] + min(sizes[i], limit)
    places = np.empty(offsets[-1], np.int64)
    for i in numba.prange(len(nodes)):
        chosen = places[offsets[i] : offsets[i + 1]]
        _choose_places(chosen, sizes[i], keyed(key[0], key[1], nodes[i]))
        _step_over(chosen, indptr[nodes[i]], indptr[nodes[i] + 1], holes)
    found = np.empty(offsets[-1], indices.dtype)
    for i in numba.prange(len(places)):
        found[i] = indices[places[i]]
    return offsets, found


@kernel
def _count_holes(indptr, node, holes):
    if len(holes) == 0:
        return 0
    return np.searchsorted(holes, indptr[node + 1]) - np.searchsorted(holes, indptr[node])


@kernel
def _choose_places(chosen, size, key):
    if len(chosen) < size:
        choose(chosen, size, key)
    else:
        for i in range(size):
            chosen[i] = i


@kernel
def _step_over(chosen, begin, end, holes):
    """Turn ranks among the neighbours that remain into places in `indices`."""
    first = np.searchsorted(holes, begin) if len(holes) else 0
    for i in range(len(chosen)):
        place = begin + chosen[i]
        hole = first
        while hole < len(holes) and holes[hole] <= place and holes[hole] < end:
            place += 1
            hole += 1
        chosen[i] = place
