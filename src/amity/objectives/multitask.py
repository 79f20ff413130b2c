"""All objectives of a step over one encoder, and their weighted sum (Kolodner et al., 2024, eq. 6)."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from amity.encoder import FeatureTransform, GraphEncoder, Inputs, block_edges, edges_between
from amity.errors import ConfigError
from amity.kernels import mix
from amity.objectives.cca_ssg import CcaSsgConfig, CcaSsgHead, cca_ssg_loss, drop_columns
from amity.objectives.graphmae import GraphMaeConfig, GraphMaeHead, feature_vectors, feature_width, graphmae_loss
from amity.objectives.retrieval import RetrievalConfig, retrieval_loss
from amity.sampling.batch import Batch
from amity.sampling.neighbors import Block
from amity.sampling.views import drop_edges
from amity.section import Section


class ObjectivesConfig(Section):
    """What the encoder is trained for; the total is the sum of weight times loss."""

    retrieval: RetrievalConfig = RetrievalConfig()
    """Find the true friend among many."""
    cca_ssg: CcaSsgConfig = CcaSsgConfig()
    """Two views of a node agree."""
    graphmae: GraphMaeConfig = GraphMaeConfig()
    """Restore a masked node from its neighbours."""

    def weights(self) -> dict[str, float]:
        """The weight of each objective, by name."""
        return {name: getattr(self, name).weight for name in type(self).model_fields}


def multitask_loss(losses: dict[str, Float[Tensor, ""]], weights: dict[str, float]) -> Float[Tensor, ""]:
    """The weighted sum of the losses: α L_retrieval + β L_CCA + γ L_MAE, eq. 6 of arXiv 2409.14682."""
    return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


class Objectives(nn.Module):
    """The heads of the objectives, and one step of all of them.

    An objective of weight 0 has no head and costs nothing. Raises `ConfigError` where none is on.
    """

    def __init__(self, config: ObjectivesConfig, transform: FeatureTransform, dim: int, *, seed: int) -> None:
        super().__init__()
        self.config = config
        width = feature_width(transform)
        draws = _generator(seed, "cca_ssg")
        self.cca_ssg = CcaSsgHead(dim, config.cca_ssg.dim, generator=draws) if config.cca_ssg.weight else None
        masked = config.graphmae.weight and width
        self.graphmae = GraphMaeHead(dim, width, generator=_generator(seed, "graphmae")) if masked else None
        if not config.retrieval.weight and self.cca_ssg is None and self.graphmae is None:
            raise ConfigError(_nothing_to_learn(config))

    def forward(
        self, encoder: GraphEncoder, batch: Batch, inputs: Inputs, *, seed: int
    ) -> dict[str, Float[Tensor, ""]]:
        """The loss of each objective that is on, before weighing, by name.

        `inputs` are those of `batch.block.nodes`. All that is drawn is a function of `seed`, and each objective draws
        from a generator of its own, so that turning one off leaves the others' draws as they were.
        """
        states = encoder.encode_inputs(inputs, generator=_generator(seed, "encoder"))
        step = _Step(encoder, batch, inputs, states, seed)
        losses = {}
        if self.config.retrieval.weight:
            losses["retrieval"] = _retrieval(self.config.retrieval, step)
        if self.cca_ssg is not None:
            losses["cca_ssg"] = _cca_ssg(self.config.cca_ssg, self.cca_ssg, step)
        if self.graphmae is not None:
            losses["graphmae"] = _graphmae(self.config.graphmae, self.graphmae, step)
        return losses


@dataclass(frozen=True, slots=True)
class _Step:
    """What all objectives of a step share."""

    encoder: GraphEncoder
    batch: Batch
    inputs: Inputs
    states: Tensor
    """The first states of the block's nodes."""
    seed: int

    def propagate(self, block: Block, states: Tensor, *, reach: int = 0) -> list[Tensor]:
        return self.encoder.propagate(states, block_edges(block, self.inputs.degrees.numpy(), reach=reach))

    def on_device(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.states.device)


def _retrieval(config: RetrievalConfig, step: _Step) -> Tensor:
    batch = step.batch
    vectors = step.encoder.combine(step.propagate(batch.block, step.states))
    return retrieval_loss(
        vectors[step.on_device(batch.queries)],
        vectors[step.on_device(batch.candidates)],
        positives=step.on_device(batch.positives),
        masked=step.on_device(batch.masked),
        log_rates=step.on_device(batch.log_rates) if config.logq else None,
        temperature=config.temperature,
    )


def _cca_ssg(config: CcaSsgConfig, head: CcaSsgHead, step: _Step) -> Tensor:
    views = []
    for view in ("first", "second"):
        block = drop_edges(step.batch.block, rate=config.edge_drop, seed=_key(step.seed, "cca_ssg", view, "edges"))
        generator = _generator(step.seed, "cca_ssg", view, "features")
        states = drop_columns(step.states, rate=config.feature_drop, generator=generator)
        views.append(head(step.encoder.blend(step.propagate(block, states))))
    return cca_ssg_loss(*views, decorrelation=config.decorrelation)


def _graphmae(config: GraphMaeConfig, head: GraphMaeHead, step: _Step) -> Tensor:
    masked = step.on_device(np.unique(step.batch.queries))
    block = drop_edges(step.batch.block, rate=config.edge_drop, seed=_key(step.seed, "graphmae", "edges"))
    # The decoder hears the neighbours of the seeds, so their codes are wanted too.
    codes = step.encoder.blend(step.propagate(block, head.hide(step.states, masked), reach=1))
    edges = edges_between(block, step.inputs.degrees.numpy(), targets=block.hops[0], sources=len(codes))
    return graphmae_loss(head(codes, masked, edges), feature_vectors(step.inputs, masked), gamma=config.gamma)


def _nothing_to_learn(config: ObjectivesConfig) -> str:
    found = ", ".join(f"objectives.{name}.weight = {weight:g}" for name, weight in config.weights().items())
    bare = ", and on a graph without features graphmae has nothing to restore" if config.graphmae.weight else ""
    return f"There is nothing to train for: {found}{bare}. Give an objective a weight above 0, best `retrieval`."


def _key(seed: int, *names: str) -> int:
    """A non-negative seed of its own for each use, from the seed of the step."""
    key = int(mix(seed))
    for byte in "/".join(names).encode():
        key = int(mix(key ^ byte))
    return key & 0x7FFFFFFFFFFFFFFF


def _generator(seed: int, *names: str) -> Generator:
    return torch.Generator().manual_seed(_key(seed, *names))
