"""k-hop neighbourhoods: up to a fan-out of neighbours a node, uniformly without replacement, every node once."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, Integer
from numpy import ndarray

from amity.graph import Adjacency
from amity.kernels import kernel
from amity.sampling.draws import choose, keyed
from amity.sampling.numbering import ask_for, number, number_into, position_of, room_for
from amity.splitting import Pairs
from amity.splitting.streams import find_edge

ALL = -1
"""The fan-out that takes every neighbour."""
RUN = 64
"""Nodes whose neighbours are drawn, then numbered, at a time."""


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
    indptr, indices, hops = np.zeros(1, np.int64), np.empty(0, np.int32), [0, len(nodes)]
    for hop, limit in enumerate(fanout):
        holes = _group(_holes(*rows, slots, (*banned, hops[-2])), hops[-1] - hops[-2])
        most = limit if limit >= 0 else np.iinfo(np.int64).max
        nodes, slots, indptr, indices = _expand(rows, (nodes, slots, indptr, indices), holes, most, (seed, hop))
        hops.append(len(nodes))
    return Block(nodes, indptr, indices, tuple(hops[1:]))


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
    holes = np.sort(holes)
    holes = holes[np.diff(holes, prepend=-1) > 0]
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(holes >> 32, minlength=count), out=starts[1:])
    return starts, holes & 0xFFFFFFFF


@kernel
def _holes(indptr, indices, slots, banned):
    """For each banned edge of the newest nodes: which of them, shifted by 32, and its rank in the row; else -1."""
    sources, targets, begin = banned
    holes = np.empty(len(sources), np.int64)
    for i in range(len(sources)):
        holes[i] = max(np.int64(-1), position_of(slots, sources[i]) - begin)
        if holes[i] >= 0:  # The middle of its row is where the search begins.
            middle = (indptr[sources[i]] + indptr[sources[i] + 1]) >> 1
            ask_for(indices, middle)
    for i in range(len(sources)):
        if holes[i] >= 0:
            place = find_edge(indptr, indices, sources[i], targets[i])
            holes[i] = (holes[i] << 32) + place - indptr[sources[i]] if place >= 0 else -1
    return holes


@kernel
def _expand(rows, block, holes, limit, key):
    """Draw neighbours for the nodes that have no row yet, and number them: nodes, slots, indptr and indices, grown.

    A run of nodes at a time, so that what is drawn is still in the nearest caches when it is numbered.
    """
    nodes, slots, before, known = block
    size, last = len(nodes), len(before) - 1
    newest = nodes[last:]
    begins, left, offsets = _spans(rows[0], newest, holes[0], limit, before)
    grown, slots = room_for(nodes, slots, offsets[-1] - offsets[last])
    positions = np.empty(offsets[-1], np.int32)
    positions[: len(known)] = known
    for a in range(0, len(newest), RUN):
        b = min(a + RUN, len(newest))
        ends = offsets[last + a : last + b + 1]
        found = _draw(rows[1], newest[a:b], (begins[a:b], left[a:b], ends), (holes[0][a : b + 1], holes[1]), key)
        size = number_into(positions[ends[0] : ends[-1]], grown, size, slots, found)
    return grown[:size], slots, offsets, positions


@kernel
def _spans(indptr, nodes, starts, limit, before):
    """Where the row of each node begins, how many neighbours its holes leave, and `before` with what is drawn."""
    begins, left = np.empty(len(nodes), np.int64), np.empty(len(nodes), np.int64)
    for i in range(len(nodes)):
        begins[i] = indptr[nodes[i]]
        left[i] = indptr[nodes[i] + 1] - begins[i] - (starts[i + 1] - starts[i])
    offsets = np.empty(len(before) + len(nodes), np.int64)
    offsets[: len(before)] = before
    for i in range(len(nodes)):
        offsets[len(before) + i] = offsets[len(before) + i - 1] + min(left[i], limit)
    return begins, left, offsets


@kernel
def _draw(indices, nodes, spans, holes, key):
    """The neighbours drawn for a run of nodes, end to end.

    What stands at the ranks chosen is asked for at once, so that it comes while the next ones are chosen.
    """
    begins, left, ends = spans
    starts, ranks = holes
    found = np.empty(ends[-1] - ends[0], indices.dtype)
    for i in range(len(nodes)):
        chosen = found[ends[i] - ends[0] : ends[i + 1] - ends[0]]
        if len(chosen) < left[i]:
            choose(chosen, left[i], keyed(key[0], key[1], nodes[i]))
        else:
            chosen[:] = np.arange(len(chosen))
        _step_over(chosen, ranks[starts[i] : starts[i + 1]])
        for rank in chosen:
            ask_for(indices, begins[i] + rank)
    for i in range(len(nodes)):
        for place in range(ends[i] - ends[0], ends[i + 1] - ends[0]):
            found[place] = indices[begins[i] + found[place]]
    return found


@kernel
def _step_over(chosen, holes):
    """Turn ranks among the neighbours that remain into ranks among all."""
    if len(holes) == 0:
        return
    for place in range(len(chosen)):
        for hole in holes:
            chosen[place] += hole <= chosen[place]
