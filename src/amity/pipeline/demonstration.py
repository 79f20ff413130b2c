"""The whole flow on a small network that is made on the spot."""

from pathlib import Path

from amity.artifacts import remove
from amity.config import load_config
from amity.ingestion.synthetic import synthesize
from amity.pipeline.running import Done, run

FRIENDS = 20
"""Friendships a person has on average."""


def demo(path: Path | str, *, people: int = 3000, seed: int = 0) -> dict[str, Done]:
    """Synthesize a network of so many people under `path`/data, unless it is there, and run every stage on it."""
    data = Path(path) / "data"
    if not data.is_dir():
        staged = data.with_name(".new-data")
        remove(staged)
        staged.mkdir(parents=True)
        synthesize(staged, people=people, friendships=people * FRIENDS // 2, seed=seed)
        staged.rename(data)
    return run(path, data, load_config(flags={"seed": seed}))
