"""Clusters: the division of the candidates that training, indexes and merging read, and its file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int32, Int64
from numpy import ndarray

from amity.errors import ArtifactError
from amity.graph import NodeKind, Vocabulary

COLUMNS = ("id", "cluster", "name")
"""Those of the file."""
EVERYONE = "everyone"
"""What the one cluster is called where nothing is divided."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """A division of the candidates: every one of them in exactly one cluster, and no cluster empty.

    A candidate is counted from the first row of its kind: its position is its row less `graph.candidates.first`.
    """

    of: Int32[ndarray, "candidates"]
    """The cluster of each candidate."""
    names: tuple[str, ...]
    """What each cluster is called; all are distinct."""

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return len(self.names)

    def sizes(self) -> Int64[ndarray, "clusters"]:
        """How many candidates each cluster has."""
        return np.bincount(self.of, minlength=self.count)

    def by_name(self) -> dict[str, int]:
        """How many candidates each cluster has, by its name."""
        return dict(zip(self.names, self.sizes().tolist(), strict=True))

    def members(self, cluster: int) -> Int64[ndarray, "members"]:
        """The positions of the candidates of one cluster, ascending."""
        return np.flatnonzero(self.of == cluster)


def undivided(num_candidates: int) -> Clusters:
    """One cluster that holds everyone."""
    return Clusters(np.zeros(num_candidates, np.int32), (EVERYONE,))


def save_clusters(clusters: Clusters, kind: NodeKind, path: Path) -> None:
    """Write a Parquet table: the raw id of each candidate, its cluster, and the name of that, in the order of rows."""
    names = pa.DictionaryArray.from_arrays(pa.array(clusters.of), pa.array(clusters.names, pa.string()))
    columns = [_raw_ids(kind.vocabulary), pa.array(clusters.of), names]
    pq.write_table(pa.table(columns, COLUMNS), path, compression="zstd")


def open_clusters(path: Path, kind: NodeKind) -> Clusters:
    """Read what `save_clusters` wrote; raises `ArtifactError` where not every candidate is in exactly one cluster."""
    try:
        table = pq.read_table(path, columns=list(COLUMNS), read_dictionary=["name"]).combine_chunks()
        ids, of, names = (table[name].combine_chunks() for name in COLUMNS)
        of, names = of.cast(pa.int32(), safe=True).to_numpy(zero_copy_only=False), names.cast(pa.string())
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise _refuse(path, f"it cannot be read as a table of {', '.join(COLUMNS)} ({error})") from error
    if not ids.equals(_raw_ids(kind.vocabulary)):
        raise _refuse(path, f"its {len(ids):,} ids are not those of the {kind.count:,} candidates, each once, in order")
    numbers, members = np.unique(of, return_index=True)
    if not np.array_equal(numbers, np.arange(len(numbers))):
        raise _refuse(path, f"its clusters are {numbers[:10].tolist()}, and not counted from 0")
    called = tuple(names.take(pa.array(members)).to_pylist())
    expected = pa.array(called, pa.string()).take(pa.array(of))
    if len(set(called)) != len(called) or not names.equals(expected):
        raise _refuse(path, "a cluster has several names in it, or a name several clusters")
    return Clusters(of, called)


def _raw_ids(vocabulary: Vocabulary) -> pa.Array:
    """Every raw id, in the order of rows, without a copy."""
    if vocabulary.id_offsets is None or vocabulary.id_bytes is None:
        return pa.array(vocabulary.keys)
    buffers = (pa.py_buffer(np.ascontiguousarray(part)) for part in (vocabulary.id_offsets, vocabulary.id_bytes))
    return pa.LargeStringArray.from_buffers(vocabulary.size, *buffers)


def _refuse(path: Path, found: str) -> ArtifactError:
    return ArtifactError(
        f"{path} does not hold every candidate in exactly one cluster: {found}. Run `amity cluster` again."
    )
