"""Exact top-k search: ours beside faiss IndexFlatIP, in alternating runs on the same vectors and threads.

    python benchmarks/bench_topk.py --sizes 1000000x64 --queries 1024 --k 100 --repeats 5 --json

Each row holds the median queries per second of either, and the median over the pairs of runs of ours / theirs.
"""

import argparse
import json
import time
from collections.abc import Callable
from statistics import median

import faiss
import numba
import numpy as np

from amity.index import IndexConfig, build_index, nothing_excluded


def main() -> None:
    options = read_options()
    faiss.omp_set_num_threads(numba.get_num_threads())
    rows = [compare(*map(int, size.split("x")), options) for size in options.sizes]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(
            f"{row['name']:<40} ours {row['ours']:>9.0f}  theirs {row['peer']:>9.0f} {row['unit']}  {row['ratio']:.2f}x"
        )


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["100000x64"], metavar="CANDIDATESxDIM")
    parser.add_argument("--queries", type=int, default=1024)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def compare(num_candidates: int, dim: int, options: argparse.Namespace) -> dict[str, object]:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((num_candidates, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = vectors[rng.choice(num_candidates, options.queries)]
    ours = build_index(vectors, IndexConfig(), seed=0)
    theirs = faiss.IndexFlatIP(dim)
    theirs.add(vectors)
    excluded = nothing_excluded(len(queries))
    times = paired(
        lambda: ours.search(queries, k=options.k, excluded=excluded),
        lambda: theirs.search(queries, options.k),
        repeats=options.repeats,
    )
    name = f"faiss flat {num_candidates:,} x {dim}, {options.queries} queries, k {options.k}"
    return {
        "name": name,
        "ours": len(queries) / median(times[:, 0]),
        "peer": len(queries) / median(times[:, 1]),
        "ratio": median(times[:, 1] / times[:, 0]),
        "unit": "queries/s",
    }


def paired(ours: Callable[[], object], theirs: Callable[[], object], *, repeats: int) -> np.ndarray:
    """Seconds of either, a row a pair; the first pair warms up and is dropped."""
    times = np.empty((repeats + 1, 2))
    for repeat in range(repeats + 1):
        for column, run in enumerate((ours, theirs)):
            begin = time.perf_counter()
            run()
            times[repeat, column] = time.perf_counter() - begin
    return times[1:]


if __name__ == "__main__":
    main()
