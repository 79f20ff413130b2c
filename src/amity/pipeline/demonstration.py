"""The whole flow on a small network that is made on the spot."""

from pathlib import Path

from amity.artifacts import Run, remove
from amity.config import load_config
from amity.errors import ConfigError
from amity.ingestion.synthetic import synthesize
from amity.ingestion.tables import open_table
from amity.pipeline.running import Done, run

FRIENDS = 20
"""Friendships a person has on average."""
STEPS = 600
"""At most so many steps are trained: what more of them add to a demonstration is not worth the wait."""


def demo(path: Path | str, *, people: int = 3000, seed: int = 0) -> dict[str, Done]:
    """Synthesize a network of so many people under `path`/data, unless it is there, and run every stage on it.

    Raises `ConfigError` where there are too few people, or where another network lies there already, `DataError` where
    a torn one does.
    """
    with Run(Path(path), write=True):
        data = Path(path) / "data"
        if not data.exists():
            staged = data.with_name(".new-data")
            remove(staged)
            staged.mkdir()
            synthesize(staged, people=people, friendships=people * FRIENDS // 2, seed=seed)
            staged.rename(data)
        _refuse_another(data, people)
    return run(path, data, load_config(flags={"seed": seed, "training": {"steps": STEPS}}))


def _refuse_another(data: Path, people: int) -> None:
    nodes = data / "nodes.parquet"
    found = open_table(data, nodes.name, data).num_rows if nodes.is_file() else 0
    if found != people:
        raise ConfigError(
            f"{data} does not hold the demo's network of {people:,} people, but {found:,}. Name another directory: "
            f"`amity demo OTHER --people {people}`."
        )
