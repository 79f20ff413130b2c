"""How results are shown: text and tables for a person, one JSON document for a program."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

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
        if self.json:
            sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
        else:
            width = None if sys.stdout.isatty() else WIDTH
            Console(width=width, soft_wrap=isinstance(view, str)).print(view, markup=False, highlight=False)


SPOKEN = Output()
"""For people, with progress."""


def stage_lines(path: Path, name: str, record: Record) -> str:
    """What a stage wrote and what it has to tell."""
    places = sorted({place.partition("/")[0] for place in record.outputs})
    lines = [f"{name}: wrote {', '.join(str(path / place) for place in places)} in {record.seconds:.1f} s"]
    return "\n".join(lines + [f"  {key}: {_write(value)}" for key, value in record.summary.items()])


def comparison_table(comparison: dict[str, Any]) -> Table:
    """The first run's metrics, and the difference of each other run with its interval."""
    first, *others = comparison["runs"]
    table = Table(title=f"{comparison['queries']:,} queries, paired", title_justify="left")
    for column in ("metric", first, *(f"{name} minus it" for name in others)):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for metric, entry in comparison["metrics"][first].items():
        apart = [comparison["differences"][name][metric] for name in others]
        cells = [f"{one['value']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]" for one in apart]
        table.add_row(metric, f"{entry['value']:.4f}", *cells)
    return table


def _write(value: Any) -> str:
    if isinstance(value, bool | str):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else json.dumps(value, ensure_ascii=False)
