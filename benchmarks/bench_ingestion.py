"""Ingestion against DuckDB: a Parquet table of edges to a symmetrised, deduplicated, sorted CSR with its id map.

    python benchmarks/bench_ingestion.py                                       # 100 M rows over 10 M nodes
    python benchmarks/bench_ingestion.py --rows 10000000 --nodes 1000000 --ids strings

One table (`src`, `dst`) is written, its ends drawn by a power law, with repeated rows, reversed rows and self-loops in
it; ids are text (`user_12345678`) or sparse 63-bit integers. Then each side reads it in a process of its own, so that
`ru_maxrss` is its peak memory, on two threads. DuckDB does the same relational work in the SQL of an engineer: distinct
ends numbered in their order, two joins to rows, the reverse of every pair, DISTINCT, ORDER BY, offsets by counts; it
writes Parquet, and we a graph directory. Both must find the same numbers of nodes and edges. DuckDB may drop the order
of rows while it works, takes rows as 32-bit integers, and has twice our memory (`--peer-memory-gib`); what it lacks it
spills to disk.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from measure import Row, cost, options, rate, show

THREADS = 2
CHUNK = 1 << 20
ID_PRIME = 99_999_989
"""Numbers of text ids are multiples of a factor modulo this prime: distinct, and in no order."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one side took, and what it found."""

    seconds: float
    cpu_seconds: float
    """Of all threads: what the seconds would follow on a quiet machine."""
    peak_mib: float
    nodes: int
    edges: int


def synthesize(path: Path, rows: int, nodes: int, kind: str) -> None:
    """Write the table: of every 20 rows one repeats another and one reverses another."""
    rng = np.random.default_rng(0)
    names = raw_ids(nodes, kind)
    with pq.ParquetWriter(path, pa.schema([(end, names.type) for end in ("src", "dst")])) as out:
        for begin in range(0, rows, CHUNK):
            size = min(CHUNK, rows - begin)
            ends = (nodes * rng.random((2, size)) ** [[1.5], [2.0]]).astype(np.int64)
            ends[:, 0::20] = ends[:, 5 : 5 + len(ends[0, 0::20])]
            ends[:, 1::20] = ends[::-1, 7 : 7 + len(ends[0, 1::20])]
            out.write_table(pa.table({"src": names.take(pa.array(ends[0])), "dst": names.take(pa.array(ends[1]))}))


def raw_ids(nodes: int, kind: str) -> pa.Array:
    """The id of every node."""
    numbers = np.arange(nodes, dtype=np.uint64)
    if kind == "integer":
        return pa.array((numbers * np.uint64(0x9E3779B97F4A7C15) & np.uint64(2**63 - 1)).astype(np.int64))
    if nodes > ID_PRIME:
        raise SystemExit(f"--nodes {nodes} are more than {ID_PRIME}, the text ids that there are.")
    digits = pa.array(numbers * np.uint64(48_271_337) % np.uint64(ID_PRIME)).cast(pa.string())
    return pc.call_function("binary_join_element_wise", [pa.scalar("user_"), digits, pa.scalar("")])


def ingest_ours(data: Path, out: Path, memory_gib: float) -> Run:
    """Compile on a tiny table, then ingest the large one."""
    from amity.ingestion import IngestionConfig, ingest  # noqa: PLC0415

    config = IngestionConfig(memory_gib=memory_gib)
    tiny = out / "tiny"
    tiny.mkdir(parents=True)
    pq.write_table(
        pa.Table.from_batches([next(pq.ParquetFile(data / "edges.parquet").iter_batches(1000))]), tiny / "edges.parquet"
    )
    ingest(tiny, out / "tiny_graph", config)
    begin = time.perf_counter(), time.process_time()
    graph = ingest(data, out / "graph", config)
    return finished(begin, graph.num_nodes, graph.target.adjacency.num_edges)


