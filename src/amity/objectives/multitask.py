"""All objectives of a step over one encoder, their weighted sum, and what their gradients say of each other."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from amity.encoder import GraphEncoder, Inputs, Model
from amity.errors import ConfigError
from amity.graph.degrees import DEGREE_BUCKETS, degree_buckets
from amity.objectives.barlow_twins import BarlowTwins, BarlowTwinsConfig
from amity.objectives.bgrl import Bgrl, BgrlConfig
from amity.objectives.cca_ssg import CcaSsg, CcaSsgConfig
from amity.objectives.grace import Grace, GraceConfig
from amity.objectives.graphmae import GraphMae, GraphMaeConfig, feature_width
from amity.objectives.graphmae2 import GraphMae2, GraphMae2Config
from amity.objectives.intent import Intent, IntentConfig
from amity.objectives.retrieval import Retrieval, RetrievalConfig
from amity.objectives.step import Augmentation, Step, ViewsConfig, generator_of
from amity.objectives.uniformity import Uniformity, UniformityConfig
from amity.objectives.weighing import MAIN, Gradient, Weighing, WeighingConfig, cosine, is_observed, length, summed
from amity.objectives.xsimgcl import XSimGcl, XSimGclConfig
from amity.sampling.batch import Batch
from amity.section import Section

ALWAYS = (MAIN, "intent")
"""Objectives that cost little beyond the retrieval pass, and are computed at every step."""
NEEDS = {"intent": "candidates that are divided", "graphmae": "features and two layers"}
"""Without what objectives are off, whatever their weight."""


class ObjectivesConfig(Section):
    """What the encoder is trained for; the total is the sum of weight times loss."""

    weighing: WeighingConfig = WeighingConfig()
    """How the gradients become one."""
    views: ViewsConfig = ViewsConfig()
    """How the auxiliary objectives look at a step."""
    retrieval: RetrievalConfig = RetrievalConfig()
    """Find the true friend among many."""
    intent: IntentConfig = IntentConfig()
    """Foretell in which cluster the true friend is."""
    cca_ssg: CcaSsgConfig = CcaSsgConfig()
    """Two views of a node agree."""
    graphmae: GraphMaeConfig = GraphMaeConfig()
    """Restore a masked node from its neighbours."""
    graphmae2: GraphMae2Config = GraphMae2Config()
    """Foretell a masked node's code."""
    grace: GraceConfig = GraceConfig()
    """Tell a node from all others in two views."""
    bgrl: BgrlConfig = BgrlConfig()
    """Foretell one view from the other."""
    barlow_twins: BarlowTwinsConfig = BarlowTwinsConfig()
    """Features of two views correlate one to one."""
    uniformity: UniformityConfig = UniformityConfig()
    """Spread vectors over the sphere."""
    xsimgcl: XSimGclConfig = XSimGclConfig()
    """Tell a node from all others under noise."""

    def weights(self) -> dict[str, float]:
        """The factor on each objective in a step that computes it, by name: see `views.every`."""
        names = [name for name in type(self).model_fields if name not in ("weighing", "views")]
        factors = {name: 1 if name in ALWAYS else self.views.every for name in names}
        return {name: factors[name] * getattr(self, name).weight for name in names}


def multitask_loss(losses: Mapping[str, Float[Tensor, ""]], weights: Mapping[str, float]) -> Float[Tensor, ""]:
    """The weighted sum of the losses: α L_retrieval + β L_CCA + γ L_MAE, eq. 6 of arXiv 2409.14682."""
    return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


