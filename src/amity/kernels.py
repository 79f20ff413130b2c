"""How our numba kernels are compiled, once and cached, and how threads share their work.

Every kernel of amity is made by one of the decorators below, so that these choices stand in one place. Compiling is
what a first run waits for, so new kernels are sequential code that releases the GIL: `prange` takes some 0.6 s a kernel
to compile, where sharing the rows out between a few threads of Python (`shared`) takes nothing.
"""

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, config, event, types
from numba.extending import intrinsic

config.THREADING_LAYER = "omp"  # pyright: ignore[reportAttributeAccessIssue]

F = TypeVar("F", bound=Callable[..., Any])

PARTS = 4
"""How many parts of the work there are for each thread: threads take them as they get free."""


def kernel(function: F) -> F:
    """Compile a kernel."""
    return _compile(function)


def parallel_kernel(function: F) -> F:
    """Compile a kernel whose `numba.prange` loops are shared between threads."""
    return _compile(function, parallel=True)


def summing_kernel(function: F) -> F:
    """Compile a kernel whose sums may be taken in any order, as vector code.

    The order is fixed when the kernel is compiled, so that results repeat themselves, whatever the threads; only for
    sums that are promised to no more than rounding.
    """
    return _compile(function, fastmath={"reassoc", "contract"})


def shared(kernel: Callable[..., Any], count: int, *arguments: Any) -> None:
    """Have `kernel(part, *arguments)` do its work for all of `range(count)`, a part (first, last) after another.

    The parts are shared between as many threads as numba is set to in the calling thread (`NUMBA_NUM_THREADS`,
    `numba.set_num_threads`), this one among them. What the kernel writes for a number must hang on that number alone:
    then neither the parts matter nor the threads.
    """
    threads = numba.get_num_threads()
    size = max(1, -(-count // (PARTS * threads)))
    starts = range(0, count, size)
    waiting = iter(starts)

    def work() -> None:
        for first in waiting:
            kernel((first, min(first + size, count)), *arguments)

    helpers = [_helpers().submit(work) for _ in range(min(threads, len(starts)) - 1)]
    work()
    for helper in helpers:
        if not helper.cancel():  # One that has not begun would find nothing left to do.
            helper.result()


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, config.NUMBA_NUM_THREADS - 1), "amity-kernel")  # pyright: ignore[reportAttributeAccessIssue]


def _compile(function: F, **options: Any) -> F:
    options |= {"cache": True, "nogil": True, "no_cfunc_wrapper": True}  # Nobody calls a kernel from C.
    dispatcher: Any = numba.njit(**options)(function)
    # By itself numba looks at the file of a kernel only: one that calls an edited kernel would keep the old code in it.
    dispatcher._cache._cache_file._source_stamp = source_stamp()  # noqa: SLF001
    return dispatcher


class _Undisturbed(event.Listener):
    """Keeps the garbage collector from running while a kernel is compiled: that was a tenth of the time.

    One thread compiles at a time, but kernels that a kernel calls are compiled within it.
    """

    depth, collects = 0, False

    def on_start(self, event: event.Event) -> None:  # noqa: ARG002 (a listener's signature)
        if self.depth == 0:
            self.collects = gc.isenabled()
            gc.disable()
        self.depth += 1

    def on_end(self, event: event.Event) -> None:  # noqa: ARG002 (a listener's signature)
        self.depth -= 1
        if self.depth == 0 and self.collects:
            gc.enable()


event.register("numba:compile", _Undisturbed())


@cache
def source_stamp() -> str:
    """A hash over all files of amity that speak of kernels: what a kernel in the cache must have been compiled from."""
    digest = sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        text = path.read_bytes()
        digest.update(text if b"kernel" in text else b"")
    return digest.hexdigest()


@kernel
def mix(value):
    """The finalizer of splitmix64 (Steele, Lea and Flood, 2014), a bijection of 64 bits that looks random; int64."""
    bits = np.uint64(value) + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64(bits ^ (bits >> np.uint64(31)))


@intrinsic
def prefetch(_, array, _byte):
    """Have the memory send a byte of an array and those near it, which are used soon, and do not wait for them."""

    def generate(context, builder, signature, arguments):
        values = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        wanted = builder.gep(builder.bitcast(values.data, pointer), [arguments[1]])
        builder.call(function, [wanted, number(0), number(3), number(1)])  # to read, to keep in every cache, data
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@kernel
def to_single(half):
    """The number whose bits in half precision are given, as an unsigned integer; exact for all finite numbers."""
    bits = np.uint32(half)
    shifted = np.uint32(((bits & 0x7FFF) << 13) | ((bits & 0x8000) << 16))
    return shifted.view(np.float32) * np.float32(2.0**112)
