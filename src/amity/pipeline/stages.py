"""The stages of a run, in the order of the flow: what each reads, which settings decide, what it writes."""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from amity import __version__
from amity.artifacts import Record, digest
from amity.clustering import group_by_column, save_clusters
from amity.device import check_device
from amity.embedding import AtHand, check_spectral, embed_graph
from amity.errors import ArtifactError, ConfigError
from amity.evaluation import fit_blend, fit_confidence
from amity.graph.storage import read_summary
from amity.index import save_divided, save_index
from amity.log import say
from amity.pipeline import verbs
from amity.pipeline.division import hash_other_run
from amity.pipeline.learning import learn
from amity.pipeline.reporting import evaluate_lists
from amity.pipeline.spectral import settle_spectral
from amity.pipeline.validation import as_validated
from amity.pipeline.work import LOG, TRAINED_CLUSTERS, Work
from amity.retrieval import Confidence, DividedRetriever, Retriever, check_divided, save_blend
from amity.sampling import histories_before
from amity.splitting import split_edges
from amity.training import Journal

CHECKPOINT, UNFINISHED_LOG = "checkpoint.safetensors", "checkpoint.jsonl"
"""From what an interrupted training goes on; gone when it ends."""
UNASKED = ("skipped: identifier", "skipped: only nulls", "skipped: only missing values")
"""What ingestion says of columns that it leaves out of its own accord."""
LOSSES = {
    "dangling edges": ("edges", "dangling"),
    "self-loops": ("edges", "self_loops"),
    "edges without an id": ("edges", "null_ids"),
    "edges that no flag claims": ("edges", "unassigned"),
    "nodes without an id": ("nodes", "null_ids"),
    "rows of nodes that were there before": ("nodes", "duplicate_ids"),
    "values of bags": ("bags", "dropped"),
}
"""What it counts of rows that do not stand, in words: of the tables of edges, of nodes, or of bags."""

Make = Callable[[Work, Path], Mapping[str, Any]]
"""Write the artifact into an empty folder, and return what there is to tell."""
TABLES = "data"
"""What tables are called among the inputs of a record."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the flow."""

    name: str
    reads: tuple[str, ...]
    """The stages whose artifacts it opens."""
    sections: tuple[str, ...]
    """The settings that decide what it writes."""
    make: Make
    outside: Callable[[Work], dict[str, str]] = lambda _: {}
    """Digests of what it reads beside these artifacts, by name; what is not at hand has none, and is not compared."""


def ingest_tables(work: Work, directory: Path) -> Mapping[str, Any]:
    """Tables -> `graph/`."""
    if work.data is None:
        raise ConfigError(
            f"The run {work.run.path} does not know its tables, or they are gone. "
            f"Say where they lie: `amity run {work.run.path} --data DIR`."
        )
    verbs.read_graph(work.data, work.config.ingestion, storage=directory / "graph")
    summary = read_summary(directory / "graph")
    if left_out := describe_losses(summary):
        say(f"ingest: left out {left_out}")
    return summary


def describe_losses(summary: Mapping[str, Any]) -> str:
    """Which rows of the tables, and columns of nodes, did not become part of the graph; empty where all did."""
    columns = [column for kind in summary["nodes"].values() for column in kind["columns"].items()]
    places = {
        "edges": [table for relation in summary["edges"].values() for table in relation["tables"].values()],
        "nodes": [table for kind in summary["nodes"].values() for table in kind["tables"].values()],
        "bags": [result for _, result in columns if isinstance(result, dict)],
    }
    counts = {words: sum(one.get(name, 0) for one in places[place]) for words, (place, name) in LOSSES.items()}
    skipped = [f"column `{name}` ({result})" for name, result in columns if result in UNASKED]
    return ", ".join([*(f"{count:,} {words}" for words, count in counts.items() if count), *skipped])


def split_graph(work: Work, directory: Path) -> Mapping[str, Any]:
    """`graph/` -> `split/`."""
    split = split_edges(work.graph(), work.config.splitting, directory / "split", seed=work.config.seed)
    held_out = {"valid": split.valid.truth.num_edges, "test": split.test.truth.num_edges}
    return {"train": split.train.target.adjacency.num_edges, **held_out}


