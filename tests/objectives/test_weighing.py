"""Weighing never touches retrieval's gradient, caps or turns the others', and tells what they say of each other."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amity.encoder import EncoderConfig, FeaturesConfig
from amity.objectives import Objectives, ObjectivesConfig
from amity.objectives.weighing import (
    Weighing,
    WeighingConfig,
    add,
    cosine,
    dot,
    is_observed,
    length,
    without_opposition,
)
from laws import EVERYWHERE


def draw(seed: int, scale: float = 1.0) -> list[torch.Tensor | None]:
    """A gradient of a matrix, of a parameter that is not touched, and of a sparse table."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(3, 2, generator=generator) * scale
    sparse = torch.sparse_coo_tensor(torch.tensor([[5, 0, 9]]), rows, (10, 2), check_invariants=True)
    return [torch.randn(4, 3, generator=generator) * scale, None, sparse]


def dense(gradient) -> torch.Tensor:
    return torch.cat([one.to_dense().flatten() for one in gradient if one is not None])


@given(seeds=st.tuples(st.integers(0, 99), st.integers(100, 199)))
def test_lengths_sums_and_cosines_are_those_of_the_whole_vectors(seeds):
    first, second = draw(seeds[0]), draw(seeds[1])
    a, b = dense(first), dense(second)
    torch.testing.assert_close(dot(first, second), a @ b)
    torch.testing.assert_close(dense(add([first, second])), a + b)
    assert length(first) == pytest.approx(float(a.norm()), rel=1e-5)
    assert cosine(first, second) == pytest.approx(float(torch.cosine_similarity(a, b, dim=0)), abs=1e-5)


@given(seeds=st.tuples(st.integers(0, 99), st.integers(100, 199)))
def test_projection_leaves_no_opposition_and_touches_nothing_else(seeds):
    gradient, main = draw(seeds[0]), draw(seeds[1])
    found = without_opposition(gradient, main)
    assert dot(found, main) >= -1e-4
    if dot(gradient, main) >= 0:
        torch.testing.assert_close(dense(found), dense(gradient))
    else:
        assert abs(float(dot(found, main))) < 1e-4
        along = dense(gradient) - dense(found)
        assert abs(float(torch.cosine_similarity(along, dense(main), dim=0))) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("method", ["static", "metabalance", "projection"])
def test_retrieval_alone_is_followed_as_it_is(method):
    weighing = Weighing(WeighingConfig(method=method), ["retrieval"], num_parameters=3)
    torch.testing.assert_close(dense(weighing.combine({"retrieval": draw(0)})), dense(draw(0)))


def test_static_weighing_is_the_plain_sum():
    weighing = Weighing(WeighingConfig(), ["retrieval", "grace"], num_parameters=3)
    found = weighing.combine({"retrieval": draw(0), "grace": draw(1)})
    torch.testing.assert_close(dense(found), dense(draw(0)) + dense(draw(1)))
    assert found[1] is None


def test_metabalance_caps_long_gradients_parameter_by_parameter_and_leaves_short_ones():
    config = WeighingConfig(method="metabalance", cap=0.1)
    for scale, capped in ((50.0, True), (1e-3, False)):
        weighing = Weighing(config, ["retrieval", "grace"], num_parameters=3)
        found = weighing.combine({"retrieval": draw(0), "grace": draw(1, scale)})
        for one, main, other in zip(found, draw(0), draw(1, scale), strict=True):
            if one is None:
                continue
            added = (one.to_dense() - main.to_dense()).norm()
            wanted = 0.1 * main.to_dense().norm() if capped else other.to_dense().norm()
            torch.testing.assert_close(added, wanted, rtol=1e-3, atol=1e-6)


def test_metabalance_goes_by_moving_averages():
    weighing = Weighing(WeighingConfig(method="metabalance", memory=0.5), ["retrieval", "grace"], num_parameters=3)
    weighing.combine({"retrieval": draw(0), "grace": draw(1)})
    weighing.combine({"retrieval": draw(2), "grace": draw(3)})
    wanted = draw(0)[0].norm() / 4 + draw(2)[0].norm() / 2
    torch.testing.assert_close(weighing.lengths[0, 0], wanted)


