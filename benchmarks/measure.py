"""What every benchmark does alike: run ours and the peer in turn, take medians, print the rows."""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. A ratio above 1 means that ours is better; 0 where there is no peer."""

    name: str
    """Begins with the peer."""
    ours: float
    peer: float
    ratio: float
    unit: str


def options(doc: str | None, *, repeats: int = 5) -> argparse.ArgumentParser:
    """A parser with what all benchmarks take; each adds its own sizes."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document with all rows")
    parser.add_argument("--repeats", type=int, default=repeats, help="pairs of runs, beside one that warms up")
    return parser


def use_threads(count: int) -> None:
    """So many threads for torch and, as far as there are so many, for our kernels."""
    torch.set_num_threads(count)
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))


def paired(ours: Callable[[], object], peer: Callable[[], object], *, repeats: int) -> np.ndarray:
    """Seconds of both, a row a pair of runs; the first pair warms up and is dropped."""
    seconds = np.empty((repeats + 1, 2))
    for repeat in range(repeats + 1):
        for column, run in enumerate((ours, peer)):
            begin = time.perf_counter()
            run()
            seconds[repeat, column] = time.perf_counter() - begin
    return seconds[1:]


def rate(name: str, unit: str, work: float, seconds: np.ndarray) -> Row:
    """Work a second of both, by the medians, and the median over the pairs of how many times faster ours is."""
    ours, peer = np.median(seconds, axis=0)
    return Row(name, work / ours, work / peer, median(seconds[:, 1] / seconds[:, 0]), unit)


def cost(name: str, unit: str, ours: float, peer: float) -> Row:
    """Something of which less is better, such as memory."""
    return Row(name, ours, peer, peer / ours, unit)


def peak_mib(work: Callable[..., object], *arguments: Any) -> float:
    """By how many MiB a call raises the peak memory of a process of its own.

    `work` is a function of a module, its arguments are pickled: the process is a fresh one.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth, (work, arguments))


def show(rows: Sequence[Row], *, as_json: bool) -> None:
    """One JSON document, or a line for each row."""
    if as_json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}, indent=1))
        return
    for row in rows:
        print(f"{row.name:<64} ours {row.ours:>12,.4g}  peer {row.peer:>12,.4g} {row.unit:<10} {row.ratio:6.2f}x")


def _growth(work: Callable[..., object], arguments: tuple) -> float:
    before = _peak_mib()
    work(*arguments)
    return _peak_mib() - before


def _peak_mib() -> float:
    # Not getrusage: a process begins with the peak of the one that started it.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
