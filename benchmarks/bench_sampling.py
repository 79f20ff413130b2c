"""Sampled edges a second of our neighbour sampler beside those of PyTorch Geometric and DGL: fan-out 15 x 10.

    python benchmarks/bench_sampling.py [--json] [--people 1000000] [--friendships 20000000] [--data ../shared/data]

A batch is `size` friendships and as many uniform nodes, so about three seeds a friendship. All sample the same
batches, in turn, on two threads; each is credited with the edges that it drew. Ours always leaves out the friendships
of the batch, both ways. It samples a batch on one thread, so that two are sampled at once, in the background and with
kept memory, as training does.

- pyg: `torch.ops.torch_sparse.neighbor_sample`, what a NeighborLoader calls without pyg-lib, without exclusion (it has
  none). It runs on one thread, so that two batches are sampled at once, as by two workers, and nothing is charged for
  handing them over.
- dgl: `NeighborSampler.sample_blocks` with 32-bit ids, not fused (see peers/dgl_sampling.py), with exclusion
  (`exclude_edges`), in an environment of its own (peers/dgl_environment.py). Like ours it samples two batches at once:
  two processes of one thread, and nothing is charged for handing batches over. In other rows
  "its threads on one batch": one process whose two threads share each batch, the other way to use it;
  "one batch at a time": the same, but ours samples one batch after the other, too, on a single thread;
  "nothing excluded by dgl": two processes, without `exclude_edges`.
- C no-dedup bound: a compiled loop that draws with replacement, reads each neighbour once and numbers nothing, for the
  nodes that ours expanded. A ratio of 0.5 means that ours takes twice as long as that.
"""

import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numba
import numpy as np
import torch

from amity.graph import Adjacency
from amity.ingestion import IngestionConfig, ingest
from amity.kernels import mix, parallel_kernel
from amity.sampling import prefetch, sample_neighbors
from amity.sampling.draws import below
from amity.splitting import Pairs
from amity.training.memory import kept_memory
from measure import Row, options, paired, show
from peers.dgl_environment import DglSampler

FANOUT = (15, 10)
SIZES = (512, 1024)
THREADS = 2
BATCHES = 10
"""Batches that one run samples."""
REPOSITORY = Path(__file__).parents[1]

Batches = list[tuple[np.ndarray, Pairs]]


def power_law_graph(people: int, friendships: int, seed: int = 0) -> Adjacency:
    """Friendships between people drawn by a Pareto popularity; a few fewer than asked, since repetitions fall away."""
    rng = np.random.default_rng(seed)
    reach = np.cumsum(rng.pareto(2.0, people) + 0.3)
    ends = [np.searchsorted(reach / reach[-1], rng.random(friendships)) for _ in range(2)]
    keys = np.concatenate([ends[0] * people + ends[1], ends[1] * people + ends[0]])
    keys.sort()  # Not `np.unique`, whose hashing takes 20 times as long.
    sources, targets = np.divmod(keys[np.diff(keys, prepend=-1) > 0], people)
    apart = sources != targets
    indptr = np.zeros(people + 1, np.int64)
    np.cumsum(np.bincount(sources[apart], minlength=people), out=indptr[1:])
    return Adjacency(indptr, targets[apart].astype(np.int32))


def draw_batches(adjacency: Adjacency, size: int, count: int, seed: int = 1) -> Batches:
    """Seeds and the pairs that their blocks must not hold."""
    rng = np.random.default_rng(seed)
    batches = []
    for _ in range(count):
        edges = rng.integers(0, adjacency.num_edges, size)
        sources = np.searchsorted(adjacency.indptr, edges, side="right") - 1
        targets = adjacency.indices[edges].astype(np.int64)
        seeds = np.unique(np.concatenate([sources, targets, rng.integers(0, adjacency.num_nodes, size)]))
        batches.append((rng.permutation(seeds), Pairs(sources, targets)))
    return batches


def sample_ours(adjacency: Adjacency, batches: Batches, workers: int = THREADS) -> int:
    """Sample all batches in the background, as training does, and return how many edges were drawn."""

    def sample(step: int) -> int:
        seeds, pairs = batches[step]
        return sample_neighbors(adjacency, seeds, fanout=FANOUT, seed=step, excluded=pairs).num_edges

    with prefetch(sample, range(len(batches)), workers=workers) as drawn:
        return sum(drawn)


def pyg_sampler(adjacency: Adjacency, batches: Batches) -> Callable[[], int]:
    """The same by PyTorch Geometric's compiled sampler, two batches at once."""
    import torch_sparse  # noqa: F401, PLC0415 # pyright: ignore[reportMissingImports] - it registers the operator

    rows = torch.from_numpy(np.array(adjacency.indptr)), torch.from_numpy(adjacency.indices.astype(np.int64))
    pool = ThreadPoolExecutor(THREADS)

    def sample(batch: tuple[np.ndarray, Pairs]) -> int:
        replace, directed = False, True
        drawn = torch.ops.torch_sparse.neighbor_sample(
            *rows, torch.from_numpy(batch[0]), list(FANOUT), replace, directed
        )
        return len(drawn[1])

    return lambda: sum(pool.map(sample, batches))


