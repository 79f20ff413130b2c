import gc
import subprocess
import sys
import threading
import time

import pytest

from amity.sampling import prefetch


def wait_until(condition, limit_s: float = 5) -> bool:
    end_s = time.monotonic() + limit_s
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.01)
    return condition()


def alive() -> int:
    return sum(thread.name == "amity-prefetch" for thread in threading.enumerate())


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("steps", [range(0), range(1), range(3, 100, 2)])
def test_steps_come_out_in_order_once_each(steps, workers):
    assert list(prefetch(lambda step: step * step, steps, depth=3, workers=workers)) == [s * s for s in steps]
    assert wait_until(lambda: alive() == 0)


def test_no_more_than_the_depth_is_made_ahead():
    made = []
    with prefetch(made.append, range(100), depth=3) as loader:
        next(loader)
        assert wait_until(lambda: len(made) == 5)  # one taken, three waiting, one in hand
        time.sleep(0.2)
        assert len(made) == 5


def test_workers_make_steps_at_the_same_time():
    together = threading.Barrier(2, timeout=20)
    assert sorted(prefetch(lambda _: together.wait(), range(2), depth=2, workers=2)) == [0, 1]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_is_raised_where_its_step_would_have_come(workers):
    def make(step: int) -> int:
        if step == 3:
            raise RuntimeError("step three")
        return step

    loader = prefetch(make, range(10), depth=2, workers=workers)
    assert [next(loader) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="step three"):
        next(loader)
    with pytest.raises(StopIteration):
        next(loader)
    assert wait_until(lambda: alive() == 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_closing_ends_the_threads_and_the_iterator(workers):
    loader = prefetch(lambda step: step, range(10**9), depth=2, workers=workers)
    next(loader)
    loader.close()
    assert alive() == 0
    assert list(loader) == []
    loader.close()


def test_a_forgotten_loader_ends_its_thread():
    loader = prefetch(lambda step: step, range(10**9), depth=2)
    next(loader)
    del loader
    gc.collect()
    assert wait_until(lambda: alive() == 0)


def test_waiting_is_counted_only_where_the_consumer_waits():
    slow = prefetch(lambda step: time.sleep(0.02), range(10), depth=2)
    assert len(list(slow)) == 10
    fast = prefetch(lambda step: step, range(10), depth=2)
    for _ in fast:
        time.sleep(0.02)
    assert slow.waited_s > 0.15
    assert fast.waited_s < 0.1


def test_a_program_that_forgets_its_loader_still_ends():
    program = (
        "from amity.sampling import prefetch\n"
        "loader = prefetch(lambda step: step, range(10**9), depth=2)\n"
        "print(next(loader))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "0\n", "")
