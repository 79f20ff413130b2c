"""Nodes to vectors: features, message passing, and the model that holds both."""

from amity.encoder.edges import Edges
from amity.encoder.features import FeaturesConfig, FeatureTransform, fit_features
from amity.encoder.graph_encoder import EncoderConfig, GraphEncoder, block_edges, edges_between
from amity.encoder.inputs import Inputs, InputSource
from amity.encoder.model import Model, build_model
from amity.encoder.prompts import Division, PromptsConfig

__all__ = [
    "Division",
    "Edges",
    "EncoderConfig",
    "FeatureTransform",
    "FeaturesConfig",
    "GraphEncoder",
    "InputSource",
    "Inputs",
    "Model",
    "PromptsConfig",
    "block_edges",
    "build_model",
    "edges_between",
    "fit_features",
]
