"""What pages are made of: cards with a title, folded or open, and the numbers of their tables."""

import math
from html import escape
from typing import Any

from amity.evaluation.charts import Mark


def section(title: str, note: str, body: str) -> str:
    """A card of the page; `body` is HTML."""
    return f"<section><h2>{escape(title)}</h2><p class='note'>{escape(note)}</p>{body}</section>"


def fold(title: str, body: str) -> str:
    """A card that is opened by a click; `body` is HTML."""
    content = f"<summary>{escape(title)}</summary><div class='scroll'>{body}</div>"
    return f"<section class='wide'><details>{content}</details></section>"


def mark(entry: dict[str, Any]) -> Mark:
    """An estimate as JSON has it, as charts take it."""
    return Mark(*(math.nan if entry.get(name) is None else entry[name] for name in ("value", "low", "high")))


def cell(mark: Mark) -> str:
    """A number of a table, its interval below it."""
    value = "–" if math.isnan(mark.value) else f"{mark.value:.4f}"
    interval = "" if math.isnan(mark.low) else f"<small>{mark.low:.4f} – {mark.high:.4f}</small>"
    return f"<td>{value}{interval}</td>"
