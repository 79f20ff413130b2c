"""The index as a directory: the vectors, what faiss built, and one JSON page with the checksum of each file.

One index per cluster is a directory with a folder for each, named by its number, and a page with the checksums of
their pages.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import faiss
import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray
from pydantic import ValidationError

from amity.artifacts.files import sha256
from amity.clustering import Clusters
from amity.errors import ArtifactError
from amity.graph.storage import open_array
from amity.index.approximate import ApproximateIndex
from amity.index.divided import DividedIndex
from amity.index.exact import ExactIndex
from amity.index.hits import Index
from amity.index.hnsw import HnswConfig
from amity.index.ivf import IvfConfig
from amity.index.ivfpq import IvfpqConfig
from amity.index.mirror import mirror_for
from amity.index.reduction import Reduction
from amity.section import Section

PAGE, DIVIDED_PAGE = "index.json", "divided.json"
VECTORS, CLUSTERS = "vectors.npy", "clusters.npy"
PROPOSER = "index.faiss"


class Page(Section):
    """What `index.json` says."""

    format: Literal[1] = 1
    kind: Literal["exact", "hnsw", "ivf", "ivfpq"]
    metric: Literal["inner product"] = "inner product"
    candidates: int
    dim: int
    seed: int
    longest: float
    recall: float
    """Share of the exact lists that is found, as measured when the index was built."""
    extended: bool = False
    """Whether the coordinate was added that turns inner products into distances."""
    width: int = 0
    """How many coordinates a vector has in the file of faiss."""
    settings: HnswConfig | IvfConfig | IvfpqConfig | None = None
    """What the approximate index was built by, and searches by; null for an exact one."""
    files: dict[str, str]
    """The sha256 of each file beside this one."""


class DividedPage(Section):
    """What `divided.json` says."""

    format: Literal[1] = 1
    names: tuple[str, ...]
    """Of the clusters; the index of each lies in the folder of its number."""
    candidates: int
    seed: int
    recall: dict[str, float]
    """By cluster, the share of the exact lists that is found."""
    files: dict[str, str]
    """The sha256 of the cluster of each candidate, and of the page of each cluster's index."""


AnyPage = TypeVar("AnyPage", Page, DividedPage)


