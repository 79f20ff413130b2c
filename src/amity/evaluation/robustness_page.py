"""What damage does to each arm, as one HTML page that needs nothing beside it."""

from html import escape
from typing import Any

from amity.evaluation.cards import cell, fold, mark, section
from amity.evaluation.charts import Mark, Series, curves, grouped_bars
from amity.evaluation.damage import share_of_edges
from amity.evaluation.style import frame_page

STYLES = ("c1", "c0", "c2", "c3", "c4", "c5", "c6")
"""The first arm is what the others are held against: grey."""
APART = 0.1
"""Labels of the x axis stand at least so far from each other."""

Found = dict[str, Any]
"""What `summarize_robustness` returns."""


def render_robustness(found: Found) -> str:
    """The page: recall kept and recall as more edges are dropped, what each damage leaves to whom, and all numbers."""
    metric, damages = found["metric"], found["damages"]
    steps = [damage for damage in damages if share_of_edges(damage)]
    sections = [
        *([_curves(found, steps, kept=True), _curves(found, steps, kept=False)] if steps else []),
        *(_by_degree(found, damage) for damage in damages),
        fold("All numbers", _numbers(found)),
    ]
    seeds = len(found["seeds"])
    return frame_page(
        "robustness",
        f"<div class='cards'>{''.join(sections)}</div>",
        footer=f"{escape(metric)} of {found['queries']:,} queries under {seeds} seed{'s' * (seeds > 1)}. Models were "
        "trained on the whole graph, and embedded what a damage left of it; queries, known friends and truth are those "
        f"of the whole. Bands, whiskers and brackets are {100 * found['confidence']:g} % bootstrap intervals over "
        "seeds and queries.",
    )


def chart_of_edges(found: Found, *, kept: bool) -> str:
    """A line an arm over the share of edges dropped: recall, or the share of it that is `kept`."""
    steps = {damage: share for damage in found["damages"] if (share := share_of_edges(damage))}
    ordered = sorted(steps, key=steps.__getitem__)
    series = []
    for style, arm in zip(_styles(found), found["arms"], strict=True):
        whole = Mark(1.0, 1.0, 1.0) if kept else mark(found["whole"][arm])
        entries = [found["damaged"][arm][damage] for damage in ordered]
        series.append(Series(arm, style, [whole, *(mark(entry["kept"] if kept else entry) for entry in entries)]))
    most = max(steps.values())
    positions = [0.0, *(steps[damage] / most for damage in ordered)]
    ticks = {"0": 0.0}
    for share in sorted(steps.values()):
        if share / most - max(ticks.values()) >= APART:
            ticks[f"{100 * share:g} %"] = share / most
    what = f"share of {found['metric']} kept" if kept else found["metric"]
    return curves(series, positions, ticks, sentence=f"{what} by the share of edges dropped, arm by arm.")


def _curves(found: Found, steps: list[str], *, kept: bool) -> str:
    title = "Recall kept" if kept else "Recall"
    what = f"The share of {found['metric']} that is left" if kept else found["metric"]
    note = f"{what} when up to {max(steps, key=lambda step: share_of_edges(step) or 0)} carry no messages."
    return section(title, note, chart_of_edges(found, kept=kept))


def _by_degree(found: Found, damage: str) -> str:
    whole = found["whole"][found["arms"][0]]["by_degree"]
    buckets = found["degrees"]
    groups = [("all", f"{found['queries']:,}"), *((bucket, f"{whole[bucket]['queries']:,}") for bucket in buckets)]
    series = []
    for style, arm in zip(_styles(found), found["arms"], strict=True):
        entry = found["damaged"][arm][damage]
        parts = [entry, *(entry["by_degree"][bucket] for bucket in buckets)]
        series.append(Series(arm, style, [mark(part["kept"]) for part in parts]))
    legend = "".join(f"<li><i class='{one.style}'></i>{escape(one.name)}</li>" for one in series)
    chart = grouped_bars(groups, series, sentence=f"Recall kept without {damage}, by degree.")
    note = "The share of recall kept, over all queries and by how many train friends a query has."
    return section(f"Without {damage}", note, f"<ul class='legend'>{legend}</ul>{chart}")


def _numbers(found: Found) -> str:
    """A row for the whole graph and one a damage: recall of each arm, then what it keeps."""
    arms = found["arms"]
    head = "".join(f"<th>{escape(arm)}</th>" for arm in arms) + "".join(f"<th>{escape(arm)}, kept</th>" for arm in arms)
    rows = [("whole", [found["whole"][arm] for arm in arms])]
    for damage in found["damages"]:
        entries = [found["damaged"][arm][damage] for arm in arms]
        rows.append((damage, [*entries, *(entry["kept"] for entry in entries)]))
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(cell(mark(entry)) for entry in entries)}</tr>" for name, entries in rows
    )
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"


def _styles(found: Found) -> list[str]:
    return [STYLES[number % len(STYLES)] for number in range(len(found["arms"]))]