class Objectives(nn.Module):
    """The objectives that are on, each with what it alone learns, and one step of all of them.

    An objective of weight 0 has no head and costs nothing. Raises `ConfigError` where none is on.
    """

    def __init__(self, config: ObjectivesConfig, model: Model, *, seed: int) -> None:
        super().__init__()
        self.config = config
        self.tasks = nn.ModuleDict(_tasks(config, model, seed))
        if not self.tasks:
            raise ConfigError(_nothing_to_learn(config))
        if MAIN not in self.tasks and config.views.every > 1:
            raise ConfigError(
                f"Without retrieval (`objectives.retrieval.weight` 0) the steps between would learn nothing: "
                f"`objectives.views.every` is {config.views.every}. Set it to 1."
            )
        self.weighing = Weighing(config.weighing, self.tasks, num_parameters=len(list(model.encoder.parameters())))

    def prepare(self, encoder: GraphEncoder, batch: Batch, inputs: Inputs, *, seed: int) -> Step:
        """What the objectives of a step share; `inputs` are those of `batch.block.nodes`, `seed` is the step's own."""
        noise = self.config.xsimgcl.noise if "xsimgcl" in self.tasks else 0.0
        retrieval = self.config.retrieval
        augmentation = Augmentation(retrieval.edge_drop, retrieval.feature_drop, noise)
        return Step(encoder, batch, inputs, seed, self.config.views, augmentation)

    def forward(self, step: Step) -> dict[str, Float[Tensor, ""]]:
        """The loss of each objective that is on at this step, before weighing, by name."""
        auxiliary = step.batch.step % self.config.views.every == 0
        return {name: task(step) for name, task in self.tasks.items() if auxiliary or name in ALWAYS}

    def backward(self, step: Step, losses: Mapping[str, Float[Tensor, ""]]) -> dict[str, Any]:
        """Give every parameter its `grad`, which must be empty; now and then, say what the objectives' gradients are.

        Gives, at some of the steps that have auxiliary objectives (`is_observed`), for each objective the `length` of
        its weighted gradient over the encoder's parameters, its `cosine` with retrieval's, and `by_degree` its cosines
        with the gradients of those queries alone that have so many neighbours; else nothing. Such a step takes a
        backward pass for each objective and each bucket. An intent that does not reach the encoder is none of them.
        """
        weights, (number, after) = self.config.weights(), divmod(step.batch.step, self.config.views.every)
        observed = not after and is_observed(number, self.config.weighing.observe_every)
        shaping = [name for name in losses if name != "intent" or self.config.intent.reaches_encoder]
        if len(shaping) < 2 or (self.config.weighing.method == "static" and not observed):
            multitask_loss(losses, weights).backward()
            return {}
        shared = list(step.encoder.parameters())
        gradients = {name: _gradient(weights[name] * loss, shared) for name, loss in losses.items()}
        report = self._observe(step, {name: gradients[name] for name in shaping}, shared) if observed else {}
        for parameter, gradient in zip(shared, self.weighing.combine(gradients), strict=True):
            parameter.grad = gradient
        own = [parameter for parameter in self.tasks.parameters() if parameter.requires_grad]
        if own:
            multitask_loss(losses, weights).backward(inputs=own)
        return report

    def _observe(self, step: Step, gradients: dict[str, Gradient], shared: Sequence[Tensor]) -> dict[str, Any]:
        if MAIN not in gradients:
            return {name: {"length": length(gradient)} for name, gradient in gradients.items()}
        of_degree = self._retrieval_by_degree(step, shared)
        return {
            name: {
                "length": length(gradient),
                "cosine": cosine(gradient, gradients[MAIN]),
                "by_degree": {bucket: cosine(gradient, other) for bucket, other in of_degree.items()},
            }
            for name, gradient in gradients.items()
        }

    def _retrieval_by_degree(self, step: Step, shared: Sequence[Tensor]) -> dict[str, Gradient]:
        task = self.tasks[MAIN]
        assert isinstance(task, Retrieval)
        losses = task.row_losses(step)
        members = step.on_device(degree_buckets(step.inputs.degrees.numpy()[step.batch.queries]))
        rows = {bucket: losses[members == number] for number, bucket in enumerate(DEGREE_BUCKETS)}
        return {bucket: _gradient(some.sum(), shared) for bucket, some in rows.items() if len(some)}


def _tasks(config: ObjectivesConfig, model: Model, seed: int) -> dict[str, nn.Module]:
    encoder, transform, dim = model.encoder, model.transform, model.encoder.dim
    assert isinstance(encoder, GraphEncoder)
    draws = {name: generator_of(seed, name) for name in config.weights()}
    makers = {
        "retrieval": lambda: Retrieval(config.retrieval),
        "intent": lambda: Intent(config.intent),
        "cca_ssg": lambda: CcaSsg(config.cca_ssg, dim, generator=draws["cca_ssg"]),
        "graphmae": lambda: GraphMae(config.graphmae, dim, transform, generator=draws["graphmae"]),
        "graphmae2": lambda: GraphMae2(config.graphmae2, encoder, generator=draws["graphmae2"]),
        "grace": lambda: Grace(config.grace, dim, generator=draws["grace"]),
        "bgrl": lambda: Bgrl(config.bgrl, encoder, generator=draws["bgrl"]),
        "barlow_twins": lambda: BarlowTwins(config.barlow_twins, dim, generator=draws["barlow_twins"]),
        "uniformity": lambda: Uniformity(config.uniformity),
        "xsimgcl": lambda: XSimGcl(config.xsimgcl),
    }
    restorable = feature_width(transform) and len(encoder.layers) > 1
    pointless = {"graphmae": not restorable, "intent": encoder.intent is None}
    chosen = [name for name, weight in config.weights().items() if weight and not pointless.get(name)]
    return {name: makers[name]() for name in chosen}


def _gradient(loss: Tensor, parameters: Sequence[Tensor]) -> Gradient:
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return [summed(gradient) for gradient in found]


def _nothing_to_learn(config: ObjectivesConfig) -> str:
    weights = {name: getattr(config, name).weight for name in config.weights()}
    found = ", ".join(f"objectives.{name}.weight = {weight:g}" for name, weight in weights.items())
    off = "".join(f"; {name} takes {needs}" for name, needs in NEEDS.items() if weights[name])
    return f"There is nothing to train for: {found}{off}. Give an objective a weight above 0, best `retrieval`."
