"""A course: what the loop asks of each kind of encoder, since all else of training is alike."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
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
    learned_from: Callable[[Split], Iterator[ndarray]]
    """What of a split decides what is learned and kept: a checkpoint of another split is not taken up."""


def _edges_and_columns(split: Split) -> Iterator[ndarray]:
    messages, supervision, valid = split.train.messages, split.supervision, split.valid.truth
    for edges in (messages, valid) if supervision is messages else (messages, valid, supervision):
        yield from (edges.indptr, edges.indices)
    columns = (column for kind in split.train.kinds for column in kind.columns)
    for value in (getattr(column, field.name) for column in columns for field in fields(column)):
        yield value if isinstance(value, ndarray) else np.frombuffer("\0".join(value).encode(), np.uint8)


def _timed_edges(split: Split) -> Iterator[ndarray]:
    edges, valid = split.train.target.adjacency, split.valid.truth
    yield from (edges.indptr, edges.indices, valid.indptr, valid.indices)
    yield from () if edges.times is None else (edges.times,)


COURSES = {
    "graph": Course(step.start, step.batch_maker, step.update, _edges_and_columns),
    "sequence": Course(histories.start, histories.batch_maker, histories.update, _timed_edges),
}
"""By `encoder.kind`."""
