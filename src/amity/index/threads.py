"""How many threads faiss builds with."""

from collections.abc import Iterator
from contextlib import contextmanager

import faiss
from numpy import ndarray

ONE_THREAD_UP_TO = 100_000
"""Up to so many candidates one thread builds an index: it is quick, and a graph comes out the same every time."""


def threads_for(vectors: ndarray) -> int:
    """One thread for few candidates, all of them for many."""
    return 1 if len(vectors) <= ONE_THREAD_UP_TO else faiss.omp_get_max_threads()


@contextmanager
def faiss_threads(count: int) -> Iterator[None]:
    """Let faiss use that many threads for a while."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
