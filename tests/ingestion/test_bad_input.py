"""What bad tables get: an error that says where, or a count in the summary; never a traceback, never half a graph."""

from pathlib import Path

import pytest

from amity.errors import AmityError, ArtifactError, DataError
from amity.graph.storage import read_summary
from amity.ingestion import IngestionConfig, ingest
from ingestion.bad_inputs import BAD, COUNTED
from ingestion.makers import Bad, Counted, good, people, table


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.claim)
def test_is_refused_in_one_paragraph(tmp_path: Path, bad: Bad):
    data, directory = tmp_path / "data", tmp_path / "graph"
    data.mkdir()
    config = bad.make(data)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(bad.error) as caught:
        ingest(data, directory, IngestionConfig.model_validate(config or {}))
    message = str(caught.value)
    for part in bad.parts:
        assert part in message
    if isinstance(caught.value, AmityError):
        assert "\n" not in message
        assert len(message) < 700
    assert not (directory / "graph.json").exists()
    assert not list(directory.glob(".scratch*"))
    assert sorted(p for p in tmp_path.rglob("*") if directory not in (p, *p.parents)) == before


@pytest.mark.parametrize("counted", COUNTED, ids=lambda counted: counted.claim)
def test_is_counted_in_the_summary(tmp_path: Path, counted: Counted):
    data = tmp_path / "data"
    data.mkdir()
    config = counted.make(data)
    ingest(data, tmp_path / "graph", IngestionConfig.model_validate(config or {}))
    found = read_summary(tmp_path / "graph")
    for key in counted.where:
        found = found[key]
    assert found == counted.number


def test_there_are_sixty_bad_inputs_and_each_is_another():
    assert len({bad.claim for bad in BAD} | {counted.claim for counted in COUNTED}) == len(BAD) + len(COUNTED) >= 60


def test_an_existing_directory_is_left_as_it_was(tmp_path: Path):
    (tmp_path / "data").mkdir()
    good(tmp_path / "data")
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "graph.json").write_text("precious")
    with pytest.raises(ArtifactError, match="not an empty directory"):
        ingest(tmp_path / "data", tmp_path / "graph", IngestionConfig())
    assert [path.name for path in (tmp_path / "graph").iterdir()] == ["graph.json"]
    assert (tmp_path / "graph" / "graph.json").read_text() == "precious"


def test_tables_that_fail_leave_a_directory_in_which_they_can_be_tried_again(tmp_path: Path):
    people(tmp_path / "data", age=[30.0, 40.0, 50.0])
    table(tmp_path / "data", src=[1, 9], dst=[2, 1])
    with pytest.raises(DataError, match="no user has the id 9"):
        ingest(tmp_path / "data", tmp_path / "graph", IngestionConfig(dangling="error"))
    assert list((tmp_path / "graph").iterdir()) == []
    assert ingest(tmp_path / "data", tmp_path / "graph", IngestionConfig()).num_nodes == 3


def test_a_wide_bad_table_still_gets_a_short_message(tmp_path: Path):
    (tmp_path / "data").mkdir()
    table(tmp_path / "data", **{f"column{number}": [1] for number in range(300)})
    with pytest.raises(DataError) as caught:
        ingest(tmp_path / "data", tmp_path / "graph", IngestionConfig())
    assert len(str(caught.value)) < 500
