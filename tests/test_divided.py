"""A run whose candidates are divided: judged, recommended from and explained end to end."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import tiny
from amity import pipeline
from amity.cli import main
from amity.config import Config, load_config, merge
from amity.embedding.spectral import find_spectrum, rms_length
from amity.errors import ArtifactError, ConfigError
from amity.evaluation import DamageConfig
from amity.index import open_divided
from amity.retrieval import Confidence, DividedRetriever

DIVIDED = {
    "clustering": {"by": "column", "column": "group", "smallest": 5},
    "encoder": {"prompts": {"kind": "none"}},
    "objectives": {"intent": {"weight": 0.0}},
}
"""One encoder for all clusters, and nothing learned of which is meant."""


def settings(*flags: dict) -> Config:
    page = merge(tiny.FLAGS, DIVIDED)
    for one in flags:
        page = merge(page, one)
    return load_config(flags=page)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("divided")
    pipeline.run(place / "run", tiny.write_tables(place / "tables"), settings())
    return place / "run"


@pytest.fixture
def path(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_there_is_one_index_per_cluster_and_it_is_told_what_they_find(finished: Path):
    work = pipeline.open_run(finished, until="evaluate")
    index, clusters = open_divided(finished / "index"), work.clusters()
    assert [len(part.vectors) for part in index.parts] == clusters.sizes().tolist()
    assert index.clusters.names == clusters.names
    np.testing.assert_array_equal(index.clusters.of, clusters.of)
    about = work.report()["index"]
    assert about["recall_by_cluster"] == dict.fromkeys(clusters.names, 1.0)
    assert (about["kind"], about["recall_against_exact"]) == ("exact", 1.0)


def test_scores_are_weighed_at_the_fitted_temperature_unless_another_is_set(path: Path):
    fitted = Confidence(**pipeline.open_run(path, until="index").report()["index"]["confidence"])
    trained = Confidence(Config().objectives.retrieval.temperature)
    assert trained.temperature / 8 <= fitted.temperature <= 64 * trained.temperature
    for said, expected in (("fitted", fitted), ("trained", trained)):
        config = settings({"retrieval": {"merge": {"temperature": said}}})
        pipeline.run(path, config=config)
        retriever = pipeline.open_run(path, until="index").retriever()
        assert isinstance(retriever, DividedRetriever)
        assert retriever.confidence == expected


def test_with_one_encoder_the_divided_vectors_find_what_they_find_undivided(finished: Path):
    parts = pipeline.open_run(finished, until="evaluate").report()["parts"]
    assert parts["vectors"]["recall@10"] == parts["undivided"]["recall@10"]
    assert parts["vectors"]["recall@10"]["value"] > 0


def test_steering_tells_what_alpha_does_to_recall_diversity_and_fairness(finished: Path):
    report = pipeline.open_run(finished, until="evaluate").report()
    steering, parts = report["steering"], report["parts"]
    assert {by: [point["alpha"] for point in points] for by, points in steering.items()} == {
        by: [0, 0.25, 0.5, 1, 2, 4] for by in ("calibrated", "quota")
    }
    as_trained = steering["calibrated"][3]
    for name in ("recall@5", "recall@10"):
        assert as_trained[name]["value"] == pytest.approx(parts["vectors"][name]["value"])
    for name in ("coverage@10", "gini@10", "intra_list_similarity@10"):
        assert as_trained[name] == pytest.approx(parts["vectors"][name]["value"])
    even, *_, steep = steering["quota"]
    assert even["entropy@10"]["value"] == pytest.approx(np.log2(10))
    assert even["entropy@10"]["value"] > steep["entropy@10"]["value"] + 0.5
    assert even["gini_clusters@10"] == pytest.approx(0)
    for point in (*steering["calibrated"], *steering["quota"]):
        assert sum(point["clusters"].values()) == pytest.approx(1)
        assert sum(point["deciles"]) == pytest.approx(1)
        assert list(point["clusters"]) == list(report["clusters"])
    assert "Steering" in (finished / "report.html").read_text()


def test_eigenvectors_of_clusters_stand_beside_what_a_run_has_learned(path: Path):
    spectral = {"dim": 6, "of": "clusters", "power": 0.5, "share": 1.0}
    pipeline.run(path, config=settings({"embedding": {"spectral": spectral}}))
    work = pipeline.open_run(path, until="evaluate")
    own = find_spectrum(work.split().train, work.config.embedding.spectral, work.clusters()).rows(0.5)
    beside = work.embeddings().vectors[:, -6:]
    np.testing.assert_allclose(beside / rms_length(beside), own, atol=1e-4)
    damaged = pipeline.damage_arms([f"one={path}"], DamageConfig(edges=(0.9,), features=())).tables["one"]
    (table,) = damaged.values()
    assert table["recall@10"].to_numpy().mean() > table["90% of edges/recall@10"].to_numpy().mean()


def test_exposure_is_told_by_the_values_of_a_column(path: Path):
    """Here of the column that the clusters are made of."""
    done = pipeline.run(path, config=settings({"evaluation": {"exposure": "group"}}))
    assert [name for name, one in done.items() if one.made] == ["evaluate"]
    steering = pipeline.open_run(path, until="evaluate").report()["steering"]
    for point in (*steering["calibrated"], *steering["quota"]):
        assert point["groups"] == pytest.approx(point["clusters"])
    even, *_, steep = steering["quota"]
    assert even["gini_groups@10"] < steep["gini_groups@10"]
    with pytest.raises(ConfigError, match=r"no column `grop` .* `evaluation.exposure`"):
        pipeline.run(path, config=settings({"evaluation": {"exposure": "grop"}}))


def test_a_merge_redoes_blend_and_evaluation_alone_and_shapes_the_lists(path: Path):
    done = pipeline.run(path, config=settings({"retrieval": {"merge": {"by": "quota", "alpha": 0.0}}}))
    assert [name for name, one in done.items() if one.made] == ["blend", "evaluate"]
    work = pipeline.open_run(path, until="evaluate")
    retriever = work.retriever()
    assert isinstance(retriever, DividedRetriever)
    clusters = work.clusters().of[retriever.search(np.arange(150), k=20).rows]
    assert all(np.bincount(row, minlength=10).min() >= 1 for row in clusters)


def test_friends_that_were_held_out_do_not_come_back_to_people(finished: Path):
    recommender, retriever = pipeline.open_run(finished, until="evaluate").adviser()
    graph = retriever.embeddings.graph
    hits = recommender.search(np.arange(150), k=30)
    for query, rows in enumerate(hits.rows):
        assert not {query, *graph.target.adjacency.neighbors(query)} & set(rows)


def test_recommend_explains_cluster_quota_and_score(path: Path, capsys: pytest.CaptureFixture):
    work = pipeline.open_run(path, until="evaluate")
    clusters = dict(zip(work.graph().candidates.vocabulary.ids(range(150)), work.clusters().of, strict=True))
    main(["recommend", str(path), "person-3", "person-5", "-k", "4", "--explain", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert [one["id"] for one in answer["queries"]] == ["person-3", "person-5"]
    for one in answer["queries"][0]["candidates"]:
        assert one["cluster"] == work.clusters().names[clusters[one["id"]]]
        assert 0 < one["intent"] <= 1
        assert one["quota"] is None
    pipeline.run(path, config=settings({"retrieval": {"merge": {"by": "quota"}, "blend": {"heuristics": ()}}}))
    main(["recommend", str(path), "person-3", "-k", "150", "--explain", "--json"])
    entries = json.loads(capsys.readouterr().out)["queries"][0]["candidates"]
    for name in work.clusters().names:
        places = [one["quota"] for one in entries if one["cluster"] == name]
        assert places == [len(places)] * len(places)
    pipeline.run(path, config=settings({"retrieval": {"merge": {"by": "quota"}, "blend": {"depth": 50}}}))
    main(["recommend", str(path), "person-3", "-k", "4", "--explain", "--json"])
    retriever = pipeline.open_run(path, until="blend").adviser()[1]
    row, names = retriever.embeddings.graph.row("person-3"), work.clusters().names
    listed = retriever.index.clusters.of[retriever.search(np.array([row]), k=50).rows[0]]
    for one in json.loads(capsys.readouterr().out)["queries"][0]["candidates"]:
        assert one["quota"] == np.count_nonzero(listed == names.index(one["cluster"]))
    main(["recommend", str(path), "person-3", "-k", "4", "--explain"])
    head, *lines = capsys.readouterr().out.splitlines()[1:]
    assert head.split() == ["rank", "user", "cluster", "intent", "quota", "score"]
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("retrieval", "said"),
    [
        ({"expansion": {"by": "mean"}}, r"expansion.by` is 'mean', and there are 10 clusters"),
        ({"merge": {"by": "fair", "group": "age"}}, r"no column `age`"),
        ({"merge": {"by": "fair", "minimum_share": 0.2}}, r"10 clusters cannot each have 0.2"),
    ],
)
def test_what_one_index_alone_can_do_is_refused_before_anything_is_trained(path: Path, retrieval: dict, said: str):
    with pytest.raises(ConfigError, match=said):
        pipeline.run(path, config=settings({"retrieval": retrieval}))
    with pytest.raises(ConfigError, match=said):
        pipeline.run_stage(path, "cluster", config=settings({"retrieval": retrieval, "clustering": {"smallest": 6}}))


def test_there_is_nothing_to_explain_where_there_is_one_cluster(path: Path, capsys: pytest.CaptureFixture):
    pipeline.run(path, config=settings({"clustering": {"by": "none"}}))
    assert not (path / "index" / "divided.json").exists()
    assert "steering" not in pipeline.open_run(path, until="evaluate").report()
    assert "Steering" not in (path / "report.html").read_text()
    with pytest.raises(SystemExit, match="2"):
        main(["recommend", str(path), "person-3", "--explain"])
    assert "are one cluster" in " ".join(capsys.readouterr().err.split())


def test_an_index_of_a_cluster_that_was_altered_is_refused(path: Path):
    harmed = path / "index" / "3" / "vectors.npy"
    content = bytearray(harmed.read_bytes())
    content[-1] ^= 1
    harmed.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"index/3/vectors\.npy is not the file"):
        pipeline.open_run(path, until="evaluate").retriever()
