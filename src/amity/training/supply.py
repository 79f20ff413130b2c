"""The batches of a training, made ahead; but none before the clusters that it is drawn under stand."""

from collections.abc import Callable, Generator, Iterator
from typing import Any, Self

import numba

from amity.encoder import Model
from amity.sampling import prefetch
from amity.training.recipe import Recipe

Prepare = Callable[[], Callable[[int], Any]]
"""To what makes the batch of any step, under the clusters that stand when it is called."""


class Supply:
    """What each of some steps learns from, in their order."""

    def __init__(self, prepare: Prepare, steps: range, model: Model, recipe: Recipe) -> None:
        self._prepare, self._steps, self._model, self._recipe = prepare, steps, model, recipe
        self._waited_s, self._batches = 0.0, self._supply()

    @property
    def waited_s(self) -> float:
        """How long the loop has waited for batches so far."""
        return self._waited_s

    def __iter__(self) -> Iterator[Any]:
        return self._batches

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._batches.close()

    def _supply(self) -> Generator[Any]:
        redivision = self._recipe.redivision
        before_s = 0.0
        for segment in [self._steps] if redivision is None else redivision.segments(self._steps):
            if redivision is not None:
                redivision.begin(segment.start, self._model)
            depth, workers = self._recipe.sampling.prefetched, numba.get_num_threads()
            with prefetch(self._prepare(), segment, depth=depth, workers=workers) as ready:
                for batch in ready:
                    self._waited_s = before_s + ready.waited_s
                    yield batch
            before_s = self._waited_s
