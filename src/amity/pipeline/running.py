"""All stages in order, or one of them: what is done and still stands is not done again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amity import __version__
from amity.artifacts import Record, Run, fingerprint, remove, write_atomically
from amity.config import Config, load_config, save_config
from amity.errors import AmityError, ConfigError, DataError
from amity.ingestion import name_files
from amity.log import say
from amity.pipeline.stages import STAGES, Stage, make, obstacle, require
from amity.pipeline.work import Work

CONFIG = "config.toml"


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a stage."""

    record: Record
    made: bool
    """Whether it was made now; otherwise it stood already, and was verified."""


def configure(path: Path, file: Path | None = None, flags: Mapping[str, Any] | None = None) -> Config:
    """The settings of a run: a file's, or else those the run was last given, changed by flags."""
    own = path / CONFIG
    return load_config(file or (own if own.is_file() else None), flags)


def run(path: Path | str, data: Path | str | None = None, config: Config | None = None) -> dict[str, Done]:
    """Bring a run up to date: every stage, in order, skipping what is done and still stands.

    A stage is done again when its tables, the artifacts it reads, its settings or the version of amity have changed.
    Without `data` the tables are those of last time; without `config`, the settings are. An interrupted run goes on.
    Raises `ArtifactError` where a file of the run is not as it was written, and what the stages raise.
    """
    path = Path(path)
    _check_places(path, data)
    with Run(path, write=True) as opened, _tried(opened):
        work = prepare(opened, data, config or configure(path))
        return {name: bring_up_to_date(work, stage) for name, stage in STAGES.items()}


def run_stage(path: Path | str, name: str, data: Path | str | None = None, config: Config | None = None) -> Record:
    """Run one stage, whether or not it was done before; raises `ArtifactError` where what it reads does not stand."""
    path = Path(path)
    _check_places(path, data)
    with Run(path, write=True) as opened, _tried(opened):
        config = config or configure(path)
        work = prepare(opened, data, config) if name == "ingest" else Work(opened, config)
        require(work, *STAGES[name].reads)
        save_config(config, path / CONFIG)
        return _make(work, STAGES[name])


def open_run(path: Path | str, *, until: str) -> Work:
    """A run to read from; raises `ArtifactError` where what a stage makes, or was made from, does not stand."""
    path = Path(path)
    work = Work(Run(path, write=False), configure(path))
    require(work, until)
    return work


def prepare(opened: Run, data: Path | str | None, config: Config) -> Work:
    """Note down settings and tables, so that whoever goes on with the run has them."""
    save_config(config, opened.path / CONFIG)
    if data is not None:
        opened.note("data", str(Path(data).resolve()))
    noted = opened.noted("data")
    if noted is None or not Path(noted).is_dir():
        return Work(opened, config)
    tables = Path(noted)
    return Work(opened, config, tables, fingerprint(tables, name_files(tables, config.ingestion)))


def bring_up_to_date(work: Work, stage: Stage) -> Done:
    """Run a stage, unless what it has made still stands; then verify that."""
    name = stage.name
    record = work.run.stages.get(name)
    if record is None:
        return Done(_make(work, stage), made=True)
    reason = obstacle(work, name) or _other_version(record)
    if reason:
        say(f"{name}: again, since {reason}")
        return Done(_make(work, stage), made=True)
    say(f"{name}: done before")
    return Done(work.run.verify(name), made=False)


@contextmanager
def _tried(opened: Run) -> Iterator[None]:
    """Take settings and tables back where a mistake is found before a stage was made of them.

    An interruption is no mistake: who goes on with the run needs them.
    """
    own, data, stages = opened.path / CONFIG, opened.noted("data"), opened.stages
    before = own.read_bytes() if own.is_file() else None
    try:
        yield
    except AmityError:
        if opened.stages == stages:
            remove(own) if before is None else write_atomically(own, before)
            opened.note("data", data)
        raise


def _check_places(path: Path, data: Path | str | None) -> None:
    """Refuse what cannot begin, before a mistyped name has become a directory."""
    if data is not None and not Path(data).is_dir():
        raise DataError(f"There is no directory {data}. Give `--data` the directory that holds the tables.")
    if data is None and not path.exists():
        raise ConfigError(
            f"There is no run {path} yet, and a new one needs tables. Check the name, or say where the tables lie: "
            f"`amity run {path} --data DIR`."
        )


def _make(work: Work, stage: Stage) -> Record:
    record = make(work, stage)
    say(f"{stage.name}: {record.seconds:.1f} s, {record.peak_rss_bytes / 2**20:,.0f} MiB at most")
    return record


def _other_version(record: Record) -> str:
    return "" if record.code == __version__ else f"amity {record.code} made it, and this is {__version__}"