def save_index(index: Index, directory: Path) -> None:
    """Write an index into an empty or new directory.

    Vectors that are the whole of a mapped file become another name of that file, where the disk can do that: they
    are not written a second time.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _save_vectors(index.vectors, directory / VECTORS)
    if isinstance(index, ApproximateIndex):
        faiss.write_index(index.proposer, str(directory / PROPOSER))
    page = _describe(index)
    page["files"] = {name: sha256(directory / name) for name in _files(approximate=page["settings"] is not None)}
    _write_page(page, directory / PAGE)


def save_divided(index: DividedIndex, directory: Path) -> None:
    """Write one index per cluster into an empty or new directory."""
    directory.mkdir(parents=True, exist_ok=True)
    np.save(directory / CLUSTERS, index.clusters.of, allow_pickle=False)
    for cluster, part in enumerate(index.parts):
        save_index(part, directory / str(cluster))
    names = index.clusters.names
    files = {name: sha256(directory / name) for name in _divided_files(names)}
    page = DividedPage(
        names=names, candidates=len(index.clusters.of), seed=index.seed, recall=index.recalls, files=files
    )
    _write_page(page.model_dump(mode="json"), directory / DIVIDED_PAGE)


def open_divided(directory: Path, *, verified: bool = False, device: torch.device | str = "cpu") -> DividedIndex:
    """Open what `save_divided` wrote; see `open_index`. An index of other clusters is refused too."""
    page = _read_page(directory / DIVIDED_PAGE, DividedPage)
    for name in () if verified else _divided_files(page.names):
        _verify(directory / name, page.files.get(name, ""))
    of = np.array(open_array(directory / CLUSTERS))
    clusters = Clusters(of, page.names)
    parts = tuple(
        open_index(directory / str(cluster), verified=verified, device=device, numbers=clusters.members(cluster))
        for cluster in range(clusters.count)
    )
    if of.dtype != np.int32 or clusters.sizes().tolist() != [len(part.vectors) for part in parts]:
        raise _refuse(directory / CLUSTERS, "the indexes beside it hold other clusters")
    return DividedIndex(clusters, parts, page.seed)


def open_index(
    directory: Path,
    *,
    verified: bool = False,
    device: torch.device | str = "cpu",
    numbers: Int64[ndarray, "candidates"] | None = None,
) -> Index:
    """Open an index; its vectors are mapped into memory, and copied to a GPU that is to help with exact search.

    Raises `ArtifactError` where a file is absent, truncated, altered, or of another index. Every file is compared
    with its checksum before anything reads it, unless the caller has verified them all.
    """
    page = read_page(directory)
    for name in () if verified else _files(approximate=page.settings is not None):
        _verify(directory / name, page.files.get(name, ""))
    vectors = open_array(directory / VECTORS)
    if vectors.shape != (page.candidates, page.dim) or vectors.dtype not in (np.float32, np.float16):
        raise _refuse(
            directory / VECTORS, f"it holds {vectors.dtype} {vectors.shape}, not {page.candidates} x {page.dim}"
        )
    exact = ExactIndex(vectors, page.seed, page.longest, mirror_for(vectors, device), numbers)
    if page.settings is None:
        return exact
    proposer = faiss.read_index(str(directory / PROPOSER))
    if (proposer.ntotal, proposer.d) != (page.candidates, page.width):
        raise _refuse(directory / PROPOSER, f"it holds {proposer.ntotal} vectors of {proposer.d} numbers")
    reduction = Reduction(page.longest, page.extended, page.width)
    return ApproximateIndex(exact, proposer, reduction, page.settings, page.recall)


def read_page(directory: Path) -> Page:
    """What an index says of itself: kind, size, measured recall; raises `ArtifactError` where it is not whole."""
    return _read_page(directory / PAGE, Page)


def mapped_file(array: ndarray) -> Path | None:
    """The npy file of which a read-only array is the whole content; None for part of one, and for others in memory."""
    mapping: Any = array
    while isinstance(mapping, ndarray) and not isinstance(mapping, np.memmap):
        mapping = mapping.base
    whole = (
        isinstance(mapping, np.memmap)
        and (mapping.mode, mapping.shape, mapping.dtype) == ("r", array.shape, array.dtype)
        and array.flags.c_contiguous
    )
    path = Path(mapping.filename) if whole and mapping.filename else None
    return path if path is not None and path.suffix == ".npy" else None


def _save_vectors(vectors: ndarray, path: Path) -> None:
    origin = mapped_file(vectors)
    if origin is not None:
        with suppress(OSError):  # another disk, or one that gives a file no second name
            path.hardlink_to(origin)
            return
    np.save(path, vectors, allow_pickle=False)


def _describe(index: Index) -> dict[str, Any]:
    exact = index.exact if isinstance(index, ApproximateIndex) else index
    assert isinstance(exact, ExactIndex)
    size, dim = exact.vectors.shape
    page = Page(
        kind=index.kind, candidates=size, dim=dim, seed=exact.seed, longest=exact.longest, recall=index.recall, files={}
    ).model_dump()
    if isinstance(index, ApproximateIndex):
        page["settings"] = index.config.model_dump()
        page["extended"], page["width"] = index.reduction.extended, index.reduction.width
    return page


def _files(*, approximate: bool) -> tuple[str, ...]:
    return (VECTORS, PROPOSER) if approximate else (VECTORS,)


def _divided_files(names: tuple[str, ...]) -> list[str]:
    return [CLUSTERS, *(f"{cluster}/{PAGE}" for cluster in range(len(names)))]


def _read_page(path: Path, kind: type[AnyPage]) -> AnyPage:
    if not path.is_file():
        raise _refuse(path, "it is not there")
    try:
        page = json.loads(path.read_text(encoding="utf-8"))
        expected = page.pop("sha256")
        whole = expected == _page_sha256(page)
        parsed = kind.model_validate(page)
    except (ValueError, KeyError, AttributeError, TypeError, ValidationError) as error:
        raise _refuse(path, "it cannot be read as the page of an index") from error
    if not whole:
        raise _refuse(path, "its text is not the one that was written")
    return parsed


def _write_page(page: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps({**page, "sha256": _page_sha256(page)}, indent=1), encoding="utf-8")


def _page_sha256(page: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(page, sort_keys=True).encode()).hexdigest()


def _verify(path: Path, expected: str) -> None:
    if not path.is_file():
        raise _refuse(path, "it is not there")
    found = sha256(path)
    if found != expected:
        raise _refuse(
            path,
            f"its {path.stat().st_size:,} bytes have the sha256 {found[:12]}… and the page says {expected[:12]}…: "
            "it is truncated, altered, or of another run",
        )


def _refuse(path: Path, found: str) -> ArtifactError:
    return ArtifactError(f"The index file {path} is not the one that was written: {found}. Build the index again.")
