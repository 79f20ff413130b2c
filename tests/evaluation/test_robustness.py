"""What is kept is held against the whole, query by query and seed by seed; what cannot be is refused."""

import io
import re
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from amity.errors import ConfigError
from amity.evaluation import EvaluationConfig, render_robustness, robustness_table, summarize_robustness
from amity.evaluation.robustness_page import chart_of_edges
from amity.evaluation.style import standalone

QUICK = EvaluationConfig(k=(10,), headline=10, resamples=200)
DAMAGES = ("30% of edges", "50% of edges", "30% of features")
FACTORS = (0.9, 0.6, 0.3)


def table(seed: int, *, queries: int = 120, better: float = 1.0, damages: tuple = DAMAGES) -> pa.Table:
    """What queries of all degrees find: under each damage a fixed share of the whole, times `better`."""
    rng = np.random.default_rng(seed)
    whole = rng.random(queries)
    return pa.table(
        {
            "query": np.arange(queries),
            "truth": np.arange(queries) + seed,
            "degree": rng.integers(0, 30, queries),
            "num_targets": np.ones(queries, int),
            "recall@10": whole,
            **{
                f"{name}/recall@10": whole * factor * better
                for name, factor in zip(damages, FACTORS[: len(damages)], strict=True)
            },
        }
    )


def arms(**better: float) -> dict[str, dict[int, pa.Table]]:
    return {name: {seed: table(seed, better=factor) for seed in (3, 5)} for name, factor in better.items()}


def test_what_is_kept_is_recall_under_damage_over_recall_without():
    found = summarize_robustness(arms(base=1.0, tough=1.1), QUICK)
    assert (found["arms"], found["seeds"], found["damages"]) == (["base", "tough"], [3, 5], list(DAMAGES))
    for arm, better in (("base", 1.0), ("tough", 1.1)):
        for damage, factor in zip(DAMAGES, FACTORS, strict=True):
            entry = found["damaged"][arm][damage]
            for one in (entry, *(entry["by_degree"][bucket] for bucket in found["degrees"])):
                assert (one["kept"]["low"], one["kept"]["high"]) == pytest.approx((factor * better,) * 2)
            assert entry["value"] == pytest.approx(found["whole"][arm]["value"] * factor * better)
    gap = found["differences"]["tough"]["50% of edges"]
    assert gap["value"] == pytest.approx(0.06)
    assert gap["p"] == pytest.approx(2 / 201)


def test_seeds_weigh_the_same_however_many_queries_they_have():
    runs = {3: table(3, queries=50), 5: table(5, queries=400)}
    found = summarize_robustness({"base": runs}, QUICK)
    means = [np.mean(one["recall@10"].to_numpy()) for one in runs.values()]
    assert found["whole"]["base"]["value"] == pytest.approx(np.mean(means))
    assert found["queries"] == 450


def test_an_arm_keeps_as_much_as_itself():
    found = summarize_robustness(arms(one=1.0, same=1.0), QUICK)
    for gap in found["differences"]["same"].values():
        assert (gap["value"], gap["low"], gap["high"], gap["p"], gap["p_adjusted"]) == (0, 0, 0, 1, 1)


def test_one_arm_alone_is_described():
    found = summarize_robustness(arms(only=1.0), QUICK)
    assert found["differences"] == {}
    assert found["family"]["size"] == 0


def test_p_values_are_adjusted_for_all_differences():
    found = summarize_robustness(arms(base=1.0, b=1.1, c=0.9), QUICK)
    assert found["family"]["size"] == 2 * len(DAMAGES) * (1 + len(found["degrees"]))
    gap = found["differences"]["b"][DAMAGES[0]]
    assert gap["p_adjusted"] == pytest.approx(min(1, gap["p"] * found["family"]["size"]))


def test_where_nothing_is_found_nothing_is_kept_nor_lost():
    empty = {3: table(3)}
    nothing = np.zeros(len(empty[3]))
    for name in ("recall@10", *(f"{damage}/recall@10" for damage in DAMAGES)):
        place = empty[3].column_names.index(name)
        empty[3] = empty[3].set_column(place, name, pa.array(nothing))
    found = summarize_robustness({"base": empty, "other": empty}, QUICK)
    assert found["damaged"]["base"][DAMAGES[0]]["kept"]["value"] is None
    assert found["family"]["size"] == 0
    shown(found)
    render_robustness(found)


REFUSED = {
    "no run": ({}, "no run to damage"),
    "other damages": (
        {"a": {0: table(0)}, "b": {0: table(0, damages=("30% of edges",))}},
        "not damaged alike",
    ),
    "no damage": ({"a": {0: table(0, damages=())}}, "not damaged alike, or not at all"),
    "other queries": ({"a": {0: table(0)}, "b": {0: table(0, queries=90)}}, "different queries"),
    "another truth": ({"a": {0: table(0)}, "b": {0: table(1)}}, "different targets"),
    "other seeds": ({"a": {0: table(0)}, "b": {1: table(0)}}, "paired by their seed"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_held_against_each_other_is_refused(reason: str):
    runs, message = REFUSED[reason]
    with pytest.raises(ConfigError, match=message):
        summarize_robustness(runs, QUICK)


def shown(found: dict) -> str:
    console = Console(width=160, file=io.StringIO())
    with console.capture() as capture:
        console.print(robustness_table(found))
    return capture.get()


def test_the_table_shows_what_is_kept_and_how_arms_differ():
    text = shown(summarize_robustness(arms(**{"[red]base": 1.0, "tough": 1.1}), QUICK))
    assert "[red]base" in text
    assert "60.0 (60.0, 60.0)" in text
    assert "66.0  +6.0 (+6.0, +6.0)" in text


def test_names_cannot_write_html_and_every_number_is_on_the_page():
    found = summarize_robustness(arms(**{"<script>": 1.0, "tough": 1.1}), QUICK)
    page = render_robustness(found)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    for arm in found["arms"]:
        for damage in DAMAGES:
            assert f"{found['damaged'][arm][damage]['value']:.4f}" in page
    charts = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(charts) == 2 + len(DAMAGES)
    for chart in charts:
        ElementTree.fromstring(chart)


def test_lines_begin_at_the_whole_graph_and_fall_to_what_is_kept():
    found = summarize_robustness(arms(base=1.0), QUICK)
    heights = {}
    for kept in (True, False):
        (line,) = re.findall(r'<polyline[^>]*points="([^"]*)"', chart_of_edges(found, kept=kept))
        heights[kept] = [260 - 34 - float(point.split(",")[1]) for point in line.split()]
        assert len(heights[kept]) == 3
    for one in heights.values():
        np.testing.assert_allclose(np.array(one) / one[0], [1.0, 0.9, 0.6], atol=0.002)


def test_a_chart_by_itself_is_xml_that_asks_for_nothing():
    chart = standalone(chart_of_edges(summarize_robustness(arms(base=1.0, tough=1.1), QUICK), kept=True))
    root = ElementTree.fromstring(chart)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in chart
    assert not re.search(r"(href|url\(|@import)", chart)
