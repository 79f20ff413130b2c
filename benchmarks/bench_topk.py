"""Exact top-k search: ours beside torch (matmul, then topk) and faiss IndexFlatIP.

    python benchmarks/bench_topk.py --sizes 1000000x64 --queries 1024 --k 100 --json

All search the same unit vectors, drawn at random, by the same queries on the same threads, in alternating runs. torch
gets 64 queries at a time, as its users do whose scores would not fit into memory (1024 x 1 M are 4 GB). What ours does
beyond either, it does here too: it leaves out what is excluded (nothing, here), orders equal scores by lot, and
returns inner products that are rounded once. Rows hold the median queries a second, and the median ratio of the pairs.
"""

import argparse

import faiss
import numba
import numpy as np
import torch

from amity.index import IndexConfig, build_index, nothing_excluded
from measure import Row, options, paired, rate, show

TORCH_BLOCK = 64
"""Queries that torch scores at once."""


def main() -> None:
    given = read_options()
    numba.set_num_threads(min(given.threads, numba.get_num_threads()))
    faiss.omp_set_num_threads(given.threads)
    torch.set_num_threads(given.threads)
    show([row for size in given.sizes for row in compare(size, given)], as_json=given.json)


def read_options() -> argparse.Namespace:
    parser = options(__doc__, repeats=3)
    parser.add_argument("--sizes", nargs="+", default=["100000x64", "1000000x64"], metavar="CANDIDATESxDIM")
    parser.add_argument("--queries", type=int, default=1024)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def compare(size: str, given: argparse.Namespace) -> list[Row]:
    num_candidates, dim = map(int, size.split("x"))
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((num_candidates, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = vectors[rng.choice(num_candidates, given.queries)]
    index = build_index(vectors, IndexConfig(kind="exact"), seed=0)
    flat = faiss.IndexFlatIP(dim)
    flat.add(vectors)
    peers = {
        "torch matmul+topk": lambda: search_by_torch(torch.from_numpy(queries), torch.from_numpy(vectors), given.k),
        "faiss flat": lambda: flat.search(queries, given.k),
    }
    excluded = nothing_excluded(len(queries))
    what = f"{in_words(num_candidates)} x {dim}"
    return [
        rate(
            f"{name} {what}",
            "queries/s",
            len(queries),
            paired(lambda: index.search(queries, k=given.k, excluded=excluded), peer, repeats=given.repeats),
        )
        for name, peer in peers.items()
    ]


def search_by_torch(queries: torch.Tensor, vectors: torch.Tensor, k: int) -> list[torch.return_types.topk]:
    return [torch.topk(part @ vectors.T, k) for part in queries.split(TORCH_BLOCK)]


def in_words(count: int) -> str:
    return f"{count // 1_000_000}M" if count % 1_000_000 == 0 else f"{count // 1000}k"


if __name__ == "__main__":
    main()
