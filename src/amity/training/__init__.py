"""Batches to a model: the loop, its optimizers, its checkpoint."""

from amity.training.loop import Journal, Recipe, TrainingConfig, Validate, train_model

__all__ = ["Journal", "Recipe", "TrainingConfig", "Validate", "train_model"]