def ingest_duckdb(data: Path, out: Path, memory_gib: float) -> Run:
    """The relational work in SQL."""
    import duckdb  # noqa: PLC0415

    out.mkdir(parents=True)
    begin = time.perf_counter(), time.process_time()
    with duckdb.connect() as base:
        base.execute(f"PRAGMA threads={THREADS}")
        base.execute(f"SET memory_limit='{memory_gib} GiB'; SET temp_directory='{out}/spilled'")
        base.execute("SET preserve_insertion_order=false")
        base.execute(f"CREATE VIEW edges AS FROM '{data}/edges.parquet'")
        base.execute(
            "CREATE TABLE ids AS SELECT id, (row_number() OVER (ORDER BY id) - 1)::INTEGER AS row "
            "FROM (SELECT DISTINCT id FROM (SELECT src AS id FROM edges UNION ALL SELECT dst FROM edges))"
        )
        base.execute(
            "CREATE TABLE pairs AS SELECT s.row AS src, t.row AS dst FROM edges JOIN ids s ON edges.src = s.id "
            "JOIN ids t ON edges.dst = t.id WHERE s.row <> t.row"
        )
        base.execute(
            "CREATE TABLE adjacency AS SELECT DISTINCT src, dst FROM "
            "(SELECT src, dst FROM pairs UNION ALL SELECT dst, src FROM pairs)"
        )
        base.execute("DROP TABLE pairs")
        base.execute("CREATE VIEW indices AS SELECT dst FROM adjacency ORDER BY src, dst")
        base.execute(
            "CREATE VIEW indptr AS SELECT row, sum(degree) OVER (ORDER BY row) AS last FROM (SELECT row, "
            "count(src) AS degree FROM ids LEFT JOIN adjacency ON src = row GROUP BY row) ORDER BY row"
        )
        for name in ("indices", "indptr", "ids"):
            base.execute(f"COPY {name} TO '{out}/{name}.parquet'")
        nodes, edges = (pq.read_metadata(out / f"{name}.parquet").num_rows for name in ("ids", "indices"))
        return finished(begin, nodes, edges)


def finished(begin: tuple[float, float], nodes: int, edges: int) -> Run:
    """What this process took since then."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Run(time.perf_counter() - begin[0], time.process_time() - begin[1], peak, nodes, edges)


def apart(work: Callable[..., Run], *arguments: object) -> Run:
    """A call in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def compare(folder: Path, rows: int, kind: str, memory_gib: tuple[float, float], repeats: int) -> list[Row]:
    """Both sides on one table, in turn."""
    name = f"duckdb {rows // 1_000_000}M rows {kind} ids"
    seconds, peaks = np.empty((repeats, 2)), np.empty((repeats, 2))
    for repeat in range(repeats):
        with tempfile.TemporaryDirectory(dir=folder) as out:
            ours = apart(ingest_ours, folder / "data", Path(out) / "ours", memory_gib[0])
            peer = apart(ingest_duckdb, folder / "data", Path(out) / "duckdb", memory_gib[1])
        if (ours.nodes, ours.edges) != (peer.nodes, peer.edges):
            raise SystemExit(f"The two disagree: {ours} against {peer}.")
        print(f"{name}: {ours} against {peer}", file=sys.stderr)
        seconds[repeat], peaks[repeat] = (ours.seconds, peer.seconds), (ours.peak_mib, peer.peak_mib)
    return [rate(name, "rows/s", rows, seconds), cost(f"{name} peak memory", "MiB", *peaks.max(axis=0))]


def main() -> None:
    parser = options(__doc__, repeats=1)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--nodes", type=int, default=10_000_000)
    parser.add_argument("--ids", nargs="+", choices=("string", "integer"), default=("string", "integer"))
    parser.add_argument("--memory-gib", type=float, default=4.0, help="budget of ours")
    parser.add_argument("--peer-memory-gib", type=float, default=8.0, help="limit of DuckDB's buffers")
    parser.add_argument("--scratch", type=Path, help="where the tables and graphs may lie; default: a temporary place")
    chosen = parser.parse_args()
    os.environ.update(NUMBA_NUM_THREADS=str(THREADS), OMP_NUM_THREADS=str(THREADS))
    rows: list[Row] = []
    for kind in chosen.ids:
        with tempfile.TemporaryDirectory(dir=chosen.scratch) as folder:
            data = Path(folder) / "data"
            data.mkdir()
            synthesize(data / "edges.parquet", chosen.rows, chosen.nodes, kind)
            rows += compare(
                Path(folder), chosen.rows, kind, (chosen.memory_gib, chosen.peer_memory_gib), chosen.repeats
            )
    show(rows, as_json=chosen.json)


if __name__ == "__main__":
    main()
