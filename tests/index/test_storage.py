"""Indexes on disk: what was written comes back, and nothing else is opened."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from amity.errors import ArtifactError
from amity.index import IndexConfig, build_index, nothing_excluded, open_index, read_page, save_index

KINDS = ("exact", "hnsw", "ivf", "ivfpq")


def vectors(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((600, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("indexes")
    for kind in KINDS:
        for seed in (0, 1):
            index = build_index(vectors(seed), IndexConfig(kind=kind, target_recall=0.5), seed=7)
            save_index(index, place / f"{kind}{seed}")
    return place


@pytest.mark.parametrize("kind", KINDS)
def test_an_opened_index_gives_the_lists_of_the_one_that_was_saved(saved, kind):
    built = build_index(vectors(), IndexConfig(kind=kind, target_recall=0.5), seed=7)
    opened = open_index(saved / f"{kind}0")
    queries = vectors(5)[:30]
    first, second = (index.search(queries, k=9, excluded=nothing_excluded(30)) for index in (built, opened))
    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.scores, second.scores)
    assert opened.recall == built.recall == read_page(saved / f"{kind}0").recall


def test_opening_an_index_maps_its_vectors(saved):
    opened = open_index(saved / "exact0")
    assert isinstance(opened.vectors.base, np.memmap)
    assert not opened.vectors.flags.writeable


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_vectors_that_are_the_whole_of_a_file_are_not_written_again(tmp_path, dtype):
    np.save(tmp_path / "all.npy", vectors().astype(dtype))
    mapped = np.load(tmp_path / "all.npy", mmap_mode="r").view(np.ndarray)
    for name, part, again in (("whole", mapped, False), ("part", mapped[3:], True), ("memory", mapped.copy(), True)):
        save_index(build_index(part, IndexConfig(), seed=0), tmp_path / name)
        assert (tmp_path / name / "vectors.npy").samefile(tmp_path / "all.npy") != again
        np.testing.assert_array_equal(open_index(tmp_path / name).vectors, part)


def test_vectors_are_copied_where_a_file_cannot_have_two_names(tmp_path, monkeypatch):
    np.save(tmp_path / "all.npy", vectors())
    mapped = np.load(tmp_path / "all.npy", mmap_mode="r").view(np.ndarray)
    monkeypatch.setattr("os.link", lambda *_, **__: (_ for _ in ()).throw(OSError("not here")))
    save_index(build_index(mapped, IndexConfig(), seed=0), tmp_path / "index")
    assert (tmp_path / "index" / "vectors.npy").stat().st_nlink == 1
    np.testing.assert_array_equal(open_index(tmp_path / "index").vectors, mapped)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"0")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def swap(path: Path) -> None:
    """Puts the file of another run in its place."""
    shutil.copy(path.parent.with_name(f"{path.parent.name[:-4]}1") / path.name, path)


@pytest.mark.parametrize("harm", [Path.unlink, truncate, flip, append, empty, swap])
@pytest.mark.parametrize("file", ["vectors.npy", "index.faiss", "index.json"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_harmed_file_is_refused_by_name(saved, kind, file, harm, monkeypatch):
    if kind == "exact" and file == "index.faiss":
        return
    place = saved / f"{kind}copy"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(saved / f"{kind}0", place)
    harm(place / file)
    monkeypatch.setattr("faiss.read_index", lambda path: pytest.fail("faiss parsed a file that was not checked"))
    with pytest.raises(ArtifactError, match="is not the one that was written") as refusal:
        open_index(place)
    if not (file == "index.json" and harm is swap):
        assert file in str(refusal.value)


@pytest.mark.parametrize("text", ["[]", "{}", "null", "17", '{"sha256": 3}', "{", "\x00\xff"])
def test_a_page_of_something_else_is_refused(saved, tmp_path, text):
    shutil.copytree(saved / "exact0", tmp_path / "index")
    (tmp_path / "index" / "index.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"index\.json"):
        open_index(tmp_path / "index")


def test_a_changed_number_on_the_page_is_refused(saved, tmp_path):
    shutil.copytree(saved / "hnsw0", tmp_path / "index")
    page = json.loads((tmp_path / "index" / "index.json").read_text())
    page["recall"] = 1.0
    page["longest"] = 99.0
    (tmp_path / "index" / "index.json").write_text(json.dumps(page))
    with pytest.raises(ArtifactError, match="its text is not the one"):
        open_index(tmp_path / "index")
