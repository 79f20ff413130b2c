"""One index per cluster: together they find what one index finds, and what was written comes back."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.clustering import Clusters
from amity.errors import ArtifactError
from amity.graph import from_pairs
from amity.graph.adjacency import Adjacency
from amity.index import (
    DividedIndex,
    Hits,
    IndexConfig,
    build_divided,
    build_index,
    divided,
    masses,
    nothing_excluded,
    open_divided,
    save_divided,
)

KINDS = ("exact", "hnsw", "ivf", "ivfpq")


def vectors(size: int = 600, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((size, 8)).astype(np.float32)


def division(size: int = 600, count: int = 3, seed: int = 0) -> Clusters:
    """Clusters of unequal sizes, at random, none of them empty."""
    of = np.minimum(np.random.default_rng(seed).geometric(0.5, size) - 1, count - 1).astype(np.int32)
    of[:count] = np.arange(count)
    return Clusters(of, tuple(f"cluster {number}" for number in range(count)))


def build(kind: str = "exact", seed: int = 0) -> DividedIndex:
    return build_divided(vectors(seed=seed), division(seed=seed), IndexConfig(kind=kind, target_recall=0.5), seed=7)


FILES = {
    kind: IndexConfig.model_validate({"kind": kind, "target_recall": 0, kind: {"list_size": 20, "probes": 4}})
    for kind in ("ivf", "ivfpq")
}


def build_files(items: np.ndarray, clusters: Clusters, kind: str, **section: int) -> DividedIndex:
    """Inverted files, but for clusters of fewer than 40."""
    config = FILES[kind].model_copy(update={kind: getattr(FILES[kind], kind).model_copy(update=section)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(divided, "EXACT_BELOW", 40)
        return build_divided(items, clusters, config, seed=1)


def best_of(lists: list[Hits], k: int) -> np.ndarray:
    """The k best scores of all lists together."""
    return -np.sort(-np.concatenate([hits.scores for hits in lists], axis=1), axis=1)[:, :k]


def barred(num_queries: int, size: int, *, one_in: int = 3) -> Adjacency:
    pairs = np.random.default_rng(2).integers(0, (num_queries, size), (num_queries * size // one_in, 2))
    whole = from_pairs(pairs[:, 0], pairs[:, 1], num_nodes=max(num_queries, size))
    return Adjacency(whole.indptr[: num_queries + 1], whole.indices)


@settings(max_examples=20)
@given(size=st.integers(5, 200), count=st.integers(1, 5), k=st.integers(1, 40))
def test_the_best_of_all_clusters_are_the_best_of_all(size, count, k):
    asked, excluded = vectors(6, seed=3), barred(6, size)
    index = build_divided(vectors(size), division(size, count), IndexConfig(), seed=1)
    lists = index.search([asked] * count, k=k, excluded=excluded, names=np.arange(6))
    whole = build_index(vectors(size), IndexConfig(), seed=1).search(asked, k=k, excluded=excluded)
    together = np.concatenate([hits.scores for hits in lists], axis=1)
    np.testing.assert_array_equal(-np.sort(-together, axis=1)[:, :k], whole.scores)
    for cluster, hits in enumerate(lists):
        assert hits.rows.shape == (6, k)
        assert (index.clusters.of[hits.rows[hits.rows >= 0]] == cluster).all()
        for query, rows in enumerate(hits.rows):
            assert not set(rows) & set(excluded.neighbors(query))


@pytest.mark.parametrize("kind", KINDS)
def test_tied_candidates_are_listed_in_the_order_in_which_one_index_lists_them(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(divided, "EXACT_BELOW", 100)
    clusters, config = division(), IndexConfig(kind=kind, target_recall=0)
    save_divided(build_divided(np.ones((600, 8), np.float32), clusters, config, seed=7), tmp_path)
    about = {"k": 600, "excluded": barred(20, 600), "names": np.arange(20)}
    lists = open_divided(tmp_path).search([np.ones((20, 8))] * 3, **about)
    whole = build_index(np.ones((600, 8), np.float32), IndexConfig(), seed=7).search(np.ones((20, 8)), **about)
    for cluster, hits in enumerate(lists):
        for query, rows in enumerate(whole.rows):
            inside = rows[(rows >= 0) & (clusters.of[rows] == cluster)]
            np.testing.assert_array_equal(hits.rows[query, : len(inside)], inside)


@settings(max_examples=20)
@given(size=st.integers(5, 200), count=st.integers(1, 5), k=st.integers(1, 40), levels=st.sampled_from([0, 2]))
def test_where_scores_compare_nobody_is_left_out_who_is_among_the_best_of_all(size, count, k, levels):
    items, asked, excluded = vectors(size), vectors(6, seed=3), barred(6, size)
    if levels:
        items, asked = np.sign(items), np.sign(asked)
    index = build_divided(items, division(size, count), IndexConfig(), seed=1)
    terms = {"k": k, "excluded": excluded, "names": np.arange(6)}
    full, short = (search([asked] * count, **terms) for search in (index.search, index.search_together))
    first, second = (
        -np.sort(-np.concatenate([hits.scores for hits in lists], axis=1), axis=1)[:, :k] for lists in (full, short)
    )
    np.testing.assert_array_equal(first, second)
    last = second[:, -1:]
    for one, other in zip(full, short, strict=True):
        kept = (one.scores > last) & np.isfinite(one.scores)
        np.testing.assert_array_equal(one.rows[kept], other.rows[kept])


problems = given(
    size=st.integers(5, 900),
    count=st.integers(1, 5),
    k=st.integers(1, 40),
    kind=st.sampled_from(["ivf", "ivfpq"]),
    levels=st.booleans(),
)


@settings(max_examples=40)
@problems
def test_files_read_together_give_complete_lists_of_true_scores_without_the_excluded(size, count, k, kind, levels):
    items, asked, excluded = vectors(size), vectors(6, seed=3), barred(6, size, one_in=30)
    items = np.sign(items) if levels else items
    index = build_files(items, division(size, count), kind, probes=1)
    lists = index.search_together([asked] * count, k=k, excluded=excluded, names=np.arange(6))
    held = size - excluded.degrees()
    assert (np.isfinite(best_of(lists, k)).sum(axis=1) == np.minimum(k, held)).all()
    for cluster, hits in enumerate(lists):
        for query, (rows, scores) in enumerate(zip(hits.rows, hits.scores, strict=True)):
            found = rows[rows >= 0]
            assert (index.clusters.of[found] == cluster).all()
            assert len(set(found)) == len(found)
            assert not set(found) & set(excluded.neighbors(query))
            np.testing.assert_allclose(scores[: len(found)], items[found] @ asked[query], rtol=1e-5, atol=1e-5)
            assert (np.diff(scores[: len(found)]) <= 0).all()


@settings(max_examples=40)
@problems
def test_files_that_are_read_wholly_hold_the_best_of_all(size, count, k, kind, levels):
    items, asked, excluded = vectors(size), vectors(6, seed=3), barred(6, size, one_in=30)
    if levels:
        items, asked = np.sign(items), np.sign(asked)
    whole = {"ivf": {"probes": 999}, "ivfpq": {"probes": 999, "rerank": 200}}[kind]
    index = build_files(items, division(size, count), kind, **whole)
    lists = index.search_together([asked] * count, k=k, excluded=excluded, names=np.arange(6))
    exact = build_index(items, IndexConfig(), seed=1).search(asked, k=k, excluded=excluded)
    np.testing.assert_allclose(best_of(lists, k), exact.scores, rtol=1e-5)


@pytest.mark.parametrize("kind", FILES)
def test_files_read_together_find_nearly_all_whatever_the_order_of_the_clusters_and_the_company(kind):
    items, asked, excluded, names = vectors(3000), vectors(40, seed=3), barred(40, 3000, one_in=100), np.arange(40)
    index = build_files(items, division(3000, 4), kind, probes=40)
    lists = index.search_together([asked] * 4, k=20, excluded=excluded, names=names)
    exact = build_index(items, IndexConfig(), seed=1).search(asked, k=20, excluded=excluded)
    assert (best_of(lists, 20) >= exact.scores[:, -1:]).mean() > 0.9
    order = np.array([3, 1, 0, 2])
    clusters = Clusters(np.argsort(order)[index.clusters.of].astype(np.int32), tuple("3102"))
    turned = replace(index, clusters=clusters, parts=tuple(index.parts[one] for one in order))
    other = turned.search_together([asked] * 4, k=20, excluded=excluded, names=names)
    for place, cluster in enumerate(order):
        np.testing.assert_array_equal(other[place].rows, lists[cluster].rows)
    for one in (0, 17, 39):
        chosen = np.array([one])
        about = {"excluded": excluded.rows(chosen), "names": names[chosen]}
        for alone, hits in zip(index.search_together([asked[chosen]] * 4, k=20, **about), lists, strict=True):
            np.testing.assert_array_equal(alone.rows[0], hits.rows[one])


@pytest.mark.parametrize("kind", FILES)
def test_where_all_are_tied_every_file_answers_for_itself(kind):
    index = build_files(np.ones((2000, 8), np.float32), division(2000, 4), kind)
    about = {"k": 20, "excluded": nothing_excluded(30), "names": np.arange(30)}
    together, alone = (search([np.ones((30, 8))] * 4, **about) for search in (index.search_together, index.search))
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)


@pytest.mark.parametrize("kind", FILES)
def test_each_file_is_asked_with_vectors_of_its_own(kind):
    items, clusters = vectors(3000), division(3000, 3)
    asked = [vectors(30, seed=seed) for seed in (4, 5, 6)]
    whole = {"ivf": {"probes": 999}, "ivfpq": {"probes": 999, "rerank": 20}}[kind]
    index = build_files(items, clusters, kind, **whole)
    lists = index.search_together(asked, k=20, excluded=nothing_excluded(30), names=np.arange(30))
    scores = np.einsum("cqd,cd->qc", np.stack(asked)[clusters.of], items)
    np.testing.assert_allclose(best_of(lists, 20), -np.sort(-scores, axis=1)[:, :20], rtol=1e-5)


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_less_effort_finds_less_and_still_complete_lists(kind):
    section = {"ef_search": 200, "m": 4} if kind == "hnsw" else {"probes": 30, "list_size": 20}
    config = IndexConfig.model_validate({"kind": kind, "target_recall": 0, kind: section})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(divided, "EXACT_BELOW", 40)
        index = build_divided(vectors(3000), division(3000), config, seed=1)
    asked, excluded = [vectors(50, seed=3)] * 3, barred(50, 3000, one_in=100)
    found = [index.search(asked, k=10, excluded=excluded, names=np.arange(50), effort=effort) for effort in (1.0, 0.02)]
    assert best_of(found[1], 10).sum() < best_of(found[0], 10).sum()
    assert all((hits.rows >= 0).all() for hits in found[1])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_index_may_stand_for_a_cluster(kind, monkeypatch):
    monkeypatch.setattr(divided, "EXACT_BELOW", 100)
    index = build(kind)
    sizes = index.clusters.sizes()
    assert [type(part).__name__ == "ExactIndex" for part in index.parts] == [kind == "exact" or n < 100 for n in sizes]
    assert index.recall == pytest.approx(sum(sizes * list(index.recalls.values())) / 600)
    found = index.search([vectors(20, seed=3)] * 3, k=10, excluded=nothing_excluded(20), names=np.arange(20))
    assert all((hits.rows >= 0).all() for hits in found)


@pytest.mark.parametrize("sampled", [False, True])
def test_masses_are_sums_over_all_members_or_near_them(sampled, monkeypatch):
    monkeypatch.setattr(masses, "SAMPLE", 200 if sampled else 2048)
    index, asked, excluded = build(), vectors(40, seed=3), barred(40, 600)
    lists = index.search([asked] * 3, k=25, excluded=excluded, names=np.arange(40))
    found = index.log_masses([asked] * 3, lists, excluded=excluded, temperature=0.5)
    logits = asked.astype(np.float64) @ vectors().T / 0.5
    for query in range(40):
        logits[query, excluded.neighbors(query)] = -np.inf
    members = map(index.clusters.members, range(3))
    truth = np.stack([np.logaddexp.reduce(logits[:, inside], axis=1) for inside in members], axis=1)
    np.testing.assert_allclose(found, truth, atol=0.05 if sampled else 1e-4)
    if sampled:
        assert np.abs(found - truth).max() > 1e-6


def test_the_mass_of_a_cluster_whose_members_are_all_excluded_is_nothing():
    index = build()
    members = index.clusters.members(2)
    excluded = Adjacency(np.array([0, len(members)]), members)
    lists = index.search([vectors(1)] * 3, k=5, excluded=excluded, names=np.arange(1))
    found = index.log_masses([vectors(1)] * 3, lists, excluded=excluded, temperature=1.0)
    assert (lists[2].rows == -1).all()
    assert found[0, 2] == -np.inf
    assert np.isfinite(found[0, :2]).all()


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("divided")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(divided, "EXACT_BELOW", 100)
        for seed in (0, 1):
            save_divided(build("ivfpq", seed=seed), place / str(seed))
    return place


def test_an_opened_index_gives_the_lists_of_the_one_that_was_saved(saved, monkeypatch):
    monkeypatch.setattr(divided, "EXACT_BELOW", 100)
    built, opened = build("ivfpq"), open_divided(saved / "0")
    asked = [vectors(30, seed=5)] * 3
    first, second = (
        index.search(asked, k=9, excluded=nothing_excluded(30), names=np.arange(30)) for index in (built, opened)
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)
    assert opened.recalls == built.recalls
    assert opened.clusters.names == built.clusters.names


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [Path.unlink, truncate, flip])
@pytest.mark.parametrize("file", ["divided.json", "clusters.npy", "0/index.json", "0/index.faiss", "2/vectors.npy"])
def test_a_harmed_file_is_refused_by_name(saved, tmp_path, file, harm):
    shutil.copytree(saved / "0", tmp_path / "copy")
    harm(tmp_path / "copy" / file)
    with pytest.raises(ArtifactError, match="is not the one that was written") as refusal:
        open_divided(tmp_path / "copy")
    assert file in str(refusal.value)


@pytest.mark.parametrize("file", ["clusters.npy", "1", "0/index.faiss"])
def test_what_belongs_to_another_run_is_refused(saved, tmp_path, file):
    shutil.copytree(saved / "0", tmp_path / "copy")
    other, target = saved / "1" / file, tmp_path / "copy" / file
    if other.is_dir():
        shutil.rmtree(target)
        shutil.copytree(other, target)
    else:
        shutil.copy(other, target)
    with pytest.raises(ArtifactError, match="is not the one that was written"):
        open_divided(tmp_path / "copy")


def test_clusters_that_changed_places_are_refused(saved, tmp_path):
    shutil.copytree(saved / "0", tmp_path / "copy")
    for source, target in (("0", "held"), ("1", "0"), ("held", "1")):
        (tmp_path / "copy" / source).rename(tmp_path / "copy" / target)
    with pytest.raises(ArtifactError, match="is not the one that was written"):
        open_divided(tmp_path / "copy")
