"""Runs side by side: each has a process of its own and a share of the cores, since small work gains nothing by more."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from records import Found, keep_record, read_record, stands

from amity import log, pipeline
from amity.config import Config

THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What says, before a process begins, how many threads it has."""


class Run(NamedTuple):
    """What there is to run, and where what it finds is kept."""

    path: Path
    data: Path
    config: Config
    record: Path


class Places(NamedTuple):
    """Where data sets, runs and records lie."""

    data: Path
    runs: Path
    records: Path

    def run(self, network: str, arm: str, config: Config) -> Run:
        """The run of an arm under the seed of its settings."""
        place = Path(network) / f"{arm}-{config.seed}"
        return Run(self.runs / place, self.data / network, config, self.records / place.with_suffix(".parquet"))


def bring_up_to_date(runs: Sequence[Run], *, metrics: Sequence[str], jobs: int) -> None:
    """Run what has no record that stands, so many at a time, and tell what is done; after a failure no other begins."""
    runs = [run for run in runs if not has_record(run)]
    if not runs:
        return
    jobs, afresh = min(jobs, len(runs)), get_context("spawn")
    about = {"mp_context": afresh, "initializer": log.set_silent, "initargs": (True,)}
    with threads(max(1, (os.cpu_count() or 1) // jobs)), ProcessPoolExecutor(jobs, **about) as pool:
        try:
            for task in as_completed([pool.submit(_bring_up_to_date, run, metrics) for run in runs]):
                print(task.result(), flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def threads(count: int) -> AbstractContextManager[object]:
    """Processes that begin meanwhile have so many threads; this one, which may have others, must compile nothing."""
    return patch.dict(os.environ, dict.fromkeys(THREADS, str(count)))


def gather(name: str, runs: Mapping[str, Sequence[Run]]) -> dict[str, list[Found]]:
    """What the runs of each arm found, as far as they have records; arms without any are left out, which is told.

    Where the first has none, which others are held against, there is nothing.
    """
    found = {arm: [read_record(run.record) for run in some if has_record(run)] for arm, some in runs.items()}
    missing = [arm for arm, some in found.items() if not some]
    if missing:
        print(f"{name}: without a record, so left out: {', '.join(missing)}", flush=True)
    return {} if next(iter(runs)) in missing else {arm: some for arm, some in found.items() if some}


def has_record(run: Run) -> bool:
    """Whether a record of it stands."""
    return stands(run.record, run.config)


def _bring_up_to_date(run: Run, metrics: Sequence[str]) -> str:
    """Run one, keep its record, and tell what took how long."""
    done = pipeline.run(run.path, run.data, run.config).items()
    keep_record(run.path, run.record, run.config, metrics=metrics)
    made = ", ".join(f"{name} {one.record.seconds:.0f} s" for name, one in done if one.made)
    return f"{run.path}: {made or 'done before'}"