def cluster_candidates(work: Work, directory: Path) -> Mapping[str, Any]:
    """`split/` -> `clusters.parquet`."""
    split, config = work.split(), work.config
    if config.clustering.by != "none":
        check_spectral(split.train, config.embedding.spectral)
    clusters = verbs.cluster(split, config.clustering, seed=config.seed)
    check_divided(config.retrieval, split.train.candidates, clusters=clusters.count)
    if clusters.count > 1 and config.evaluation.exposure:
        group_by_column(split.train.candidates, config.evaluation.exposure, setting="evaluation.exposure")
    save_clusters(clusters, split.train.candidates, directory / "clusters.parquet")
    return {"clusters": clusters.count, "sizes": clusters.by_name()}


def train_model(work: Work, directory: Path) -> Mapping[str, Any]:
    """`split/`, `clusters.parquet` -> `model.safetensors`, `log.jsonl`; the last clusters where they are made again.

    Training goes on where the same one was interrupted.
    """
    split, place = work.split(), work.run.path
    journal = Journal(place / CHECKPOINT, place / UNFINISHED_LOG, purpose(work, "train"))
    trained = learn(split, work.config, work.first_clusters(), journal=journal)
    trained.model.save(directory / "model.safetensors")
    shutil.copyfile(journal.log, directory / LOG)
    parameters = trained.model.encoder.parameters()
    summary: dict[str, Any] = {"parameters": sum(values.numel() for values in parameters)}
    if trained.calibration is not None:
        summary["intent"] = trained.calibration.to_json()
    if work.config.clustering.again_every:
        save_clusters(trained.clusters, split.train.candidates, directory / TRAINED_CLUSTERS)
    return summary


def embed_nodes(work: Work, directory: Path) -> Mapping[str, Any]:
    """`model.safetensors`, `split/` -> `embeddings/`."""
    model, split, device = work.model(), work.split(), check_device(work.config.device)
    config, spectrum = settle_spectral(model, split, work.config, work.clusters())
    told = histories_before(split, split.test) if work.config.encoder.kind == "sequence" else None
    at_hand = AtHand(spectrum, histories=told)
    made = embed_graph(model, split.train, directory / "embeddings", config, device=device, at_hand=at_hand)
    nodes, dim = made.vectors.shape
    settled = config.spectral.model_dump(include={"power", "share"})
    return {"nodes": nodes, "dim": dim, "learned": model.encoder.dim, "spectral": settled}


def index_vectors(work: Work, directory: Path) -> Mapping[str, Any]:
    """`embeddings/` -> `index/`; one for each cluster that training ended with, and how their answers compare."""
    config, clusters, embeddings = work.config, work.clusters(), work.embeddings()
    about = {"seed": config.seed, "device": check_device(config.device)}
    if clusters.count == 1:
        index = Retriever.build(embeddings, config.index, **about).index
        save_index(index, directory / "index")
        return {"kind": index.kind, "candidates": len(clusters.of), "recall_against_exact": index.recall}
    retriever = DividedRetriever.build(embeddings, clusters, config.index, **about)
    index, trained = retriever.index, config.objectives.retrieval.temperature
    save_divided(index, directory / "index")
    asking = as_validated(replace(retriever, confidence=Confidence(trained)), work.model(), work.split())
    fitted = fit_confidence(asking, work.split().valid, seed=config.seed)
    return {
        "kind": index.kind,
        "candidates": len(clusters.of),
        "recall_against_exact": index.recall,
        "recall_by_cluster": index.recalls,
        "confidence": {name: round(value, 4) for name, value in asdict(fitted).items()},
    }


def fit_weights(work: Work, directory: Path) -> Mapping[str, Any]:
    """`index/`, `model.safetensors`, `split/` -> `blend.json`."""
    config, split = work.config, work.split()
    retriever = work.retriever(device=check_device(config.device))
    if config.retrieval.blend.heuristics:
        retriever = as_validated(retriever, work.model(), split)
    graph, valid = retriever.embeddings.graph, split.valid
    blend, recall = fit_blend(retriever, graph, valid, config.retrieval.blend, seed=config.seed)
    save_blend(blend, directory / "blend.json")
    told = {"recommenders": list(blend.recommenders)}
    return told if math.isnan(recall) else {**told, "valid_recall": recall}


def hash_tables(work: Work) -> dict[str, str]:
    """One hash over the tables."""
    return {TABLES: work.tables} if work.tables else {}


