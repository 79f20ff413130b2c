"""Graph attention against `GATConv` of PyTorch Geometric: one layer on one sampled block, forward and backward.

    python benchmarks/bench_attention.py [--json] [--people 1000000] [--friendships 20000000] [--seeds 1536]

The block is sampled 15 x 10 around the seeds in a power-law graph; the layer is its outermost, which hears from all
its nodes. Both layers have 4 heads side by side, self-loops, a bias, and the same width going in and coming out.
They get the same parameters, states and gradient, the states want a gradient too, and what they return is compared
before anything is timed. `GATConv` is called as its users call it: `layer((states, states[:targets]), edge_index)`.
The time is that of a block never seen before: what ours derives from the edges it derives again in every pass.

Memory is what one forward and backward pass raises the peak of a fresh process by, beyond the states, the edges and
the parameters; a pass over three nodes before it loads what either needs.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch_geometric.nn import GATConv

from amity.encoder import Edges
from amity.encoder.layers import GatLayer
from amity.encoder.states import whole
from amity.log import say
from amity.sampling import sample_neighbors
from bench_sampling import power_law_graph
from measure import Row, cost, options, paired, peak_mib, rate, show, use_threads

FANOUT = (15, 10)
HEADS = 4
THREADS = 2
WIDTHS = (64, 256)

Forward = Callable[[Tensor], Tensor]
"""States of the sources to those of the targets."""


def outermost(people: int, friendships: int, seeds: int) -> Edges:
    """Who hears whom at the outermost layer of a block around nodes drawn at random."""
    adjacency = power_law_graph(people, friendships)
    chosen = np.random.default_rng(1).choice(people, min(seeds, people), replace=False)
    block = sample_neighbors(adjacency, chosen, fanout=FANOUT, seed=2)
    targets, sources = block.hops[-2], len(block.nodes)
    rows = block.indptr[: targets + 1], block.indices[: block.indptr[targets]]
    return Edges(*rows, np.ones(targets, np.float32), np.ones(sources, np.float32))


def our_layer(width: int) -> GatLayer:
    """Our layer."""
    return GatLayer(width, heads=HEADS, identity=False, generator=torch.Generator().manual_seed(0))


def our_forward(layer: GatLayer, edges: Edges, states: Tensor) -> Tensor:
    """Our layer on edges that it sees for the first time."""
    seen_first = Edges(edges.indptr, edges.indices, edges.target_degrees, edges.source_degrees)
    return layer(states[: edges.num_targets], whole(states), seen_first)


def their_layer(width: int) -> GATConv:
    """GATConv with the parameters of our layer."""
    layer, same = GATConv(width, width // HEADS, heads=HEADS), our_layer(width)
    with torch.no_grad():
        layer.lin.weight.copy_(same.weight.T)
        layer.att_src.copy_(same.attention[:1])
        layer.att_dst.copy_(same.attention[1:])
    return layer


def their_forward(layer: GATConv, edge_index: Tensor, targets: int, states: Tensor) -> Tensor:
    """GATConv as its users call it."""
    return layer((states, states[:targets]), edge_index)


def forwards(edges: Edges, width: int) -> tuple[Forward, Forward]:
    """Ours and theirs, with all that they read but the states."""
    targets = np.repeat(np.arange(edges.num_targets), edges.counts)
    edge_index = torch.from_numpy(np.stack([edges.indices, targets]).astype(np.int64))
    return partial(our_forward, our_layer(width), edges), partial(
        their_forward, their_layer(width), edge_index, edges.num_targets
    )


def states_of(edges: Edges, width: int) -> Tensor:
    """Random states that want a gradient."""
    return torch.randn(edges.num_sources, width, generator=torch.Generator().manual_seed(3)).requires_grad_()


def step(forward: Forward, states: Tensor) -> tuple[Tensor, Tensor]:
    """One forward and backward pass: the result and the gradient of the states."""
    states.grad = None
    result = forward(states)
    result.backward(result.detach())
    assert states.grad is not None
    return result.detach(), states.grad


def memory(edges: Edges, width: int, which: int, *, passes: int) -> float:
    """MiB by which a fresh process grows, with or without a pass."""
    return peak_mib(_few_passes, edges, width, which, passes)


def _few_passes(edges: Edges, width: int, which: int, passes: int) -> None:
    use_threads(THREADS)
    tiny = Edges(np.array([0, 2]), np.array([1, 2], np.int32), np.ones(1, np.float32), np.ones(3, np.float32))
    step(forwards(tiny, width)[which], states_of(tiny, width))
    forward, states = forwards(edges, width)[which], states_of(edges, width)
    for _ in range(passes):
        step(forward, states)


def compare(edges: Edges, width: int, repeats: int) -> list[Row]:
    """Edges a second, loops counted, and the memory of a pass."""
    mine, peers = forwards(edges, width)
    states = states_of(edges, width)
    for found, wanted in zip(step(mine, states), step(peers, states), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
    seconds = paired(partial(step, mine, states), partial(step, peers, states), repeats=repeats)
    grown = [memory(edges, width, which, passes=1) - memory(edges, width, which, passes=0) for which in (0, 1)]
    say(f"hidden {width}: measured")
    heard = len(edges.indices) + edges.num_targets
    return [
        rate(f"pyg GATConv hidden {width} (forward+backward)", "edges/s", heard, seconds),
        cost(f"pyg GATConv hidden {width} peak memory", "MiB", *grown),
    ]


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--friendships", type=int, default=20_000_000)
    parser.add_argument("--seeds", type=int, default=1536)
    given = parser.parse_args()
    use_threads(THREADS)
    edges = outermost(given.people, given.friendships, given.seeds)
    say(f"a layer of {edges.num_targets} targets, {edges.num_sources} sources and {len(edges.indices)} edges is drawn")
    show([row for width in WIDTHS for row in compare(edges, width, given.repeats)], as_json=given.json)


if __name__ == "__main__":
    main()
