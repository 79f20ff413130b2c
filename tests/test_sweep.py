"""A sweep goes on where it was stopped, never sees the test part, and writes down the best of what it tried."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomli_w

import amity.pipeline
import tiny
from amity import pipeline
from amity.artifacts import Run
from amity.cli import main
from amity.config import load_config
from amity.errors import ArtifactError, ConfigError
from amity.graph import open_graph
from amity.pipeline.space import read_space
from amity.splitting import open_split

RANGES = {
    "training.learning_rate": {"log": [1e-4, 1e-1]},
    "encoder.heads": {"int": [1, 2]},
    "sampling.fanout": {"choices": [[5, 5], [3, 3]]},
    "objectives.cca_ssg.weight": {"float": [0.2, 1.0]},
}


BASE = {**tiny.FLAGS, "encoder": {**tiny.FLAGS["encoder"], "layer": "gat"}}
"""Attention, so that its heads decide something."""


def write_space(directory: Path, **changed: Any) -> Path:
    """A data set `data`, the tiny settings as the base, and a space over both."""
    if not (directory / "data").exists():
        tiny.write_tables(directory / "data")
    (directory / "base.toml").write_text(tomli_w.dumps(BASE))
    page = {"data": "data", "config": "base.toml", "trials": 5, "space": RANGES, **changed}
    (directory / "space.toml").write_text(tomli_w.dumps(page))
    return directory / "space.toml"


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_space(tmp_path_factory.mktemp("space"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed")


@pytest.fixture(scope="module")
def finished(space: Path, place: Path) -> pipeline.Sweep:
    return pipeline.sweep(space, place)


def logged(place: Path) -> list[list[dict[str, Any]]]:
    return [
        [json.loads(line) for line in log.read_text().splitlines()] for log in (place / "trainings").glob("*/log.jsonl")
    ]


def test_the_first_trial_is_the_base_and_others_lie_in_the_space(finished: pipeline.Sweep):
    base, *others = finished.trials
    assert base.settings == {
        "training.learning_rate": load_config().training.learning_rate,
        "encoder.heads": 2,
        "sampling.fanout": [5, 5],
        "objectives.cca_ssg.weight": load_config().objectives.cca_ssg.weight,
    }
    assert base.score == 1
    assert len(others) == 4
    for trial in others:
        assert 1e-4 <= trial.settings["training.learning_rate"] <= 1e-1
        assert trial.settings["encoder.heads"] in (1, 2)
        assert trial.settings["sampling.fanout"] in ([5, 5], [3, 3])
        assert 0.2 <= trial.settings["objectives.cca_ssg.weight"] <= 1
    assert len({json.dumps(trial.settings) for trial in finished.trials}) == 5


def test_a_trial_is_judged_by_the_best_validation_recall_that_training_logged(finished: pipeline.Sweep, place: Path):
    found = [max(step["valid_recall"] for step in log if "valid_recall" in step) for log in logged(place)]
    assert sorted(found) == sorted(trial.recall["data"] for trial in finished.trials)
    base = finished.trials[0].recall["data"]
    assert [trial.score for trial in finished.trials] == [trial.recall["data"] / base for trial in finished.trials]


def test_the_best_trial_is_written_as_a_config_that_finds_the_same_again(
    finished: pipeline.Sweep, space: Path, tmp_path: Path
):
    assert finished.best.score == max(trial.score for trial in finished.trials)
    config = load_config(finished.config)
    assert config.training.learning_rate == finished.best.settings["training.learning_rate"]
    assert config.sampling.fanout == tuple(finished.best.settings["sampling.fanout"])
    assert config.encoder.dim == tiny.FLAGS["encoder"]["dim"]
    pipeline.run(tmp_path / "run", space.parent / "data", config)
    steps = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert max(step.get("valid_recall", 0) for step in steps) == finished.best.recall["data"]


def test_a_sweep_that_is_done_trains_nothing(finished: pipeline.Sweep, space: Path, place: Path):
    before = {path: path.stat().st_mtime_ns for path in place.rglob("log.jsonl")}
    assert pipeline.sweep(space, place) == finished
    assert {path: path.stat().st_mtime_ns for path in place.rglob("log.jsonl")} == before


def test_fewer_trials_and_then_more_are_the_same_as_all_at_once(finished: pipeline.Sweep, space: Path, tmp_path: Path):
    again = Path(shutil.copytree(space.parent, tmp_path / "again"))
    few = pipeline.sweep(write_space(again, trials=2), tmp_path / "sweep")
    assert few.trials == finished.trials[:2]
    with (tmp_path / "sweep" / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"op_code": 4, "worker')  # torn by a kill
    assert pipeline.sweep(write_space(again), tmp_path / "sweep").trials == finished.trials


def test_a_sweep_killed_again_and_again_ends_as_if_it_never_was(finished: pipeline.Sweep, space: Path, tmp_path: Path):
    """Killed in its first training, and after its third trial."""
    path, typed = tmp_path / "sweep", [sys.executable, "-m", "amity", "sweep", str(space), "--into"]
    for trials in (0, 3):
        with subprocess.Popen([*typed, str(path)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            while tried(path) < trials or not logged(path):
                assert process.poll() is None
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        assert trials <= tried(path) < 5
    assert pipeline.sweep(space, path).trials == finished.trials
    assert len(logged(path)) == 5
    assert not list(path.rglob("checkpoint.safetensors"))


def tried(place: Path) -> int:
    journal = place / "journal.jsonl"
    return journal.read_text().count('"recall"') if journal.exists() else 0


def test_the_test_part_is_not_there(finished: pipeline.Sweep, place: Path):
    graph = open_graph(place / "graphs" / "data" / "graph")
    split = open_split(place / "graphs" / "data" / "split", graph)
    assert split.test.truth.num_edges == 0
    assert split.valid.truth.num_edges > 0


def test_whatever_the_test_part_says_the_sweep_finds_the_same(tmp_path: Path):
    found = []
    for name in ("true", "poisoned"):
        tiny.write_tables(tmp_path / name / "data")
        path = tmp_path / name / "data" / "edges.parquet"
        edges = pq.read_table(path).to_pydict()
        rng = np.random.default_rng(0)
        part = rng.choice(["train", "valid", "test"], len(edges["src"]), p=[0.7, 0.15, 0.15])
        targets = np.array(edges["dst"])
        if name == "poisoned":
            targets[part == "test"] = rng.permutation(targets)[: (part == "test").sum()]
        pq.write_table(pa.table({"src": edges["src"], "dst": targets, "split": part}), path)
        file = write_space(tmp_path / name, trials=3)
        found.append(pipeline.sweep(file, tmp_path / name / "sweep").trials)
    assert found[0] == found[1]


def test_several_data_sets_are_judged_relative_to_the_base(finished: pipeline.Sweep, tmp_path: Path):
    tiny.write_tables(tmp_path / "other", seed=3)
    (tmp_path / "own.toml").write_text("[splitting]\nvalid = 0.1\n")
    data = ["data", {"path": "other", "config": "own.toml"}]
    found = pipeline.sweep(write_space(tmp_path, data=data, trials=3, sampler="random"), tmp_path / "sweep")
    base = found.trials[0].recall
    assert base["data"] == finished.trials[0].recall["data"]
    for trial in found.trials:
        assert trial.score == pytest.approx(np.mean([trial.recall[name] / base[name] for name in ("data", "other")]))
    assert load_config(found.config).splitting.valid == load_config().splitting.valid


def test_the_same_settings_are_not_trained_twice_and_another_seed_draws_others(tmp_path: Path):
    choices = {"encoder.heads": {"choices": [1, 2]}}
    found = pipeline.sweep(write_space(tmp_path, space=choices, trials=6, sampler="random"), tmp_path / "sweep")
    assert len(found.trials) == 6
    assert len(logged(tmp_path / "sweep")) == 2
    with pytest.raises(ConfigError, match="Another sweep lies in"):
        pipeline.sweep(write_space(tmp_path, space=choices, sampler="random", seed=1), tmp_path / "sweep")
    others = pipeline.sweep(
        write_space(tmp_path, space=choices, trials=6, sampler="random", seed=1), tmp_path / "sweep 1"
    )
    assert [trial.settings for trial in others.trials] != [trial.settings for trial in found.trials]


def test_clusters_are_settings_like_any_other(tmp_path: Path):
    ways = [{"clustering.by": by, "clustering.column": "group", "clustering.smallest": 5} for by in ("none", "column")]
    file = write_space(tmp_path, space={"way": {"together": ways}}, trials=5, sampler="random")
    found = pipeline.sweep(file, tmp_path / "sweep")
    assert {trial.settings["way"]["clustering.by"] for trial in found.trials} == {"none", "column"}
    assert not any(trial.obstacle for trial in found.trials)
    assert len(logged(tmp_path / "sweep")) == 3  # the base, and either way


def test_settings_that_do_not_fit_each_other_find_nothing_and_the_sweep_goes_on(tmp_path: Path):
    ranges = {"encoder.dim": {"choices": [8, 6]}, "encoder.heads": {"choices": [2, 4]}}
    found = pipeline.sweep(write_space(tmp_path, space=ranges, trials=12, sampler="random"), tmp_path / "sweep")
    unfit = [trial for trial in found.trials if trial.settings == {"encoder.dim": 6, "encoder.heads": 4}]
    assert unfit
    assert all((trial.score, trial.recall) == (0, {}) and "heads" in trial.obstacle for trial in unfit)


def test_settings_without_a_step_cannot_be_judged_and_the_sweep_goes_on(tmp_path: Path):
    steps = {"training.steps": {"choices": [12, 0]}}
    found = pipeline.sweep(write_space(tmp_path, space=steps, trials=6, sampler="random"), tmp_path / "sweep")
    untrained = [trial for trial in found.trials if trial.settings == {"training.steps": 0}]
    assert untrained
    assert all("no validation to judge by" in trial.obstacle for trial in untrained)


def test_settings_that_must_fit_each_other_are_drawn_together(tmp_path: Path):
    tables = [{"encoder": {"layers": 1}, "sampling.fanout": [5]}, {"encoder": {"layers": 2}, "sampling.fanout": [5, 5]}]
    file = write_space(tmp_path, space={"depth": {"together": tables}}, trials=5, sampler="random")
    found = pipeline.sweep(file, tmp_path / "sweep")
    assert found.trials[0].settings == {"depth": {"encoder.layers": 2, "sampling.fanout": [5, 5]}}
    drawn = [trial.settings["depth"]["encoder.layers"] for trial in found.trials]
    assert set(drawn) == {1, 2}
    assert not any(trial.obstacle for trial in found.trials)
    assert len(logged(tmp_path / "sweep")) == 2
    best, depth = load_config(found.config), found.best.settings["depth"]
    assert depth == {"encoder.layers": best.encoder.layers, "sampling.fanout": list(best.sampling.fanout)}


def test_a_base_outside_of_the_space_is_tried_all_the_same(tmp_path: Path):
    ranges = {"objectives.grace.weight": {"log": [1e-3, 1.0]}, "encoder.heads": {"int": [1, 2]}}
    found = pipeline.sweep(write_space(tmp_path, space=ranges, trials=2), tmp_path / "sweep")
    assert [trial.settings["objectives.grace.weight"] > 0 for trial in found.trials] == [False, True]


def test_without_optuna_a_sweep_says_what_to_type(space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "amity.pipeline.study", raising=False)
    monkeypatch.delattr(amity.pipeline, "study", raising=False)
    with pytest.raises(ConfigError, match=r"needs optuna, which is not here\. Type: pip install 'amity\[sweep\]'"):
        pipeline.sweep(space, tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_the_sweep_of_the_experiments_can_be_tried(shared_data: Path):
    file = Path(__file__).parents[1] / "experiments" / "sweeps" / "gat.toml"
    assert read_space(file).sweep.trials == 40


def test_two_sweeps_at_once_are_refused(space: Path, place: Path, finished: pipeline.Sweep):
    with (
        Run(place / "graphs" / "data", write=True),
        pytest.raises(ArtifactError, match="Another process is writing"),
    ):
        pipeline.sweep(space, place)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown setting": (
        {"space": {"training.lerning_rate": {"log": [0.1, 1]}}},
        "Did you mean `training.learning_rate`?",
    ),
    "an unknown key": ({"trails": 3}, "There is no setting `trails`, found in {file}. Did you mean `trials`?"),
    "an unknown key of a data set": (
        {"data": [{"path": "data", "cnofig": "base.toml"}]},
        "Did you mean `data.0.config`?",
    ),
    "no data": ({"data": []}, "The setting `data` in {file} cannot stand"),
    "data without a path": ({"data": [{"config": "base.toml"}]}, "The setting `data.0.path` is missing in {file}"),
    "no space": ({"space": {}}, "The setting `space` in {file} cannot stand"),
    "no range": ({"space": {"training": {"learning_rate": 0.1}}}, "The range of `training.learning_rate` in {file}"),
    "an empty range": ({"space": {"training": {"learning_rate": {}}}}, "The range of `training.learning_rate`"),
    "a range of a strange kind": (
        {"space": {"encoder.heads": {"integer": [1, 2]}}},
        "The range of `encoder.heads.integer`",
    ),
    "a range upside down": ({"space": {"encoder.heads": {"int": [2, 1]}}}, "low below high"),
    "a logarithm of nothing": ({"space": {"training.learning_rate": {"log": [0.0, 1.0]}}}, "above 0"),
    "broken whole numbers": ({"space": {"encoder.heads": {"int": [1.0, 2.5]}}}, "whole numbers"),
    "a broken number for a whole one": ({"space": {"encoder.heads": {"float": [1, 4]}}}, "The setting `encoder.heads`"),
    "tables of other settings": (
        {"space": {"depth": {"together": [{"encoder.layers": 1}, {"encoder.heads": 1}]}}},
        "The range of `depth`",
    ),
    "an unknown setting among others": (
        {"space": {"depth": {"together": [{"encoder.layer_count": 1}]}}},
        "There is no setting `encoder.layer_count`. Did you mean `encoder.layer`?",
    ),
    "a setting alone and among others": (
        {"space": {"depth": {"together": [{"encoder.heads": 1}]}, "encoder.heads": {"choices": [1, 2]}}},
        "The setting `encoder.heads` stands more than once",
    ),
    "a setting in two groups": (
        {"space": {name: {"together": [{"encoder.heads": 1}]} for name in ("depth", "width")}},
        "The setting `encoder.heads` stands more than once",
    ),
    "the judge among others": (
        {"space": {"all": {"together": [{"training.validation_candidates": 9}]}}},
        "The setting `training.validation_candidates`",
    ),
    "a choice that cannot stand": ({"space": {"encoder.layer": {"choices": ["gat", "gta"]}}}, "Found 'gta'"),
    "a low end that cannot stand": ({"space": {"training.steps": {"int": [-1, 9]}}}, "The setting `training.steps`"),
    "a setting that validation does not see": (
        {"space": {"evaluation.headline": {"choices": [5, 10]}}},
        "cannot be swept",
    ),
    "the judge": ({"space": {"training.validation_candidates": {"int": [10, 90]}}}, "cannot be swept"),
    "another objective": ({"objective": "test recall"}, "valid recall"),
    "a base that is not there": ({"config": "nowhere.toml"}, "nowhere.toml cannot be read"),
    "data that are not there": ({"data": "nowhere"}, "There is no directory"),
    "data of one name": ({"data": ["data", "../data/data"]}, "have one name"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_space_that_cannot_be_tried_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mistake: str
):
    changed, hint = MISTAKES[mistake]
    file = write_space(tmp_path, **changed)
    with pytest.raises(SystemExit) as end:
        main(["sweep", str(file), "--into", str(tmp_path / "sweep"), "--json"])
    assert end.value.code == 2
    answer = capsys.readouterr()
    assert hint.format(file=file) in json.loads(answer.out)["error"]["message"]
    assert "Traceback" not in answer.err
    assert not (tmp_path / "sweep").exists()


def test_the_command_prints_a_table_or_one_document(
    finished: pipeline.Sweep, space: Path, place: Path, capsys: pytest.CaptureFixture[str]
):
    main(["sweep", str(space), "--into", str(place), "--json", "--quiet"])
    document = json.loads(capsys.readouterr().out)
    assert (document["best"], document["config"]) == (finished.best.number, str(place / "best.toml"))
    assert [trial["score"] for trial in document["trials"]] == [trial.score for trial in finished.trials]
    main(["sweep", str(space), "--into", str(place)])
    shown = capsys.readouterr().out
    assert f"learning_rate {load_config().training.learning_rate:g}" in " ".join(shown.split())
    assert f"{finished.best.score:.4f}" in shown
    assert f"best settings: {place / 'best.toml'}" in shown
