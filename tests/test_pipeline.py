"""All stages in order: what is done is not done again, and what no longer stands is."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import tiny
from amity import pipeline
from amity.artifacts import Run
from amity.config import Config, load_config
from amity.embedding import embed_graph
from amity.errors import AmityError, ArtifactError, ConfigError, DataError, TrainingError
from amity.pipeline import stages
from amity.pipeline.learning import learn
from amity.pipeline.running import bring_up_to_date, prepare
from amity.pipeline.spectral import SHARES
from amity.training import Journal

STAGES = list(pipeline.STAGES)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "first"
    done = pipeline.run(path, data, settings())
    assert all(one.made for one in done.values())
    return path


@pytest.fixture
def path(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def settings(**changed: dict) -> Config:
    flags = {
        section: {**tiny.FLAGS.get(section, {}), **changed.get(section, {})} for section in {*tiny.FLAGS, *changed}
    }
    return load_config(flags=flags)


def made(done: dict[str, pipeline.Done]) -> list[str]:
    return [name for name, one in done.items() if one.made]


def artifacts(path: Path) -> dict[str, bytes]:
    """The files that a reader opens; reports name the time when they were made."""
    places = [path / "model.safetensors", *(path / "embeddings").rglob("*"), *(path / "split").rglob("*")]
    return {str(place.relative_to(path)): place.read_bytes() for place in places if place.is_file()}


def test_a_run_holds_the_artifacts_of_the_design(finished: Path):
    names = {place.name for place in finished.iterdir() if not place.name.startswith(".")}
    assert names == {
        *("config.toml", "manifest.json", "log.jsonl", "graph", "split", "clusters.parquet", "model.safetensors"),
        *("embeddings", "index", "blend.json", "report.json", "report.html", "per_query.parquet"),
    }


def test_a_finished_run_is_not_run_again(path: Path):
    assert made(pipeline.run(path)) == []


def test_a_run_without_training_is_judged_like_any_other_and_tells_of_no_learning(path: Path, data: Path):
    assert made(pipeline.run(path, data, settings(training={"steps": 0}))) == STAGES[STAGES.index("train") :]
    assert (path / "log.jsonl").read_text() == ""
    page = (path / "report.html").read_text()
    assert "All numbers" in page
    assert "Learning" not in page


def test_the_same_seed_gives_the_same_artifacts(finished: Path, data: Path, tmp_path: Path):
    pipeline.run(tmp_path / "again", data, settings())
    assert artifacts(tmp_path / "again") == artifacts(finished)


@pytest.mark.parametrize(
    ("changed", "first"),
    [
        ({"splitting": {"test": 0.2}}, "split"),
        ({"training": {"steps": 13}}, "train"),
        ({"embedding": {"parquet": True}}, "embed"),
        ({"index": {"measured_k": 7}}, "index"),
        ({"retrieval": {"blend": {"depth": 60}}}, "blend"),
        ({"evaluation": {"resamples": 21}}, "evaluate"),
    ],
)
def test_changed_settings_redo_their_stage_and_what_depends_on_it(path: Path, changed: dict, first: str):
    done = made(pipeline.run(path, config=settings(**changed)))
    assert done[0] == first
    assert set(done) <= set(STAGES[STAGES.index(first) :])
    assert made(pipeline.run(path)) == []


def test_the_same_bytes_made_again_do_not_redo_what_read_them(path: Path):
    pipeline.run_stage(path, "split")
    assert made(pipeline.run(path)) == []


def test_changed_tables_redo_everything(path: Path, tmp_path: Path):
    other = tiny.write_tables(tmp_path / "other", seed=1)
    assert made(pipeline.run(path, other)) == STAGES
    tiny.write_tables(other, seed=2)
    assert made(pipeline.run(path)) == STAGES


def test_a_changed_table_of_any_format_redoes_everything(path: Path, tmp_path: Path):
    tables = tmp_path / "tables"
    tables.mkdir()
    for seed in (1, 2):
        edges = pq.read_table(tiny.write_tables(tmp_path / "made", seed=seed) / "edges.parquet")
        rows = ("\t".join(row.values()) for row in edges.to_pylist())
        (tables / "edges.tsv").write_text("\n".join(["src\tdst", *rows]))
        assert made(pipeline.run(path, tables)) == STAGES


def test_a_mistyped_run_is_refused_and_no_directory_left(tmp_path: Path):
    for begin in (pipeline.run, lambda path: pipeline.run_stage(path, "train")):
        with pytest.raises(ConfigError, match=r"There is no run .*typo yet"):
            begin(tmp_path / "typo")
    assert list(tmp_path.iterdir()) == []


def test_a_demo_of_another_size_is_refused_where_one_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("amity.pipeline.demonstration.run", lambda *_: {})
    pipeline.demo(tmp_path, people=100)
    before = (tmp_path / "data" / "edges.parquet").read_bytes()
    pipeline.demo(tmp_path, people=100)
    with pytest.raises(ConfigError, match="network of 120 people, but 100"):
        pipeline.demo(tmp_path, people=120)
    assert (tmp_path / "data" / "edges.parquet").read_bytes() == before


def test_a_torn_network_of_a_demo_is_refused(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "nodes.parquet").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"nodes\.parquet cannot be read as Parquet"):
        pipeline.demo(tmp_path, people=100)


def link_folder(tables: Path, elsewhere: Path) -> None:
    (tables / "edges").symlink_to(elsewhere)
    (tables / "amity.toml").write_text('[ingestion.edges.friend]\ntable = "edges/edges.parquet"\n')


def name_outside(tables: Path, elsewhere: Path) -> None:
    (tables / "amity.toml").write_text(f'[ingestion.edges.friend]\ntable = "../{elsewhere.name}/edges.parquet"\n')


@pytest.mark.parametrize("reach", [link_folder, name_outside])
def test_a_changed_table_that_lies_elsewhere_is_read_again(tmp_path: Path, reach: Callable[[Path, Path], None]):
    tables, elsewhere = tiny.write_tables(tmp_path / "tables"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tables / "edges.parquet").rename(elsewhere / "edges.parquet")
    (tables / "notes.parquet").symlink_to("nowhere")
    reach(tables, elsewhere)
    with Run(tmp_path / "run", write=True) as run:
        for changed in (False, True):
            if changed:
                tiny.write_tables(elsewhere, seed=1)
            for made in (True, False):
                work = prepare(run, tables, settings())
                assert bring_up_to_date(work, stages.STAGES["ingest"]).made == made


def test_another_version_of_amity_redoes_a_run(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("amity.pipeline.running.__version__", "9.9.9")
    monkeypatch.setattr(stages, "__version__", "9.9.9")
    assert made(pipeline.run(path)) == STAGES
    assert made(pipeline.run(path)) == []


def test_a_run_of_another_version_can_still_be_read_though_settings_have_come_since(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    def with_another(work: pipeline.Work, name: str) -> dict:
        return {**settings_now(work, name), "novelty": {"weight": 1}}

    settings_now = stages.settings
    monkeypatch.setattr(stages, "settings", with_another)
    with pytest.raises(ArtifactError, match="novelty"):
        pipeline.open_run(path, until="index")
    monkeypatch.setattr(stages, "__version__", "9.9.9")
    pipeline.open_run(path, until="index").retriever()


def test_a_finished_run_outlives_its_tables(data: Path, tmp_path: Path):
    tables = Path(shutil.copytree(data, tmp_path / "tables"))
    pipeline.run(tmp_path / "run", tables, settings())
    shutil.rmtree(tables)
    assert made(pipeline.run(tmp_path / "run")) == []
    with pytest.raises(ConfigError, match="does not know its tables, or they are gone"):
        pipeline.run_stage(tmp_path / "run", "ingest")


def test_a_stage_refuses_what_was_made_before_its_input(path: Path):
    pipeline.run_stage(path, "train", config=settings(training={"steps": 5, "learning_rate": 0.02}))
    with pytest.raises(ArtifactError, match=r"`amity embed` makes does not stand.* before `train` was last made"):
        pipeline.run_stage(path, "index")
    with pytest.raises(ArtifactError, match="`amity embed` makes does not stand"):
        pipeline.open_run(path, until="index")
    assert made(pipeline.run(path)) == ["embed", "index", "blend", "evaluate"]


def test_a_stage_refuses_inputs_made_under_other_settings(path: Path):
    config = settings(training={"steps": 5})
    with pytest.raises(ArtifactError, match=r"made with `training\.steps` 12, and that is now 5"):
        pipeline.run_stage(path, "embed", config=config)


def test_a_stage_by_itself_says_which_one_is_missing(data: Path, tmp_path: Path):
    pipeline.run_stage(tmp_path / "run", "ingest", data, settings())
    with pytest.raises(ArtifactError, match=r"`amity split` makes does not stand.* it has not been made"):
        pipeline.run_stage(tmp_path / "run", "train")


@pytest.mark.parametrize(
    "place",
    ["graph/graph.json", "split/split.json", "model.safetensors", "embeddings/vectors.npy", "index/vectors.npy"],
)
def test_an_altered_artifact_is_refused_before_anything_reads_it(path: Path, place: str):
    content = bytearray((path / place).read_bytes())
    content[len(content) // 2] ^= 1
    (path / place).write_bytes(content)
    with pytest.raises(ArtifactError, match="has another checksum"):
        pipeline.run(path)
    work = pipeline.open_run(path, until="index")
    with pytest.raises(ArtifactError, match="has another checksum"):
        assert [work.model(), work.retriever()]


def test_an_artifact_of_another_run_is_refused(path: Path, data: Path, tmp_path: Path):
    pipeline.run(tmp_path / "other", data, settings(training={"learning_rate": 0.1}))
    shutil.copy(tmp_path / "other" / "model.safetensors", path / "model.safetensors")
    with pytest.raises(ArtifactError, match="swapped for another run's"):
        pipeline.run(path)


def test_an_altered_artifact_can_be_made_again(path: Path, finished: Path):
    (path / "model.safetensors").write_bytes(b"nothing")
    pipeline.run_stage(path, "train")
    assert made(pipeline.run(path)) == []
    assert artifacts(path) == artifacts(finished)


def leave_checkpoint(path: Path, config: Config, purpose: str = "") -> None:
    """Leave a run as an interrupted training leaves it; the first line of its log is marked."""
    work = replace(pipeline.open_run(path, until="cluster"), config=config)
    places = path / "checkpoint.safetensors", path / "checkpoint.jsonl"
    journal = Journal(*places, purpose or stages.purpose(work, "train"))
    learn(work.split(), config, work.first_clusters(), journal=journal)
    first, rest = journal.log.read_text().split("\n", 1)
    journal.log.write_text(first.replace("{", '{"marked": 1, ', 1) + "\n" + rest)


def test_a_training_that_goes_on_keeps_the_log_of_what_was_done(path: Path, finished: Path):
    leave_checkpoint(path, settings())
    pipeline.run_stage(path, "train")
    assert not list(path.glob("checkpoint.*"))
    assert (path / "log.jsonl").read_text().replace('"marked": 1, ', "") == (finished / "log.jsonl").read_text()
    assert pipeline.open_run(path, until="train").history()[0]["marked"] == 1
    assert artifacts(path)["model.safetensors"] == artifacts(finished)["model.safetensors"]


@pytest.mark.parametrize(("rate", "purpose"), [(0.1, ""), (None, "another")])
def test_a_checkpoint_of_another_training_is_not_gone_on_from(
    path: Path, finished: Path, rate: float | None, purpose: str
):
    leave_checkpoint(path, settings(training={} if rate is None else {"learning_rate": rate}), purpose)
    pipeline.run_stage(path, "train", config=settings())
    assert not list(path.glob("checkpoint.*"))
    for name in ("model.safetensors", "log.jsonl"):
        assert (path / name).read_bytes() == (finished / name).read_bytes()


def test_a_mistaken_setting_costs_no_checkpoint(path: Path):
    leave_checkpoint(path, settings())
    before = (path / "checkpoint.safetensors").read_bytes()
    mistaken = settings(objectives={"retrieval": {"loss": "bce"}})
    with pytest.raises(ConfigError):
        pipeline.run_stage(path, "train", config=mistaken)
    assert (path / "checkpoint.safetensors").read_bytes() == before


def test_a_training_that_does_not_finish_leaves_the_log_of_the_model_that_stands(path: Path, finished: Path):
    with pytest.raises(TrainingError):
        pipeline.run_stage(path, "train", config=settings(training={"learning_rate": 1e30}))
    assert (path / "log.jsonl").read_text() == (finished / "log.jsonl").read_text()


def test_a_log_that_was_altered_is_refused(path: Path):
    (path / "log.jsonl").write_text("garbage\n")
    with pytest.raises(ArtifactError, match=r"log\.jsonl is not the file that `amity train` wrote"):
        pipeline.run_stage(path, "evaluate")


@pytest.mark.parametrize("stage", ["", "ingest", "train"])
def test_a_mistake_leaves_settings_and_tables_as_they_were(path: Path, tmp_path: Path, stage: str):
    before, strange = (path / "config.toml").read_bytes(), tmp_path / "strange"
    strange.mkdir()
    mistaken, data = settings(objectives={"retrieval": {"loss": "bce"}}), None if stage == "train" else strange
    with pytest.raises(AmityError):
        pipeline.run_stage(path, stage, data, mistaken) if stage else pipeline.run(path, data, mistaken)
    assert (path / "config.toml").read_bytes() == before
    pipeline.open_run(path, until="evaluate")
    assert made(pipeline.run(path)) == []


def test_settings_of_which_a_stage_was_made_stay_when_a_later_one_finds_a_mistake(path: Path):
    mistaken = settings(splitting={"test": 0.2}, objectives={"retrieval": {"loss": "bce"}})
    with pytest.raises(ConfigError):
        pipeline.run(path, config=mistaken)
    assert pipeline.configure(path) == mistaken


def test_an_interrupted_run_goes_on_with_the_settings_it_was_given(path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(stages.STAGES, "train", replace(stages.STAGES["train"], make=interrupt))
    wanted = settings(training={"steps": 13})
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(path, config=wanted)
    assert pipeline.configure(path) == wanted


def test_a_data_directory_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="no directory"):
        pipeline.run(tmp_path / "run", tmp_path / "nowhere")


def test_a_run_without_tables_asks_for_them(tmp_path: Path):
    with pytest.raises(ConfigError, match="--data DIR"):
        pipeline.run(tmp_path / "run")


def test_the_report_tells_what_the_run_cost(finished: Path):
    report = pipeline.open_run(finished, until="evaluate").report()
    assert list(report["seconds"]) == STAGES
    assert list(report["peak_rss_bytes"]) == STAGES
    assert report["index"]["recall_against_exact"] == 1.0
    assert report["config"]["training"]["steps"] == 12


def weighing(share: float) -> Config:
    """Vectors alone, whose spectral part has that weight."""
    spectral = {"dim": 12, "power": 1.0, "share": share}
    return settings(embedding={"spectral": spectral}, retrieval={"blend": {"heuristics": ()}})


def test_the_report_tells_what_learned_and_spectral_numbers_find_alone(path: Path):
    pipeline.run(path, config=weighing(0.0))
    learned = pipeline.open_run(path, until="evaluate").report()
    assert not learned["parts"]
    pipeline.run(path, config=weighing(1e8))
    drowned = pipeline.open_run(path, until="evaluate").report()
    pipeline.run(path, config=weighing(1.0))
    report = pipeline.open_run(path, until="evaluate").report()
    assert set(report["parts"]) == set(report["versus"]) - set(report["baselines"]) == {"encoder", "spectral"}
    assert report["parts"]["encoder"] == learned["metrics"]
    for name, entry in drowned["metrics"].items():
        assert report["parts"]["spectral"][name]["value"] == pytest.approx(entry["value"], abs=0.02)
    assert report["parts"]["encoder"]["recall@10"] != report["parts"]["spectral"]["recall@10"]


def test_the_parts_of_a_blend_are_its_vectors_and_theirs(path: Path):
    spectral = {"dim": 12, "power": 1.0, "share": 1.0}
    pipeline.run(path, config=settings(embedding={"spectral": spectral}))
    work = pipeline.open_run(path, until="evaluate")
    assert list(work.report()["parts"]) == ["vectors", "encoder", "spectral"]
    assert {"vectors/mrr", "encoder/mrr", "spectral/mrr"} <= set(work.values().column_names)
    page = (path / "report.html").read_text()
    assert all(words in page for words in ("vectors alone", "encoder alone", "eigenvectors alone"))


@pytest.mark.parametrize(
    ("spectral", "shares"),
    [
        ({"dim": 12}, {0.0, *SHARES}),
        ({"dim": 12, "share": 0.5}, {0.5}),
        ({"dim": 12, "share": 0.0}, {0.0}),
        ({"dim": 0}, {0.0}),
        ({"dim": 0, "share": 0.5}, {0.0}),
    ],
)
def test_a_run_keeps_the_settings_under_which_its_vectors_are_made_again(
    path: Path, spectral: dict, shares: set[float]
):
    pipeline.run(path, config=settings(embedding={"spectral": spectral}))
    work = pipeline.open_run(path, until="embed")
    made, settled = work.embeddings().vectors, work.embedding()
    np.testing.assert_array_equal(embed_graph(work.model(), work.split().train, None, settled).vectors, made)
    assert made.shape[1] == 8 + (settled.spectral.dim if settled.spectral.share else 0)
    assert settled.spectral.share in shares


def test_vectors_of_a_version_without_a_spectral_part_are_judged_as_they_are(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    def embed_as_before(work: pipeline.Work, directory: Path) -> dict[str, int]:
        nodes, dim = embed_graph(work.model(), work.split().train, directory / "embeddings").vectors.shape
        return {"nodes": nodes, "dim": dim}

    monkeypatch.setitem(stages.STAGES, "embed", replace(stages.STAGES["embed"], make=embed_as_before))
    pipeline.run(path, config=settings(embedding={"spectral": {"dim": 12}}))
    pipeline.run_stage(path, "evaluate")
    work = pipeline.open_run(path, until="evaluate")
    assert list(work.report()["parts"]) == ["vectors"]
    again = embed_graph(work.model(), work.split().train, None, work.embedding()).vectors
    np.testing.assert_array_equal(again, work.embeddings().vectors)


def test_the_quickstart_of_the_readme_runs_as_written(tmp_path: Path):
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (quickstart,) = re.findall(r"^```python\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    tiny.write_tables(tmp_path / "data" / "mit", integers=True)
    ended = subprocess.run([sys.executable, "-c", quickstart], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "10 candidates for user:42" in ended.stdout
    assert "recall@50" in ended.stdout
    assert [place.name for place in tmp_path.iterdir()] == ["data"]


def test_python_finds_what_the_run_finds(finished: Path, data: Path):
    config = settings()
    graph = pipeline.read_graph(data, config.ingestion)
    split = pipeline.split(graph, seed=config.seed)
    model = pipeline.train(split, config)
    work = pipeline.open_run(finished, until="index")
    trained = work.model().encoder.state_dict()
    assert all((values == trained[name]).all() for name, values in model.encoder.state_dict().items())
    assert split.supervision.num_edges == work.split().supervision.num_edges


def test_impossible_shares_are_a_mistake_of_settings(data: Path):
    with pytest.raises(ConfigError, match="valid"):
        pipeline.split(pipeline.read_graph(data), valid=0.6, test=0.6)


def test_a_run_says_what_of_the_tables_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = tmp_path / "data"
    data.mkdir()
    (data / "nodes.csv").write_text("id,name\n" + "".join(f"{i},person {i}\n" for i in range(40)))
    (data / "edges.csv").write_text("src,dst\n7,7\n1,99\n" + "".join(f"{i},{i + 1}\n" for i in range(39)))
    pipeline.run_stage(tmp_path / "run", "ingest", data)
    said = capsys.readouterr().err
    assert "left out 1 dangling edges, 1 self-loops, column `name` (skipped: identifier)" in said


def test_every_row_that_ingestion_drops_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = tmp_path / "data"
    data.mkdir()
    (data / "amity.toml").write_text(
        '[ingestion.edges.friend]\ntable = "edges"\nflags = { train = "old", test = "new" }\n'
        '[ingestion.nodes.user.bags]\nvisits = { table = "visits", key = "who", value = "where" }\n'
    )
    (data / "nodes.csv").write_text("id,age\n1,20\n2,20\n3,\n,20\n3,20\n1,20\n")
    (data / "edges.csv").write_text("src,dst,old,new\n1,2,1,0\n2,3,0,1\n1,3,0,0\n2,,1,0\n")
    (data / "visits.csv").write_text("who,where\n1,zoo\n9,zoo\n2,\n")
    pipeline.run_stage(tmp_path / "run", "ingest", data)
    assert (
        "left out 1 edges without an id, 1 edges that no flag claims, 1 nodes without an id, 2 rows of nodes that were "
        "there before, 2 values of bags\n" in capsys.readouterr().err
    )
