"""A step of all objectives together: the sum, what is off, what is drawn, and who is masked."""

import numpy as np
import pytest
import torch

from amity.encoder import EncoderConfig
from amity.errors import ConfigError
from amity.objectives import (
    CcaSsgConfig,
    GraphMaeConfig,
    Objectives,
    ObjectivesConfig,
    RetrievalConfig,
    ViewsConfig,
    multitask_loss,
)
from laws import EVERYWHERE


def looking_everywhere(**sections) -> ObjectivesConfig:
    return ObjectivesConfig(views=EVERYWHERE, **sections)


def losses_of(stage, config: ObjectivesConfig, *, seed: int = 5):
    model, batch, inputs = stage
    objectives = Objectives(config, model, seed=2)
    return objectives(objectives.prepare(model.encoder, batch, inputs, seed=seed))


def test_the_total_is_the_weighted_sum():
    losses = {"one": torch.tensor(2.0), "two": torch.tensor(3.0)}
    assert float(multitask_loss(losses, {"one": 1.0, "two": 0.5, "off": 9.0})) == 3.5


def test_all_three_objectives_reach_the_shared_encoder(stage):
    model, *_ = stage
    for name in ("retrieval", "cca_ssg", "graphmae"):
        model.encoder.zero_grad()
        losses_of(stage, looking_everywhere())[name].backward()
        for layer in model.encoder.layers:
            assert layer.convolution.weight.grad.abs().sum() > 0
        assert model.encoder.tokens.grad.abs().sum() > 0


def test_an_objective_that_is_off_has_no_head_no_loss_and_no_say_in_what_others_draw(stage):
    everything = losses_of(stage, looking_everywhere())
    assert set(everything) == {"retrieval", "cca_ssg", "graphmae"}
    for name, off in (
        ("retrieval", {"retrieval": RetrievalConfig(weight=0)}),
        ("cca_ssg", {"cca_ssg": CcaSsgConfig(weight=0)}),
        ("graphmae", {"graphmae": GraphMaeConfig(weight=0)}),
    ):
        rest = losses_of(stage, looking_everywhere(**off))
        assert set(rest) == set(everything) - {name}
        assert all(torch.equal(rest[other], everything[other]) for other in rest)
        heads = Objectives(looking_everywhere(**off), stage[0], seed=2).state_dict()
        assert not any(key.startswith(f"tasks.{name}") for key in heads)


def test_a_step_repeats_with_its_seed_and_views_change_with_another(stage):
    first, again, other = (losses_of(stage, looking_everywhere(), seed=seed) for seed in (5, 5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert torch.equal(first["retrieval"], other["retrieval"])
    assert not torch.equal(first["cca_ssg"], other["cca_ssg"])
    assert not torch.equal(first["graphmae"], other["graphmae"])


def test_views_without_drops_are_the_same_view(stage):
    for views in (EVERYWHERE, ViewsConfig()):
        undropped = views.model_copy(update={"edge_drop": 0.0, "feature_drop": 0.0})
        config = ObjectivesConfig(views=undropped, cca_ssg=CcaSsgConfig(decorrelation=0))
        assert float(losses_of(stage, config)["cca_ssg"].detach()) == 0


def test_restoring_never_sees_what_is_known_of_the_masked_nodes(stage):
    model, batch, _ = stage
    model.encoder.zero_grad()
    losses_of(stage, looking_everywhere(graphmae=GraphMaeConfig(edge_drop=0)))["graphmae"].backward()
    gradients = model.encoder.ids.weight.grad.to_dense()[batch.block.nodes]  # A node's own vector is part of its state.
    masked = np.isin(np.arange(len(batch.block.nodes)), batch.queries)
    assert (gradients[masked] == 0).all()
    assert (gradients[~masked] != 0).any(1).sum() > 10


def test_without_features_or_a_second_layer_there_is_nothing_to_restore(graph, make_stage, make_random_friend_graph):
    alone = looking_everywhere(retrieval=RetrievalConfig(weight=0), cca_ssg=CcaSsgConfig(weight=0))
    for known, layers in ((make_random_friend_graph(120, 500), 2), (graph, 1)):
        bare = make_stage(known, EncoderConfig(dim=8, layers=layers))
        assert set(losses_of(bare, ObjectivesConfig())) == {"retrieval", "cca_ssg"}
        with pytest.raises(ConfigError, match="graphmae takes features and two layers"):
            losses_of(bare, alone)


def test_what_would_learn_nothing_is_refused_by_its_settings_as_they_stand(graph, make_stage):
    off = {name: {"weight": 0} for name in ("retrieval", "cca_ssg")} | {"graphmae": {"weight": 0.25}}
    shallow = make_stage(graph, EncoderConfig(dim=8, layers=1))
    with pytest.raises(ConfigError, match=r"graphmae\.weight = 0\.25.*; intent takes candidates that are divided"):
        losses_of(shallow, ObjectivesConfig.model_validate(off))


def test_objectives_that_are_all_off_are_refused(stage):
    off = {name: {"weight": 0} for name in ObjectivesConfig().weights()}
    with pytest.raises(ConfigError, match=r"nothing to train for: objectives\.retrieval\.weight = 0"):
        losses_of(stage, ObjectivesConfig.model_validate(off))


@pytest.mark.parametrize("layer", ["gat", "sage", "lightgcn"])
def test_one_layer_is_enough_for_all_objectives_that_are_on(graph, make_stage, layer):
    losses = losses_of(make_stage(graph, EncoderConfig(dim=8, layers=1, layer=layer)), ObjectivesConfig())
    assert all(loss.isfinite() for loss in losses.values())
