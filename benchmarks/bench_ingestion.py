"""Rows a second and peak memory of ingesting a large table of edges, in a process of its own.

    python benchmarks/bench_ingestion.py                       # 100 M rows of integers over 10 M nodes
    python benchmarks/bench_ingestion.py --rows 10000000 --strings
    python benchmarks/bench_ingestion.py --table               # with a table of nodes beside the edges

Sparse ids: node i has the id mix(i), so that every id costs a look-up; `--dense` has 0, 1, 2, ... instead.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CHUNK = 1 << 20


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--nodes", type=int, default=10_000_000)
    parser.add_argument("--strings", action="store_true", help="ids are text")
    parser.add_argument("--dense", action="store_true", help="ids are 0, 1, 2, ...")
    parser.add_argument("--table", action="store_true", help="write a table of nodes, with a number and a category")
    parser.add_argument("--memory-gib", type=float, default=4.0, help="budget of ingestion")
    parser.add_argument("--scratch", type=Path, help="where the tables and the graph may lie; default: a temporary one")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--ingest", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def synthesize(data: Path, options: argparse.Namespace) -> None:
    """Edges drawn at random: sources uniform, targets with a density that falls as one over the square root."""
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(
        data / "edges.parquet", pa.schema([(n, ids([0], options).type) for n in ("src", "dst")])
    ) as out:
        for begin in range(0, options.rows, CHUNK):
            size = min(CHUNK, options.rows - begin)
            source = rng.integers(0, options.nodes, size)
            target = (options.nodes * rng.random(size) ** 2).astype(np.int64)
            out.write_table(pa.table({"src": ids(source, options), "dst": ids(target, options)}))
    if options.table:
        numbers = np.arange(options.nodes)
        columns = {"id": ids(rng.permutation(numbers), options), "age": rng.random(options.nodes, np.float32)}
        pq.write_table(pa.table({**columns, "city": rng.integers(0, 1000, options.nodes)}), data / "nodes.parquet")


def ids(numbers: np.ndarray | list, options: argparse.Namespace) -> pa.Array:
    """Raw ids of nodes by number."""
    if options.dense:
        return pa.array(np.asarray(numbers, np.int64))
    bits = np.asarray(numbers, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    keys = pa.array((bits >> np.uint64(1)).astype(np.int64))
    return keys.cast(pa.string()) if options.strings else keys


def ingest(options: argparse.Namespace) -> None:
    """The measured process: compile on a tiny table, then read the large one."""
    from amity.ingestion import IngestionConfig  # noqa: PLC0415
    from amity.ingestion import ingest as ingest_tables  # noqa: PLC0415

    config = IngestionConfig(memory_gib=options.memory_gib)
    tiny = options.ingest / "tiny"
    tiny.mkdir()
    synthesize(tiny, argparse.Namespace(**{**vars(options), "rows": 1000, "nodes": 100}))
    ingest_tables(tiny, options.ingest / "tiny_graph", config)
    start, spent = time.perf_counter(), time.process_time()
    graph = ingest_tables(options.ingest / "data", options.ingest / "graph", config)
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            {
                "seconds": round(seconds, 2),
                "cpu_seconds": round(time.process_time() - spent, 2),
                "rows_per_second": round(options.rows / seconds),
                "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "nodes": graph.num_nodes,
                "adjacency_edges": graph.target.adjacency.num_edges,
            }
        )
    )


def main() -> None:
    options = parse()
    if options.ingest:
        ingest(options)
        return
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        data = Path(folder) / "data"
        data.mkdir()
        synthesize(data, options)
        command = [sys.executable, __file__, *sys.argv[1:], "--ingest", folder]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    kind = "strings" if options.strings else "dense integers" if options.dense else "sparse integers"
    name = f"{kind}{' with node table' if options.table else ''}, {options.rows:,} rows, {options.nodes:,} nodes"
    if options.json:
        measured = {"ours": found["rows_per_second"], "unit": "rows/s", "memory_gib": options.memory_gib}
        print(json.dumps({"rows": [{"name": name, **measured, **found}]}))
    else:
        print(
            f"{name}: {found['rows_per_second']:,} rows/s, {found['seconds']} s ({found['cpu_seconds']} s of CPU), "
            f"peak memory (ru_maxrss) {found['peak_rss_bytes'] / 2**30:.2f} GiB of a budget of {options.memory_gib} GiB"
        )


if __name__ == "__main__":
    main()
