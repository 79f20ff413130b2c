"""The worked example: files as GroupLens gives them become tables that amity reads in the right order."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import amity
from amity.config import load_config

EXAMPLE = Path(__file__).parents[1] / "examples" / "movielens"
USERS = "1::F::1::10::48067\n2::M::56::16::70072\n7::M::25::15::55117\n"
MOVIES = "3::Café (1995)::Comedy|Drama\n10::One::Action\n11::Two::Comedy\n12::Three::Drama\n90::Four::Action|Drama\n"
RATINGS = "".join(
    f"{user}::{item}::4::{time}\n"
    for user, item, time in [
        *((1, 12, 50), (1, 3, 10), (1, 10, 30), (1, 11, 30)),
        *((7, 3, 1), (7, 90, 2), (7, 11, 3), (7, 12, 3)),
        *((2, 90, 9), (2, 12, 8), (2, 10, 7), (2, 3, 6)),
    ]
)


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (("users", USERS), ("movies", MOVIES), ("ratings", RATINGS)):
        (tmp_path / f"{name}.dat").write_text(text, encoding="latin-1")
    monkeypatch.setattr(sys, "argv", ["prepare.py", str(tmp_path), str(tmp_path / "tables")])
    runpy.run_path(str(EXAMPLE / "prepare.py"), run_name="__main__")
    return tmp_path / "tables"


def test_histories_are_in_the_order_of_time_and_equal_times_in_that_of_ids(tables: Path):
    config = load_config(EXAMPLE / "settings.toml")
    graph = amity.read_graph(tables, config.ingestion)
    edges = graph.target.adjacency
    taken = {}
    for row, user in enumerate(graph.queries.vocabulary.ids(range(graph.queries.count))):
        node = graph.queries.first + row
        order = np.argsort(edges.times[edges.indptr[node] : edges.indptr[node + 1]])
        rows = edges.neighbors(node)[order] - graph.candidates.first
        taken[user] = list(graph.candidates.vocabulary.ids(rows))
    assert taken == {1: [3, 10, 11, 12], 2: [3, 10, 12, 90], 7: [3, 90, 11, 12]}


def test_genres_are_bags_and_the_settings_are_ones_that_the_schema_takes(tables: Path):
    config = load_config(EXAMPLE / "settings.toml")
    graph = amity.read_graph(tables, config.ingestion)
    (genres,) = graph.candidates.columns
    assert sorted(genres.dictionary) == ["Action", "Comedy", "Drama"]
    assert config.encoder.kind == "sequence"
    assert config.clustering.count == 10
