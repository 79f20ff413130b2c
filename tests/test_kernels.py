from threading import Thread

import numba
import numpy as np
import pytest

from amity.kernels import kernel, mix, shared, source_stamp, to_single


def test_every_finite_number_in_half_precision_is_read_exactly():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    assert [to_single(bits) for bits in halves.view(np.uint16)] == halves.astype(np.float32).tolist()


def test_kernels_compiled_from_other_sources_are_not_taken_from_the_cache(monkeypatch):
    mix(1)
    cached = mix._cache._cache_file
    assert cached._source_stamp == source_stamp()
    assert cached._load_index()
    monkeypatch.setattr(cached, "_source_stamp", "of other sources")
    assert not cached._load_index()


@kernel
def _square(part, values, squares):
    for i in range(*part):
        squares[i] = values[i] * values[i]


@pytest.mark.parametrize("count", [0, 1, 7, 1000])
@pytest.mark.parametrize("threads", [1, 2])
def test_shared_work_is_done_once_for_every_number_whatever_the_threads(count: int, threads: int):
    values, squares = np.arange(count), np.full(count, -1)
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    try:
        shared(_square, count, values, squares)
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(squares, values**2)


def test_threads_that_share_work_at_once_do_not_wait_for_each_other():
    """As loader and training threads do; more callers than helpers."""
    values = np.arange(50_000)
    results = [np.full(len(values), -1) for _ in range(8)]
    threads = [Thread(target=shared, args=(_square, len(values), values, squares)) for squares in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert all(np.array_equal(squares, values**2) for squares in results)


def test_a_fault_in_shared_work_is_raised():
    def fail(part: tuple[int, int]) -> None:
        raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match="part"):
        shared(fail, 100)
