"""The public verbs: each takes the artifact before it and a few settings, and gives the next artifact."""

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Literal

from amity import clustering, embedding, evaluation, ingestion, splitting
from amity.clustering import ClusteringConfig, Clusters
from amity.config import Config, load_config
from amity.device import Device, check_device
from amity.embedding import AtHand, EmbeddingConfig, Embeddings
from amity.encoder import Model
from amity.errors import ConfigError
from amity.evaluation import Evaluation, EvaluationConfig
from amity.graph import Graph
from amity.ingestion import IngestionConfig
from amity.log import Progress
from amity.pipeline.division import vectors_to_divide
from amity.pipeline.learning import learn
from amity.pipeline.spectral import settle_spectral
from amity.retrieval import AnyRetriever
from amity.sampling import Histories
from amity.splitting import HeldOut, Split
from amity.training import Journal


def read_graph(data: Path | str, config: IngestionConfig | None = None, *, storage: Path | None = None) -> Graph:
    """Read the tables under a directory into a graph.

    The graph is memory-mapped: it lies under `storage`, an empty or new directory, or in a temporary one that is
    removed when Python ends. Raises `DataError` for tables that cannot stand, `ConfigError` for settings, and
    `ArtifactError` for a storage that holds something.
    """
    with Progress("ingest") as progress:
        return ingestion.ingest(
            Path(data),
            _storage(storage),
            config or IngestionConfig(),
            progress=lambda table, done, total: progress.show(done, total, table),
        )


def split(
    graph: Graph,
    *,
    by: Literal["random", "time", "given"] = "random",
    valid: float = 0.05,
    test: float = 0.1,
    seed: int = 0,
    storage: Path | None = None,
) -> Split:
    """Hold out a share `valid` and a share `test` of the edges, at random, the latest, or as the tables say.

    Storage is as in `read_graph`. Raises `SplitError` where a part would be empty, `ConfigError` for impossible shares,
    and `ArtifactError` for a storage that holds something.
    """
    config = load_config(flags={"splitting": {"by": by, "valid": valid, "test": test}}).splitting
    return splitting.split_edges(graph, config, _storage(storage), seed=seed)


def cluster(split: Split, config: ClusteringConfig | None = None, *, seed: int = 0) -> Clusters:
    """Divide the candidates into clusters by train edges alone, or by a column; one of everyone by default.

    Raises `ConfigError` where they cannot be divided so, or a library is missing.
    """
    config = config or ClusteringConfig()
    return clustering.divide(split, config, seed=seed, vectors=vectors_to_divide(split, config))


def train(
    split: Split, config: Config | None = None, *, clusters: Clusters | None = None, journal: Journal | None = None
) -> Model:
    """Train an encoder on the train part until it finds the validation part no better.

    Each cluster is a task; where none are given, the candidates are divided as `config.clustering` says. What is
    learned of which cluster is meant is calibrated on the validation part.

    Raises `ConfigError` where clusters are to be made again while training goes on, which only a run keeps,
    `TrainingError` where training diverges, and `DeviceError` where the device is not there. With a journal, an
    interrupted training goes on where it was.
    """
    config = config or Config()
    if config.clustering.again_every:
        raise ConfigError(
            f"Clusters are to be made again every {config.clustering.again_every} steps of training (`clustering."
            "again_every`), and a model does not hold them. Train by `amity run`, or set it to 0."
        )
    divided = clusters or cluster(split, config.clustering, seed=config.seed)
    return learn(split, config, divided, journal=journal).model


def settle(
    model: Model, split: Split, config: Config | None = None, *, clusters: Clusters | None = None
) -> EmbeddingConfig:
    """The settings of embedding with each `auto` settled on the validation part: power and share of the eigenvectors.

    Eigenvectors of clusters need these. Raises `DeviceError` where the device is not there, and `ConfigError` where
    clusters are needed and not given.
    """
    return settle_spectral(model, split, config or Config(), clusters)[0]


def embed(  # noqa: PLR0913 (all but three by name)
    model: Model,
    graph: Graph,
    config: EmbeddingConfig | None = None,
    *,
    storage: Path | None = None,
    device: Device = "cpu",
    histories: Histories | None = None,
    clusters: Clusters | None = None,
) -> Embeddings:
    """One vector for every node of a graph, for evaluation `split.train`; in memory unless there is a `storage`.

    A sequence encoder tells who asks by `histories`, by default those of the graph; to be judged by the test part,
    `amity.sampling.histories_before(split, split.test)`, which hold the validation edges too. Eigenvectors stand
    beside what was learned where the settings say how much they count: see `settle`; those of `clusters` need these.

    Raises `DeviceError` where the device is not there, and `ConfigError` where clusters are needed and not given.
    """
    at_hand = AtHand(histories=histories, clusters=clusters)
    return embedding.embed_graph(model, graph, storage, config, device=check_device(device), at_hand=at_hand)


def evaluate(
    retriever: AnyRetriever, held_out: HeldOut, config: EvaluationConfig | None = None, *, seed: int = 0
) -> Evaluation:
    """Judge a retriever by the edges that were held out of its graph; every candidate is ranked.

    Raises `SplitError` where nothing is held out.
    """
    embeddings = retriever.embeddings
    return evaluation.evaluate(retriever, embeddings.graph, held_out, config, seed=seed, vectors=embeddings.vectors)


def _storage(directory: Path | None) -> Path:
    if directory is not None:
        return directory
    temporary = Path(tempfile.mkdtemp(prefix="amity-"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return temporary
