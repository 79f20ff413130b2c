"""What a run has shown: `report.json`, `report.html`, and a table for the terminal."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from amity.evaluation.evaluate import Evaluation, estimate_by_degree, summarize
from amity.evaluation.page import MODEL, NAMES, everybody, render_page
from amity.graph import Graph


def make_report(
    model: Evaluation, baselines: dict[str, Evaluation], graph: Graph, parts: dict[str, Evaluation] | None = None
) -> dict[str, Any]:
    """The numbers of a model beside those of its parts and of the baselines that were asked the same queries.

    `metrics` and each of `parts` and `baselines` hold, by the name of a metric, `value`, `low`, `high`, `queries`,
    `by_degree` and, for recall, `by_distance`; `versus` holds the same of the model's headline recall less that of each
    other one, query by query. The pipeline adds what it alone knows: `name`, `made`, `index`, `seconds`,
    `peak_rss_bytes`, `ingestion`, `clusters` and `config`; where candidates are divided, also `steering`, `in_cluster`,
    `intent` (see `judge_clusters`) and `calibration`, what that did to intent on the validation part.
    """
    relation, headline = graph.target, f"recall@{model.config.headline}"
    others = (parts or {}) | baselines
    summaries = summarize({MODEL: model, **others})
    gaps = {name: model.values[headline] - one.values[headline] for name, one in others.items()}
    versus = estimate_by_degree(gaps, model.degrees, model.config, seed=model.seed) if gaps else {}
    return {
        "queries": len(model.queries),
        "candidates": model.num_candidates,
        "k": list(model.config.k),
        "headline": model.config.headline,
        "confidence": model.config.confidence,
        "relation": {field: getattr(relation, field) for field in ("name", "source", "target", "undirected")},
        "metrics": summaries[MODEL],
        "parts": {name: summaries[name] for name in parts or {}},
        "baselines": {name: summaries[name] for name in baselines},
        "versus": {name: {headline: entry} for name, entry in versus.items()},
    }


def write_report(report: dict[str, Any], directory: Path, history: Sequence[dict[str, Any]] = ()) -> None:
    """Write `report.json` and `report.html`; `history` is what `log.jsonl` holds, one entry a step."""
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    (directory / "report.json").write_text(text + "\n", encoding="utf-8")
    (directory / "report.html").write_text(render_page(report, history), encoding="utf-8")


def results_table(report: dict[str, Any]) -> Table:
    """Model and baselines side by side, for the terminal: recall, its interval, the loneliest queries, MRR."""
    headline = f"recall@{report['headline']}"
    others = [k for k in report["k"] if k != report["headline"]]
    beside = [f"recall@{min(others, key=lambda k: abs(k - 20))}"] if others else []
    buckets = report["metrics"][headline]["by_degree"]
    lowest = next((bucket for bucket, entry in buckets.items() if entry["queries"]), "0")
    title = f"{report['queries']:,} queries, {report['candidates']:,} candidates each"
    table = Table(title=title, title_justify="left")
    table.add_column("recommender")
    interval = f"{100 * report['confidence']:g} % interval"
    for column in (*beside, headline, interval, f"{headline}, degree {lowest} ({buckets[lowest]['queries']:,})", "mrr"):
        table.add_column(column, justify="right")
    for name, metrics in everybody(report).items():
        entry = metrics[headline]
        table.add_row(
            NAMES.get(name, name),
            *(_write(metrics[one]["value"]) for one in beside),
            _write(entry["value"]),
            f"{_write(entry['low'])} – {_write(entry['high'])}",
            _write(entry["by_degree"][lowest]["value"]),
            _write(metrics["mrr"]["value"]),
            style="bold" if name == MODEL else None,
        )
    return table


def comparison_table(comparison: dict[str, Any]) -> Table:
    """What `compare` found, for the terminal: each metric of the first arm, and how far the others lie from it."""
    first, *others = comparison["arms"]
    seeds, family = comparison["seeds"], comparison["family"]
    title = f"{comparison['queries']:,} queries; seeds: {', '.join(map(str, seeds))}; differences are paired by both"
    table = Table(title=title, caption=Text(_about_family(family)), title_justify="left", caption_justify="left")
    table.add_column("metric")
    for name in (first, *(f"{name} − {first}" for name in others)):
        table.add_column(Text(name), justify="right")
    for metric in comparison["metrics"][first]:
        found = [comparison["metrics"][first][metric], *(comparison["differences"][name][metric] for name in others)]
        _add_row(table, metric, found)
        for bucket in family["degrees"] if metric == family["metric"] else ():
            _add_row(table, f"  degree {bucket}", [entry["by_degree"][bucket] for entry in found])
    return table


def robustness_table(found: dict[str, Any]) -> Table:
    """What `summarize_robustness` found, for the terminal: recall and what is kept of it, then how others differ."""
    first, *others = found["arms"]
    title = f"{found['metric']}; {found['queries']:,} queries; seeds: {', '.join(map(str, found['seeds']))}"
    caption = (
        f"{first}: recall, and the percentage that this is of its recall on the whole graph. Others: that percentage, "
        f"and by how many points above {first}'s. p: adjusted (Holm) for all {found['family']['size']} of these."
    )
    table = Table(title=title, caption=Text(caption), title_justify="left", caption_justify="left")
    table.add_column("damage")
    for name in found["arms"]:
        table.add_column(Text(name), justify="right")
    table.add_row("none", *(_write(found["whole"][name]["value"]) for name in found["arms"]))
    for damage in found["damages"]:
        entries = [found["damaged"][name][damage] for name in found["arms"]]
        gaps = [found["differences"][name][damage] for name in others]
        table.add_row(damage, *_kept_cells(entries, gaps))
        for bucket in found["degrees"]:
            parts = [[entry["by_degree"][bucket] for entry in one] for one in (entries, gaps)]
            table.add_row(f"  degree {bucket}", *_kept_cells(*parts))
    return table


def _kept_cells(entries: list[dict[str, Any]], gaps: list[dict[str, Any]]) -> list[str]:
    """Of the first arm recall and what is kept; of the others what is kept, and how much more that is."""
    first, *others = entries
    cells = [f"{_write(first['value'])}  {_percents(first['kept'])}"]
    for entry, gap in zip(others, gaps, strict=True):
        p = f"  p {gap['p_adjusted']:.3f}" if "p_adjusted" in gap else ""
        cells.append(f"{_percents({'value': entry['kept']['value']})}  {_percents(gap, sign='+')}{p}")
    return [cell.strip() for cell in cells]


def _percents(entry: dict[str, Any], sign: str = "") -> str:
    """A share and its interval in percent; empty where there is none."""
    if entry["value"] is None:
        return ""
    interval = f" ({100 * entry['low']:{sign}.1f}, {100 * entry['high']:{sign}.1f})" if "low" in entry else ""
    return f"{100 * entry['value']:{sign}.1f}{interval}"


def _add_row(table: Table, name: str, found: list[dict[str, Any]]) -> None:
    table.add_row(name, _write(found[0]["value"]), *map(_write_gap, found[1:]))


def _about_family(family: dict[str, Any]) -> str:
    arms = ", ".join(family["arms"])
    return (
        f"p: adjusted (Holm) for the {family['size']} comparisons of {family['metric']}: {arms} against "
        f"{family['against']}, over all queries and by degree. Of other rows the intervals stand alone, unadjusted."
    )


def _write_gap(entry: dict[str, Any]) -> str:
    relative = entry["relative"]["value"]
    parts = [f"{entry['value']:+.4f} ({entry['low']:+.4f}, {entry['high']:+.4f})"]
    parts += [] if relative is None else [f"{relative:+.1f} %"]
    parts += [f"p {entry['p_adjusted']:.3f}"] if "p_adjusted" in entry else []
    return "  ".join(parts)


def _write(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
