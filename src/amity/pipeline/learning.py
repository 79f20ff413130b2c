"""Training, and what the validation part settles of what was learned: how far intent can be believed."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from amity.clustering import ClusteringConfig, Clusters, divide_again
from amity.config import Config
from amity.device import check_device
from amity.embedding import embed_graph
from amity.embedding.embedding import refuse_messages
from amity.embedding.histories import embed_nodes
from amity.encoder import Model, SequenceEncoder
from amity.evaluation.calibration import Calibration
from amity.pipeline.judge import Judge
from amity.pipeline.validation import validation
from amity.sampling import histories_of
from amity.splitting import Split
from amity.training import Journal, Recipe, Redivision, train_model


@dataclass(frozen=True, slots=True)
class Trained:
    """What training leaves."""

    model: Model
    calibration: Calibration | None
    """What a temperature did to intent; nothing where no intent is learned."""
    clusters: Clusters
    """How the candidates are divided in the end."""


def learn(split: Split, config: Config, clusters: Clusters, *, journal: Journal | None = None) -> Trained:
    """A trained model, whose intent is calibrated.

    Raises `ConfigError` for what embedding would refuse in the end.
    """
    if config.encoder.kind == "sequence":
        refuse_messages(config.embedding)
    redivision = _redivision(split, config.clustering, clusters, seed=config.seed)
    recipe = Recipe(config.sampling, config.encoder, config.objectives, config.training, clusters, redivision)
    validate, device = validation(split, recipe, seed=config.seed), check_device(config.device)
    model = train_model(split, recipe, seed=config.seed, validate=validate, journal=journal, device=device)
    divided = clusters if redivision is None else redivision.clusters
    judge, intent = Judge.of(split, recipe, seed=config.seed), model.encoder.intent
    if judge is None or intent is None:
        return Trained(model, None, divided)
    found = judge.calibrate(judge.ask(model))
    intent.cool(found.temperature)
    return Trained(model, found, divided)


def _redivision(split: Split, config: ClusteringConfig, clusters: Clusters, *, seed: int) -> Redivision | None:
    """What divides the candidates anew by their vectors; none where they stay as they are."""
    if not config.again_every:
        return None

    def divide(model: Model, before: Clusters) -> Clusters:
        return divide_again(_candidates(model, split), before, balanced=config.balanced, seed=seed)

    return Redivision(clusters, divide, every=config.again_every)


def _candidates(model: Model, split: Split) -> Float32[ndarray, "candidates dim"]:
    """The candidates' vectors, by train edges alone."""
    graph = split.train
    rows = np.arange(graph.num_nodes)[graph.candidates.rows]
    if isinstance(model.encoder, SequenceEncoder):
        return embed_nodes(model, graph, histories_of(graph), rows)
    device = model.encoder.device
    return embed_graph(model, graph, device=device).vectors[rows]
