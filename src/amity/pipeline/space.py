"""What a sweep tries: data sets, a base to begin from, a range for each setting; all checked before anything runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from amity.config import Config, explain, load_config, merge, read_page
from amity.errors import ConfigError
from amity.pipeline.stages import LEARNING
from amity.section import Section

SWEPT = ("clustering", *(section for section in LEARNING if section != "seed"))
"""Sections whose settings a sweep may try: those that decide what training learns, and so what validation finds."""
JUDGING = ("training.validation_candidates",)
"""Settings of these sections that decide how a training is judged: trials that differ in them do not compare."""
KINDS = ("choices", "float", "log", "int", "together")
SYNTAX = (
    "{ choices = [a, b] }, { float = [low, high] }, { log = [low, high] }, { int = [low, high] }, "
    "or { together = [{ ... }, { ... }] }"
)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Files = Annotated[tuple[Path, ...], BeforeValidator(_listed)]
"""One path, or several."""


class DataSet(Section):
    """Where tables lie, and what is to be said of them alone; a bare path will do."""

    path: Path
    """The directory of the tables."""
    config: Files = ()
    """Config files for this data set alone, over the base: what its tables are, how they are split."""

    @model_validator(mode="before")
    @classmethod
    def _name(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class SweepConfig(Section):
    """A sweep, as its TOML file says it. Paths in it begin where the file lies."""

    data: Annotated[tuple[DataSet, ...], BeforeValidator(_listed)] = Field(min_length=1)
    """The data sets on which every trial is trained."""
    config: Files = ()
    """Config files of the base, each over the one before it; without any, the base is the defaults."""
    objective: Literal["valid recall"] = "valid recall"
    """What trials are judged by: the best recall on the validation part that training logs. The test part is never
    read."""
    trials: PositiveInt = 30
    """How many trials there are to be; the first is the base itself."""
    sampler: Literal["tpe", "random"] = "tpe"
    """How settings are drawn: by a tree-structured Parzen estimator (Bergstra et al., 2011), or at random."""
    seed: NonNegativeInt = 0
    """What these draws hang on; the seed of the trainings is that of the base."""
    space: dict[str, Any] = Field(min_length=1)
    """For each setting by its dotted name a range: `{ choices = [a, b] }`, `{ float = [low, high] }`, `{ log = [low,
    high] }` (even on a logarithmic scale) or `{ int = [low, high] }`. Settings that must fit each other are drawn as
    one, under a name of yours: `depth = { together = [{ encoder.layers = 1, sampling.fanout = [15] }, ...] }`, where
    all tables have the same settings."""


@dataclass(frozen=True, slots=True)
class Range:
    """The values that a setting may take."""

    kind: Literal["choices", "float", "log", "int", "together"]
    values: tuple[Any, ...]
    """The choices, or the lowest and the highest value; of `together`, tables of settings by their dotted names."""

    @property
    def listed(self) -> bool:
        """Whether `values` are all there are."""
        return self.kind in ("choices", "together")

    def settings(self, name: str) -> tuple[str, ...]:
        """The settings that are drawn from it, where it stands under a name."""
        return tuple(self.values[0]) if self.kind == "together" else (name,)

    def probes(self) -> tuple[Any, ...]:
        """Values which stand, if all do: the choices, or both ends and one between."""
        if self.listed or self.kind == "int":
            return self.values
        low, high = self.values
        return low, low + 0.382 * (high - low), high


@dataclass(frozen=True, slots=True)
class Space:
    """A sweep whose every setting is known to be one."""

    file: Path
    sweep: SweepConfig
    ranges: dict[str, Range]
    """By the dotted name of a setting, or the name of settings that are drawn together."""
    base_page: dict[str, Any]
    """The config files of the base, as one."""
    own_pages: tuple[dict[str, Any], ...]
    """Those of each data set, in their order."""

    def page(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The base with what a trial draws, as a config file has it."""
        return merge(self.base_page, self._nest(settings))

    def configs(self, settings: Mapping[str, Any]) -> list[Config]:
        """For each data set, all settings with which it is trained in a trial."""
        nested = self._nest(settings)
        return [load_config(flags=reduce(merge, (self.base_page, own, nested))) for own in self.own_pages]

    def path(self, data: DataSet) -> Path:
        """Where the tables of a data set lie."""
        return self.file.parent / data.path

    def base(self) -> dict[str, Any]:
        """What the base says of each setting that is swept: the first trial."""
        page = load_config(flags=self.base_page).model_dump(mode="json")
        return {
            name: {inner: _look_up(page, inner) for inner in one.values[0]}
            if one.kind == "together"
            else _look_up(page, name)
            for name, one in self.ranges.items()
        }

    def _nest(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What a trial draws, nested as the sections are."""
        tables = [v if self.ranges[name].kind == "together" else {name: v} for name, v in settings.items()]
        nested = (
            reduce(lambda inner, key: {key: inner}, reversed(name.split(".")), value)
            for table in tables
            for name, value in table.items()
        )
        return reduce(merge, nested, {})


@dataclass(frozen=True, slots=True)
class Trial:
    """One point of the space, and what was found there."""

    number: int
    """Counted from 0, which is the base."""
    settings: dict[str, Any]
    """By their dotted names, as `Space.ranges` has them."""
    recall: dict[str, float]
    """By data set, the best recall on the validation part; empty where training could not be done."""
    score: float
    """The mean over data sets of recall as a share of the base's; 0 where training could not be done."""
    obstacle: str = ""
    """Why it could not: it diverged, or the settings do not fit each other."""

    def __str__(self) -> str:
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return f"trial {self.number}: {self.obstacle or f'{self.score:.4f} of the base'} ({settings})"


def read_space(file: Path) -> Space:
    """Read a sweep; raises `ConfigError` for anything in it that cannot be tried, before anything is."""
    try:
        sweep = SweepConfig.model_validate(read_page(file))
    except ValidationError as error:
        raise ConfigError(explain(error, file=file, section=SweepConfig)) from error
    drawn = [(name, _range(file, name, entry)) for name, entry in _settings(sweep.space)]
    _refuse_twice(file, [setting for name, one in drawn for setting in one.settings(name)])
    ranges = dict(drawn)
    space = Space(file, sweep, ranges, _read(file, sweep.config), tuple(_read(file, d.config) for d in sweep.data))
    _check_data(space)
    for name, one in ranges.items():
        _check_setting(space, name, one)
    return space


def _read(file: Path, paths: Sequence[Path]) -> dict[str, Any]:
    """Config files as one, each checked by itself, so that a mistake is told with its file."""
    for path in paths:
        load_config(file.parent / path)
    return reduce(merge, [read_page(file.parent / path) for path in paths], {})


def _look_up(page: Mapping[str, Any], name: str) -> Any:
    return reduce(lambda section, key: section[key], name.split("."), page)


def _settings(page: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Each setting, by its dotted name, with what is said of it; quotes around the name make no difference."""
    for key, value in page.items():
        if isinstance(value, dict) and value and not set(value) & set(KINDS):
            yield from _settings(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _range(file: Path, name: str, entry: Any) -> Range:
    kind, values = next(iter(entry.items())) if isinstance(entry, dict) and len(entry) == 1 else (None, None)
    if kind not in KINDS or not isinstance(values, list) or not _may_be_drawn(kind, values):
        raise ConfigError(
            f"The range of `{name}` in {file} cannot stand: it is {SYNTAX}, with low below high, above 0 where it is "
            f"`log`, and whole numbers where it is `int`. Found {entry!r}."
        )
    return Range(kind, tuple(dict(_settings(table)) for table in values) if kind == "together" else tuple(values))


def _may_be_drawn(kind: str, values: list[Any]) -> bool:
    if kind == "choices":
        return len(values) > 0
    if kind == "together":
        tables = [set(dict(_settings(table))) if isinstance(table, dict) else set() for table in values]
        return len(tables) > 0 and all(table and table == tables[0] for table in tables)
    numbers = int if kind == "int" else int | float
    if len(values) != 2 or any(isinstance(one, bool) or not isinstance(one, numbers) for one in values):
        return False
    low, high = values
    return -float("inf") < low < high < float("inf") and (kind != "log" or low > 0)


def _refuse_twice(file: Path, settings: list[str]) -> None:
    twice = sorted({name for name in settings if settings.count(name) > 1})
    if twice:
        raise ConfigError(
            f"The setting `{twice[0]}` stands more than once in the space of {file}, and one draw hides the other. "
            "Leave it in one place: alone, or in one `together`."
        )


def _check_data(space: Space) -> None:
    names = [data.path.name for data in space.sweep.data]
    if len(set(names)) < len(names):
        raise ConfigError(f"Two data sets of {space.file} have one name: {', '.join(names)}. Rename a directory.")
    for data in space.sweep.data:
        if not space.path(data).is_dir():
            raise ConfigError(
                f"There is no directory {space.path(data)}, which {space.file} names as data. Paths in that file begin "
                "where it lies."
            )


def _check_setting(space: Space, name: str, one: Range) -> None:
    for value in one.probes():
        try:
            space.configs({name: value})
        except ConfigError as error:
            raise ConfigError(f"In the space of {space.file}: {error}") from error
    unseen = [inner for inner in one.settings(name) if inner.partition(".")[0] not in SWEPT or inner in JUDGING]
    if unseen:
        raise ConfigError(
            f"The setting `{unseen[0]}` in the space of {space.file} cannot be swept: trials are judged by validation "
            "while they train, and it does not change what is learned, or how that is judged. "
            f"Sweep settings of {', '.join(SWEPT)}, without {', '.join(JUDGING)}."
        )
