"""The command line: flags, documents, exit codes."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.table import Table

import amity
import tiny
from amity import pipeline
from amity.cli import main
from amity.cli.app import COMMANDS
from amity.cli.output import Output
from amity.config import load_config


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "first"
    pipeline.run(path, data, load_config(flags=tiny.FLAGS))
    return path


@pytest.fixture
def path(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


class Typed:
    """What a command answered."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> None:
        self.code: Any = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            self.code = end.code
        self.out, self.err = capsys.readouterr()

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


@pytest.fixture
def type_in(capsys: pytest.CaptureFixture[str]):
    return lambda *arguments: Typed(capsys, *arguments)


def flags(**changed: dict) -> list[str]:
    """The tiny settings, with those of some sections changed, as they would be typed."""
    typed = []
    for section, fields in {**tiny.FLAGS, **changed}.items():
        for name, value in fields.items():
            values = value if isinstance(value, tuple) else (value,)
            typed += [f"--{section}.{name.replace('_', '-')}", *map(str, values)]
    return typed


def test_help_lists_every_command_in_one_line_in_the_order_of_the_flow(type_in):
    answer = type_in("--help")
    assert answer.code == 0
    lines = [line.strip("│ ").split(maxsplit=1) for line in answer.out.splitlines() if line.startswith("│")]
    assert [line[0] for line in lines][: len(COMMANDS)] == list(COMMANDS)
    assert [" ".join(line) for line in lines[: len(COMMANDS)]] == [" ".join(pair) for pair in COMMANDS.items()]


@pytest.mark.parametrize("arguments", [["-m", "amity", "--help"], ["-c", "import amity; dir(amity)"]])
def test_nothing_heavy_is_imported_before_it_is_needed(arguments: list[str]):
    typed = [sys.executable, "-X", "importtime", *arguments]
    ended = subprocess.run(typed, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in ended.stderr.splitlines()}
    assert "amity" in imported
    assert not imported & {"torch", "numba", "numpy", "pyarrow", "faiss", "pydantic", "scipy"}


@pytest.mark.parametrize("view", ["a:heart:[b]", Table("a:heart:[b]")])
def test_ids_are_shown_letter_by_letter(view: str | Table, capsys: pytest.CaptureFixture[str]):
    if isinstance(view, Table):
        view.add_row("a:heart:[b]")
    Output().show(view, None)
    assert "a:heart:[b]" in capsys.readouterr().out


def test_version_is_that_of_the_package(type_in):
    assert type_in("--version").out.strip() == amity.__version__


def test_every_setting_is_a_flag_of_run_and_those_of_a_stage_are_its_own(type_in):
    everything = type_in("run", "--help").out
    for flag in ("--seed", "--ingestion.memory-gib", "--objectives.cca-ssg.weight", "--index.hnsw.ef-search", "-c"):
        assert flag in everything
    split = type_in("split", "--help").out
    assert "--splitting.test" in split
    assert "--seed" in split
    assert "--training.steps" not in split


@pytest.mark.parametrize(("typed", "meant"), [("0", [0]), ("n/a", ["n/a"]), ('[0, -1.5, "7"]', [0, -1.5, "7"])])
def test_values_of_a_kind_are_typed_alone_or_as_a_list(type_in, data: Path, tmp_path: Path, typed: str, meant: list):
    assert type_in("ingest", tmp_path / "run", "--data", data, "--ingestion.nodes.user.missing", typed).code == 0
    kept = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert kept["ingestion"]["nodes"]["user"]["missing"] == meant


def test_run_takes_settings_from_file_and_flags_and_keeps_them(type_in, data: Path, tmp_path: Path):
    file = tmp_path / "settings.toml"
    file.write_text("seed = 5\n[training]\nsteps = 3\nlearning_rate = 0.5\n")
    answer = type_in(
        "run", tmp_path / "run", "--data", data, "-c", file, *flags(), "--objectives.cca-ssg.weight", "0.01"
    )
    assert answer.code == 0
    assert str(tmp_path / "run" / "report.html") in answer.out
    kept = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert (kept["seed"], kept["training"]["steps"], kept["training"]["learning_rate"]) == (5, 12, 0.5)
    assert kept["sampling"]["fanout"] == [5, 5]
    assert kept["objectives"]["cca_ssg"]["weight"] == 0.01


def test_run_prints_one_document(type_in, path: Path):
    answer = type_in("run", path, "--json")
    assert answer.code == 0
    assert list(answer.document["stages"]) == list(pipeline.STAGES)
    assert not any(stage["made"] for stage in answer.document["stages"].values())
    assert answer.document["report"]["queries"] > 0
    assert "ingest: done before" in answer.err


def test_quiet_is_quiet(type_in, path: Path):
    assert type_in("run", path, "--json", "--quiet").err == ""