LEARNING = ("seed", "sampling", "encoder", "objectives", "training")
RETRIEVING = ("ingest", "split", "cluster", "embed", "index")
STAGES = {
    stage.name: stage
    for stage in (
        Stage("ingest", (), ("ingestion",), ingest_tables, hash_tables),
        Stage("split", ("ingest",), ("seed", "splitting"), split_graph),
        Stage("cluster", ("ingest", "split"), ("seed", "clustering"), cluster_candidates, hash_other_run),
        Stage("train", ("ingest", "split", "cluster"), LEARNING, train_model),
        Stage("embed", ("ingest", "split", "cluster", "train"), ("seed", "embedding"), embed_nodes),
        Stage("index", ("ingest", "split", "cluster", "train", "embed"), ("seed", "index"), index_vectors),
        Stage("blend", ("train", *RETRIEVING), ("seed", "retrieval"), fit_weights),
        Stage("evaluate", (*RETRIEVING, "blend"), ("seed", "retrieval", "evaluation"), evaluate_lists),
    )
}
"""Every stage by name, in the order of the flow."""


def settings(work: Work, name: str) -> dict[str, Any]:
    """The settings that decide what a stage writes, as JSON."""
    page = work.config.model_dump(mode="json")
    # What an amity.toml adds counts among the tables.
    page["ingestion"] = work.config.ingestion.model_dump(mode="json", exclude_unset=True)
    return {section: page[section] for section in STAGES[name].sections}


def purpose(work: Work, name: str) -> str:
    """One hash over the inputs and the settings that decide what a stage writes."""
    return digest({"inputs": _inputs(work, STAGES[name]), "settings": settings(work, name)})


def obstacle(work: Work, name: str) -> str:
    """Why the artifact of a stage does not stand for the tables, artifacts and settings there are; empty if it does."""
    record = work.run.stages.get(name)
    if record is None:
        return "it has not been made"
    inputs = _inputs(work, STAGES[name])
    changed = [source for source, hashed in inputs.items() if record.inputs.get(source) != hashed]
    if changed:
        return f"it was made before `{changed[0]}` was last made" if changed != [TABLES] else "the tables have changed"
    before, now = record.section, settings(work, name)
    if record.code != __version__:  # Settings that came or went with a version say nothing against what it made.
        before, now = _common(before, now), _common(now, before)
    return _difference(before, now)


def make(work: Work, stage: Stage) -> Record:
    """Run one stage and commit what it wrote."""
    facts = {"inputs": _inputs(work, stage), "section": settings(work, stage.name), "code": __version__}
    with work.run.stage(stage.name, **facts) as staging:
        staging.summary.update(stage.make(work, staging.path))
    for name in (CHECKPOINT, UNFINISHED_LOG) if stage.name == "train" else ():
        (work.run.path / name).unlink(missing_ok=True)
    return work.run.stages[stage.name]


def require(work: Work, *names: str) -> None:
    """Raise `ArtifactError` where the artifact of a stage, or one that it was made from, does not stand."""
    for name in names:
        require(work, *STAGES[name].reads)
        reason = obstacle(work, name)
        if reason:
            raise ArtifactError(
                f"What `amity {name}` makes does not stand in the run {work.run.path}: {reason}. "
                f"Run `amity {name} {work.run.path}`, or `amity run {work.run.path}` for every stage that is behind."
            )


def _inputs(work: Work, stage: Stage) -> dict[str, str]:
    """The digest of each input, as it lies there now."""
    records = work.run.stages
    return {name: records[name].digest if name in records else "" for name in stage.reads} | stage.outside(work)


def _common(section: Any, other: Any) -> Any:
    """A section without the keys that the other one does not have."""
    if not isinstance(section, dict) or not isinstance(other, dict):
        return section
    return {key: _common(value, other[key]) for key, value in section.items() if key in other}


def _difference(before: Any, now: Any, place: str = "") -> str:
    """The first setting in which two sections differ, in words."""
    if before == now:
        return ""
    if isinstance(before, dict) and isinstance(now, dict):
        key = next(key for key in [*now, *before] if before.get(key) != now.get(key))
        return _difference(before.get(key), now.get(key), f"{place}.{key}".lstrip("."))
    return f"it was made with `{place}` {before!r}, and that is now {now!r}"
