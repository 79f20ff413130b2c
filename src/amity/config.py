"""Config: the settings of every stage, in the order in which data flows."""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard, get_args

import tomli_w
from pydantic import Field, ValidationError

from amity.artifacts import write_atomically
from amity.clustering import ClusteringConfig
from amity.device import Device
from amity.embedding import EmbeddingConfig
from amity.encoder import EncoderConfig
from amity.errors import ConfigError
from amity.evaluation import EvaluationConfig
from amity.index import IndexConfig
from amity.ingestion import IngestionConfig
from amity.objectives import ObjectivesConfig
from amity.retrieval import RetrievalConfig
from amity.sampling import SamplingConfig
from amity.section import Section
from amity.splitting import SplittingConfig
from amity.training import TrainingConfig

ANY = "<name>"


class Config(Section):
    """Every setting; an empty one is a good one."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """What all randomness hangs on: the same seed, settings and tables give the same run."""
    device: Device = "cpu"
    """Where training, embedding and exact search compute: `cuda` is one GPU. It changes what is learned by no more
    than rounding, so that nothing is done again where it alone has changed."""
    ingestion: IngestionConfig = Field(default_factory=IngestionConfig)
    """What the tables are."""
    splitting: SplittingConfig = Field(default_factory=SplittingConfig)
    """Which edges are held out."""
    clustering: ClusteringConfig = Field(default_factory=ClusteringConfig)
    """How the candidates are divided."""
    sampling: SamplingConfig = Field(default_factory=SamplingConfig)
    """How batches are drawn."""
    encoder: EncoderConfig = Field(default_factory=EncoderConfig)
    """What turns a neighbourhood into a vector."""
    objectives: ObjectivesConfig = Field(default_factory=ObjectivesConfig)
    """What is learned."""
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    """How long and how fast."""
    embedding: EmbeddingConfig = Field(default_factory=EmbeddingConfig)
    """How everybody is embedded."""
    index: IndexConfig = Field(default_factory=IndexConfig)
    """How nearest vectors are found."""
    retrieval: RetrievalConfig = Field(default_factory=RetrievalConfig)
    """How candidates are fetched."""
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    """What is measured."""


def load_config(path: Path | None = None, flags: Mapping[str, Any] | None = None) -> Config:
    """Defaults, changed by a TOML file, changed by flags (nested as the sections are).

    Raises `ConfigError` where the file cannot be read, a key is unknown, or a value cannot stand.
    """
    page = {} if path is None else read_page(path)
    try:
        return Config.model_validate(merge(page, flags or {}))
    except ValidationError as error:
        raise ConfigError(explain(error, file=path, flags=flags or {})) from error


def save_config(config: Config, path: Path) -> None:
    """Write every setting; of `[ingestion]` only what was set, so that an `amity.toml` by the tables still counts."""
    page = config.model_dump(mode="json")
    page["ingestion"] = config.ingestion.model_dump(mode="json", exclude_unset=True)
    write_atomically(path, tomli_w.dumps(page).encode())


def read_page(path: Path) -> dict[str, Any]:
    """A TOML file as it stands; raises `ConfigError` where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The config file {path} cannot be read: {error.strerror}. Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The config file {path} is not TOML: {error}. Mend that line.") from error


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings changed by others, both nested as the sections are."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def explain(
    error: ValidationError,
    *,
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    name: str = "",
    section: type[Section] = Config,
) -> str:
    """The first complaint about settings as one paragraph: what is wrong, where it was said, what to do.

    `name` is what to call a setting that stands in no section; `section` is what was to be filled.
    """
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place) or name or "the settings"
    source = "" if file is None or _holds(flags or {}, place) else f" in {file}"
    if first["type"] == "extra_forbidden":
        return f"There is no setting `{name}`{source and f', found{source}'}. {_hint(place, section)}"
    if first["type"] == "missing":
        return f"The setting `{name}` is missing{source}, and there is no default for it. Add it."
    reason = first["msg"].removeprefix("Value error, ")
    found = f" Found {first['input']!r}." if not isinstance(first["input"], Mapping | Section) else ""
    others = error.error_count() - 1
    return (
        f"The setting `{name}`{source} cannot stand: {reason}.{found} Change it, or leave it out for the default."
        + (f" ({others} more of this kind.)" if others else "")
    )


def is_section(kind: Any) -> TypeGuard[type[Section]]:
    """Whether an annotation is a section itself."""
    return isinstance(kind, type) and issubclass(kind, Section)


def _holds(flags: Mapping[str, Any], place: list[str]) -> bool:
    """Whether the flags say something at this place, above it or below it."""
    for key in place:
        if not isinstance(flags, Mapping):
            return True
        if key not in flags:
            return False
        flags = flags[key]
    return bool(place)


def _hint(place: list[str], section: type[Section]) -> str:
    """The known key nearest to an unknown one: among its neighbours first, then anywhere, the least nested first."""
    parent, name = place[:-1], place[-1]
    neighbors = [path[-1] for path in _keys(section) if _fits(parent, path[:-1])]
    near = difflib.get_close_matches(name, neighbors, n=1, cutoff=0.5)
    if near:
        return f"Did you mean `{'.'.join([*parent, near[0]])}`?"
    everywhere = {path[-1]: path for path in sorted(_keys(section), key=len, reverse=True)}
    near = difflib.get_close_matches(name, everywhere, n=1, cutoff=0.7)
    if near:
        return f"The nearest known key is `{'.'.join(everywhere[near[0]])}`."
    return f"Known here: {', '.join(neighbors) or 'nothing'}."


def _fits(place: list[str], path: tuple[str, ...]) -> bool:
    return len(place) == len(path) and all(part in (key, ANY) for key, part in zip(place, path, strict=True))


def _keys(section: type[Section], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key, sections included, as a path; the names that a table of sections chooses itself are `ANY`."""
    for name, field in section.model_fields.items():
        path = (*above, name)
        yield path
        if is_section(field.annotation):
            yield from _keys(field.annotation, path)
        for kind in filter(is_section, get_args(field.annotation)):
            yield from _keys(kind, (*path, ANY))
