"""The report as one HTML page that needs nothing beside it: charts first, numbers below them."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from amity.evaluation.cards import cell, fold, mark, section
from amity.evaluation.charts import Mark, Series, curves, dots, grouped_bars, ranked_bars, write_number
from amity.evaluation.factorization import FACTORIZATIONS
from amity.evaluation.steering_page import steering_cards
from amity.evaluation.style import frame_page
from amity.evaluation.transfer import transfer_table
from amity.retrieval.heuristics import HEURISTICS

NAMES = {
    "model": "amity",
    "vectors": "amity, vectors alone",
    "undivided": "amity, vectors undivided",
    "encoder": "amity, encoder alone",
    "spectral": "amity, eigenvectors alone",
    "popularity": "Popularity",
    "common_neighbors": "Common neighbors",
    "adamic_adar": "Adamic–Adar",
    "resource_allocation": "Resource allocation",
    "ppr": "PageRank",
    "ials": "iALS",
    "bpr": "BPR",
}
"""How recommenders are called on the page and in tables."""
MODEL, OTHERS = "model", ""
MOST_POINTS = 160
"""A training curve of more steps is drawn by the means of stretches of it."""

Report = dict[str, Any]


def render_page(report: Report, history: Sequence[dict[str, Any]] = ()) -> str:
    """The page of a report (see `amity.evaluation.report`) and the entries of the run's `log.jsonl`.

    Every text that comes from data, config or paths is escaped. Sections without data are left out.
    """
    sections = [
        _hero(report),
        _depth(report),
        _ranking(report),
        _by_degree(report),
        _by_distance(report),
        *steering_cards(report.get("steering") or {}),
        _in_cluster(report),
        *_training(history),
        _transfer(report.get("negative_transfer", {})),
        _amounts(report, "seconds", "Time", "Seconds a stage took."),
        _amounts(report, "peak_rss_bytes", "Memory", "The most a stage held at once."),
        _numbers(report),
        _pairs(_divided(report), "Clusters", "How many candidates each of them has."),
        _pairs(report.get("ingestion"), "What was read", "Rows of the tables, and what became of them."),
        _pairs(report.get("config"), "Settings", "All that the run was told."),
    ]
    return frame_page(
        str(report.get("name", "")),
        f"{sections[0]}<div class='cards'>{''.join(sections[1:])}</div>",
        made=str(report.get("made", "")),
        footer="Every candidate is ranked for every query, but the query itself and the friends it is known to have. "
        f"Whiskers and brackets are {_confidence(report)} % bootstrap intervals over queries. The same numbers, and "
        "more, stand in <code>report.json</code>.",
    )


def everybody(report: Report) -> dict[str, Any]:
    """The metrics of the whole, of its parts and of the baselines, by name."""
    return {MODEL: report["metrics"], **report.get("parts", {}), **report["baselines"]}


def best_baseline(report: Report) -> str | None:
    """The name of the baseline with the best headline recall; None where none was judged."""
    values = {name: mark(metrics[_headline(report)]).value for name, metrics in report["baselines"].items()}
    return max(values, key=lambda name: values[name]) if values else None


def _hero(report: Report) -> str:
    found, k = 100 * mark(report["metrics"][_headline(report)]).value, report["headline"]
    things, best = _things(report), best_baseline(report)
    ringed = 100 * mark(report["baselines"][best][_headline(report)]).value if best else 0.0
    rings = f"The rings show how many {escape(_name(best))} brings back." if best else ""
    sentence = f"Of 100 hidden {things}, the first {k} suggestions hold {found:.0f}."
    facts = {
        f"{report['queries']:,}": "queries judged",
        f"{report['candidates']:,}": "candidates each",
        f"{mark(report['metrics']['mrr']).value:.3f}": "mean reciprocal rank",
    }
    index = report.get("index") or {}
    recall = index.get("recall_against_exact")
    if recall is not None and index.get("kind") != "exact":
        facts[f"{100 * recall:.1f} %"] = "of exact search kept by the index"
    listed = "".join(f"<div><b>{escape(number)}</b>{escape(text)}</div>" for number, text in facts.items())
    return (
        f"<section class='hero'><div><h1>amity finds <em>{found:.0f} of 100</em> hidden {escape(things)}</h1>"
        f"<p class='lead'>among the first {k} of {report['candidates']:,} candidates. {_versus(report)}</p>"
        f"<div class='facts'>{listed}</div></div>"
        f"<figure>{dots(found, ringed=ringed, sentence=sentence)}"
        f"<figcaption>Of a hundred {escape(things)} that were hidden before training, the full dots came back. "
        f"{rings}</figcaption></figure></section>"
    )


def _versus(report: Report) -> str:
    best = best_baseline(report)
    if best is None:
        return ""
    value = 100 * mark(report["baselines"][best][_headline(report)]).value
    apart = mark(report["versus"][best][_headline(report)])
    style = "up" if apart.low > 0 else "down" if apart.high < 0 else "even"
    gap = f"{100 * apart.value:+.1f} [{100 * apart.low:+.1f}, {100 * apart.high:+.1f}]".replace("-", "−")
    return (
        f"The best of the baselines, <b>{escape(_name(best))}</b>, finds {value:.0f}: "
        f"a difference of <span class='{style}'>{gap}</span> in a hundred."
    )


def _depth(report: Report) -> str:
    ks = sorted(report["k"])
    if len(ks) < 2:
        return ""
    span = math.log(ks[-1] / ks[0])
    places = [math.log(k / ks[0]) / span for k in ks]
    series = [
        Series(_name(name), _style(name), [mark(metrics[f"recall@{k}"]) for k in ks])
        for name, metrics in everybody(report).items()
    ]
    chart = curves(series, places, dict(zip(map(str, ks), places, strict=True)), sentence="Recall by length of list.")
    return section("How far down the list", f"Share of the hidden {_things(report)} among the first k.", chart)


def _ranking(report: Report) -> str:
    headline = _headline(report)
    bars = [Series(_name(n), _style(n), [mark(m[headline])]) for n, m in everybody(report).items()]
    bars.sort(key=lambda one: -one.marks[0].value)
    chart = ranked_bars(bars, sentence=f"{headline} of each recommender.")
    return section(f"The first {report['headline']}", f"{headline}, for all queries together.", chart)


def _by_degree(report: Report) -> str:
    buckets = report["metrics"][_headline(report)]["by_degree"]
    labels = [(bucket, f"{entry['queries']:,}") for bucket, entry in buckets.items()]
    note = f"{_headline(report)} by how many {_things(report)} training knew; below, the number of such queries."
    return _bars(report, "by_degree", labels, "Who is helped", note)


def _by_distance(report: Report) -> str:
    parts = report["metrics"][_headline(report)]["by_distance"]
    labels = [(name, f"{entry['queries']:,} queries") for name, entry in parts.items()]
    note = "Two hops: the pair shares a neighbor in training. Beyond: it shares none, so common neighbors are no help."
    if not _is_friendship(report):
        note = "Two hops: the pair shares a neighbor in training, or is one. Beyond: paths between them are longer."
    return _bars(report, "by_distance", labels, "Near and far", note)


def _bars(report: Report, part: str, labels: list[tuple[str, str]], title: str, note: str) -> str:
    headline, judged = _headline(report), everybody(report)
    series = [
        Series(_name(name), _style(name), [mark(metrics[headline][part][label]) for label, _ in labels])
        for name, metrics in judged.items()
    ]
    legend = "".join(f"<li><i class='{_style(n)}'></i>{escape(_name(n))}</li>" for n in judged)
    chart = grouped_bars(labels, series, sentence=f"{headline} {part.replace('_', ' ')}.")
    return section(title, note, f"<ul class='legend'>{legend}</ul>{chart}")


def _training(history: Sequence[dict[str, Any]]) -> list[str]:
    valid = next((name for entry in history for name in entry if name.startswith("valid_")), None)
    charts = [("loss", "Learning", "The loss that training brings down, by step.")]
    if valid is not None:
        name = valid.removeprefix("valid_")
        note = f"{name.capitalize()} on the validation part, by step. The model that was kept is the best of these."
        charts.append((valid, "Progress", note))
    return [_curve(history, *chart) for chart in charts if any(chart[0] in entry for entry in history)]


def _curve(history: Sequence[dict[str, Any]], key: str, title: str, note: str) -> str:
    # A step is logged by its number, from 0, and what it tells holds once it is done.
    points = [(entry["step"] + 1.0, float(entry[key])) for entry in history if entry.get(key) is not None]
    stretch = -(-len(points) // MOST_POINTS)
    parts = [points[start : start + stretch] for start in range(0, len(points), stretch)]
    steps, values = ([sum(pair[axis] for pair in part) / len(part) for part in parts] for axis in (0, 1))
    last = points[-1][0]
    ticks = {f"{step:,.0f}": step / last for step in (0, last // 2, last)}
    series = [Series(title, "c0", [Mark(value) for value in values])]
    return section(title, note, curves(series, [step / last for step in steps], ticks, sentence=note))


def _transfer(found: dict[str, dict[str, Any]]) -> str:
    note = (
        "Cosines between the gradient of each auxiliary objective and that of retrieval over the encoder's parameters, "
        "in each third of training; and with the gradient of the queries alone that have so many known friends. Below "
        "zero, the objective pulls against retrieval. Length is that of its gradient, as a share of retrieval's."
    )
    table = f"<div class='scroll'>{transfer_table(found)}</div>"
    return section("Do the objectives agree?", note, table) if found else ""


def _amounts(report: Report, key: str, title: str, note: str) -> str:
    amounts = report.get(key)
    if not isinstance(amounts, dict) or not amounts:
        return ""
    bars = [Series(stage, "c1", [Mark(float(amount))]) for stage, amount in amounts.items()]
    unit = "bytes" if key.endswith("bytes") else "seconds"
    total = "" if unit == "bytes" else f" Together {write_number(sum(map(float, amounts.values())), unit)}."
    return section(title, note + total, ranked_bars(bars, sentence=note, unit=unit))


def _numbers(report: Report) -> str:
    judged = everybody(report)
    head = "".join(f"<th>{escape(_name(name))}</th>" for name in judged)
    rows = []
    for metric in report["metrics"]:
        cells = "".join(cell(mark(entries.get(metric, {}))) for entries in judged.values())
        rows.append(f"<tr><th>{escape(metric)}</th>{cells}</tr>")
    table = f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return fold("All numbers", table)


def _in_cluster(report: Report) -> str:
    found = report.get("in_cluster")
    if not found:
        return ""
    head = "".join(f"<th>{escape(metric)}</th>" for metric in found)
    cells = "".join(cell(mark(entry)) for entry in found.values())
    table = f"<table><thead><tr>{head}</tr></thead><tbody><tr>{cells}</tr></tbody></table>"
    intent = report.get("intent")
    told = "" if intent is None else f" Intent names its cluster for {100 * intent['accuracy']:.1f} % of them."
    return section("Each cluster alone", f"Every held-out one is looked for in its own cluster.{told}", table)


def _divided(report: Report) -> dict[str, Any] | None:
    sizes = report.get("clusters") or {}
    return sizes if len(sizes) > 1 else None


def _pairs(values: dict[str, Any] | None, title: str, note: str) -> str:
    if not values:
        return ""
    rows = "".join(f"<tr><th>{escape(key)}</th><td>{escape(text)}</td></tr>" for key, text in _flatten(values))
    body = f"<p class='note'>{note}</p><table class='pairs'>{rows}</table>"
    return (
        f"<section class='wide'><details><summary>{title}</summary><div class='scroll'>{body}</div></details></section>"
    )


def _flatten(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs = []
    for key, value in values.items():
        if isinstance(value, dict):
            pairs += _flatten(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", _write(value)))
    return pairs


def _write(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_write, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _headline(report: Report) -> str:
    return f"recall@{report['headline']}"


def _name(recommender: str) -> str:
    return NAMES.get(recommender, recommender)


def _style(recommender: str) -> str:
    order = (MODEL, *HEURISTICS, OTHERS, *FACTORIZATIONS)
    return f"c{order.index(recommender if recommender in order else OTHERS)}"


def _things(report: Report) -> str:
    return "friends" if _is_friendship(report) else f"{report['relation']['target']} links"


def _is_friendship(report: Report) -> bool:
    relation = report.get("relation") or {}
    return relation.get("undirected", True) and relation.get("source") == relation.get("target")


def _confidence(report: Report) -> str:
    return f"{100 * report.get('confidence', 0.95):g}"
