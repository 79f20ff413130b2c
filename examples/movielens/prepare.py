"""MovieLens 1M, as GroupLens gives it, to tables for amity: who is who, what is what, and each user's films in order.

    python examples/movielens/prepare.py ml-1m tables

`ml-1m` is the unpacked https://files.grouplens.org/datasets/movielens/ml-1m.zip.
"""

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FILES = {
    "users": ("user", "gender", "age", "occupation", "zip"),
    "movies": ("item", "title", "genres"),
    "ratings": ("user", "item", "rating", "time"),
}
"""By file, its columns; they stand between double colons, without a head."""


def main() -> None:
    """Read three files, write three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="where users.dat, movies.dat and ratings.dat lie")
    parser.add_argument("target", type=Path, help="where the tables go")
    given = parser.parse_args()
    given.target.mkdir(parents=True, exist_ok=True)
    users, movies, ratings = (read(given.source / f"{name}.dat", columns) for name, columns in FILES.items())
    genres = pc.split_pattern(movies["genres"], "|")
    pq.write_table(users, given.target / "users.parquet")
    pq.write_table(movies.set_column(2, "genres", genres), given.target / "items.parquet")
    pq.write_table(histories(ratings), given.target / "sequences.parquet")


def read(path: Path, columns: tuple[str, ...]) -> pa.Table:
    """A file as a table of text, but for ids and times, which are integers."""
    rows = [line.split("::") for line in path.read_text(encoding="latin-1").splitlines()]
    table = pa.table(dict(zip(columns, map(pa.array, zip(*rows, strict=True)), strict=True)))
    numbers = [name for name in ("user", "item", "time") if name in columns]
    for name in numbers:
        table = table.set_column(columns.index(name), name, pc.cast(table[name], pa.int64()))
    return table


def histories(ratings: pa.Table) -> pa.Table:
    """The items of each user in the order of time; what came at one time, in the order of ids."""
    ordered = ratings.sort_by([("user", "ascending"), ("time", "ascending"), ("item", "ascending")])
    grouped = ordered.group_by("user", use_threads=False).aggregate([("item", "list")])
    return grouped.rename_columns(["user", "items"])


if __name__ == "__main__":
    main()
