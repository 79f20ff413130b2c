"""The report: strict JSON, a page that needs nothing beside it, and a table; data cannot write HTML."""

import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from amity.evaluation.charts import Mark, Series, curves, dots, grouped_bars, ranked_bars, write_number
from amity.evaluation.evaluate import EvaluationConfig, evaluate, evaluate_baselines
from amity.evaluation.page import best_baseline, render_page
from amity.evaluation.report import make_report, results_table, write_report
from amity.graph import Graph, from_pairs
from amity.retrieval.heuristics import HEURISTICS, heuristic
from amity.splitting import HeldOut

NASTY = '<script>alert("x")</script>&\'"><img src=x onerror=y>'
VOID = {"meta"}
HISTORY = [{"step": step, "loss": 5 / (1 + step), "valid_recall": None} for step in range(500)]
HISTORY += [{"step": 500, "valid_recall": 0.2}, {"step": 1000, "loss": 0.01, "valid_recall": 0.3}]


@pytest.fixture(scope="module")
def graph(make_random_friend_graph) -> Graph:
    return make_random_friend_graph(90, 300, seed=4)


@pytest.fixture(scope="module")
def report(graph) -> dict[str, Any]:
    config = EvaluationConfig(resamples=50)
    rng = np.random.default_rng(0)
    truth = from_pairs(rng.integers(0, 90, 120), rng.integers(0, 90, 120), num_nodes=90)
    held_out = HeldOut(truth, from_pairs(truth.indices[:0], truth.indices[:0], num_nodes=90))
    model = evaluate(heuristic("ppr", graph, seed=7), graph, held_out, config)
    return make_report(model, evaluate_baselines(graph, held_out, config), graph)


@pytest.fixture(scope="module")
def full_report(report) -> dict[str, Any]:
    extras = {
        "name": "runs/mit",
        "made": "2026-01-31",
        "index": {"kind": "hnsw", "recall_against_exact": 0.987},
        "seconds": {"ingest": 1.5, "train": 300.0},
        "peak_rss_bytes": {"ingest": 2**28, "train": 2**31},
        "ingestion": {"edges": {"rows": 1000, "repeated": 3}},
        "config": {"seed": 1, "encoder": {"dim": 64}},
    }
    return report | extras


