"""Progress on stderr, and a log that outlives the process that writes it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from amity.errors import ArtifactError
from amity.log import JsonLines, Progress, read_metrics, set_silent


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def loud() -> Iterator[None]:
    set_silent(False)
    yield
    set_silent(False)


def work(clock: Clock, reports: list[tuple[float, int]], *, total: int | None = 100) -> None:
    """Report at each time (in seconds) that so much is done."""
    with Progress("train", total=total, clock=clock) as progress:
        for now, done in reports:
            clock.now = now
            progress.show(done, total, "loss 0.5")


def test_quick_work_shows_nothing(capsys: pytest.CaptureFixture[str]):
    work(Clock(), [(0.1, 10), (0.9, 100)])
    assert capsys.readouterr().err == ""


def test_long_work_shows_a_line_now_and_then_with_speed_and_time_left(capsys: pytest.CaptureFixture[str]):
    work(Clock(), [(0, 0), (5, 5), (10, 20), (15, 30), (20, 40)])
    assert capsys.readouterr().err.splitlines() == [
        "train: 20 of 100 (2.0/s, 40 s left), loss 0.5",
        "train: 40 of 100 (2.0/s, 30 s left), loss 0.5",
    ]


def test_what_was_done_before_an_interruption_does_not_count_as_speed(capsys: pytest.CaptureFixture[str]):
    work(Clock(), [(0, 80), (10, 90)])
    assert "train: 90 of 100 (1.0/s, 10 s left)" in capsys.readouterr().err


def test_work_without_end_shows_its_speed_alone(capsys: pytest.CaptureFixture[str]):
    work(Clock(), [(0, 0), (10, 50_000)], total=None)
    assert "train: 50,000 (5,000/s), loss" in capsys.readouterr().err


def test_work_inside_shown_work_and_silenced_work_show_nothing(capsys: pytest.CaptureFixture[str]):
    with Progress("outer", clock=Clock()):
        work(Clock(), [(0, 0), (10, 50)])
    set_silent(True)
    work(Clock(), [(0, 0), (10, 50)])
    assert capsys.readouterr().err == ""


def test_a_log_that_goes_on_keeps_the_steps_that_stand_and_no_torn_line(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    with JsonLines(path) as log:
        for step in range(5):
            log.write({"step": step, "loss": 1.0})
    path.write_bytes(path.read_bytes() + b'{"step": 5, "lo')
    assert [entry["step"] for entry in read_metrics(path)] == [0, 1, 2, 3, 4]
    with JsonLines(path, steps=3) as log:
        log.write({"step": 3, "loss": 2.0})
    assert [entry["loss"] for entry in read_metrics(path)] == [1.0, 1.0, 1.0, 2.0]


@pytest.mark.parametrize("line", [b"garbage", b"\xff", b"5"])
def test_a_line_that_is_no_entry_is_refused(tmp_path: Path, line: bytes):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 0, "loss": NaN}\n' + line + b"\n")
    with pytest.raises(ArtifactError, match=r"log\.jsonl is not a log of training.* line 2"):
        read_metrics(path)


def test_there_are_no_metrics_where_there_is_no_log(tmp_path: Path):
    assert read_metrics(tmp_path / "log.jsonl") == []
