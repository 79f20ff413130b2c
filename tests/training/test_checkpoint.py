"""A checkpoint is whole, is ours, and is this training's, or it is not taken up."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import nn

from amity.errors import ArtifactError
from amity.training.checkpoint import Standing, Trainable, load_checkpoint, save_checkpoint
from amity.training.optimizer import make_optimizers


def trainable(seed: int) -> Trainable:
    torch.manual_seed(seed)
    modules = nn.ModuleDict({"line": nn.Linear(3, 2), "table": nn.Embedding(5, 2, sparse=True)})
    return Trainable(modules, make_optimizers(modules, learning_rate=0.1, weight_decay=0.01), best={})


def take_step(state: Trainable) -> None:
    loss = state.modules["line"](torch.ones(3)).sum() + state.modules["table"](torch.tensor([1, 3])).square().sum()
    for optimizer in state.optimizers:
        optimizer.zero_grad()
    loss.backward()
    for optimizer in state.optimizers:
        optimizer.step()


def test_a_loaded_checkpoint_goes_on_as_the_saved_one(tmp_path: Path):
    saved, loaded = trainable(0), trainable(1)
    take_step(saved)
    saved.best.update({name: value.clone() for name, value in saved.modules.state_dict().items()})
    standing = Standing(step=1, best_step=1, best_score=0.25)
    save_checkpoint(tmp_path / "c", saved, standing, fingerprint="f")
    assert load_checkpoint(tmp_path / "c", loaded, fingerprint="f") == standing
    for state in (saved, loaded):
        take_step(state)
        take_step(state)
    for name, value in saved.modules.state_dict().items():
        assert torch.equal(value, loaded.modules.state_dict()[name])
        assert torch.equal(saved.best[name], loaded.best[name])


def test_only_the_touched_rows_of_a_sparse_table_move():
    state = trainable(0)
    before = state.modules["table"].weight.detach().clone()
    take_step(state)
    moved = (state.modules["table"].weight.detach() != before).any(1)
    assert moved.tolist() == [False, True, False, True, False]


def test_the_checkpoint_of_another_training_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    save_checkpoint(tmp_path / "c", trainable(0), Standing(step=9), fingerprint="f")
    state = trainable(1)
    before = state.modules["line"].weight.detach().clone()
    assert load_checkpoint(tmp_path / "c", state, fingerprint="g") == Standing()
    assert torch.equal(state.modules["line"].weight, before)
    assert "training starts anew" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["truncated", "emptied", "altered header", "another file", "another page"])
def test_a_damaged_checkpoint_is_refused_with_one_paragraph(tmp_path: Path, damage: str):
    path = tmp_path / "c"
    save_checkpoint(path, trainable(0), Standing(step=9), fingerprint="f")
    whole = path.read_bytes()
    harmed = {
        "truncated": whole[: len(whole) // 2],
        "emptied": b"",
        "altered header": whole[:8] + b"?" + whole[9:],
        "another file": b"PAR1 is not a checkpoint",
        "another page": save({"t": torch.zeros(1)}, {"amity": "[]"}),
    }
    path.write_bytes(harmed[damage])
    with pytest.raises(ArtifactError, match="Delete it to train again"):
        load_checkpoint(path, trainable(1), fingerprint="f")
