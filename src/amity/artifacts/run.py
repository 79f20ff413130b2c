"""A run: one directory with a manifest.

A stage writes into a staging folder inside the run. The commit is one atomic replacement of `manifest.json`: from
then on the new files count, and whoever opens the run next moves into place what a kill left undone. So a run that
is killed at any moment holds the old artifact or the new one, never half of one.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Self

from amity.artifacts.files import File, digest, files_under, make_durable, remove, seal, sha256, write_atomically
from amity.artifacts.memory import peak_memory_bytes, reset_peak_memory
from amity.errors import ArtifactError

FORMAT = "amity run 1"
MANIFEST = "manifest.json"
LOCK = ".lock"
STAGING, OLD = ".staging", ".old"
"""Where a stage writes, and where what it replaces lies until the new is in its place."""
BEGINNING = {LOCK, f".new-{MANIFEST}", "data"}
"""What a directory may hold before it is a run: what a killed beginning leaves, and tables, as a demo has them."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the manifest says of one finished stage."""

    inputs: dict[str, str]
    """The stages (or `data`) that it read, each with the digest of what they had written."""
    section: dict[str, Any]
    """The settings it ran under, as JSON."""
    code: str
    """The version of amity that ran it."""
    outputs: dict[str, File]
    """Every file it wrote, by its path inside the run."""
    seconds: float
    peak_rss_bytes: int
    """The most memory the process held while the stage ran, pages of mapped files included."""
    summary: dict[str, Any] = field(default_factory=dict)
    """What the stage has to tell: counts, scores."""

    @property
    def digest(self) -> str:
        """One hash over all that was written."""
        return digest({place: file.sha256 for place, file in self.outputs.items()})


@dataclass(slots=True)
class Staging:
    """Where a stage writes, and what it has to tell."""

    path: Path
    summary: dict[str, Any] = field(default_factory=dict)


