"""`amity run` is killed, at random and at every stage boundary, and finds itself in a good state each time."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tiny
from amity.artifacts import Run
from amity.pipeline import STAGES

KILLED = -signal.SIGKILL
POINTS = ("stage", "_commit", "_finish")
"""Before a stage begins; when all is written and nothing committed; when all is committed and nothing in its place."""

Order = Callable[..., int]


@pytest.fixture(scope="module")
def order() -> Iterator[Order]:
    """Have `amity` run in a process of its own, maybe killed; gives the exit status."""
    typed = [sys.executable, Path(__file__).with_name("killing.py")]
    with subprocess.Popen(typed, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def send(*arguments: str | Path, **how: Any) -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"arguments": [str(a) for a in arguments], **how}) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield send
        process.stdin.close()


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """What is typed behind `amity run RUN`; the settings lie in a file, with a checkpoint after every step."""
    place = tmp_path_factory.mktemp("input")
    lines = ["[ingestion]"]
    for section, fields in tiny.FLAGS.items():
        lines += [f"[{section}]", *(f"{name} = {_toml(value)}" for name, value in fields.items())]
    (place / "tiny.toml").write_text("\n".join(lines).replace("checkpoint_every_s = 0.01", "checkpoint_every_s = 1e-9"))
    return ["--data", tiny.write_tables(place / "tables"), "-c", place / "tiny.toml", "--quiet"]


@pytest.fixture(scope="module")
def reference(
    order: Order, typed: list, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], list[int], float]:
    """Artifacts and steps of a run that nobody disturbs, and how long it takes once its kernels are compiled."""
    places = [tmp_path_factory.mktemp("undisturbed") / name for name in ("first", "second")]
    for place in places:
        start = time.monotonic()
        assert order("run", place, *typed) == 0
        seconds = time.monotonic() - start
    assert artifacts(places[0]) == artifacts(places[1])
    return artifacts(places[0]), steps_logged(places[0]), seconds


def _toml(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def artifacts(path: Path) -> dict[str, bytes]:
    """All that is learned and stored; reports name the time when they were made."""
    tops = ("graph", "split", "model.safetensors", "embeddings", "index", "per_query.parquet")
    files = (file for top in tops for file in [path / top, *(path / top).rglob("*")] if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def check(path: Path) -> int:
    """Open a killed run as a reader and verify every finished stage; how many there are."""
    if not (path / "manifest.json").exists():
        return 0
    run = Run(path, write=False)
    for name in run.stages:
        run.verify(name)
    return len(run.stages)


def steps_logged(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (path / "log.jsonl").read_text().splitlines()]


def kill_often(order: Order, typed: list, reference: tuple, place: Path, *, kills: int) -> None:
    """Kill runs at random moments and go on with them until all are done and as if nobody had disturbed them."""
    expected, steps, seconds = reference
    moments, done, number = random.Random(kills), 0, 0
    while done < kills:
        path, number, status, finished = place / str(number), number + 1, KILLED, 0
        while status == KILLED and done < kills:
            status = order("run", path, *typed, after_s=moments.uniform(0, 0.7 * seconds))
            assert status in (KILLED, 0)
            assert check(path) >= finished, "a finished stage stays finished"
            finished, done = check(path), done + (status == KILLED)
        assert order("run", path, *typed) == 0
        assert artifacts(path) == expected
        assert steps_logged(path) == steps
        assert not [left.name for left in path.glob(".*") if left.name != ".lock"]
        assert not (path / "checkpoint.safetensors").exists()


def test_a_run_killed_ten_times_ends_as_if_it_never_was(order: Order, typed: list, reference: tuple, tmp_path: Path):
    kill_often(order, typed, reference, tmp_path, kills=10)


@pytest.mark.slow
def test_a_run_killed_fifty_times_ends_as_if_it_never_was(order: Order, typed: list, reference: tuple, tmp_path: Path):
    kill_often(order, typed, reference, tmp_path, kills=50)


def test_a_run_killed_at_every_stage_boundary_ends_as_if_it_never_was(
    order: Order, typed: list, reference: tuple, tmp_path: Path
):
    path = tmp_path / "run"
    for number, stage in enumerate(STAGES):
        for point in POINTS:
            assert order("run", path, *typed, at=[stage, point]) == KILLED
            assert check(path) == number + (point == "_finish")
    assert order("run", path, *typed) == 0
    assert artifacts(path) == reference[0]


def test_a_stage_done_again_and_killed_at_its_boundary_leaves_the_old_artifact_or_the_new_one(
    order: Order, typed: list, reference: tuple, tmp_path: Path
):
    path = tmp_path / "run"
    assert order("run", path, *typed) == 0
    old = artifacts(path)["model.safetensors"]
    for point in POINTS[:2]:
        assert order("train", path, "--training.learning-rate", "0.1", "--quiet", at=["train", point]) == KILLED
        assert check(path) == len(STAGES)
        assert artifacts(path)["model.safetensors"] == old
    assert order("train", path, "--training.learning-rate", "0.1", "--quiet", at=["train", "_finish"]) == KILLED
    assert check(path) == len(STAGES)
    assert artifacts(path)["model.safetensors"] != old
    assert order("run", path, *typed) == 0
    assert artifacts(path) == reference[0]
