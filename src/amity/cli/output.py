"""How results are shown: text and tables for a person, one JSON document for a program."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from amity.artifacts import Record

WIDTH = 120
"""Columns of a table where stdout is no terminal."""


@Parameter(name="*", negative="")
@dataclass(frozen=True, slots=True)
class Output:
    """How a command speaks."""

    json: bool = False
    """Print exactly one JSON document on stdout."""
    quiet: bool = False
    """Show no progress on stderr."""

    def show(self, view: str | Table, document: Any) -> None:
        """Print a result for a person, or the document for a program."""
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n" if self.json else _draw(view))
        sys.stdout.flush()


SPOKEN = Output()
"""For people, with progress."""


def stage_lines(path: Path, name: str, record: Record) -> str:
    """What a stage wrote and what it has to tell."""
    places = sorted({place.partition("/")[0] for place in record.outputs})
    lines = [f"{name}: wrote {', '.join(str(path / place) for place in places)} in {record.seconds:.1f} s"]
    return "\n".join([*lines, *_outline(record.summary)])


def trials_table(found: dict[str, Any]) -> Table:
    """Every trial: its score, the recall on each data set, its settings or why there is none; the best one is bold."""
    table = Table(title="score: validation recall relative to trial 0, the base", title_justify="left")
    for name in ("trial", "score", "recall", "settings"):
        table.add_column(name, justify="left" if name == "settings" else "right")
    for trial in found["trials"]:
        recall = "\n".join(f"{name} {value:.4f}" for name, value in trial["recall"].items())
        style = "bold" if trial["number"] == found["best"] else None
        settings = trial["obstacle"] or ", ".join(_write_settings(trial["settings"]))
        table.add_row(str(trial["number"]), f"{trial['score']:.4f}", Text(recall or "–"), Text(settings), style=style)
    return table


def _draw(view: str | Table) -> str:
    """What stands on stdout; written by rich itself, a closed stdout would end in an exit of rich's own."""
    width = None if sys.stdout.isatty() else WIDTH
    console = Console(width=width, soft_wrap=isinstance(view, str), markup=False, emoji=False, highlight=False)
    with console.capture() as drawn:
        console.print(view)
    return drawn.get()


def _write_settings(settings: dict[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _write_settings(value)
        else:
            yield f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {_write(value)}"


def _outline(values: dict[str, Any], indent: str = "  ") -> Iterator[str]:
    """One line for each table, column or number: what is nested is indented, what has only numbers is one line."""
    for key, value in values.items():
        if not isinstance(value, dict):
            yield f"{indent}{key}: {_write(value)}"
        elif any(isinstance(inner, dict) for inner in value.values()):
            yield f"{indent}{key}"
            yield from _outline(value, indent + "  ")
        elif value:
            yield f"{indent}{key}: {', '.join(f'{name} {_write(one)}' for name, one in value.items())}"


def _write(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_write, value)) or "none"
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
