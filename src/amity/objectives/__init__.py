"""Vectors to one scalar: each published objective a pure function in its own file, and their weighted sum."""

from amity.objectives.cca_ssg import CcaSsgConfig, cca_ssg_loss
from amity.objectives.graphmae import GraphMaeConfig, graphmae_loss
from amity.objectives.multitask import Objectives, ObjectivesConfig, multitask_loss
from amity.objectives.retrieval import RetrievalConfig, retrieval_loss

__all__ = [
    "CcaSsgConfig",
    "GraphMaeConfig",
    "Objectives",
    "ObjectivesConfig",
    "RetrievalConfig",
    "cca_ssg_loss",
    "graphmae_loss",
    "multitask_loss",
    "retrieval_loss",
]
