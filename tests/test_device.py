from pathlib import Path

import numpy as np
import pytest
import torch

import amity
from amity.config import load_config
from amity.errors import DeviceError
from amity.pipeline import open_run
from tiny import FLAGS, write_tables

WITH_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")


@WITHOUT_GPU
def test_a_gpu_that_is_not_there_is_refused_and_what_was_made_before_stays(tmp_path: Path):
    with pytest.raises(DeviceError, match="amity doctor"):
        amity.run(tmp_path / "run", write_tables(tmp_path / "data"), load_config(flags={**FLAGS, "device": "cuda"}))
    assert open_run(tmp_path / "run", until="split").split().train.num_nodes


def test_another_device_leaves_what_was_made_standing(tmp_path: Path):
    data = write_tables(tmp_path / "data")
    amity.run(tmp_path / "run", data, load_config(flags=FLAGS))
    again = amity.run(tmp_path / "run", data, load_config(flags={**FLAGS, "device": "cuda"}))
    assert not any(done.made for done in again.values())


@WITH_GPU
def test_a_gpu_embeds_and_finds_what_the_cpu_does(tmp_path: Path):
    config = load_config(flags={**FLAGS, "device": "cuda"})
    amity.run(tmp_path / "run", write_tables(tmp_path / "data"), config)
    work = open_run(tmp_path / "run", until="index")
    on_cpu = amity.embed(work.model(), work.split().train, work.embedding())
    np.testing.assert_allclose(work.embeddings().vectors, on_cpu.vectors, rtol=1e-4, atol=1e-5)
    queries = np.arange(20)
    found, expected = (one.search(queries, k=5) for one in (work.retriever(), amity.Retriever.build(on_cpu)))
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-5)


@WITH_GPU
def test_a_gpu_learns_clusters_divides_again_and_asks_each_as_the_cpu_does(tmp_path: Path):
    dividing = {"clustering": {"by": "eigenvectors", "count": 3, "again_every": 4}}
    config = load_config(flags={**FLAGS, **dividing, "device": "cuda"})
    amity.run(tmp_path / "run", write_tables(tmp_path / "data"), config)
    work = open_run(tmp_path / "run", until="embed")
    on_cpu = amity.embed(work.model(), work.split().train, work.embedding())
    assert on_cpu.asking is not None
    nodes, embedded = np.arange(len(on_cpu.vectors)), work.embeddings()
    asked, expected = (one.asked_each(nodes, clusters=3) for one in (embedded, on_cpu))
    np.testing.assert_allclose(asked, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(embedded.intent, on_cpu.intent, rtol=1e-4, atol=1e-5)
