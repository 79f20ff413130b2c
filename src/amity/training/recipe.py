"""What is trained, and for how long: the settings of training beside the other sections that decide what is learned."""

from dataclasses import dataclass

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from amity.clustering import Clusters
from amity.encoder import Division, EncoderConfig
from amity.objectives import ObjectivesConfig
from amity.sampling import SamplingConfig
from amity.section import Section
from amity.training.redivision import Redivision


class TrainingConfig(Section):
    """How long, how fast, and when to stop."""

    steps: NonNegativeInt = 1200
    """At most this many steps; with 0 the parameters stay as they were drawn."""
    learning_rate: PositiveFloat = 4e-3
    """Step size of Adam, at first."""
    cooling: float = Field(default=1.0, ge=0.0, le=1.0)
    """The last share of `steps` over which the step size falls to 0 in a straight line; 0 keeps it."""
    weight_decay: NonNegativeFloat = 0.0
    """Decay of the weights (not of the vectors of ids), decoupled as in AdamW (arXiv 1711.05101)."""
    first_validation: PositiveInt = 25
    """The step after which the model is first validated, and the least distance between two validations."""
    validation_growth: float = Field(default=1.2, ge=1.0)
    """Each further validation comes at so many times the step of the one before: small graphs need fewer steps."""
    least_steps: PositiveInt = 200
    """Train so long, whatever validations say: the first ones are few and noisy."""
    patience: float = Field(default=2.0, gt=1.0)
    """After that, stop at the first validation that comes at so many times the step of the best one, which is kept."""
    validation_candidates: PositiveInt = 100_000
    """Where a graph has more candidates, validation ranks among so many: the held-out friends and a uniform draw."""
    checkpoint_every_s: PositiveFloat = 60.0
    """Seconds between two checkpoints; there is one at each validation too."""


def step_factor(settings: TrainingConfig, step: int) -> float:
    """What the step size is multiplied by at a step, counted from 0."""
    cooling = settings.cooling * settings.steps
    return min(1.0, (settings.steps - step) / cooling) if cooling else 1.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """The sections that decide what is learned, and the clusters that it is learned in."""

    sampling: SamplingConfig
    encoder: EncoderConfig
    objectives: ObjectivesConfig
    training: TrainingConfig
    clusters: Clusters | None = None
    """How the candidates are divided at first; absent where they are not."""
    redivision: Redivision | None = None
    """How they are divided anew while training goes on; absent where they stay as they are."""

    @property
    def standing_clusters(self) -> Clusters | None:
        """How they are divided now."""
        return self.clusters if self.redivision is None else self.redivision.clusters

    @property
    def division(self) -> Division:
        """What the encoder is to know of the clusters."""
        count = 1 if self.clusters is None else self.clusters.count
        return Division(count, intent=count > 1 and self.objectives.intent.weight > 0)
