"""The negative-transfer view: which auxiliary objective pulls against retrieval, when, and for whose queries."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from amity.graph.degrees import DEGREE_BUCKETS

MAIN = "retrieval"
STRETCHES = ("begin", "middle", "end")
"""Thirds of what was observed."""


def negative_transfer(history: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What `log.jsonl` tells of the gradients of auxiliary objectives, by name; empty where nothing was observed.

    For each: `observations`; `length`, the mean length of its weighted gradient as a share of retrieval's; `cosine`
    with retrieval's gradient in each third of training; `opposed`, the share of observations with a negative cosine;
    and `by_degree`, the mean cosine with the gradient of those queries alone that have so many train friends.
    """
    seen = [entry["gradients"] for entry in history if MAIN in entry.get("gradients", {})]
    names = sorted({name for one in seen for name in one} - {MAIN})
    return {name: _summary([one for one in seen if name in one], name) for name in names}


def transfer_table(found: dict[str, dict[str, Any]]) -> str:
    """What `negative_transfer` gives as an HTML table."""
    columns = ("length", *STRETCHES, *(f"{bucket} friends" for bucket in DEGREE_BUCKETS))
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    rows = "".join(f"<tr><th>{escape(name)}</th>{_cells(one)}</tr>" for name, one in found.items())
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cells(one: dict[str, Any]) -> str:
    cosines = [*one["cosine"].values(), *one["by_degree"].values()]
    shown = "–" if one["length"] is None else f"{one['length']:.3f}"
    return f"<td>{shown}</td>" + "".join(map(_signed, cosines))


def _signed(value: float | None) -> str:
    if value is None:
        return "<td>–</td>"
    return f"<td class='{'down' if value < 0 else 'up'}'>{value:+.3f}</td>"


def _summary(seen: list[dict[str, Any]], name: str) -> dict[str, Any]:
    cosines = np.array([one[name]["cosine"] for one in seen])
    lengths = [one[name]["length"] / one[MAIN]["length"] for one in seen if one[MAIN]["length"]]
    thirds = zip(STRETCHES, np.array_split(cosines, len(STRETCHES)), strict=True)
    buckets = {b: [one[name]["by_degree"][b] for one in seen if b in one[name]["by_degree"]] for b in DEGREE_BUCKETS}
    return {
        "observations": len(seen),
        "length": float(np.mean(lengths)) if lengths else None,
        "cosine": {stretch: float(part.mean()) if len(part) else None for stretch, part in thirds},
        "opposed": float((cosines < 0).mean()),
        "by_degree": {bucket: float(np.mean(values)) if values else None for bucket, values in buckets.items()},
    }
