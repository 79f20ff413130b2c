"""A run, its settings and its tables: what every stage gets to see, each artifact verified before it is opened."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyarrow import Table

from amity.artifacts import Run
from amity.clustering import Clusters, open_clusters
from amity.config import Config
from amity.device import Device
from amity.embedding import EmbeddingConfig, Embeddings, open_embeddings
from amity.encoder import Model
from amity.evaluation import read_per_query
from amity.graph import Graph, open_graph
from amity.index import open_divided, open_index
from amity.log import read_metrics
from amity.retrieval import (
    AnyRetriever,
    Confidence,
    DividedRetriever,
    Recommender,
    Retriever,
    blended,
    check_divided,
    open_blend,
)
from amity.splitting import Split, open_split

LOG = "log.jsonl"
"""What `train` tells of every step."""
TRAINED_CLUSTERS = "trained_clusters.parquet"
"""What `train` leaves beside the model where candidates are divided again meanwhile."""


@dataclass(frozen=True, slots=True)
class Work:
    """A run, the settings, and the tables: all that a stage gets to see."""

    run: Run
    config: Config
    data: Path | None = None
    """Where the tables lie; absent where they are not at hand."""
    tables: str = ""
    """One hash over the tables; empty where they are not at hand."""

    def graph(self) -> Graph:
        """The graph, verified and opened; as all of these, `ArtifactError` where it is not as it was written."""
        self.run.verify("ingest")
        return open_graph(self.run.path / "graph")

    def split(self) -> Split:
        """The split of the graph."""
        self.run.verify("split")
        return open_split(self.run.path / "split", self.graph())

    def first_clusters(self) -> Clusters:
        """The division of the candidates that training begins with."""
        self.run.verify("cluster")
        return open_clusters(self.run.path / "clusters.parquet", self.graph().candidates)

    def clusters(self) -> Clusters:
        """The division that training ends with: the first one, unless candidates are divided again meanwhile."""
        if not self.config.clustering.again_every:
            return self.first_clusters()
        self.run.verify("train")
        return open_clusters(self.run.path / TRAINED_CLUSTERS, self.graph().candidates)

    def model(self) -> Model:
        """The trained model."""
        self.run.verify("train")
        return Model.open(self.run.path / "model.safetensors")

    def history(self) -> list[dict[str, Any]]:
        """What training told of every step."""
        self.run.verify("train")
        return read_metrics(self.run.path / LOG)

    def embeddings(self) -> Embeddings:
        """The vectors of the train graph."""
        self.run.verify("embed")
        return open_embeddings(self.run.path / "embeddings", self.split().train)

    def embedding(self) -> EmbeddingConfig:
        """The settings of embedding, with what the validation part settled of them."""
        self.run.verify("embed")
        config, settled = self.config.embedding, self.run.stages["embed"].summary.get("spectral", {})
        return config.model_copy(update={"spectral": config.spectral.model_copy(update=settled)})

    def retriever(self, *, device: Device = "cpu") -> AnyRetriever:
        """The retriever over the index, or over those of the clusters, as it is judged: held-out friends can be found.

        Raises `ConfigError` for settings that one index alone can honour.
        """
        self.run.verify("index")
        place, config = self.run.path / "index", self.config
        if self.clusters().count == 1:
            retriever = Retriever.with_index(self.embeddings(), open_index(place, verified=True, device=device))
            return replace(retriever, expansion=config.retrieval.expansion, seed=config.seed)
        check_divided(config.retrieval, self.graph().candidates, clusters=self.clusters().count)
        divided = DividedRetriever.with_index(self.embeddings(), open_divided(place, verified=True, device=device))
        confidence = Confidence(config.objectives.retrieval.temperature)
        if config.retrieval.merge.temperature == "fitted":
            confidence = Confidence(**self.run.stages["index"].summary["confidence"])
        return replace(divided, merge=config.retrieval.merge, confidence=confidence)

    def recommender(self, retriever: AnyRetriever) -> Recommender:
        """A retriever beside the heuristics of the blend, on the retriever's own graph."""
        self.run.verify("blend")
        blend, depth = open_blend(self.run.path / "blend.json"), self.config.retrieval.blend.depth
        return blended(retriever, blend, retriever.embeddings.graph, depth=depth, seed=self.config.seed)

    def adviser(self) -> tuple[Recommender, AnyRetriever]:
        """The recommender as people ask it, and the retriever in it, whose graph is the whole one.

        Friends that were held out are friends too, and never come back.
        """
        retriever = self.retriever()
        retriever = replace(retriever, embeddings=replace(retriever.embeddings, graph=self.graph()))
        return self.recommender(retriever), retriever

    def report(self) -> dict[str, Any]:
        """What evaluation found, `report.json`."""
        self.run.verify("evaluate")
        return json.loads((self.run.path / "report.json").read_text(encoding="utf-8"))

    def values(self) -> Table:
        """What evaluation found for each query, `per_query.parquet`."""
        self.run.verify("evaluate")
        return read_per_query(self.run.path / "per_query.parquet")
