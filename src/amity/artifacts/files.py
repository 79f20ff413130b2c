"""Files that are whole or absent: written beside their place, made durable, renamed; told apart by SHA-256."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amity.errors import ArtifactError

SETTLED_NS = 2_000_000_000
"""A file that was last written to so long ago shows by its times if it is written to again."""
_known: dict[tuple[int, ...], str] = {}
"""The SHA-256 of files by where they lie and when they were written to, for this process."""


@dataclass(frozen=True, slots=True)
class File:
    """What a manifest says of one file."""

    sha256: str
    bytes: int


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside the target, make it durable, and rename: readers and kills see the old file or the new one."""
    staged = path.with_name(f".new-{path.name}")
    staged.write_bytes(content)
    make_durable(staged)
    staged.replace(path)
    make_durable(path.parent)


def seal(directory: Path) -> dict[str, File]:
    """Make every file and folder under a directory durable, and list the files with their checksums."""
    places = files_under(directory)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        files = dict(zip(places, pool.map(lambda place: _seal_file(directory / place), places), strict=True))
    for folder in _folders(directory):
        make_durable(folder)
    make_durable(directory.parent)
    return files


def files_under(directory: Path) -> list[str]:
    """The files under a directory by their relative path, sorted."""
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir())


def fingerprint(directory: Path, places: Sequence[str]) -> str:
    """One hash over the names and contents of some files, named by their path from a directory."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return digest(dict(zip(places, pool.map(lambda place: sha256(directory / place), places), strict=True)))


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal.

    A file that nobody has written to since it was last asked for is not read again, under whatever name. The clock
    of a file system is coarse: what was written to a moment ago may be written to again at the same time.
    """
    with path.open("rb") as file:
        now_ns, status = time.time_ns(), os.fstat(file.fileno())
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known = _known.get(state) or hashlib.file_digest(file, "sha256").hexdigest()
    if status.st_ctime_ns + SETTLED_NS < now_ns:
        _known[state] = known
    return known


def digest(value: Any) -> str:
    """The SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def make_durable(path: Path) -> None:
    """Return when a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def filling(directory: Path) -> Iterator[None]:
    """Let a block fill an empty or new directory, and take out again what it has written where it raises.

    Raises `ArtifactError` where the directory holds anything: whoever has mapped its files would lose them.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ArtifactError(f"{directory} is not an empty directory, and nothing is overwritten. Name a new one.")
    directory.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for place in directory.iterdir():
            remove(place)
        raise


def remove(path: Path) -> None:
    """Remove a file, or a folder with all it holds, if it is there; of a link the link alone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _seal_file(path: Path) -> File:
    make_durable(path)
    return File(sha256(path), path.stat().st_size)


def _folders(directory: Path) -> Iterator[Path]:
    yield from (path for path in directory.rglob("*") if path.is_dir())
    yield directory
