"""Inverted files of several clusters read as one: the lists nearest to a query, in whatever clusters they lie.

Where the scores of all clusters compare, so do those of the means of their lists, and those that codes tell. So a query
reads no more lists than it would in one file over everybody, and compares no more candidates by their true vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

import faiss
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt64
from numpy import ndarray
from torch import Tensor

from amity.graph import Adjacency
from amity.index.approximate import WORTH_IT, ApproximateIndex, room_for
from amity.index.hits import NOBODY, Hits, Index
from amity.index.hnsw import HnswConfig
from amity.index.ranking import Questions, rank, to_hits
from amity.kernels import kernel, shared

MEANS_BLOCK = 1 << 22
"""How many scores of means are computed at once: 16 MiB."""


@dataclass(frozen=True, slots=True)
class File:
    """An inverted file, and what some queries ask of it."""

    index: ApproximateIndex
    questions: Questions

    @property
    def proposer(self) -> faiss.IndexIVF:
        """The file itself."""
        assert isinstance(self.index.proposer, faiss.IndexIVF)
        return self.index.proposer

    @property
    def probes(self) -> int:
        """How many lists it reads by itself."""
        assert not isinstance(self.index.config, HnswConfig)
        return self.index.config.probes

    def means(self) -> Float32[Tensor, "lists width"]:
        """Around what its lists lie."""
        flat: Any = faiss.downcast_index(self.proposer.quantizer)
        return torch.from_numpy(faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d)).view(flat.ntotal, flat.d)

    def rows(self, chosen: Int64[ndarray, "chosen"]) -> "File":
        """The same, of some queries."""
        return File(self.index, self.questions.rows(chosen))


class Near(NamedTuple):
    """The lists of a file that are read, for those queries that read any."""

    askers: Int64[ndarray, "askers"]
    lists: Int64[ndarray, "askers lists"]
    """-1 is none."""
    scores: Float32[ndarray, "askers lists"]
    """Of their means."""


def is_file(index: Index) -> TypeGuard[ApproximateIndex]:
    """Whether an index is an inverted file."""
    return isinstance(index, ApproximateIndex) and isinstance(index.proposer, faiss.IndexIVF)


def search_files(
    parts: Sequence[ApproximateIndex],
    asked: Sequence[Float[ndarray, "queries dim"]],
    excluded: Sequence[Adjacency],
    *,
    k: int,
    names: Int64[ndarray, "queries"],
) -> list[Hits]:
    """The best positions in each inverted file for each query, among them the k best of all that were found.

    A query that gets too few so, or whose last place is tied with the worst that was fetched, asks every file by
    itself.
    """
    if not parts:
        return []
    about = list(zip(parts, asked, excluded, strict=True))
    files = [File(part, part.exact.ask(vectors, k=k, excluded=barred, names=names)) for part, vectors, barred in about]
    keys = np.zeros((len(files), len(names), k), np.uint64)
    num_candidates = sum(len(part.vectors) for part in parts)
    num_excluded = np.sum([barred.degrees() for barred in excluded], axis=0)
    counts = parts[0].config.fetch(k) + room_for(num_excluded)
    block = max(1, MEANS_BLOCK // sum(file.proposer.nlist for file in files))
    for count in np.unique(counts[counts <= WORTH_IT * num_candidates]):
        alike = np.flatnonzero(counts == count)
        for chosen in np.split(alike, range(block, len(alike), block)):
            keys[:, chosen] = _search([file.rows(chosen) for file in files], k, int(count))
    lists = [to_hits(best, file.questions.salts, k=k) for best, file in zip(keys, files, strict=True)]
    left = np.flatnonzero(~_suffice(lists, num_candidates - num_excluded, k))
    if len(left):
        for (part, vectors, barred), hits in zip(about, lists, strict=True):
            alone = part.search(vectors[left], k=k, excluded=barred.rows(left), names=names[left])
            hits.rows[left], hits.scores[left] = alone.rows, alone.scores
    return lists


def raise_best(best: Float32[ndarray, "queries k"], scores: Float32[ndarray, "queries places"]) -> None:
    """Take into the best scores of each query, best first, those of another list, best first."""
    shared(_raise_best, len(best), best, scores)


def _search(files: Sequence[File], k: int, count: int) -> UInt64[ndarray, "files queries k"]:
    """The keys of the k best in each file, of the so many whose codes score highest in all files together."""
    vectors = [file.index.reduction.queries(file.questions.vectors) for file in files]
    nearest = _nearest_lists(files, vectors, count)
    ends = np.cumsum([len(one.askers) for one in nearest])
    turns = [slice(end - len(one.askers), end) for one, end in zip(nearest, ends, strict=True)]
    codes, found = np.empty((ends[-1], count), np.float32), np.empty((ends[-1], count), np.int64)
    for file, asking, near, turn in zip(files, vectors, nearest, turns, strict=True):
        _read(file.proposer, asking[near.askers], near, (codes[turn], found[turn]))
    _keep_best(codes, found, np.concatenate([near.askers for near in nearest]))
    keys = np.zeros((len(files), len(vectors[0]), k), np.uint64)
    tied = np.zeros(keys.shape[1], np.bool_)
    for place, (file, near, turn) in enumerate(zip(files, nearest, turns, strict=True)):
        best = rank(file.questions.rows(near.askers), file.index.vectors, found[turn], k=k)
        keys[place, near.askers] = best
        tied[near.askers] |= (np.count_nonzero(found[turn] >= 0, axis=1) > k) & (best[:, 0] == 0)
    keys[:, tied] = 0
    return keys


def _nearest_lists(
    files: Sequence[File], vectors: Sequence[Float32[ndarray, "queries width"]], count: int
) -> list[Near]:
    """Of each file those lists that are among the nearest of all to a query.

    As many as one file reads: the probes, or as many more as hold twice what is to be fetched.
    """
    num_lists, num_candidates = sum(file.proposer.nlist for file in files), sum(file.proposer.ntotal for file in files)
    probes = min(max(-(-2 * count * num_lists // num_candidates), *(file.probes for file in files)), num_lists)
    near = [(torch.from_numpy(own) @ file.means().T).numpy() for file, own in zip(files, vectors, strict=True)]
    least = np.partition(np.hstack(near), num_lists - probes, axis=1)[:, [num_lists - probes]]
    return [_pack(own, own >= least) for own in near]


def _pack(near: Float32[ndarray, "queries lists"], read: Bool[ndarray, "queries lists"]) -> Near:
    """The lists that are read, each query's side by side."""
    sizes = np.count_nonzero(read, axis=1)
    askers = np.flatnonzero(sizes)
    held = np.arange(sizes.max(initial=0)) < sizes[askers, None]
    lists = np.full(held.shape, NOBODY, np.int64)
    lists[held] = np.nonzero(read)[1]
    # Codes of four bits are scaled by all that is said here: what is not read must not tell who else asks.
    return Near(askers, lists, near[askers[:, None], np.where(held, lists, lists[:, :1])])


