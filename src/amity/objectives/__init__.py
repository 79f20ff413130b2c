"""Vectors to one scalar: each published objective a pure function in its own file, and their weighted sum."""

from amity.objectives.barlow_twins import BarlowTwinsConfig, barlow_twins_loss
from amity.objectives.bgrl import BgrlConfig, bgrl_loss
from amity.objectives.cca_ssg import CcaSsgConfig, cca_ssg_loss
from amity.objectives.grace import GraceConfig, grace_loss
from amity.objectives.graphmae import GraphMaeConfig, graphmae_loss
from amity.objectives.graphmae2 import GraphMae2Config
from amity.objectives.intent import IntentConfig, intent_loss
from amity.objectives.multitask import Objectives, ObjectivesConfig, multitask_loss
from amity.objectives.next_item import NextItem
from amity.objectives.retrieval import RetrievalConfig, retrieval_losses
from amity.objectives.step import Step, ViewsConfig
from amity.objectives.uniformity import UniformityConfig, uniformity_loss
from amity.objectives.weighing import WeighingConfig
from amity.objectives.xsimgcl import XSimGclConfig, xsimgcl_loss

__all__ = [
    "BarlowTwinsConfig",
    "BgrlConfig",
    "CcaSsgConfig",
    "GraceConfig",
    "GraphMae2Config",
    "GraphMaeConfig",
    "IntentConfig",
    "NextItem",
    "Objectives",
    "ObjectivesConfig",
    "RetrievalConfig",
    "Step",
    "UniformityConfig",
    "ViewsConfig",
    "WeighingConfig",
    "XSimGclConfig",
    "barlow_twins_loss",
    "bgrl_loss",
    "cca_ssg_loss",
    "grace_loss",
    "graphmae_loss",
    "intent_loss",
    "multitask_loss",
    "retrieval_losses",
    "uniformity_loss",
    "xsimgcl_loss",
]
