"""Steering on the page: recall against diversity as a chart, all numbers as a table."""

import math
from html import escape
from typing import Any

from amity.evaluation.cards import cell, fold, mark, section
from amity.evaluation.charts import Mark, Series, paths

STYLES = {"calibrated": "c0", "quota": "c2"}
NAMES = {"calibrated": "calibrated merge", "quota": "quotas"}

Found = dict[str, list[dict[str, Any]]]
"""What `steer` returns."""


def steering_cards(found: Found) -> list[str]:
    """The chart and the table; nothing where nothing was steered."""
    if not found:
        return []
    recall, _ = _axes(found)
    legend = "".join(f"<li><i class='{STYLES[by]}'></i>{escape(NAMES[by])}</li>" for by in found)
    note = (
        f"{recall} of the vectors against the entropy of clusters in a list, in bits, under powers α of intent. To the "
        "right lists hold more clusters; the dots are labelled with α."
    )
    chart = f"<ul class='legend'>{legend}</ul>{steering_chart(found)}"
    return [section("Steering", note, chart), fold("Steering in numbers", _table(found))]


def steering_chart(found: Found) -> str:
    """A line a merge over the entropy of lists, a point an alpha."""
    recall, entropy = _axes(found)
    series = [Series(NAMES[by], STYLES[by], [mark(point[recall]) for point in points]) for by, points in found.items()]
    positions = [[point[entropy]["value"] for point in points] for points in found.values()]
    labels = [f"{point['alpha']:g}" for point in next(iter(found.values()))]
    most = math.log2(max(2, len(next(iter(found.values()))[0]["clusters"])))
    sentence = f"{recall} against {entropy} in bits, by merge, a point for each power of intent."
    return paths(series, positions, labels, most=most, sentence=sentence)


def _axes(found: Found) -> tuple[str, str]:
    """The names of the longest recall and of entropy."""
    point = next(iter(found.values()))[0]
    entropy = next(name for name in point if name.startswith("entropy@"))
    return entropy.replace("entropy", "recall"), entropy


def _table(found: Found) -> str:
    """A row for each merge and alpha: all numbers, and the share of the places that the most popular tenth gets."""
    first = next(iter(found.values()))[0]
    names = [name for name in first if "@" in name]
    head = "".join(f"<th>{escape(name)}</th>" for name in (*names, "most popular tenth"))
    rows = [
        f"<tr><th>{escape(NAMES[by])}, α {point['alpha']:g}</th>{''.join(cell(_mark(point[name])) for name in names)}"
        f"{cell(Mark(point['deciles'][-1]))}</tr>"
        for by, points in found.items()
        for point in points
    ]
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _mark(number: Any) -> Mark:
    """An estimate, or a number that has no interval, as a mark."""
    return mark(number) if isinstance(number, dict) else mark({"value": number})