def _read(
    proposer: faiss.IndexIVF,
    vectors: Float32[ndarray, "askers width"],
    nearest: Near,
    into: tuple[Float32[ndarray, "askers count"], Int64[ndarray, "askers count"]],
) -> None:
    """What the codes in some lists tell of the best candidates, best first, and which they are; -1 is nobody."""
    if len(vectors) == 0:
        return
    codes, found = into
    # The method without `_c` takes no parameters: the file would have to be told, and other threads search it too.
    proposer.search_preassigned_c(  # pyright: ignore[reportAttributeAccessIssue]
        len(vectors),
        faiss.swig_ptr(vectors),
        codes.shape[1],
        *map(faiss.swig_ptr, (nearest.lists, nearest.scores, codes, found)),
        False,  # noqa: FBT003 (a place of its own for each candidate: what is found are positions)
        faiss.SearchParametersIVF(nprobe=nearest.lists.shape[1]),  # pyright: ignore[reportCallIssue]
    )


def _keep_best(
    scores: Float32[ndarray, "rows places"], found: Int64[ndarray, "rows places"], askers: Int64[ndarray, "rows"]
) -> None:
    """Put -1 for all who are not among the best of their asker: those of all his rows, as many as one row holds."""
    order = np.argsort(askers, kind="stable")
    starts = np.searchsorted(askers[order], np.arange(askers.max(initial=-1) + 2))
    shared(_keep_rows, len(starts) - 1, (starts, order), scores, found)


def _suffice(lists: Sequence[Hits], held: Int64[ndarray, "queries"], k: int) -> Bool[ndarray, "queries"]:
    """Whether lists hold k who score above the worst that was fetched; or everybody."""
    scores = np.stack([hits.scores for hits in lists])
    sizes = np.count_nonzero(scores > -np.inf, axis=2)
    lasts = np.take_along_axis(scores, np.maximum(sizes - 1, 0)[:, :, None], 2)[:, :, 0]
    # A list of k ends above the worst: see `rank`.
    worst = np.where(sizes == 0, np.inf, np.where(sizes == k, -np.inf, lasts)).min(axis=0)
    above = np.count_nonzero(scores > worst[:, None], axis=2).sum(axis=0)
    return (above >= k) | (sizes.sum(axis=0) >= held)


@kernel
def _keep_rows(part, grouping, scores, found):
    starts, order = grouping
    count = scores.shape[1]
    heads = np.empty(len(order), np.int64)
    for q in range(*part):
        rows = order[starts[q] : starts[q + 1]]
        heads[: len(rows)] = 0
        for _ in range(count):
            best, most = -1, -np.inf
            for i in range(len(rows)):
                if heads[i] < count and scores[rows[i], heads[i]] > most:
                    best, most = i, scores[rows[i], heads[i]]
            if best < 0:
                break
            heads[best] += 1
        for i in range(len(rows)):
            found[rows[i], heads[i] :] = -1


@kernel
def _raise_best(part, best, scores):
    k = best.shape[1]
    before = np.empty(k, best.dtype)
    for q in range(*part):
        if scores[q, 0] <= best[q, k - 1]:
            continue
        before[:] = best[q]
        i = j = 0
        for place in range(k):
            if j < scores.shape[1] and scores[q, j] > before[i]:
                best[q, place] = scores[q, j]
                j += 1
            else:
                best[q, place] = before[i]
                i += 1
