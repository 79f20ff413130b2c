"""DGL's NeighborSampler in a process of its own, which samples when it is told to.

    python dgl_sampling.py FOLDER FANOUT...

FOLDER holds indptr.npy, indices.npy, and for each batch i: seeds<i>.npy, sources<i>.npy, targets<i>.npy. Each line
read is "plain" or "excluding" (without or with the supervision edges excluded, both ways) and the numbers of
batches to sample, one after the other; the answer is one line: how many edges were drawn.

DGL's last wheel wants a torch of its time. Its C++ samplers lie in libdgl, which needs none of that, so that stubs
stand in for GraphBolt (another library, with a sampler of its own, bound to that torch) and for pandas.

Its fused sampler is left out: with 32-bit ids and more than one thread it clears half of its table of nodes, so that
from the second batch on it loses nodes and edges; with 64-bit ids it is right, but slower than this one.
"""

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch


class _Stub(types.ModuleType):
    """A module in which every name is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


for absent in ("dgl.graphbolt", "pandas"):
    sys.modules[absent] = _Stub(absent)

import dgl  # noqa: E402 # pyright: ignore[reportMissingImports]


def load_graph(folder: Path) -> Any:
    """The graph, with 32-bit ids where they fit, as DGL is fastest with."""
    indptr, indices = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("indptr", "indices"))
    narrow = torch.int32 if len(indices) < 2**31 else torch.int64
    graph = dgl.graph(("csc", (indptr.to(narrow), indices.to(narrow), torch.empty(0, dtype=narrow))), idtype=narrow)
    return graph.formats("csc")


def main() -> None:
    """Answer until the input ends."""
    folder, fanout = Path(sys.argv[1]), [int(number) for number in sys.argv[2:]]
    graph = load_graph(folder)
    seeds = [torch.from_numpy(np.load(folder / f"seeds{i}.npy")).to(graph.idtype) for i in _batches(folder)]
    banned = [edge_ids(folder, i, graph.idtype) for i in _batches(folder)]
    sampler = dgl.dataloading.NeighborSampler(fanout[::-1], fused=False)
    print("ready", flush=True)
    for line in sys.stdin:
        how, *chosen = line.split()
        edges = 0
        for i in map(int, chosen):
            _, _, blocks = sampler.sample_blocks(graph, seeds[i], banned[i] if how == "excluding" else None)
            edges += sum(block.num_edges() for block in blocks)
        print(edges, flush=True)


def edge_ids(folder: Path, batch: int, dtype: torch.dtype) -> torch.Tensor:
    """The ids of a batch's pairs and of their reverses: places in the sorted rows."""
    indptr, indices = np.load(folder / "indptr.npy", mmap_mode="r"), np.load(folder / "indices.npy", mmap_mode="r")
    sources, targets = (np.load(folder / f"{name}{batch}.npy") for name in ("sources", "targets"))
    ends = zip(np.concatenate([sources, targets]), np.concatenate([targets, sources]), strict=True)
    ids = [indptr[a] + np.searchsorted(indices[indptr[a] : indptr[a + 1]], b) for a, b in ends]
    return torch.from_numpy(np.unique(ids)).to(dtype)


def _batches(folder: Path) -> range:
    return range(len(list(folder.glob("seeds*.npy"))))


if __name__ == "__main__":
    main()
