import numpy as np
import pytest
from records import Found
from tables import FEW, charts, gap_table, interval, relative

COLUMNS = ("arm", "recall@50"), ("gat", "recall@50")


def found(values: np.ndarray) -> Found:
    """A run whose baseline and parts find the same as the whole."""
    names = ("recall@50", "encoder/recall@50", "vectors/recall@50", "ppr/recall@50")
    report = {"baselines": ["ppr"], "seconds": {}, "candidates": 9}
    return Found(dict.fromkeys(names, values), np.zeros(len(values)), report, {"seed": 0}, "the same")


def arms(num_queries: int) -> dict[str, list[Found]]:
    """A base that finds something for one query alone, and an arm that finds it for all."""
    values = np.zeros(num_queries)
    values[0] = 1
    return {"gat": [found(values)], "arm": [found(np.ones(num_queries))]}


def test_an_interval_is_of_the_samples_that_can_be_told():
    """A third of the bootstrap samples of a base that finds one friend find none."""
    samples = relative(arms(20), *COLUMNS)
    assert 0.2 < np.isnan(samples).mean() < 0.5
    drawn = samples[1:][~np.isnan(samples[1:])]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert interval(samples) == f"+1900.0 [{low:+.1f}, {high:+.1f}]"
    assert interval(np.full(3, np.nan)) == "–"


@pytest.mark.parametrize(("num_queries", "last"), [(FEW, "**mean of 1**"), (FEW - 1, "network")])
def test_there_is_no_mean_of_networks_that_all_have_few_queries(num_queries: int, last: str):
    rows = gap_table({"network": arms(num_queries)}, {"arm": COLUMNS})
    assert rows[-1].startswith(f"| {last} | ")
    assert {row.count("|") for row in rows} == {3}


def test_bars_are_named_by_what_they_are():
    (chart, *_) = charts({"a_network": arms(20)}).values()
    for title in ("best baseline", "gat", "system"):
        assert f"<title>{title}: " in chart
