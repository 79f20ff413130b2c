"""What the stage `evaluate` does: the lists judged, part by part and beside baselines, and the report of it."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from amity.artifacts import peak_memory_bytes
from amity.device import check_device
from amity.evaluation import (
    evaluate,
    evaluate_baselines,
    judge_clusters,
    make_report,
    negative_transfer,
    steer,
    write_per_query,
    write_report,
)
from amity.pipeline.parts import evaluate_parts
from amity.pipeline.work import Work
from amity.retrieval import DividedRetriever


def evaluate_lists(work: Work, directory: Path) -> Mapping[str, Any]:
    """`index/`, `blend.json`, `split/` -> `report.json`, `report.html`, `per_query.parquet`."""
    start, config, seed = time.perf_counter(), work.config, work.config.seed
    test, retriever = work.split().test, work.retriever(device=check_device(config.device))
    graph, vectors = retriever.embeddings.graph, retriever.embeddings.vectors
    recommender = work.recommender(retriever)
    found = evaluate(recommender, graph, test, config.evaluation, seed=seed, vectors=vectors)
    parts = evaluate_parts(work, retriever, recommender)
    baselines = evaluate_baselines(graph, test, config.evaluation, seed=seed)
    write_per_query(found, graph, test.truth, directory / "per_query.parquet", beside=parts | baselines)
    report = make_report(found, baselines, graph, parts)
    if isinstance(retriever, DividedRetriever) and config.evaluation.steering:
        report["steering"] = steer(retriever, test, config.evaluation, seed=seed)
    if isinstance(retriever, DividedRetriever):
        report |= judge_clusters(retriever.embeddings, retriever.index, test, config.evaluation, seed=seed)
        report["calibration"] = work.run.stages["train"].summary.get("intent", {})
    headline = f"recall@{config.evaluation.headline}"
    about = _about(work, seconds=time.perf_counter() - start)
    history = work.history()
    write_report({**about, **report, "negative_transfer": negative_transfer(history)}, directory, history)
    return {"queries": report["queries"], headline: report["metrics"][headline]["value"]}


def _about(work: Work, *, seconds: float) -> dict[str, Any]:
    """What a report says of the run itself; the stage that writes it counts as far as it has come."""
    records = {name: record for name, record in work.run.stages.items() if name != "evaluate"}
    return {
        "name": work.run.path.name,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "index": {"kind": work.config.index.kind, **records["index"].summary},
        "seconds": {**{name: one.seconds for name, one in records.items()}, "evaluate": round(seconds, 3)},
        "peak_rss_bytes": {
            **{name: one.peak_rss_bytes for name, one in records.items()},
            "evaluate": peak_memory_bytes(),
        },
        "ingestion": records["ingest"].summary,
        "clusters": work.clusters().by_name(),
        "config": work.config.model_dump(mode="json"),
    }
