"""What a person sees while amity works, and what a program can read of it afterwards.

Progress goes to stderr: bars on a terminal, a plain line now and then elsewhere, nothing where it is silenced.
Metrics go to `log.jsonl`, one JSON document a line, one line a step.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars

from amity.errors import ArtifactError

PATIENCE_S = 1.0
"""Work shorter than this shows nothing."""
LINE_EVERY_S = 10.0
"""Where stderr is no terminal, a line is printed this often."""

_silent = False
_outermost: "Progress | None" = None


def set_silent(silent: bool) -> None:  # noqa: FBT001 (it is what the function is about)
    """Print nothing more on stderr, or print again."""
    global _silent  # noqa: PLW0603 (stderr belongs to the process, and so does its silence)
    _silent = silent


def say(text: str) -> None:
    """One line on stderr; once nobody reads that any more, nothing."""
    if _silent:
        return
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


class JsonLines:
    """A metrics log, `log.jsonl`: each entry has left the process, and so survives its kill, when `write` returns."""

    def __init__(self, path: Path | None, *, steps: int = 0) -> None:
        """Open a log whose first `steps` steps stand; what lies past them, or is torn, is cut off. None: no log."""
        if path is not None and path.exists():
            os.truncate(path, _length_of(path, steps))
        self._file = None if path is None else path.open("ab", buffering=0)

    def write(self, entry: dict[str, Any]) -> None:
        """Append one step; `entry["step"]` counts from 0, and a resumed run cuts the log by it."""
        if self._file is not None:
            self._file.write(json.dumps(entry).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The entries of a metrics log, without a last line that is torn; none where there is no log.

    Raises `ArtifactError` where a line is no entry.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_read_entry(path, number, line) for number, line in enumerate(lines, 1)]


class Progress:
    """How far a piece of work has come.

        with Progress("embed", total=nodes) as progress:
            progress.advance(1024, note="layer 1")

    Nothing is shown within the first second, so that quick work leaves no trace, and nothing of work that is part
    of other work that is shown.
    """

    def __init__(self, title: str, *, total: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._title, self._total, self._clock = title, total, clock
        self._done, self._note = 0, ""
        self._first: tuple[float, int] | None = None
        self._start = self._shown = clock()
        self._bars: Bars | None = None

    def advance(self, count: int = 1, *, note: str | None = None) -> None:
        """Say that `count` more are done; `note` stands behind the bar until the next one."""
        self.show(self._done + count, self._total, note)

    def show(self, done: int, total: int | None = None, note: str | None = None) -> None:
        """Say how many of how many are done."""
        self._done, self._total = done, total
        self._note = self._note if note is None else note
        now = self._clock()
        # Speed is measured from the first report on: that one may count what an interrupted training had done.
        self._first = self._first or (now, done)
        if _silent or _outermost is not self or now - self._start < PATIENCE_S:
            return
        if sys.stderr.isatty():
            self._draw(now)
        elif now - self._shown >= LINE_EVERY_S:
            self._shown = now
            say(self._line(now))

    def _draw(self, now: float) -> None:
        if self._bars is None:
            self._bars = _make_bars()
            self._bars.add_task(self._title, note="", pace="")
            self._bars.start()
        facts = {"completed": self._done, "total": self._total, "note": self._note, "pace": self._pace(now)}
        self._bars.update(self._bars.task_ids[0], **facts)

    def _line(self, now: float) -> str:
        total = "" if self._total is None else f" of {self._total:,}"
        pace, note = self._pace(now), self._note
        return f"{self._title}: {self._done:,}{total}{pace and f' ({pace})'}{note and f', {note}'}"

    def _pace(self, now: float) -> str:
        """Speed and time left; empty where nothing has been done since the first report."""
        first_s, first = self._first or (now, self._done)
        if now <= first_s or self._done <= first:
            return ""
        speed = (self._done - first) / (now - first_s)
        left = "" if self._total is None else f", {max(self._total - self._done, 0) / speed:,.0f} s left"
        return f"{speed:,.{1 if speed < 10 else 0}f}/s{left}"

    def __enter__(self) -> Self:
        global _outermost  # noqa: PLW0603 (as for silence)
        _outermost = _outermost or self
        return self

    def __exit__(self, *exception: object) -> None:
        global _outermost  # noqa: PLW0603 (as for silence)
        if _outermost is self:
            _outermost = None
        if self._bars is not None:
            self._bars.stop()


def _make_bars() -> Bars:
    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TextColumn("{task.fields[note]}"),
    )
    return Bars(*columns, console=Console(stderr=True), transient=True)


def _read_entry(path: Path, number: int, line: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        if isinstance(entry := json.loads(line), dict):
            return entry
    raise ArtifactError(
        f"{path} is not a log of training: line {number} is no JSON object. "
        "Put the original back, or take it away and train again."
    )


def _length_of(path: Path, steps: int) -> int:
    """The bytes of a log that its first steps take."""
    length = 0
    with path.open("rb") as file:
        for line in file:
            if not _is_before(line, steps):
                break
            length += len(line)
    return length


def _is_before(line: bytes, steps: int) -> bool:
    """Whether a line is whole and one of the first `steps` steps."""
    if not line.endswith(b"\n"):
        return False
    try:
        return json.loads(line)["step"] < steps
    except (ValueError, KeyError, TypeError):
        return False
