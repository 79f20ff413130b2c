"""What runs found, kept beside the code: a file a run, so that a table goes on wherever it was begun.

A record is Parquet: a row a query, in the order of the run, with its train friends and what was found for it; its
metadata have what the report says beside, and the settings of the run. A record stands as long as these are the
settings that the run would have today; a setting that did not exist yet when it was written counts as its default.
Neither the data nor the code is looked at: where these change what a run finds, delete its records.
"""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from amity import __version__
from amity.artifacts import write_atomically
from amity.config import Config
from amity.evaluation import read_per_query
from amity.evaluation.comparison import IDENTITY
from amity.graph.degrees import DEGREE_BUCKETS, degree_buckets

TOLD = ("made", "seconds", "peak_rss_bytes", "queries", "candidates", "in_cluster", "intent", "steering")
"""What is kept of a report, as far as it is there."""
ANYWHERE = ("data", "runs", "records", "jobs", "kept", "page")
"""Options that say where and how tables are made; all others say of what."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a run found."""

    values: dict[str, np.ndarray]
    """By the name of a column of `per_query.parquet`: `encoder/recall@50` is what the learned numbers find alone,
    `vectors/recall@50` all numbers, and `recall@50` their blend with heuristics."""
    degrees: np.ndarray
    """How many train friends each query has."""
    report: dict[str, Any]
    """What the report says, as far as it is kept; of its baselines the names alone."""
    settings: dict[str, Any]
    """What the run was set to, as JSON has it."""
    asked: str
    """A hash of the queries and of what is held out of each: runs of one hash can be compared query by query."""

    def of(self, column: str, buckets: Sequence[int] = ()) -> np.ndarray:
        """The values of a column, of the queries in some buckets of degree; of all without any."""
        return self.values[column][self.among(buckets)]

    def among(self, buckets: Sequence[int] = ()) -> np.ndarray:
        """Whether each query is in some buckets of degree; without any, all are."""
        return np.isin(degree_buckets(self.degrees), buckets or range(len(DEGREE_BUCKETS)))


def keep_record(run: Path, record: Path, config: Config, *, metrics: Sequence[str]) -> None:
    """Write the record of a finished run, whole or not at all, with some of its metrics as float32."""
    found = read_per_query(run / "per_query.parquet")
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    columns = [name for name in found.column_names if name.rpartition("/")[2] in metrics]
    asked = sha256(json.dumps(found.select(list(IDENTITY)).to_pydict()).encode()).hexdigest()
    told = {name: report[name] for name in TOLD if name in report} | {"baselines": list(report["baselines"])}
    about = {"amity": __version__, "asked": asked, "settings": config.model_dump(mode="json"), "report": told}
    values = {"degree": found["degree"].cast(pa.int32()), **{name: found[name].cast(pa.float32()) for name in columns}}
    table, content = pa.table(values), BytesIO()
    with pq.ParquetWriter(content, table.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({name: json.dumps(one, separators=(",", ":")) for name, one in about.items()})
    record.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(record, content.getvalue())


def read_record(record: Path) -> Found:
    """What a run found, as far as its record has it."""
    table, about = pq.read_table(record), _about(record)
    values = {name: table[name].to_numpy() for name in table.column_names if name != "degree"}
    return Found(values, table["degree"].to_numpy(), about["report"], about["settings"], about["asked"])


def stands(record: Path, config: Config) -> bool:
    """Whether there is a record, of a run with these settings."""
    if not record.exists():
        return False
    try:
        recorded = Config.model_validate(_about(record)["settings"])
    except ValidationError:
        return False
    return recorded.model_dump(mode="json") == config.model_dump(mode="json")


def refuse_part(parser: ArgumentParser, given: Namespace) -> None:
    """Where a part of the tables would take the place of the published page, say so, and end with exit code 2."""
    place = parser.get_default("page")
    asked = {name: value for name, value in vars(given).items() if name not in ANYWHERE}
    whole = all(value == parser.get_default(name) for name, value in asked.items())
    if given.page.resolve() == place.resolve() and not whole:
        parser.error(f"{place.name} holds the whole table; say where the page of a part is to go: --page FILE")


def refuse_none(results: Mapping[str, Any], records: Path) -> None:
    """Where there is nothing to tell of, say so, and end with the exit code of a mistake."""
    if not results:
        print(
            f"{records} has no record of the settings of today. Leave out --kept, or name fewer --arms.",
            file=sys.stderr,
        )
        sys.exit(2)


def _about(record: Path) -> dict[str, Any]:
    return {name.decode(): json.loads(text) for name, text in pq.read_metadata(record).metadata.items()}
