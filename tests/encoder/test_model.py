"""A model's file holds all of it, and anything else is refused."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from amity.encoder import EncoderConfig, FeaturesConfig, InputSource, Model, build_model
from amity.encoder.model import FORMAT
from amity.errors import ArtifactError
from amity.graph import Category


@pytest.fixture
def model(make_random_friend_graph):
    town = Category("town", np.arange(30, dtype=np.int32) % 3, ("a", "b", "é"))
    graph = make_random_friend_graph(30, 60, columns=(town,))
    config = EncoderConfig(dim=8, heads=2, features=FeaturesConfig(projections=4))
    return graph, build_model(graph, config, seed=1)


def rewrite(path, *, metadata=None, **tensors):
    stored = load_file(path) | tensors
    page = metadata or {"amity": json.dumps({"format": FORMAT})}
    save_file({name: value for name, value in stored.items() if value is not None}, path, page)


def test_a_model_comes_back_whole(model, tmp_path):
    graph, written = model
    written.save(tmp_path / "model.safetensors")
    read = Model.open(tmp_path / "model.safetensors")
    assert read.transform == written.transform
    assert read.encoder.config == written.encoder.config
    first, second = written.encoder.state_dict(), read.encoder.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first | second)
    rows = np.arange(30)
    states = [m.encoder.encode_inputs(InputSource.of(m.transform, graph).gather(rows)) for m in (written, read)]
    assert torch.equal(*states)


@pytest.mark.parametrize(
    "tensors",
    [
        {"tokens": None},
        {"alien": torch.zeros(2)},
        {"tokens": torch.zeros(1, 8)},
        {"tokens": torch.zeros(5, 8).double()},
    ],
)
def test_missing_alien_and_misshapen_tensors_are_refused(model, tmp_path, tensors):
    path = tmp_path / "model.safetensors"
    model[1].save(path)
    page = {
        "format": FORMAT,
        "encoder": model[1].encoder.config.model_dump(mode="json"),
        "transform": model[1].transform.model_dump(mode="json"),
    }
    rewrite(path, metadata={"amity": json.dumps(page)}, **tensors)
    with pytest.raises(ArtifactError, match=r"alien|tokens"):
        Model.open(path)


def test_other_files_are_refused(model, tmp_path):
    path = tmp_path / "model.safetensors"
    model[1].save(path)
    content = path.read_bytes()
    for torn in (b"", content[:100], content[:-10], b"\xff" * 200):
        path.write_bytes(torn)
        with pytest.raises(ArtifactError, match="cannot be read"):
            Model.open(path)
    path.write_bytes(content)
    rewrite(path)
    with pytest.raises(ArtifactError, match="cannot be read"):
        Model.open(path)
    rewrite(path, metadata={"amity": "{}"})
    with pytest.raises(ArtifactError, match="format is None"):
        Model.open(path)
    rewrite(path, metadata={"amity": "[]"})
    with pytest.raises(ArtifactError, match="cannot be read"):
        Model.open(path)
    with pytest.raises(ArtifactError, match="cannot be read"):
        Model.open(tmp_path / "absent.safetensors")
