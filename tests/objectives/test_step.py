"""What the objectives of a step share: drawn apart, computed once, and cheaper where it is asked to be."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from amity.encoder import EncoderConfig
from amity.errors import ConfigError
from amity.objectives import Objectives, ObjectivesConfig
from amity.objectives.slow_copy import SlowCopy
from amity.objectives.step import Augmentation, Step, ViewsConfig, perturb
from laws import EVERYWHERE

ALL = ("retrieval", "cca_ssg", "graphmae", "graphmae2", "grace", "bgrl", "barlow_twins", "uniformity", "xsimgcl")


def looking(**changed) -> ViewsConfig:
    return ViewsConfig.model_validate(EVERYWHERE.model_dump() | changed)


def everything(**views) -> ObjectivesConfig:
    return ObjectivesConfig.model_validate({name: {"weight": 0.5} for name in ALL} | {"views": looking(**views)})


def make_step(stage, config: ViewsConfig | None = None, seed: int = 5, **augmentation) -> Step:
    model, batch, inputs = stage
    return Step(model.encoder, batch, inputs, seed, config or EVERYWHERE, Augmentation(**augmentation))


def losses_of(stage, config: ObjectivesConfig, *, number: int = 0) -> dict[str, torch.Tensor]:
    model, batch, inputs = stage
    objectives = Objectives(config, model, seed=2)
    return objectives(objectives.prepare(model.encoder, replace(batch, step=number), inputs, seed=5))


def test_every_objective_has_a_finite_loss_that_reaches_the_layers(stage):
    losses = losses_of(stage, everything())
    assert set(losses) == set(ALL)
    weights = [layer.convolution.weight for layer in stage[0].encoder.layers]
    for name, loss in losses.items():
        assert loss.isfinite(), name
        gradients = torch.autograd.grad(loss, weights, retain_graph=True)
        assert all(gradient.abs().sum() > 0 for gradient in gradients), name


@pytest.mark.parametrize("layer", ["gat", "sage", "lightgcn"])
@pytest.mark.parametrize("views", [EVERYWHERE, ViewsConfig()])
def test_every_objective_reaches_what_is_known_of_a_node(graph, make_stage, layer, views):
    stage = make_stage(graph, EncoderConfig(dim=8, layer=layer))
    for name, loss in losses_of(stage, everything(**views.model_dump())).items():
        (gradient,) = torch.autograd.grad(loss, [stage[0].encoder.tokens], retain_graph=True)
        assert gradient.isfinite().all(), name
        assert gradient.abs().sum() > 0, name


def test_an_objective_more_or_less_leaves_the_others_as_they_were(stage):
    together = losses_of(stage, everything())
    for name in set(ALL) - {"xsimgcl"}:  # Its noise is in the retrieval pass.
        rest = losses_of(stage, everything().model_copy(update={name: type(getattr(everything(), name))(weight=0)}))
        assert set(rest) == set(ALL) - {name}
        assert all(torch.equal(rest[other], together[other]) for other in rest)


def test_steps_without_anything_to_learn_are_refused(stage):
    for views, every in (({"every": 2}, 2), ({}, 3)):
        config = ObjectivesConfig.model_validate({"retrieval": {"weight": 0}, "views": views})
        with pytest.raises(ConfigError, match=rf"views\.every` is {every}. Set it to 1"):
            Objectives(config, stage[0], seed=0)


def test_auxiliary_objectives_come_at_every_nth_step_with_n_times_their_weight(stage):
    for config, every in ((everything(every=2), 2), (everything(every=ViewsConfig().every), 3), (everything(), 1)):
        found = [set(losses_of(stage, config, number=number)) for number in range(7)]
        assert found == [set(ALL) if number % every == 0 else {"retrieval"} for number in range(7)]
        assert config.weights()["retrieval"] == 0.5
        assert config.weights()["grace"] == 0.5 * every


def test_unless_it_is_said_half_of_the_roots_are_looked_at_beside_the_retrieval_pass(stage):
    step = make_step(stage, ViewsConfig())
    assert len(step.roots) == 35
    assert torch.equal(step.view_codes[0], step.encoder.blend(step.reached)[torch.from_numpy(step.roots)])


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_share_of_the_roots_has_the_codes_that_it_has_among_all(stage, share):
    some, everyone = (make_step(stage, looking(share=part, edge_drop=0, feature_drop=0)) for part in (share, 1.0))
    assert len(some.roots) == round(70 * share)
    for part, whole in zip(some.view_codes, everyone.view_codes, strict=True):
        torch.testing.assert_close(part, whole[torch.from_numpy(some.roots)])


def test_a_share_of_the_roots_looks_at_fewer_nodes_and_masks_queries_alone(stage):
    some = make_step(stage, looking(share=0.1))
    assert len(some.whole.block.nodes) < len(some.batch.block.nodes)
    masked = some.roots[some.masked.numpy()]
    assert set(masked) == set(some.roots) & set(some.batch.queries)


def test_dropped_columns_are_the_same_for_all_nodes_and_not_the_same_in_two_views(stage):
    first, second = (view.dropped for view in make_step(stage, looking(feature_drop=0.5)).views)
    assert set(torch.cat([first, second]).tolist()) == {False, True}
    assert not torch.equal(first, second)


def test_the_retrieval_pass_can_be_the_first_view(stage):
    step, apart = (make_step(stage, looking(share=0.5, retrieval_is_first=first)) for first in (True, False))
    blended = step.encoder.blend(step.reached)[torch.from_numpy(step.roots)]
    assert torch.equal(step.view_codes[0], blended)
    assert torch.equal(step.view_codes[1], apart.view_codes[1])
    assert not torch.equal(step.view_codes[0], apart.view_codes[0])


def test_plain_augmentation_changes_the_retrieval_pass_alone(stage):
    plain, dropped = make_step(stage), make_step(stage, edge_drop=0.5, feature_drop=0.2)
    assert not torch.equal(plain.vectors, dropped.vectors)
    assert all(torch.equal(a, b) for a, b in zip(plain.view_codes, dropped.view_codes, strict=True))
    assert torch.equal(make_step(stage, edge_drop=0.5, feature_drop=0.2).vectors, dropped.vectors)


def test_noise_has_its_length_and_stays_in_the_orthant_of_each_state():
    states = torch.randn(50, 6)
    moved = perturb(states, length=0.1, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close((moved - states).norm(dim=1), torch.full((50,), 0.1))
    assert ((moved - states) * states >= 0).all()


def test_a_slow_copy_keeps_its_share_of_itself_and_has_no_gradients(stage):
    encoder = stage[0].encoder
    slow = SlowCopy(encoder, momentum=0.75)
    before = {name: value.clone() for name, value in slow.encoder.named_parameters()}
    faster = SlowCopy(encoder, momentum=0.0).encoder
    with torch.no_grad():
        for parameter in faster.parameters():
            parameter.add_(1.0)
    slow.follow(faster)
    for name, value in slow.encoder.named_parameters():
        torch.testing.assert_close(value, before[name] + 0.25)
        assert not value.requires_grad


def test_foretelling_never_moves_what_is_foretold(stage):
    model, batch, inputs = stage
    config = ObjectivesConfig.model_validate(
        {name: {"weight": float(name == "bgrl")} for name in ALL} | {"views": EVERYWHERE}
    )
    objectives = Objectives(config, model, seed=2)
    objectives(objectives.prepare(model.encoder, batch, inputs, seed=5))["bgrl"].backward()
    slow = objectives.tasks["bgrl"].slow.encoder
    assert all(parameter.grad is None for parameter in slow.parameters())
    model.encoder.zero_grad()


@pytest.mark.parametrize("views", [EVERYWHERE, ViewsConfig()])
def test_a_slow_copy_sees_the_two_views_that_the_encoder_sees(stage, views):
    step = make_step(stage, views)
    for slow, fast in zip(SlowCopy(step.encoder, momentum=0.0).codes(step, *step.views), step.view_codes, strict=True):
        torch.testing.assert_close(slow, fast)


def test_masked_nodes_are_the_queries_and_hear_no_token_of_their_own(stage):
    step = make_step(stage)
    token = torch.full((8,), 7.0)
    hidden = step.hide(token).values
    others = np.setdiff1d(np.arange(len(hidden)), step.masked.numpy())
    assert torch.equal(hidden[step.masked], token.expand(len(step.masked), -1))
    assert torch.equal(hidden[others], step.first.values[others])
    assert set(step.masked.tolist()) == set(step.batch.queries.tolist())


def test_duplicates_are_never_masked(stage):
    model, batch, inputs = stage
    some = replace(batch, duplicates=range(60, 70))
    assert np.isin(some.queries, some.duplicates).any()
    masked = make_step((model, some, inputs)).masked
    assert set(masked.tolist()) == set(some.queries.tolist()) - set(some.duplicates)