class Run:
    """An open run directory.

    A writer holds the run's lock until it is closed; a second one gets an `ArtifactError`. Readers need no lock.
    """

    def __init__(self, path: Path, *, write: bool) -> None:
        """Open a run and finish what a killed writer had committed; a writer makes the directory if need be."""
        self.path = path
        self._lock: int | None = None
        self._verified: set[str] = set()
        file = next((place for place in (path, *path.parents) if place.is_file()), None)
        if file is not None:
            raise ArtifactError(f"{file} is a file, and a run is a directory. Name another place for the run {path}.")
        if write:
            self._refuse_foreign()
            path.mkdir(parents=True, exist_ok=True)
            self._acquire()
            self._recover()
            return
        if not (path / MANIFEST).is_file():
            raise ArtifactError(
                f"{path} is no run of amity: it has no {MANIFEST}. "
                f"Make one with `amity run {path} --data DIR`, or name the directory of an existing run."
            )
        if self._manifest()["pending"] is not None:
            Run(path, write=True).close()

    @property
    def stages(self) -> Mapping[str, Record]:
        """The finished stages by name, as they stand on disk."""
        return {name: _record(entry) for name, entry in self._manifest()["stages"].items()}

    @contextmanager
    def stage(self, name: str, *, inputs: dict[str, str], section: dict[str, Any], code: str) -> Iterator[Staging]:
        """Give a stage a folder to write into; what lies there when the block ends becomes part of the run.

        Each file or folder at the top of the staging folder replaces the one of that name in the run. A block that
        raises changes nothing.
        """
        self._recover()
        staging = Staging(self.path / STAGING)
        staging.path.mkdir()
        start = time.perf_counter()
        reset_peak_memory()
        try:
            yield staging
            seconds, peak = round(time.perf_counter() - start, 3), peak_memory_bytes()
            record = Record(inputs, section, code, seal(staging.path), seconds, peak, staging.summary)
        except BaseException:
            remove(staging.path)
            raise
        self._commit(name, record)

    def verify(self, name: str) -> Record:
        """Check each file of a finished stage against the manifest, once a process, and return the stage's record.

        Raises `ArtifactError` where the stage has not run, or where a file is missing, strange, or of another
        length or content than was written.
        """
        record = self.stages.get(name)
        if record is None:
            raise ArtifactError(
                f"The run {self.path} has no finished `{name}` stage. "
                f"Run `amity {name} {self.path}`, or `amity run {self.path}` for every stage."
            )
        if record.digest not in self._verified:
            self._refuse_strangers(name, record)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(lambda item: self._check(name, *item), record.outputs.items()))
            self._verified.add(record.digest)
        return record

    def note(self, key: str, value: Any) -> None:
        """Keep a JSON value in the manifest under a name of the caller's."""
        manifest = self._manifest()
        manifest["notes"][key] = value
        self._write(manifest)

    def noted(self, key: str) -> Any:
        """The value kept under a name, or None."""
        return self._manifest()["notes"].get(key)

    def close(self) -> None:
        """Let the next writer in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _refuse_foreign(self) -> None:
        """Refuse a directory that is somebody else's, before anything is made or cleared away in it."""
        names = {place.name for place in self.path.iterdir()} if self.path.exists() else set()
        if MANIFEST not in names and names - BEGINNING:
            raise ArtifactError(
                f"{self.path} is not empty and no run of amity: it holds {min(names - BEGINNING)}, and no {MANIFEST}. "
                "Name a new or empty directory for the run."
            )

    def _acquire(self) -> None:
        descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._lock = descriptor
            return
        os.close(descriptor)
        raise ArtifactError(
            f"Another process is writing to the run {self.path} (it holds {self.path / LOCK}). "
            "Wait until it ends, or stop it, or give this work a run of its own."
        )

    def _recover(self) -> None:
        """Finish a commit that was cut short, and clear away what was never committed; a new run gets its manifest."""
        manifest = self._manifest()
        if not (self.path / MANIFEST).exists():
            self._write(manifest)
        if manifest["pending"] is not None:
            self._finish(manifest["pending"]["stage"])
        remove(self.path / STAGING)
        remove(self.path / OLD)

    def _commit(self, name: str, record: Record) -> None:
        manifest = self._manifest()
        manifest["pending"] = {"stage": name, "record": asdict(record)}
        self._write(manifest)
        self._finish(name)
        self._verified.add(record.digest)

    def _finish(self, name: str) -> None:
        """Move into place what the manifest promises; may be cut short anywhere and done again."""
        staging, old = self.path / STAGING, self.path / OLD
        for source in () if staging.is_symlink() else sorted(staging.glob("*")):  # What a link leads to is not ours.
            target = self.path / source.name
            remove(old)
            if os.path.lexists(target):
                target.rename(old)
            source.rename(target)
            remove(old)
        make_durable(self.path)
        manifest = self._manifest()
        manifest["stages"][name] = manifest["pending"]["record"]
        manifest["pending"] = None
        self._write(manifest)
        remove(staging)

    def _check(self, name: str, place: str, file: File) -> None:
        path = self.path / place
        if not path.is_file():
            found = "it is missing"
        elif path.stat().st_size != file.bytes:
            found = f"it has {path.stat().st_size:,} bytes instead of {file.bytes:,}"
        elif sha256(path) != file.sha256:
            found = "its content has another checksum, so it was altered, or swapped for another run's"
        else:
            return
        raise ArtifactError(f"{path} is not the file that `amity {name}` wrote: {found}. {self._remedy(name)}")

    def _refuse_strangers(self, name: str, record: Record) -> None:
        for top in {PurePosixPath(place).parts[0] for place in record.outputs}:
            strangers = {f"{top}/{place}" for place in files_under(self.path / top)} - set(record.outputs)
            if strangers:
                raise ArtifactError(
                    f"{self.path / min(strangers)} was not written by `amity {name}`: the manifest does not list it. "
                    f"Take it away. {self._remedy(name)}"
                )

    def _remedy(self, name: str) -> str:
        return f"Put the original back, or make it again with `amity {name} {self.path}`."

    def _manifest(self) -> dict[str, Any]:
        path = self.path / MANIFEST
        if not path.exists():
            return {"format": FORMAT, "stages": {}, "pending": None, "notes": {}}
        manifest: dict[str, Any] = {}
        try:
            manifest = json.loads(path.read_bytes())
            found = "its checksum does not fit" if manifest.pop("checksum") != digest(manifest) else ""
            if manifest["format"] != FORMAT:
                found = f"its format is {manifest['format']!r}, and this version reads {FORMAT!r}"
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            found = f"it cannot be read ({type(error).__name__}: {error})"
        if found:
            raise ArtifactError(
                f"The manifest {path} is not what amity wrote: {found}. "
                "Put the original back, or start again in another directory."
            )
        return manifest

    def _write(self, manifest: dict[str, Any]) -> None:
        page = json.dumps({**manifest, "checksum": digest(manifest)}, indent=1, ensure_ascii=False)
        write_atomically(self.path / MANIFEST, page.encode())


def _record(entry: dict[str, Any]) -> Record:
    return Record(**{**entry, "outputs": {place: File(**file) for place, file in entry["outputs"].items()}})
