"""What the tables are: which of them hold nodes and edges, and what each column means."""

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, field_validator, model_validator

from amity.errors import ConfigError
from amity.section import Section

PAGE = "amity.toml"
"""A description that lies beside the tables: the `[ingestion]` section of a config file, and nothing else."""

NAME = r"^\w[\w.]*$"
"""Names of kinds and relations, letters, digits, underscores and dots: they become names of folders."""

Part = Literal["train", "valid", "test"]
Marker = int | float | str


class ColumnConfig(Section):
    """One feature column of a node table; in TOML also its type alone: `gender = "category"`."""

    type: Literal["infer", "number", "count", "category", "vector", "bag", "ignore"] = "infer"
    """What the values are. `infer`: floats, dates and times are numbers (dates and times in days since 1970);
    integers and text are categories where a value is shared by two nodes on average and at most 65,536 are distinct;
    other integers are numbers and other text is an identifier and skipped; true/false is a category; a list of floats
    or of fixed size is a vector; any other list is a bag. A `count` is a number that must not be negative."""
    missing: tuple[Marker, ...] = ()
    """Values that mean "unknown", besides null and NaN; in a bag they are left out."""
    counts: str = ""
    """For a bag: the column of as many counts, when the values are not merely repeated."""


class BagConfig(Section):
    """A bag of every node that another table spells out, one value a row: the venues of a user, from check-ins."""

    table: str
    """The table that holds the values."""
    key: str
    """Its column of node ids."""
    value: str
    """Its column of values, integers or text."""
    count: str = ""
    """Its column of counts; empty: every row counts once."""


class NodesConfig(Section):
    """The nodes of one kind."""

    table: str = ""
    """The table, or a pattern such as `nodes/user-*.parquet`; empty: `nodes/<kind>.parquet`, or `nodes.parquet` where
    there is one kind, and without such a table the ends of edges."""
    id: str = "id"
    """The column of ids, integers or text."""
    missing: tuple[Marker, ...] = ()
    """Values that mean "unknown" in every column but bags, besides null and NaN."""
    columns: dict[str, ColumnConfig] = Field(default_factory=dict)
    """What the feature columns are, by name."""
    others: Literal["infer", "ignore"] = "infer"
    """What becomes of the columns that `columns` does not name."""
    bags: dict[str, BagConfig] = Field(default_factory=dict)
    """Bags spelled out by other tables, by the name that they get."""

    @field_validator("columns", mode="before")
    @classmethod
    def _expand(cls, columns: Any) -> Any:
        if not isinstance(columns, dict):
            return columns
        return {name: {"type": column} if isinstance(column, str) else column for name, column in columns.items()}


class EdgesConfig(Section):
    """The edges of one relation."""

    source: str = Field(default="user", pattern=NAME)
    """Kind of the nodes where edges begin."""
    target: str = Field(default="user", pattern=NAME)
    """Kind of the nodes where edges end."""
    undirected: bool = True
    """Whether an edge between nodes of one kind goes both ways; between two kinds it goes one way."""
    table: str = ""
    """The table, or a pattern such as `edges-*.parquet`."""
    tables: dict[Part, str] = Field(default_factory=dict)
    """Instead of `table`: a table for each part, `train`, `valid`, `test`."""
    source_column: str = "src"
    """The column of source ids."""
    target_column: str = "dst"
    """The column of target ids."""
    time: str = "time"
    """The column of times, integers, dates or timestamps (these in microseconds since 1970). The default means `time`
    or `timestamp` where there is one; a column that is named here must exist; empty: no times."""
    weight: str = "weight"
    """The column of weights. The default is read where it exists; empty: no weights."""
    split: str = "split"
    """The column that says `train`, `valid` or `test`. The default is read where it exists; empty: none."""
    flags: dict[Part, str] = Field(default_factory=dict)
    """True/false columns, one a part; the first true of train, valid, test wins. An edge that none claims is train, or
    dropped where `train` has a flag of its own."""
    sequence: str = ""
    """A list column of target ids, in order, instead of `target_column`; the position of an id becomes its time."""
    leave_one_out: bool = False
    """Whether the last id of a sequence is test and the last but one valid."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if bool(self.table) == bool(self.tables):
            raise ValueError("a relation needs either `table` or `tables`, and not both")
        if self.leave_one_out and not self.sequence:
            raise ValueError("`leave_one_out` cuts sequences: it needs `sequence`")
        if sum((bool(self.tables), bool(self.flags), self.leave_one_out)) > 1:
            raise ValueError("parts come from one of `tables`, `flags` and `leave_one_out`, not from several")
        return self


class IngestionConfig(Section):
    """How tables become a graph."""

    nodes: dict[str, NodesConfig] = Field(default_factory=dict)
    """What the nodes of each kind are; kinds that edges name need not be named here."""
    edges: dict[str, EdgesConfig] = Field(default_factory=dict)
    """What the edge tables are, by relation; retrieval is about the first. When empty: `edges.parquet`, a relation
    `friend` between nodes of the kind `user`, or every `edges/<kind>-<relation>-<kind>.parquet`."""
    target: str = ""
    """The relation that retrieval is about; empty: the first of `edges`."""
    dangling: Literal["drop", "error"] = "drop"
    """What becomes of edges whose ends are not in the table of nodes: dropped and counted, or refused."""
    memory_gib: PositiveFloat = 4.0
    """Memory that ingestion may take, in GiB. Edges are sorted in pieces that fit, whatever the size of their table;
    ids take about 30 bytes a node (text: more by its length) and must fit as well."""
    chunk_rows: PositiveInt = 1 << 18
    """Values of a column that are read at a time: as many rows where it holds no lists; fewer where memory is short."""

    @field_validator("nodes", "edges")
    @classmethod
    def _check_names(cls, entries: dict[str, Any]) -> dict[str, Any]:
        for name in entries:
            if not re.fullmatch(NAME, name):
                raise ValueError(f"`{name}` cannot name a kind or relation: use letters, digits, dots and underscores")
        return entries


def complete_config(config: IngestionConfig, data: Path) -> IngestionConfig:
    """Fill in what an `amity.toml` beside the tables says; what the config sets itself wins.

    Raises `ConfigError` where that file is no `[ingestion]` section.
    """
    path = data / PAGE
    if not path.is_file():
        return config
    try:
        page = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a TOML file: {error}. Mend that line, or remove the file.") from error
    strangers = sorted(set(page) - {"ingestion"})
    if strangers or not isinstance(page.get("ingestion", {}), dict):
        raise ConfigError(
            f"{path} describes tables: it holds one section, [ingestion]. Found {', '.join(strangers) or 'a value'}. "
            "Move other settings to a config file given with -c."
        )
    try:
        described = IngestionConfig.model_validate(page.get("ingestion", {}))
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error)}") from error
    return described.model_copy(update={name: getattr(config, name) for name in config.model_fields_set})


def explain(error: ValidationError) -> str:
    """The first complaint about an `[ingestion]` section, with the key it is about and the nearest known one."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return f"[ingestion] {place}: {first['msg']}. Found {first['input']!r}."
    fields = {name for model in (IngestionConfig, NodesConfig, EdgesConfig, ColumnConfig, BagConfig)
              for name in model.model_fields}  # fmt: skip
    return f"[ingestion] has no key `{place}`.{nearest(str(first['loc'][-1]), fields)}"


def nearest(name: str, known: Any) -> str:
    """A hint at the known name that is nearest to a wrong one, or at all of them."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f" Did you mean `{close[0]}`?"
    return f" There is: {', '.join(f'`{other}`' for other in known[:12]) or 'nothing'}."
