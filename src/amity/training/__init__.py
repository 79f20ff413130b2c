"""Batches to a model: the loop, its optimizers, its checkpoint."""

from amity.training.loop import Journal, Validate, train_model
from amity.training.recipe import Recipe, TrainingConfig
from amity.training.redivision import Redivision

__all__ = ["Journal", "Recipe", "Redivision", "TrainingConfig", "Validate", "train_model"]
