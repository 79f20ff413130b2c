"""The negative-transfer view says what the log says."""

import pytest

from amity.evaluation import negative_transfer
from amity.evaluation.transfer import transfer_table


def entry(step: int, cosine: float, **by_degree: float) -> dict:
    retrieval = {"length": 2.0, "cosine": 1.0, "by_degree": {"0": 0.5}}
    grace = {"length": 0.5, "cosine": cosine, "by_degree": {name.replace("_", "-"): v for name, v in by_degree.items()}}
    return {"step": step, "loss": 1.0, "gradients": {"retrieval": retrieval, "grace": grace}}


def test_thirds_shares_and_buckets_are_means_of_what_was_observed():
    history = [entry(0, 0.4), {"step": 1, "loss": 1.0}, entry(2, -0.2), entry(3, -0.4, **{"0": 0.1, "6_20": -0.3})]
    (name, found), *others = negative_transfer(history).items()
    assert (name, others) == ("grace", [])
    assert found["observations"] == 3
    assert found["length"] == pytest.approx(0.25)
    assert found["cosine"] == pytest.approx({"begin": 0.4, "middle": -0.2, "end": -0.4})
    assert found["opposed"] == pytest.approx(2 / 3)
    assert found["by_degree"]["0"] == pytest.approx(0.1)
    assert found["by_degree"]["6-20"] == pytest.approx(-0.3)
    assert found["by_degree"][">20"] is None


def test_nothing_observed_is_nothing_said():
    assert negative_transfer([{"step": 0, "loss": 1.0}]) == {}
    assert negative_transfer([]) == {}


def test_the_table_marks_what_pulls_against_retrieval():
    table = transfer_table(negative_transfer([entry(0, -0.25, **{"0": 0.125})]))
    assert "<th>grace</th>" in table
    assert "<td class='down'>-0.250</td>" in table
    assert "<td class='up'>+0.125</td>" in table