@pytest.mark.parametrize("stage", ["ingest", "split", "train", "embed", "index"])
def test_each_stage_runs_by_itself(type_in, path: Path, stage: str):
    answer = type_in(stage, path, "--json")
    assert answer.code == 0
    assert answer.document["stage"] == stage
    assert answer.document["seconds"] >= 0
    assert type_in(stage, path).out.startswith(f"{stage}: wrote {path}")


def test_evaluate_prints_the_report(type_in, path: Path):
    document = type_in("evaluate", path, "--json").document
    assert document == json.loads((path / "report.json").read_text())
    assert "recall@10" in document["metrics"]
    assert "recall@10" in type_in("evaluate", path).out


def test_recommend_gives_candidates_best_first_without_friends(type_in, path: Path):
    answer = type_in("recommend", path, "person-1", "user:person-2", "-k", "7", "--json")
    assert answer.code == 0
    first, second = answer.document["queries"]
    assert (first["id"], second["id"]) == ("person-1", "user:person-2")
    scores = [one["score"] for one in first["candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 7
    assert "7 candidates for person-1" in type_in("recommend", path, "person-1", "-k", "7").out


def test_no_friend_is_recommended_not_even_one_that_was_held_out_of_training(type_in, path: Path):
    work = pipeline.open_run(path, until="split")
    graph, held_out = work.graph(), work.split().test.truth
    rows = np.flatnonzero(held_out.degrees())[:5]
    names = graph.queries.vocabulary.ids(rows)
    answers = type_in("recommend", path, *names, "-k", "149", "--json").document["queries"]
    for row, answer in zip(rows, answers, strict=True):
        friends = set(graph.target.adjacency.neighbors(row).tolist()) | {int(row)}
        assert set(held_out.neighbors(row).tolist()) <= friends
        assert {graph.row(one["id"]) for one in answer["candidates"]} == set(range(graph.num_nodes)) - friends


def test_compare_shows_paired_differences(type_in, path: Path, finished: Path):
    assert type_in("run", path, "--encoder.popularity", "0.9", "--quiet").code == 0
    document = type_in("compare", finished, path, "--json").document
    assert document["arms"] == [str(finished), str(path)]
    assert "low" in document["differences"][str(path)]["recall@10"]
    assert "recall@10" in type_in("compare", finished, path).out


def test_compare_takes_arms_of_runs_that_differ_by_seed(type_in, path: Path, finished: Path, tmp_path: Path):
    other = shutil.copytree(path, tmp_path / "lr=0.1,seed=1")
    assert type_in("run", other, "--seed", "1", "--quiet").code == 0
    named = shutil.copytree(other, tmp_path / "other")
    typed = [f"base={finished},{named}", f"same={named},{path}"]
    document = type_in("compare", *typed, "--json").document
    assert (document["arms"], document["seeds"]) == (["base", "same"], [0, 1])
    assert document["runs"] == {"base": [str(finished), str(named)], "same": [str(named), str(path)]}
    assert document["differences"]["same"]["recall@10"]["value"] == 0
    assert "seeds: 0, 1; differences are paired" in type_in("compare", *typed).out
    unlike = type_in("compare", finished, other)  # a run whose name looks like an arm's
    assert unlike.code == 2
    assert f"{other} seed 1. Give both a run of each seed" in " ".join(unlike.err.split())


def test_robustness_asks_a_damaged_run_what_the_whole_one_was_asked(type_in, path: Path, tmp_path: Path):
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    page = tmp_path / "pages" / "damage.html"
    typed = ["robustness", f"one={path}", f"same={path}", "--edges", "0.5", "1", "--page", page]
    document = type_in(*typed, "--json").document
    assert document["damages"] == ["50% of edges", "100% of edges", "30% of features"]
    report = json.loads((path / "report.json").read_text())
    found = report["parts"].get("vectors", report["metrics"])
    assert document["whole"]["one"]["value"] == pytest.approx(found["recall@10"]["value"])
    assert document["damaged"]["one"] == document["damaged"]["same"]
    assert document["damaged"]["one"]["100% of edges"]["kept"]["value"] != 1
    assert document["runs"] == {"one": [str(path)], "same": [str(path)]}
    assert page.read_text().startswith("<!doctype html>")
    assert "50% of edges" in type_in(*typed).out
    assert before == {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_doctor_says_what_is_installed(type_in):
    document = type_in("doctor", "--json").document
    assert document["packages"]["amity"] == amity.__version__
    assert all(document["packages"].values())
    assert "torch" in type_in("doctor").out


MISTAKES = {
    "an unknown command": (["rnu", "{path}"], 'Did you mean "run"?'),
    "an unknown flag": (["run", "{path}", "--trainng.steps", "3"], "Did you mean --training.steps?"),
    "a flag without its section": (["run", "{path}", "--steps", "3"], "Did you mean --training.steps?"),
    "a flag of another stage": (["split", "{path}", "--training.steps", "3"], "Unknown option"),
    "a word for a number": (["run", "{path}", "--training.steps", "many"], "training.steps"),
    "a number out of bounds": (["run", "{path}", "--training.steps", "-1"], "greater than or equal to 0"),
    "settings that do not fit": (["run", "{path}", "--splitting.valid", ".9", "--splitting.test", ".9"], "less than 1"),
    "a config that is not there": (["run", "{path}", "-c", "nowhere.toml"], "nowhere.toml"),
    "no run": (["run"], "RUN"),
    "a run that was never made": (["evaluate", "{path}/new"], "There is no run"),
    "a new run without tables": (["run", "{path}/new"], "--data DIR"),
    "a run inside a file": (["run", "{path}/config.toml/run", "--data", "{path}"], "is a file"),
    "a demo inside a file": (["demo", "{path}/config.toml"], "is a file"),
    "a demo of nearly nobody": (["demo", "{path}/new", "--people", "80"], "Ask for 81 people"),
    "a run that is none": (["recommend", "{path}/graph", "1"], "is no run of amity"),
    "a run that is a file": (["run", "{path}/config.toml"], "is a file"),
    "data that is not there": (["run", "{path}", "--data", "nowhere"], "no directory nowhere"),
    "an id that nobody has": (["recommend", "{path}", "person-9999"], "person-9999"),
    "nobody to recommend to": (["recommend", "{path}"], "Nobody asks"),
    "no candidates asked for": (
        ["recommend", "{path}", "person-1", "-k", "0"],
        "The setting `-k` cannot stand: Input should be greater than 0",
    ),
    "one run to compare": (["compare", "{path}"], "two runs"),
    "a run beside itself": (["compare", "{path}", "{path}"], "Two arms are called"),
    "a seed twice in an arm": (["compare", "{path}", "b={path},{path}"], "The arm b has two runs of seed 0"),
    "an arm without runs": (["compare", "{path}", "b="], "`b=` is no arm"),
    "nothing to damage": (["robustness"], "no run to damage"),
    "no damage": (["robustness", "{path}", "--edges", "--features"], "not at all"),
    "more damage than there is": (["robustness", "{path}", "--edges", "1.5"], "less than or equal to 1"),
    "a page that is a directory": (["robustness", "{path}", "--page", "{path}"], "is a directory"),
    "a page inside a file": (["robustness", "{path}", "--page", "{path}/config.toml/y.html"], "config.toml is a file"),
    "a seed beyond all bounds": (["run", "{path}", "--seed", "18446744073709551616"], "less than 4294967296"),
    "an arm of no run": (["compare", "{path}", "b={path},nowhere"], "nowhere is no run of amity"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_exits_with_2_and_one_paragraph(type_in, path: Path, mistake: str):
    arguments, hint = MISTAKES[mistake]
    arguments = [argument.format(path=path) for argument in arguments]
    answer = type_in(*arguments, "--quiet") if "--quiet" not in arguments else type_in(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert hint in " ".join(answer.err.split())
    assert all(len(line) <= 100 or " " not in line for line in answer.err.splitlines())
    with_json = type_in(*arguments, "--json")
    assert with_json.code == 2
    assert hint in with_json.document["error"]["message"]


def test_a_full_or_forbidden_disk_is_no_fault_of_amity(type_in, path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("amity.pipeline.running.save_config", refuse)
    answer = type_in("run", path)
    assert answer.code == 2
    assert "No space left on device" in answer.err


def test_a_fault_of_ours_exits_with_1_and_asks_for_a_report():
    script = "import amity.cli.app as app; app.make_app = lambda: 1 / 0; app.main(['run'])"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "ZeroDivisionError" in ended.stderr
    assert "Please report it" in ended.stderr


def test_work_goes_on_when_nobody_reads_its_progress_any_more(path: Path):
    typed = f"{sys.executable} -m amity run {path} --evaluation.resamples 21 2>&1 | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", typed], check=False)
    assert ended.returncode == 0
    report = pipeline.open_run(path, until="evaluate").report()
    assert report["config"]["evaluation"]["resamples"] == 21


def _interrupt(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C, and again where it fell into a moment in which Python ignores it, such as a finalizer."""
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=30)[1]
    raise AssertionError("five interrupts did not end the process")


def test_an_interrupt_says_how_to_go_on(data: Path, tmp_path: Path):
    endless = flags(training={"steps": 100_000, "first_validation": 50_000, "checkpoint_every_s": 0.01})
    typed = [sys.executable, "-m", "amity", "run", tmp_path / "run", "--data", data, *endless]
    # What a shell runs in the background ignores interrupts, and would hand that down.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(typed, stderr=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGINT, inherited)
        assert process.stderr is not None
        while not (tmp_path / "run" / "checkpoint.safetensors").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        told = _interrupt(process)
    assert process.returncode == 130
    assert "type the same again to go on" in told
    assert "Traceback" not in told