def test_metabalance_caps_what_comes_seldom_as_what_comes_at_every_step():
    """Averages that hold the zeros they began with would be too small for what came less often, and cap it less."""
    config = WeighingConfig(method="metabalance", cap=0.1)
    weighing, resumed = (Weighing(config, ["retrieval", "grace"], num_parameters=3) for _ in range(2))
    for _ in range(5):
        weighing.combine({"retrieval": draw(0)})
    resumed.load_state_dict(weighing.state_dict())
    for one in (weighing, resumed):
        found = one.combine({"retrieval": draw(0), "grace": draw(1, 50.0)})
        torch.testing.assert_close((found[0] - draw(0)[0]).norm(), 0.1 * draw(0)[0].norm(), rtol=1e-3, atol=1e-6)


def gradients_of(stage, method: str, *, number: int) -> tuple[dict, dict]:
    model, batch, inputs = stage
    weighing = {"method": method, "cap": 1e-3, "observe_every": 10}
    config = ObjectivesConfig.model_validate({"weighing": weighing, "views": EVERYWHERE})
    objectives = Objectives(config, model, seed=2)
    model.encoder.zero_grad()
    step = objectives.prepare(model.encoder, replace(batch, step=number), inputs, seed=5)
    report = objectives.backward(step, objectives(step))
    named = [*model.encoder.named_parameters(), *objectives.named_parameters()]
    found = {name: parameter.grad.to_dense().clone() for name, parameter in named if parameter.grad is not None}
    model.encoder.zero_grad()
    return found, report


def test_observing_changes_no_gradient_beyond_rounding(stage):
    plain, nothing = gradients_of(stage, "static", number=3)
    observed, report = gradients_of(stage, "static", number=10)
    assert nothing == {}
    assert plain.keys() == observed.keys()
    for name in plain:
        torch.testing.assert_close(observed[name], plain[name], rtol=1e-4, atol=1e-6)
    assert set(report) == {"retrieval", "cca_ssg", "graphmae"}


def test_the_report_tells_lengths_and_cosines_overall_and_by_degree(stage):
    _, report = gradients_of(stage, "static", number=0)
    assert report["retrieval"]["cosine"] == pytest.approx(1, abs=1e-5)
    for entry in report.values():
        assert entry["length"] > 0
        assert -1.001 <= entry["cosine"] <= 1.001
        assert set(entry["by_degree"]) <= {"0", "1-2", "3-5", "6-20", ">20"}
        assert entry["by_degree"]


def test_lengths_and_cosines_are_those_of_ids_that_nodes_share(graph, make_stage):
    features = FeaturesConfig(ids="hashed", id_buckets=3)
    model, batch, inputs = make_stage(graph, EncoderConfig(dim=8, dropout=0.0, features=features))
    objectives = Objectives(ObjectivesConfig(views=EVERYWHERE), model, seed=2)
    step = objectives.prepare(model.encoder, batch, inputs, seed=5)
    losses, weights, shared = objectives(step), objectives.config.weights(), list(model.encoder.parameters())
    wholes = {
        name: dense(torch.autograd.grad(weights[name] * loss, shared, retain_graph=True, allow_unused=True))
        for name, loss in losses.items()
    }
    for name, entry in objectives.backward(step, losses).items():
        assert entry["length"] == pytest.approx(float(wholes[name].norm()), rel=1e-4)
        together = torch.cosine_similarity(wholes[name], wholes["retrieval"], dim=0)
        assert entry["cosine"] == pytest.approx(float(together), abs=1e-4)
    total = sum(wholes.values())
    torch.testing.assert_close(dense([parameter.grad for parameter in shared]), total, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["metabalance", "projection"])
def test_an_objectives_own_head_learns_whatever_the_weighing(stage, method):
    plain, _ = gradients_of(stage, "static", number=3)
    weighed, _ = gradients_of(stage, method, number=3)
    heads = [name for name in plain if name.startswith("tasks.")]
    assert heads
    for name in heads:
        torch.testing.assert_close(weighed[name], plain[name])
    assert any(not torch.allclose(weighed[name], plain[name]) for name in plain if name not in heads)


def test_gradients_are_observed_often_at_first_and_then_now_and_then():
    assert [number for number in range(301) if is_observed(number, 100)] == [
        0,
        1,
        2,
        4,
        8,
        16,
        32,
        64,
        100,
        128,
        200,
        256,
        300,
    ]
