"""Files that are whole or absent: written beside their place, made durable, renamed; told apart by SHA-256."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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


def files_under(directory: Path, *, suffixes: tuple[str, ...] = ()) -> list[str]:
    """The files under a directory by their relative path, sorted; only those of some suffixes, where any is named."""
    found = (path for path in directory.rglob("*") if not path.is_dir())
    return sorted(path.relative_to(directory).as_posix() for path in found if not suffixes or path.suffix in suffixes)


def fingerprint(directory: Path, *, suffixes: tuple[str, ...]) -> str:
    """One hash over the names and contents of the files under a directory that have one of the suffixes."""
    places = files_under(directory, suffixes=suffixes)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return digest(dict(zip(places, pool.map(lambda place: sha256(directory / place), places), strict=True)))


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def remove(path: Path) -> None:
    """Remove a file or a folder with all it holds, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _seal_file(path: Path) -> File:
    make_durable(path)
    return File(sha256(path), path.stat().st_size)


def _folders(directory: Path) -> Iterator[Path]:
    yield from (path for path in directory.rglob("*") if path.is_dir())
    yield directory
