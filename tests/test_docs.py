"""What docs/ shows is run as it stands."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from amity.config import Config
from amity.graph.storage import read_summary
from amity.ingestion import IngestionConfig, ingest
from amity.ingestion.synthetic import synthesize

DOCS = Path(__file__).parents[1] / "docs"
TABLES = (DOCS / "tables.md").read_text(encoding="utf-8")
DIVIDING = (DOCS / "divide-and-conquer.md").read_text(encoding="utf-8")
EXAMPLES = {
    part.split("\n", 1)[0]: part for part in re.split(r"^#{2,3} ", TABLES, flags=re.MULTILINE) if "```json" in part
}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def assert_within(shown: Any, found: Any) -> None:
    """What is shown is part of what was found."""
    if not isinstance(shown, dict):
        assert shown == found
        return
    assert shown.keys() <= found.keys()
    for key, value in shown.items():
        assert_within(value, found[key])


def test_every_example_of_a_description_is_one_that_the_schema_takes():
    snippets = blocks(TABLES, "toml")
    assert len(snippets) == len(EXAMPLES) + 1
    for snippet in snippets:
        IngestionConfig.model_validate(tomllib.loads(snippet)["ingestion"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_gives_the_summary_beside_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.chdir(data)
    for file, content in re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", EXAMPLES[name], re.MULTILINE | re.DOTALL):
        Path(file).write_text(content)
    for program in blocks(EXAMPLES[name], "python"):
        exec(program, {})
    ingest(data, tmp_path / "graph", IngestionConfig())
    (shown,) = blocks(EXAMPLES[name], "json")
    assert_within(json.loads(shown), read_summary(tmp_path / "graph"))


def test_every_setting_of_divide_and_conquer_is_one_that_the_config_takes():
    snippets = blocks(DIVIDING, "toml")
    assert snippets
    for snippet in snippets:
        Config.model_validate(tomllib.loads(snippet))


def test_the_programs_of_divide_and_conquer_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    synthesize(tmp_path / "runs" / "demo" / "data", people=400, friendships=4000, seed=0)
    known: dict[str, Any] = {}
    for program in blocks(DIVIDING, "python"):
        exec(program, known)
    assert known["clusters"].sizes().sum() == 400


def test_the_examples_are_those_that_are_promised():
    assert len(EXAMPLES) == 5
