import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from records import keep_record, read_record, stands
from running import Run, bring_up_to_date
from tables import relative

from amity import pipeline
from amity.config import Config, load_config, merge
from amity.errors import ArtifactError
from amity.evaluation import read_per_query
from tiny import FLAGS, write_tables

METRICS = ("recall@10", "mrr")


@dataclass(frozen=True)
class Kept:
    """A finished run and its record."""

    run: Path
    record: Path
    config: Config


def keep(folder: Path, **flags: object) -> Kept:
    config = load_config(flags=merge(FLAGS, {"evaluation": {"baselines": ("ppr",)}} | flags))
    kept = Kept(folder / "run", folder / "records" / "run.parquet", config)
    pipeline.run(kept.run, write_tables(folder / "data"), config)
    keep_record(kept.run, kept.record, config, metrics=METRICS)
    return kept


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return keep(tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def kept_of_another_split(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return keep(tmp_path_factory.mktemp("other"), splitting={"test": 0.2})


def test_a_record_tells_what_its_run_found(kept: Kept):
    found, table = read_record(kept.record), read_per_query(kept.run / "per_query.parquet")
    assert {f"{part}{metric}" for part in ("", "ppr/") for metric in METRICS} <= found.values.keys()
    assert not any(name.endswith("recall@5") for name in found.values)
    for name, values in found.values.items():
        np.testing.assert_array_equal(values, table[name].to_numpy().astype(np.float32))
    np.testing.assert_array_equal(found.degrees, table["degree"].to_numpy())
    assert found.report["baselines"] == ["ppr"]
    assert found.settings["seed"] == kept.config.seed


def test_a_record_names_nobody(kept: Kept):
    assert b"person-" not in kept.record.read_bytes()


def test_a_record_stands_until_a_setting_of_its_run_changes(kept: Kept):
    assert stands(kept.record, kept.config)
    assert not stands(kept.record, load_config(flags=merge(kept.config.model_dump(), {"seed": 1})))
    deeper = {"objectives": {"retrieval": {"temperature": 0.3}}}
    assert not stands(kept.record, load_config(flags=merge(kept.config.model_dump(), deeper)))
    assert not stands(kept.record.with_name("none.parquet"), kept.config)


def rewritten(kept: Kept, record: Path, change: Callable[[dict], None]) -> Path:
    """The record as if its run had been set otherwise."""
    config = json.loads(kept.config.model_dump_json())
    change(config)
    keep_record(kept.run, record, SimpleNamespace(model_dump=lambda **_: config), metrics=METRICS)
    return record


def test_a_setting_that_did_not_exist_counts_as_its_default(kept: Kept, tmp_path: Path):
    old = rewritten(kept, tmp_path / "old.parquet", lambda config: config["embedding"].pop("message_pass"))
    assert stands(old, kept.config)
    assert not stands(old, load_config(flags=merge(kept.config.model_dump(), {"embedding": {"message_pass": 0.25}})))


def test_the_same_holds_of_settings_of_a_table_by_its_name(kept: Kept, tmp_path: Path):
    described = load_config(flags=merge(kept.config.model_dump(), {"ingestion": {"nodes": {"user": {"id": "person"}}}}))
    one = replace(kept, config=described)
    old = rewritten(one, tmp_path / "old.parquet", lambda config: config["ingestion"]["nodes"]["user"].pop("missing"))
    assert stands(old, described)
    assert not stands(old, kept.config)


def test_a_setting_that_is_gone_unseats_a_record(kept: Kept, tmp_path: Path):
    old = rewritten(kept, tmp_path / "old.parquet", lambda config: config["embedding"].update(gone=1))
    assert not stands(old, kept.config)


def test_a_table_that_is_described_further_unseats_a_record(kept: Kept):
    described = {"ingestion": {"nodes": {"user": {"missing": [0]}}}}
    assert not stands(kept.record, load_config(flags=merge(kept.config.model_dump(), described)))


def test_what_has_a_record_is_not_run_again_where_there_is_no_run(kept: Kept, tmp_path: Path):
    run = Run(tmp_path / "run", tmp_path / "no data", kept.config, kept.record)
    bring_up_to_date([run], metrics=METRICS, jobs=1)
    assert not run.path.exists()


COLUMNS = ("arm", "mrr"), ("base", "mrr")


def test_runs_that_were_not_asked_the_same_are_not_compared(kept: Kept, kept_of_another_split: Kept):
    one, other = read_record(kept.record), read_record(kept_of_another_split.record)
    assert relative({"arm": [one], "base": [one]}, *COLUMNS)[0] == 0
    with pytest.raises(ArtifactError, match="were not asked the same"):
        relative({"arm": [one], "base": [other]}, *COLUMNS)


def test_runs_are_paired_by_their_seeds_and_not_by_their_places(kept: Kept):
    one = read_record(kept.record)
    better = replace(one, values={"mrr": 2 * one.values["mrr"]}, settings={**one.settings, "seed": 7})
    by_arm = {"arm": [better, one], "base": [one]}
    assert relative(by_arm, *COLUMNS)[0] == 0
    assert relative({**by_arm, "base": [replace(better, values=one.values)]}, *COLUMNS)[0] == pytest.approx(100)
