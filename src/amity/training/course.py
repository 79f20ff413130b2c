"""A course: what the loop asks of each kind of encoder, since all else of training is alike."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Integer
from numpy import ndarray

from amity.encoder import Model
from amity.splitting import Split
from amity.training import histories, step
from amity.training.checkpoint import Trainable


@dataclass(frozen=True, slots=True)
class Course:
    """How an encoder of one kind is trained."""

    start: Callable[..., tuple[Model, Trainable]]
    """(split, recipe, seed, device) to an untrained model and what training changes of it."""
    batch_maker: Callable[..., Callable[[int], tuple[Any, ...]]]
    """(split, model, recipe, seed, device) to what makes the batch of any step, on any thread."""
    update: Callable[..., dict[str, Any]]
    """(trainable, encoder, *batch, seed) to what the log is told: the losses, once every optimizer has made a step."""
    learned_from: Callable[[Split], tuple[Integer[ndarray, "_"], ...]]
    """What of a split decides what is learned: a checkpoint of another split is not taken up."""


def _edges(split: Split) -> tuple[ndarray, ...]:
    messages, supervision = split.train.messages, split.supervision
    parts = (messages,) if supervision is messages else (messages, supervision)
    return tuple(values for edges in parts for values in (edges.indptr, edges.indices))


def _timed_edges(split: Split) -> tuple[ndarray, ...]:
    edges = split.train.target.adjacency
    return tuple(values for values in (edges.indptr, edges.indices, edges.times) if values is not None)


COURSES = {
    "graph": Course(step.start, step.batch_maker, step.update, _edges),
    "sequence": Course(histories.start, histories.batch_maker, histories.update, _timed_edges),
}
"""By `encoder.kind`."""
