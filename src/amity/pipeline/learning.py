"""Training, and what the validation part settles of what was learned: how far intent can be believed."""

from amity.clustering import Clusters
from amity.config import Config
from amity.device import check_device
from amity.encoder import Model
from amity.evaluation.calibration import Calibration
from amity.pipeline.judge import Judge
from amity.pipeline.validation import validation
from amity.splitting import Split
from amity.training import Journal, Recipe, train_model


def learn(
    split: Split, config: Config, clusters: Clusters, *, journal: Journal | None = None
) -> tuple[Model, Calibration | None]:
    """A trained model, whose intent is calibrated, and what that did; nothing where no intent is learned."""
    recipe = Recipe(config.sampling, config.encoder, config.objectives, config.training, clusters)
    validate, device = validation(split, recipe, seed=config.seed), check_device(config.device)
    model = train_model(split, recipe, seed=config.seed, validate=validate, journal=journal, device=device)
    judge, intent = Judge.of(split, recipe, seed=config.seed), model.encoder.intent
    if judge is None or intent is None:
        return model, None
    found = judge.calibrate(judge.ask(model))
    intent.cool(found.temperature)
    return model, found
