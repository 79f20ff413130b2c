"""The stage `cluster`: it costs nothing by default, redoes what depends on it, and takes no other split's vectors."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import amity
import tiny
from amity import pipeline
from amity.artifacts import Run
from amity.config import Config, load_config, merge
from amity.encoder import Division
from amity.errors import AmityError, ArtifactError, ConfigError
from amity.pipeline.running import bring_up_to_date, prepare
from amity.retrieval import DividedRetriever

BY_GROUP = {"clustering": {"by": "column", "column": "group", "smallest": 5}}


def settings(*flags: dict) -> Config:
    page = dict(tiny.FLAGS)
    for one in flags:
        page = merge(page, one)
    return load_config(flags=page)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "base"
    pipeline.run(path, data, settings())
    return path


@pytest.fixture
def path(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_by_default_all_candidates_are_one_cluster(finished: Path):
    work = pipeline.open_run(finished, until="evaluate")
    assert work.clusters().sizes().tolist() == [work.graph().candidates.count]
    assert work.report()["clusters"] == {"everyone": work.graph().candidates.count}
    assert "Clusters" not in (finished / "report.html").read_text()


def test_other_clusters_redo_all_that_depends_on_them_and_are_reported(path: Path):
    done = pipeline.run(path, config=settings(BY_GROUP))
    assert [name for name, one in done.items() if one.made][:2] == ["cluster", "train"]
    work = pipeline.open_run(path, until="evaluate")
    clusters = work.clusters()
    sizes = dict(zip(clusters.names, clusters.sizes().tolist(), strict=True))
    assert clusters.count == 10
    assert work.report()["clusters"] == sizes == done["cluster"].record.summary["sizes"]
    assert "Clusters" in (path / "report.html").read_text()
    assert work.model().encoder.division == Division(10, intent=True)
    told = done["train"].record.summary["intent"]
    assert told["loss_after"] <= told["loss_before"]
    assert work.report()["calibration"] == told
    assert set(work.report()["in_cluster"]) == {"recall@5", "recall@20", "recall@50"}
    assert "Each cluster alone" in (path / "report.html").read_text()
    embeddings = work.embeddings()
    assert embeddings.asking is not None
    assert embeddings.intent is not None
    assert len(embeddings.asking) == 10
    assert len(embeddings.asked_each(np.arange(5), clusters=10)) == 10
    assert embeddings.intent.shape == (len(embeddings.vectors), 10)


def test_without_prompts_a_user_asks_every_cluster_with_one_vector(path: Path):
    pipeline.run(path, config=settings(BY_GROUP, {"encoder": {"prompts": {"kind": "none"}}}))
    embeddings = pipeline.open_run(path, until="embed").embeddings()
    assert embeddings.asking is None
    assert embeddings.intent is not None


def test_clusters_that_are_made_again_are_those_that_indexes_and_judges_see(path: Path):
    again = {"clustering": {"by": "eigenvectors", "count": 5, "again_every": 2}}
    pipeline.run(path, config=settings(again))
    work = pipeline.open_run(path, until="evaluate")
    first, last = work.first_clusters(), work.clusters()
    assert first.names == last.names
    assert not np.array_equal(first.of, last.of)
    assert last.sizes().min() > 0
    assert work.report()["clusters"] == last.by_name()
    retriever = work.retriever()
    assert isinstance(retriever, DividedRetriever)
    np.testing.assert_array_equal(retriever.index.clusters.of, last.of)


def test_outside_a_run_clusters_are_not_made_again(finished: Path):
    work = pipeline.open_run(finished, until="split")
    with pytest.raises(ConfigError, match="Train by `amity run`"):
        amity.train(work.split(), settings({"clustering": {"by": "eigenvectors", "count": 5, "again_every": 8}}))


def test_what_is_learned_depends_on_the_clusters(path: Path):
    before = (path / "model.safetensors").read_bytes()
    pipeline.run_stage(path, "cluster", config=settings(BY_GROUP))
    pipeline.run_stage(path, "train", config=settings(BY_GROUP))
    assert (path / "model.safetensors").read_bytes() != before


def test_training_divides_as_the_stage_does(path: Path):
    pipeline.run_stage(path, "cluster", config=settings(BY_GROUP))
    work = pipeline.open_run(path, until="cluster")
    given, divided = (amity.train(work.split(), work.config, clusters=one) for one in (work.clusters(), None))
    for name, values in given.encoder.state_dict().items():
        assert torch.equal(values, divided.encoder.state_dict()[name])


def test_another_runs_embeddings_divide_where_its_split_is_the_same(finished: Path, data: Path, tmp_path: Path):
    config = settings({"clustering": {"by": "run", "run": str(finished), "count": 5, "balanced": True}})
    for stage in ("ingest", "split", "cluster"):
        pipeline.run_stage(tmp_path / "run", stage, data if stage == "ingest" else None, config=config)
    assert pipeline.open_run(tmp_path / "run", until="cluster").clusters().sizes().tolist() == [30] * 5


def test_clusters_of_another_run_are_made_again_when_its_embeddings_are(finished: Path, data: Path, tmp_path: Path):
    other = Path(shutil.copytree(finished, tmp_path / "other"))
    config = settings({"clustering": {"by": "run", "run": str(other), "count": 5}})
    with Run(tmp_path / "run", write=True) as run:
        work = prepare(run, data, config)
        for stage in ("ingest", "split", "cluster"):
            assert bring_up_to_date(work, pipeline.STAGES[stage]).made
        assert not bring_up_to_date(work, pipeline.STAGES["cluster"]).made
        pipeline.run_stage(other, "embed", config=settings({"embedding": {"precision": "half"}}))
        assert bring_up_to_date(work, pipeline.STAGES["cluster"]).made
        shutil.rmtree(other)
        assert not bring_up_to_date(work, pipeline.STAGES["cluster"]).made


@pytest.mark.parametrize("change", [{"seed": 1}, {"splitting": {"test": 0.2}}])
def test_a_run_of_another_split_is_refused(finished: Path, data: Path, tmp_path: Path, change: dict):
    config = settings({"clustering": {"by": "run", "run": str(finished)}}, change)
    for stage in ("ingest", "split"):
        pipeline.run_stage(tmp_path / "run", stage, data if stage == "ingest" else None, config=config)
    with pytest.raises(ConfigError, match="trained on another split"):
        pipeline.run_stage(tmp_path / "run", "cluster", config=config)


def test_embeddings_of_a_split_that_was_made_anew_since_are_refused(finished: Path, path: Path):
    config = settings({"splitting": {"test": 0.2}}, {"clustering": {"by": "run", "run": str(path)}})
    pipeline.run_stage(path, "split", config=config)
    with pytest.raises(ConfigError, match="trained on another split"):
        pipeline.run_stage(path, "cluster", config=config)


@pytest.mark.parametrize("spoil", [shutil.rmtree, lambda path: (path / "embeddings" / "vectors.npy").unlink()])
def test_a_run_that_is_gone_or_not_whole_is_refused(path: Path, finished: Path, spoil, tmp_path: Path):
    other = Path(shutil.copytree(finished, tmp_path / "other"))
    spoil(other)
    with pytest.raises(AmityError):
        pipeline.run_stage(path, "cluster", config=settings({"clustering": {"by": "run", "run": str(other)}}))


def test_a_file_of_clusters_that_was_altered_is_refused(path: Path):
    content = bytearray((path / "clusters.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "clusters.parquet").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"clusters\.parquet"):
        pipeline.open_run(path, until="evaluate").clusters()


def test_the_summary_of_a_stage_holds_every_candidate(path: Path):
    summary = json.loads((path / "manifest.json").read_text())["stages"]["cluster"]["summary"]
    assert np.sum(list(summary["sizes"].values())) == 150
    assert summary["clusters"] == 1
