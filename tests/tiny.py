"""A network small enough that every stage takes a moment, as tables."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FLAGS = {
    "sampling": {"batch_size": 64, "negatives": 32, "fanout": (5, 5)},
    "encoder": {"dim": 8, "heads": 2},
    "training": {"steps": 12, "first_validation": 4, "checkpoint_every_s": 0.01},
    "evaluation": {"k": (5, 10), "headline": 10, "resamples": 20},
}
"""Settings under which they take a moment."""


def write_tables(
    directory: Path, *, people: int = 150, friendships: int = 900, seed: int = 0, integers: bool = False
) -> Path:
    """Ten groups of people, with ids `person-0`, ... or 0, ...; most friendships are inside a group."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 10, people)
    sources = rng.integers(0, people, 8 * friendships)
    targets = rng.integers(0, people, 8 * friendships)
    likely = np.flatnonzero((group[sources] == group[targets]) | (rng.random(len(sources)) < 0.02))[:friendships]
    names = np.arange(people) if integers else np.array([f"person-{number}" for number in range(people)])
    directory.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": names, "group": group.astype(str)}), directory / "nodes.parquet")
    edges = {"src": names[sources[likely]], "dst": names[targets[likely]]}
    pq.write_table(pa.table(edges), directory / "edges.parquet")
    return directory


def write_sequences(directory: Path, *, users: int = 200, items: int = 40, seed: int = 0) -> Path:
    """Histories of up to 20 items, the last test, the last but one valid; mostly the item seven further on is next."""
    rng = np.random.default_rng(seed)
    histories = []
    for _ in range(users):
        history = [int(rng.integers(items))]
        for _ in range(int(rng.integers(3, 20))):
            following = (history[-1] + 7) % items if rng.random() < 0.9 else int(rng.integers(items))
            history += [following] if following not in history else []
        histories.append(history)
    directory.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"user": np.arange(users), "items": histories}), directory / "sequences.parquet")
    pq.write_table(pa.table({"item": np.arange(items)}), directory / "items.parquet")
    (directory / "amity.toml").write_text(SEQUENCES)
    return directory


SEQUENCES = """
[ingestion.nodes.item]
table = "items.parquet"
id = "item"

[ingestion.edges.took]
target = "item"
table = "sequences.parquet"
source_column = "user"
sequence = "items"
leave_one_out = true
"""
