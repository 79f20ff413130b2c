"""Our lazy Adam is torch's, row by row, for any number of threads."""

import numba
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn, optim

from amity.training.lazy_adam import LazyAdam
from amity.training.optimizer import make_optimizers


def tables(rows: int = 9, dim: int = 5) -> list[nn.Embedding]:
    """Two tables with the same entries."""
    torch.manual_seed(0)
    weights = torch.randn(rows, dim)
    return [nn.Embedding.from_pretrained(weights.clone(), freeze=False, sparse=True) for _ in range(2)]


def take_step(table: nn.Embedding, optimizer: optim.Optimizer, rows: list[int]) -> None:
    optimizer.zero_grad()
    (table(torch.tensor(rows)) * torch.linspace(-1, 1, table.embedding_dim)).square().sum().backward()
    optimizer.step()


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=12), min_size=1, max_size=6))
def test_touched_rows_move_as_under_sparse_adam_and_no_others(steps: list[list[int]]):
    ours, oracle = tables()
    before = ours.weight.detach().clone()
    lazy, sparse = LazyAdam([ours.weight], learning_rate=0.1), optim.SparseAdam([oracle.weight], lr=0.1)
    for rows in steps:
        take_step(ours, lazy, rows)
        take_step(oracle, sparse, rows)
    torch.testing.assert_close(ours.weight, oracle.weight, rtol=1e-5, atol=1e-6)
    for name in ("exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(lazy.state[ours.weight][name], sparse.state[oracle.weight][name])
    untouched = sorted(set(range(9)) - {row for rows in steps for row in rows})
    assert torch.equal(ours.weight[untouched], before[untouched])


def test_the_rows_are_bitwise_the_same_for_any_number_of_threads():
    tables_of_each, rows = tables(500, 32), torch.randint(0, 500, (4000,)).tolist()
    threads = numba.get_num_threads()
    try:
        for table, count in zip(tables_of_each, (1, threads), strict=True):
            numba.set_num_threads(count)
            lazy = LazyAdam([table.weight], learning_rate=0.1)
            for _ in range(3):
                take_step(table, lazy, rows)
    finally:
        numba.set_num_threads(threads)
    assert torch.equal(tables_of_each[0].weight, tables_of_each[1].weight)


def test_a_table_without_a_gradient_stays():
    table, _ = tables()
    before = table.weight.detach().clone()
    LazyAdam([table.weight], learning_rate=0.1).step()
    assert torch.equal(table.weight, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_torch_moves_the_rows():
    modules = nn.ModuleDict({"table": nn.Embedding(5, 2, sparse=True)}).to("cuda")
    assert isinstance(make_optimizers(modules, learning_rate=0.1, weight_decay=0)[-1], optim.SparseAdam)


@pytest.mark.parametrize("sparse", [False, True])
def test_weights_decay_and_vectors_of_ids_do_not(sparse: bool):
    modules = nn.ModuleDict({"ids": nn.Embedding(4, 2, sparse=sparse), "map": nn.Linear(2, 2, bias=False)})
    before = {name: value.clone() for name, value in modules.state_dict().items()}
    (0.0 * modules["map"](modules["ids"](torch.arange(4)))).sum().backward()
    for optimizer in make_optimizers(modules, learning_rate=0.1, weight_decay=0.5):
        optimizer.step()
    torch.testing.assert_close(modules["ids"].weight, before["ids.weight"])
    torch.testing.assert_close(modules["map"].weight, 0.95 * before["map.weight"])
