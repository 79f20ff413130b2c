"""Clusters hold every candidate once, on disk as in memory."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amity.clustering import Clusters, open_clusters, save_clusters, undivided
from amity.errors import ArtifactError
from amity.graph import NodeKind, Vocabulary
from amity.graph.vocabulary import hash_strings, insert, integer_vocabulary, new_slots

OF = np.array([2, 0, 1, 0, 2, 2], np.int32)
NAMES = ("drama", "comedy", "Дети")


def text_vocabulary(texts: list[str]) -> Vocabulary:
    parts = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, parts)])
    text = np.frombuffer(b"".join(parts), np.uint8)
    keys, slots = hash_strings(offsets, text), new_slots(len(texts))
    insert(np.empty(0, np.int64), slots, keys)
    return Vocabulary(keys, slots, offsets, text)


def kind_of(vocabulary: Vocabulary) -> NodeKind:
    return NodeKind("item", 40, vocabulary)


INTEGERS = kind_of(integer_vocabulary(np.array([5, 3, 9, 1, 7, -2])))
TEXTS = kind_of(text_vocabulary(["b", "a", "", "long id", "é", "z"]))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_members_of_all_clusters_are_all_candidates_each_once(of: list[int]):
    found = Clusters(np.unique(of, return_inverse=True)[1].astype(np.int32), tuple(map(str, sorted(set(of)))))
    parts = [found.members(cluster) for cluster in range(found.count)]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(of)))
    assert found.sizes().tolist() == [len(part) for part in parts]
    assert all((found.of[part] == cluster).all() for cluster, part in enumerate(parts))


def test_undivided_is_one_cluster_of_everyone():
    everyone = undivided(7)
    assert everyone.count == 1
    assert everyone.sizes().tolist() == [7]


@pytest.mark.parametrize("kind", [INTEGERS, TEXTS])
@pytest.mark.parametrize("clusters", [Clusters(OF, NAMES), undivided(6)])
def test_what_is_saved_is_what_is_opened(kind: NodeKind, clusters: Clusters, tmp_path: Path):
    save_clusters(clusters, kind, tmp_path / "clusters.parquet")
    opened = open_clusters(tmp_path / "clusters.parquet", kind)
    assert np.array_equal(opened.of, clusters.of)
    assert opened.names == clusters.names


def test_the_file_names_the_cluster_of_each_raw_id(tmp_path: Path):
    save_clusters(Clusters(OF, NAMES), TEXTS, tmp_path / "clusters.parquet")
    rows = pq.read_table(tmp_path / "clusters.parquet").to_pylist()
    assert rows[0] == {"id": "b", "cluster": 2, "name": "Дети"}
    assert rows[3] == {"id": "long id", "cluster": 0, "name": "drama"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda table: table.slice(1),
        lambda table: pa.concat_tables([table, table.slice(5)]),
        lambda table: table.set_column(0, "id", pa.array([5, 3, 9, 1, 7, 7])),
        lambda table: table.set_column(1, "cluster", pa.array([2, 0, 1, 0, 2, 3], pa.int32())),
        lambda table: table.set_column(1, "cluster", pa.array([2, 0, 1, 0, 2, -1], pa.int32())),
        lambda table: table.set_column(1, "cluster", pa.array([2, 0, 1, 0, 2, None], pa.int32())),
        lambda table: table.set_column(1, "cluster", pa.array([2, 0, 1, 0, 2, 0], pa.int32())),
        lambda table: table.set_column(2, "name", pa.array(["a", "b", "a", "b", "a", "a"])),
        lambda table: table.set_column(1, "cluster", pa.array([[0]] * 6)),
        lambda table: table.set_column(1, "cluster", pa.array([{"of": 0}] * 6)),
        lambda table: table.set_column(2, "name", pa.array([["a"]] * 6)),
        lambda table: table.set_column(2, "name", pa.array([{"of": "a"}] * 6)),
        lambda table: table.drop_columns("cluster"),
    ],
)
def test_a_file_that_holds_not_everyone_in_exactly_one_cluster_is_refused(spoil, tmp_path: Path):
    path = tmp_path / "clusters.parquet"
    save_clusters(Clusters(OF, NAMES), INTEGERS, path)
    pq.write_table(spoil(pq.read_table(path)), path)
    with pytest.raises(ArtifactError, match="every candidate in exactly one cluster"):
        open_clusters(path, INTEGERS)


def test_a_torn_file_is_refused(tmp_path: Path):
    path = tmp_path / "clusters.parquet"
    save_clusters(Clusters(OF, NAMES), INTEGERS, path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match="cannot be read"):
        open_clusters(path, INTEGERS)