class Outline(HTMLParser):
    """Checks that tags are closed in the order in which they were opened; keeps tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def test_the_report_has_the_shape_of_the_design(report):
    assert {"queries", "candidates", "k", "metrics", "baselines", "versus"} <= set(report)
    assert list(report["baselines"]) == list(HEURISTICS)
    for metrics in (report["metrics"], *report["baselines"].values()):
        entry = metrics["recall@50"]
        assert entry["low"] <= entry["value"] <= entry["high"]
        assert list(entry["by_degree"]) == ["0", "1-2", "3-5", "6-20", ">20"]
        assert list(entry["by_distance"]) == ["2 hops", "beyond"]


def test_a_model_is_compared_with_each_baseline_query_by_query(report):
    for name, entry in report["versus"].items():
        gap = report["metrics"]["recall@50"]["value"] - report["baselines"][name]["recall@50"]["value"]
        assert entry["recall@50"]["value"] == pytest.approx(gap)
    apart = report["versus"]["ppr"]["recall@50"]  # the model is PageRank too, but for its ties
    assert apart["high"] - apart["low"] < 0.02


def test_what_is_written_is_strict_json_and_a_page(full_report, tmp_path: Path):
    write_report(full_report, tmp_path, HISTORY)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == full_report
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_page(full_report, HISTORY)


def test_the_page_needs_nothing_beside_it(full_report):
    page = outline(render_page(full_report, HISTORY))
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(page.tags)
    assert not {"src", "href", "srcset", "onload"} & {name for name, _ in page.attributes}
    assert not re.search(r"url\(|@import|https?:", render_page(full_report, HISTORY))


def test_the_page_shows_what_was_found(full_report):
    text = " ".join(outline(render_page(full_report, HISTORY)).texts)
    found = 100 * full_report["metrics"]["recall@50"]["value"]
    assert f"{found:.0f} of 100" in text
    for words in ("runs/mit", "98.7 %", "5.0 min", "2.0 GiB", "edges.repeated", "encoder.dim", "Learning", "Progress"):
        assert words in text
    assert best_baseline(full_report) in {"ppr", "resource_allocation", "adamic_adar", "common_neighbors", "popularity"}


def test_what_an_exact_index_keeps_is_no_fact(full_report):
    shown = "of exact search kept by the index"
    exact = full_report | {"index": {"kind": "exact", "recall_against_exact": 1.0}}
    assert shown in render_page(full_report)
    assert shown not in render_page(exact)


def test_training_is_drawn_by_how_many_steps_were_done(report):
    history = [{"step": step, "loss": 1.0} for step in range(3000)]
    texts = outline(render_page(report, history)).texts
    assert [text for text in texts if text in ("0", "1,500", "2,999", "3,000")][-3:] == ["0", "1,500", "3,000"]


def test_data_cannot_write_html(full_report):
    entry = full_report["metrics"]["recall@50"]
    nasty = full_report | {
        "name": NASTY,
        "made": NASTY,
        "relation": {"name": NASTY, "source": "user", "target": NASTY, "undirected": False},
        "baselines": full_report["baselines"] | {NASTY: full_report["metrics"]},
        "versus": full_report["versus"] | {NASTY: {"recall@50": entry}},
        "seconds": {NASTY: 1.0},
        "ingestion": {NASTY: {NASTY: NASTY}},
        "config": {NASTY: [NASTY]},
    }
    history = [{"step": 1, f"valid_{NASTY}": 0.5}]
    page = render_page(nasty, history)
    parsed = outline(page)
    assert not {"script", "img"} & set(parsed.tags)
    assert "onerror" not in {name for name, _ in parsed.attributes}
    assert page.count("&lt;script&gt;") >= 10


def test_a_page_without_baselines_history_and_extras_still_stands(report):
    page = outline(render_page(report | {"baselines": {}, "versus": {}}))
    assert "Learning" not in page.texts
    assert "Time" not in page.texts


def test_user_item_pages_speak_of_items(report):
    relation = {"name": "uses", "source": "user", "target": "item", "undirected": False}
    assert "hidden item links" in " ".join(outline(render_page(report | {"relation": relation})).texts)


def test_the_table_sets_model_and_baselines_side_by_side(report):
    console = Console(width=160, file=io.StringIO())
    with console.capture() as capture:
        console.print(results_table(report))
    text = capture.get()
    assert f"{report['metrics']['recall@50']['value']:.4f}" in text
    for name in ("amity", "Popularity", "Common neighbors", "Adamic–Adar", "Resource allocation", "PageRank"):
        assert name in text


def test_the_table_does_not_say_the_same_twice(report):
    shown = results_table(report | {"k": [50]})
    assert [column.header for column in shown.columns].count("recall@50") == 1


MARKS = [Mark(0.1, 0.05, 0.2), Mark(math.nan), Mark(0.4, 0.3, 0.5)]
CHARTS = {
    "dots": dots(41.3, ringed=36.0, sentence=NASTY),
    "curves": curves([Series(NASTY, "c0", MARKS), Series("b", "c1", MARKS)], [0, 0.5, 1], {NASTY: 0.0}, sentence="s"),
    "grouped": grouped_bars([["0", "5"], [NASTY], ["2"]], [Series(NASTY, "c0", MARKS)], sentence="s"),
    "ranked": ranked_bars([Series(NASTY, "c0", [Mark(0.5, 0.4, 0.6)]), Series("b", "c1", [Mark(0.0)])], sentence="s"),
    "nothing": curves([Series("a", "c0", [Mark(math.nan)])], [0.0], {}, sentence="s"),
}


@pytest.mark.parametrize("name", CHARTS)
def test_charts_are_well_formed_and_say_what_they_show(name):
    root = ElementTree.fromstring(CHARTS[name])
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"]
    assert "nan" not in CHARTS[name]
    assert {element.tag for element in root.iter()} <= {
        "svg", "g", "title", "text", "rect", "circle", "path", "polyline", "polygon",
    }  # fmt: skip


def test_as_many_dots_are_full_as_were_found():
    root = ElementTree.fromstring(dots(41.25, ringed=36.0, sentence="s"))
    full = [float(circle.attrib["r"]) for circle in root if circle.attrib["class"].startswith("fill")]
    area = sum(radius**2 for radius in full) / max(full) ** 2
    assert area == pytest.approx(41.25, abs=0.02)
    assert sum(circle.attrib["class"] == "ring" for circle in root) == 36


def test_bars_are_as_high_as_their_numbers():
    series = [Series("a", "c0", [Mark(0.2), Mark(0.4)])]
    root = ElementTree.fromstring(grouped_bars([["x"], ["y"]], series, sentence="s"))
    low, high = (float(rect.attrib["height"]) for rect in root.iter("rect"))
    assert high == pytest.approx(2 * low, rel=0.01)


def test_numbers_are_written_for_people():
    assert write_number(0.4137, "percent") == "41.4 %"
    assert [write_number(seconds, "seconds") for seconds in (90.0, 600.0)] == ["90.0 s", "10.0 min"]
    assert [write_number(size, "bytes") for size in (2.0**29, 3 * 2.0**30)] == ["512 MiB", "3.0 GiB"]
    assert write_number(math.nan, "percent") == "–"
