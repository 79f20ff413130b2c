"""The whole pipeline at any size: a network is made up, and every stage is run as `amity STAGE RUN`, a process each.

    python benchmarks/bench_scale.py --nodes 100000000 --edges 700000000 --directory DIR

Edges are friendships; a graph holds each in both directions. For every stage: its seconds, the most memory that its
process held (resident, pages of mapped files included) and what it left on the disk. Then 1,000 people ask for
100 candidates, one after the other, and what they get is compared with the exact lists. The network's shape (degrees,
triangles) is measured on the graph. Settings: `experiments/scale.toml`.

The table is kept as `benchmarks/scale/<nodes>x<edges>.json`; the chart of growth is drawn from all of them. A run that
is interrupted goes on at the stage where it was. Tables are removed once they are ingested, unless `--keep`.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tomli_w

from amity.artifacts import remove
from amity.ingestion.synthetic import synthesize
from amity.pipeline import open_run
from measure import Row, options, show
from network_shape import describe

HERE = Path(__file__).parent
SETTINGS = HERE.parent / "experiments" / "scale.toml"
STAGES = ("ingest", "split", "train", "embed", "index")
QUERIES, COMPARED, LENGTH = 1000, 200, 100
VECTOR = 32
Figures = dict[str, dict[str, float]]


def main() -> None:
    """Measure one size, keep its table, print it."""
    parser = options(__doc__)
    parser.add_argument("--nodes", type=int, default=143_000)
    parser.add_argument("--edges", type=int, default=1_000_000, help="friendships, each counted once")
    parser.add_argument("--steps", type=int, default=200, help="of training; 2000 at the paper's size")
    parser.add_argument("--dim", type=int, default=48)
    parser.add_argument("--directory", type=Path, help="where all of it lies; by default a temporary directory")
    parser.add_argument("--keep", action="store_true", help="keep the tables after they are ingested")
    parser.add_argument("--work", choices=("tables", "queries"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        print(json.dumps(make_tables(chosen) if chosen.work == "tables" else ask(chosen.directory / "run")))
        return
    with TemporaryDirectory(prefix="amity-scale-") as temporary:
        chosen.directory = chosen.directory or Path(temporary)
        figures = measure(chosen)
    page = {name: getattr(chosen, name) for name in ("nodes", "edges", "steps", "dim")} | {"stages": figures}
    place = HERE / "scale" / f"{chosen.nodes}x{chosen.edges}.json"
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(page, indent=1) + "\n")
    show(rows(page), as_json=chosen.json)


def measure(chosen: argparse.Namespace) -> Figures:
    """What each stage took; those that an earlier call finished are not done again."""
    directory, kept = chosen.directory, chosen.directory / "figures.json"
    directory.mkdir(parents=True, exist_ok=True)
    figures: Figures = json.loads(kept.read_text()) if kept.is_file() else {}
    for name, command in commands(chosen).items():
        if name in figures:
            continue
        figures[name] = timed(command, directory)
        if name == "ingest" and not chosen.keep:
            remove(directory / "tables")
        kept.write_text(json.dumps(figures))
        print(f"{name}: {figures[name]}", file=sys.stderr, flush=True)
    return figures


def commands(chosen: argparse.Namespace) -> dict[str, list[str]]:
    """What is run for each stage."""
    directory, run = chosen.directory, str(chosen.directory / "run")
    settings = tomllib.loads(SETTINGS.read_text())
    settings["training"].update(steps=chosen.steps, first_validation=chosen.steps)
    settings["encoder"]["dim"] = chosen.dim
    (directory / "settings.toml").write_text(tomli_w.dumps(settings))
    own = [sys.executable, __file__, "--directory", str(directory)]
    own += ["--nodes", str(chosen.nodes), "--edges", str(chosen.edges), "--work"]
    told = ["--json", "-c", str(directory / "settings.toml")]
    stages = {name: [sys.executable, "-m", "amity", name, run, *told] for name in STAGES}
    stages["ingest"] += ["--data", str(directory / "tables")]
    return {"tables": [*own, "tables"], **stages, "queries": [*own, "queries"]}


def timed(command: list[str], directory: Path) -> dict[str, float]:
    """Seconds, peak memory and disk of one process, and the numbers that it prints about itself."""
    with Watch(directory) as watch:
        begin = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            printed = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - begin
    if process.returncode:
        raise SystemExit(f"`{' '.join(command)}` failed with {process.returncode}.")
    told = {name: value for name, value in json.loads(printed).items() if isinstance(value, float)}
    found = {"seconds": seconds, "memory_gib": usage.ru_maxrss / 2**20, "cpu_s": usage.ru_utime + usage.ru_stime}
    return {**told, **found, "disk_gb": bytes_under(directory) / 1e9, "disk_peak_gb": watch.most / 1e9}


class Watch:
    """Sees how much a directory holds at most, about once a second."""

    def __init__(self, directory: Path) -> None:
        self.most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(directory,))

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self, directory: Path) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(1.0)
            self.most = max(self.most, bytes_under(directory))


def bytes_under(directory: Path) -> int:
    """What the files take on the disk now, one of several names once; some may vanish meanwhile."""
    sizes: dict[tuple[int, int], int] = {}
    for folder, _, files in os.walk(directory):
        for file in files:
            with suppress(FileNotFoundError):
                status = Path(folder, file).stat()
                sizes[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(sizes.values())


def make_tables(chosen: argparse.Namespace) -> dict[str, float]:
    """Write the tables."""
    synthesize(chosen.directory / "tables", people=chosen.nodes, friendships=chosen.edges, seed=0, vector=VECTOR)
    return {}


def ask(run: Path) -> dict[str, float]:
    """Ask for lists as a program that serves them would, and compare some with the exact ones."""
    begin = time.perf_counter()
    work = open_run(run, until="index")
    retriever, graph = work.retriever(), work.graph()
    opened = time.perf_counter() - begin
    rng = np.random.default_rng(0)
    people = rng.choice(graph.num_nodes, QUERIES + 20, replace=False)
    raw_ids = graph.queries.vocabulary.ids(people)
    seconds = np.array([clock(lambda raw_id=raw_id: retriever.top_k(raw_id, LENGTH)) for raw_id in raw_ids])[20:] * 1e3
    few = people[20 : 20 + COMPARED]
    found = retriever.search(few, k=LENGTH).scores
    exact = getattr(retriever.index, "exact", retriever.index)
    truth = type(retriever)(retriever.embeddings, exact).search(few, k=LENGTH).scores
    return {
        "open_s": opened,
        "p50_ms": float(np.median(seconds)),
        "p99_ms": float(np.quantile(seconds, 0.99)),
        "recall": float((found >= truth[:, -1:]).mean()),
        **describe(graph.target.adjacency),
    }


def clock(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def rows(page: dict[str, Any]) -> list[Row]:
    """The table as rows without a peer."""
    stages, size = page["stages"], f"scale {page['nodes']:,} nodes {page['edges']:,} edges"
    found: list[Row] = []

    def add(name: str, value: float, unit: str) -> None:
        found.append(Row(f"{size}: {name}", float(value), 0.0, 0.0, unit))

    for stage in stages:
        add(f"{stage} seconds", stages[stage]["seconds"], "s")
        add(f"{stage} peak memory", stages[stage]["memory_gib"], "GiB")
        add(f"{stage} disk after", stages[stage]["disk_gb"], "GB")
    add("all seconds", sum(one["seconds"] for one in stages.values()), "s")
    add("all peak memory", max(one["memory_gib"] for one in stages.values()), "GiB")
    add("all disk at most", max(one["disk_peak_gb"] for one in stages.values()), "GB")
    units = {"p50_ms": "ms", "p99_ms": "ms", "recall": f"@{LENGTH}", "open_s": "s"}
    for name, value in stages["queries"].items():
        if name not in ("seconds", "memory_gib", "cpu_s", "disk_gb", "disk_peak_gb"):
            add(f"queries {name}", value, units.get(name, ""))
    return found


if __name__ == "__main__":
    main()
