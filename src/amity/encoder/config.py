"""What encoders can be told: one section for both kinds."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from amity.encoder.features import FeaturesConfig
from amity.encoder.prompts import PromptsConfig
from amity.section import Section


class SequenceConfig(Section):
    """How a history becomes a vector."""

    length: int = Field(default=200, ge=2)
    """Places of a history: the start and the latest items."""
    layers: NonNegativeInt = 2
    """Blocks of attention."""
    heads: PositiveInt = 2
    """Heads of the attention; they share `encoder.dim` between them."""
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Share of the entries that are dropped while training, of the first states and of what each block adds."""
    interests: NonNegativeInt = 0
    """Vectors with which a history asks, the best of which counts for each candidate, pooled from its states by an
    attention each (ComiRec-SA, which has no `layers`); 0 asks with the state of its last place."""


class EncoderConfig(Section):
    """The network that turns a node into a vector: by its neighbourhood, or by what it took one after another."""

    kind: Literal["graph", "sequence"] = "graph"
    """Whether nodes hear from their neighbours, or those who ask are told by their histories in the order of time
    (SASRec); of this section the latter reads `dim`, `output`, `popularity`, `prompts` and `sequence` alone."""
    layer: Literal["gat", "sage", "lightgcn"] = "lightgcn"
    """How neighbours are heard: attention, a mean, or LightGCN's sum without parameters."""
    dim: PositiveInt = 128
    """Width of the vectors and of every layer."""
    layers: PositiveInt = 2
    """Message passes; each needs a fan-out in `sampling.fanout`."""
    heads: PositiveInt = 4
    """Heads of the attention; they share `dim` between them."""
    initialization: Literal["identity", "xavier"] = "identity"
    """Whether training begins with plain propagation, as in LightGCN, or with random weights."""
    activation: Literal["none", "elu"] = "none"
    """What stands between two layers."""
    residual: bool = True
    """Whether a layer's input is added to its output; never for LightGCN."""
    combine: Literal["mean", "last"] = "mean"
    """Whether a vector is the mean of all layers, as in LightGCN, or the last one."""
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Share of the entries of the first states that are dropped while training."""
    output: Literal["cosine", "dot"] = "cosine"
    """Whether vectors are trained at length 1, which takes popularity out of them, or at the length they have."""
    popularity: NonNegativeFloat = 0.2
    """Power of a node's degree by which a vector of length 1 is stretched once it is trained; no part of `dot`."""
    features: FeaturesConfig = FeaturesConfig()
    """What is known of a node before any message."""
    prompts: PromptsConfig = PromptsConfig()
    """How a user asks each cluster, where candidates are divided."""
    sequence: SequenceConfig = SequenceConfig()
    """How histories are read."""