def bound_sampler(adjacency: Adjacency, batches: Batches) -> Callable[[], int]:
    """Draws with replacement of as many neighbours for the same nodes."""
    blocks = [sample_neighbors(adjacency, s, fanout=FANOUT, seed=i, excluded=p) for i, (s, p) in enumerate(batches)]
    work = [(block.nodes[: block.hops[-2]], block.indptr) for block in blocks]
    found = [np.empty(block.num_edges, adjacency.indices.dtype) for block in blocks]

    def sample() -> int:
        for (nodes, indptr), places in zip(work, found, strict=True):
            draw_with_replacement(adjacency.indptr, adjacency.indices, nodes, indptr, places)
        return sum(map(len, found))

    return sample


@parallel_kernel
def draw_with_replacement(indptr, indices, nodes, starts, found):
    """As many neighbours of each node as `starts` says, without numbering what is found."""
    for i in numba.prange(len(nodes)):
        begin, end = indptr[nodes[i]], indptr[nodes[i] + 1]
        for place in range(starts[i], starts[i + 1]):
            found[place] = indices[begin + below(mix(place), end - begin)]


def compare(name: str, ours: Callable[[], int], peer: Callable[[], int], repeats: int) -> Row:
    """Edges a second of both, each credited with the edges that it draws."""
    seconds = paired(ours, peer, repeats=repeats)
    rates = np.array([ours(), peer()]) / seconds
    middle, other = np.median(rates, axis=0).tolist()
    return Row(name, middle, other, float(np.median(rates[:, 0] / rates[:, 1])), "edges/s")


def measure_graph(name: str, adjacency: Adjacency, repeats: int) -> Iterator[Row]:
    """All rows of one graph."""
    batches = {size: draw_batches(adjacency, size, BATCHES) for size in SIZES}
    with tempfile.TemporaryDirectory() as folder:
        save(adjacency, [batch for size in SIZES for batch in batches[size]], Path(folder))
        shape = Path(folder), FANOUT
        with DglSampler(*shape, processes=THREADS) as dgl, DglSampler(*shape, threads=THREADS) as single, kept_memory():
            for position, size in enumerate(SIZES):
                run = range(position * BATCHES, (position + 1) * BATCHES)
                ours = partial(sample_ours, adjacency, batches[size])
                peers = {
                    "pyg": (ours, pyg_sampler(adjacency, batches[size])),
                    "dgl": (ours, partial(dgl.sample, run, excluding=True)),
                    "dgl, its threads on one batch": (ours, partial(single.sample, run, excluding=True)),
                    "dgl, one batch at a time": (partial(ours, workers=1), partial(single.sample, run, excluding=True)),
                    "dgl, nothing excluded by dgl": (ours, partial(dgl.sample, run, excluding=False)),
                    "C no-dedup bound": (ours, bound_sampler(adjacency, batches[size])),
                }
                for label, (mine, peer) in peers.items():
                    who, *how = label.split(",", 1)
                    yield compare(",".join([f"{who} 15x10 batch {size} {name}", *how]), mine, peer, repeats)


def save(adjacency: Adjacency, batches: Sequence[tuple[np.ndarray, Pairs]], folder: Path) -> None:
    """Write what the process of DGL reads."""
    np.save(folder / "indptr.npy", adjacency.indptr)
    np.save(folder / "indices.npy", adjacency.indices)
    for i, (seeds, pairs) in enumerate(batches):
        for name, values in (("seeds", seeds), ("sources", pairs.sources), ("targets", pairs.targets)):
            np.save(folder / f"{name}{i}.npy", values)


def main() -> None:
    """Measure and print."""
    parser = options(__doc__, repeats=3)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--friendships", type=int, default=20_000_000)
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY / "../shared/data", help="where fb100_many is, if it is"
    )
    chosen = parser.parse_args()
    numba.set_num_threads(THREADS)
    rows = list(measure_graph("power-law", power_law_graph(chosen.people, chosen.friendships), chosen.repeats))
    if (chosen.data / "fb100_many").is_dir():
        settings = tomllib.loads((REPOSITORY / "examples/datasets/fb100.toml").read_text())["ingestion"]
        with tempfile.TemporaryDirectory() as folder:
            graph = ingest(chosen.data / "fb100_many", Path(folder) / "graph", IngestionConfig(**settings))
            rows += measure_graph("fb100_many", graph.messages, chosen.repeats)
    show(rows, as_json=chosen.json)


if __name__ == "__main__":
    main()
