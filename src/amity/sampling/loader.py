"""A loader that keeps ahead: batches are made in the background while the encoder computes."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

POLL_S = 0.1
"""How often a thread that waits for room looks whether anybody still wants its work."""


def prefetch(make: Callable[[int], T], steps: range, *, depth: int = 4, workers: int = 1) -> "Prefetcher[T]":
    """Make what each step needs in background threads, up to `depth` steps ahead beside the one in each hand.

    Worker w of W makes every W-th step from the w-th on, so that what comes out is in the order of `steps`; there are
    no more workers than `depth`. An exception of `make` is raised where its step would have come. The threads end with
    the steps, when the iterator is closed or forgotten, and when the program ends.
    """
    return Prefetcher(make, steps, depth=depth, workers=min(workers, depth))


class Prefetcher(Generic[T]):
    """The iterator of `prefetch`: open threads and what each has made."""

    waited_s: float = 0.0
    """How long the consumer has waited so far."""

    def __init__(self, make: Callable[[int], T], steps: range, *, depth: int, workers: int) -> None:
        self._closed = threading.Event()
        ready: list[queue.Queue] = [queue.Queue(depth // workers) for _ in range(workers)]
        self._next = cycle(ready)
        # The threads must not hold the iterator, or forgetting the iterator would not end them.
        parts = [(make, steps[first::workers], made, self._closed) for first, made in enumerate(ready)]
        self._threads = [threading.Thread(target=_work, args=p, name="amity-prefetch", daemon=False) for p in parts]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._closed.is_set():
            raise StopIteration
        start_s = time.perf_counter()
        kind, value = next(self._next).get()
        self.waited_s += time.perf_counter() - start_s
        if kind == "made":
            return value  # pyright: ignore[reportReturnType]
        self.close()
        if isinstance(value, BaseException):
            raise value
        raise StopIteration

    def close(self) -> None:
        """End the threads and wait for them; what they have made ahead is lost."""
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._closed.set()


def _work(make: Callable[[int], T], steps: range, ready: queue.Queue, closed: threading.Event) -> None:
    for step in steps:
        try:
            item = ("made", make(step))
        except BaseException as error:  # noqa: BLE001 - it is raised again in the consumer
            _put(ready, ("failed", error), closed)
            return
        if not _put(ready, item, closed):
            return
    _put(ready, ("ended", None), closed)


def _put(ready: queue.Queue, item: tuple[str, object], closed: threading.Event) -> bool:
    """Wait for room; False once nobody wants the item."""
    while not closed.is_set() and threading.main_thread().is_alive():
        try:
            ready.put(item, timeout=POLL_S)
        except queue.Full:
            continue
        return True
    return False
