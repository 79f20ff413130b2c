"""Nodes to vectors: features, message passing, histories, and the model that holds it all."""

from amity.encoder.config import EncoderConfig, SequenceConfig
from amity.encoder.edges import Edges
from amity.encoder.features import FeaturesConfig, FeatureTransform, fit_features
from amity.encoder.graph_encoder import GraphEncoder, block_edges, edges_between
from amity.encoder.inputs import Inputs, InputSource
from amity.encoder.model import Encoder, Model, build_model
from amity.encoder.prompts import Division, PromptsConfig
from amity.encoder.sequence_encoder import SequenceEncoder

__all__ = [
    "Division",
    "Edges",
    "Encoder",
    "EncoderConfig",
    "FeatureTransform",
    "FeaturesConfig",
    "GraphEncoder",
    "InputSource",
    "Inputs",
    "Model",
    "PromptsConfig",
    "SequenceConfig",
    "SequenceEncoder",
    "block_edges",
    "build_model",
    "edges_between",
    "fit_features",
]
