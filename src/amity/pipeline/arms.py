"""Arms of a comparison: finished runs that differ by nothing but their seed, under one name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyarrow import Table

from amity.errors import ConfigError
from amity.evaluation import EvaluationConfig
from amity.pipeline.running import open_run
from amity.pipeline.work import Work


@dataclass(frozen=True, slots=True)
class Arms:
    """What `compare` and `summarize_robustness` of `amity.evaluation` take."""

    tables: dict[str, dict[int, Table]]
    """By the name of an arm and the seed of a run: what the run found for each query."""
    runs: dict[str, list[str]]
    """By the name of an arm, where its runs lie."""
    config: EvaluationConfig
    """That of the first run."""


def read_arms(texts: Sequence[str]) -> Arms:
    """Read arms as they are typed: `RUN`, named by its path, or `NAME=RUN,RUN,...`.

    Raises `ConfigError` where two arms have one name or two runs of an arm one seed, `ArtifactError` for what is no
    finished run.
    """
    return gather_arms(texts, Work.values, until="evaluate")


def gather_arms(texts: Sequence[str], read: Callable[[Work], Table], *, until: str) -> Arms:
    """Read something of each run of arms, whose stages stand `until` that one; raises as `read_arms`."""
    runs: dict[str, list[str]] = {}
    for text in texts:
        name, paths = _parse(text)
        if name in runs:
            raise ConfigError(f"Two arms are called {name}. Give each a name of its own: `NAME=RUN,RUN`.")
        runs[name] = paths
    opened = {name: _by_seed(name, [open_run(path, until=until) for path in paths]) for name, paths in runs.items()}
    tables = {name: {seed: read(work) for seed, work in works.items()} for name, works in opened.items()}
    configs = [work.config.evaluation for works in opened.values() for work in works.values()]
    return Arms(tables, runs, next(iter(configs), EvaluationConfig()))


def _parse(text: str) -> tuple[str, list[str]]:
    """An existing directory is a run, whatever its name."""
    name, equals, paths = text.partition("=")
    if not equals or Path(text).is_dir():
        return text, [text]
    found = [path for path in paths.split(",") if path]
    if not name or not found:
        raise ConfigError(f"`{text}` is no arm. Type RUN, or NAME=RUN,RUN,... for runs that differ by their seed.")
    return name, found


def _by_seed(name: str, works: list[Work]) -> dict[int, Work]:
    found: dict[int, Work] = {}
    for work in works:
        other = found.setdefault(work.config.seed, work)
        if other is not work:
            raise ConfigError(
                f"The arm {name} has two runs of seed {work.config.seed}, {other.run.path} and {work.run.path}. "
                "Runs are paired by their seed: leave one out, or give it to another arm."
            )
    return found
