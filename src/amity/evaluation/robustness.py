"""How much recall is kept when the graph is damaged after training, arm beside arm, with intervals."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from numpy import ndarray

from amity.errors import ConfigError
from amity.evaluation.comparison import adjust, ask_the_same, refuse_unpaired
from amity.evaluation.evaluate import EvaluationConfig, Tables, by_degree
from amity.evaluation.statistics import Estimate, bootstrap_means_over_seeds, middle, p_value, summarize_means

Arms = Mapping[str, Mapping[int, pa.Table]]
"""By the name of an arm and the seed of a run: what it found for each query (`per_query_table`), with what it found
under each damage beside it, as `30% of edges/recall@50`."""


def summarize_robustness(arms: Arms, config: EvaluationConfig | None = None, *, seed: int = 0) -> dict[str, Any]:
    """What each arm finds whole and under each damage, how much it keeps, and by how much that differs from the first.

    *Kept* is the mean recall under a damage over the mean recall without it, at the headline length; means are over
    seeds of means over queries, and arms are paired as in `compare`. Returns

        {"arms": [...], "seeds": [...], "queries": ..., "metric": ..., "damages": [...], "family": {...},
         "whole": {arm: estimate}, "damaged": {arm: {damage: estimate}}, "differences": {arm: {damage: estimate}}}

    with estimates as in `report.json`, `by_degree` among them. Those of `damaged` also have `kept`. Differences are of
    what is kept, that of the first arm taken off, and have `p` and, Holm's for all of them, `p_adjusted`.

    Raises `ConfigError` where arms have other seeds, or two runs of one seed were not asked the same.
    """
    config = config or EvaluationConfig()
    metric = f"recall@{config.headline}"
    damages = find_damages(arms, metric)
    runs = list(_runs(arms))
    shared = ask_the_same(runs)
    entries = iter(
        by_degree(
            lambda parts: _describe(parts, len(arms), config, seed=seed, shared=shared),
            recall_tables(arms, metric, damages),
            [table["degree"].to_numpy() for table in runs],
            shared=shared,
        )
    )
    recall = {name: {damage: next(entries) for damage in ("", *damages)} for name in arms}
    differences = {name: {damage: next(entries) for damage in damages} for name in list(arms)[1:]}
    first = recall[next(iter(arms))][""]
    return {
        "arms": list(arms),
        "seeds": sorted(next(iter(arms.values()))),
        "queries": first["queries"],
        "metric": metric,
        "confidence": config.confidence,
        "damages": damages,
        "degrees": [bucket for bucket, entry in first["by_degree"].items() if entry["queries"]],
        "family": {"size": adjust(entry for found in differences.values() for entry in found.values())},
        "whole": {name: found.pop("") for name, found in recall.items()},
        "damaged": recall,
        "differences": differences,
    }


def find_damages(arms: Arms, metric: str) -> list[str]:
    """What the runs were damaged by; raises `ConfigError` for runs that cannot be paired, or were not damaged alike."""
    if not arms:
        raise ConfigError("There is no run to damage. Name one, or several: RUN, or ARM=RUN,RUN that differ by seed.")
    refuse_unpaired(arms)
    found = [
        [name.removesuffix(f"/{metric}") for name in table.column_names if name.endswith(f"/{metric}")]
        for arm in arms.values()
        for table in arm.values()
    ]
    if not found or not found[0] or any(other != found[0] for other in found):
        raise ConfigError(
            f"What runs keep of {metric} cannot be compared: their graphs are not damaged alike, or not at all. "
            "Give runs of the same data with the same `evaluation.headline`, and one damage or more."
        )
    return found[0]


def recall_tables(arms: Arms, metric: str, damages: Sequence[str]) -> Tables:
    """A table a seed: for each arm recall on the whole graph, then under each damage."""
    columns = [metric, *(f"{damage}/{metric}" for damage in damages)]
    seeds = sorted(next(iter(arms.values())))
    return [
        np.column_stack([arm[seed][name].to_numpy() for arm in arms.values() for name in columns]) for seed in seeds
    ]


def kept(recall: Float64[ndarray, "samples arms states"]) -> Float64[ndarray, "samples arms damages"]:
    """Mean recall under each damage over that of the first state, the whole graph; NaN where that is 0."""
    whole = recall[:, :, :1]
    return np.divide(recall[:, :, 1:], whole, out=np.full(recall[:, :, 1:].shape, np.nan), where=whole > 0)


def sample_recall(
    tables: Tables, num_arms: int, *, resamples: int, seed: int, shared: bool
) -> Float64[ndarray, "samples arms states"]:
    """Mean recall as it is, and behind it that of bootstrap samples of seeds and of their queries."""
    means = bootstrap_means_over_seeds(tables, resamples=resamples, seed=seed, shared=shared)
    whole = [one.value for one in summarize_means(tables, means, confidence=0.95)]
    return np.vstack([whole, means]).reshape(1 + len(means), num_arms, -1)


def _describe(
    tables: Tables, num_arms: int, config: EvaluationConfig, *, seed: int, shared: bool
) -> list[dict[str, Any]]:
    """Of each arm its recall, whole and under each damage; then of each arm but the first how much more it keeps."""
    recall = sample_recall(tables, num_arms, resamples=config.resamples, seed=seed, shared=shared)
    share = kept(recall)
    gaps = share[:, 1:] - share[:, :1]
    queries = int(sum(np.count_nonzero(~np.isnan(table[:, 0])) for table in tables))

    def describe(samples: Float64[ndarray, "samples"]) -> dict[str, Any]:
        return Estimate(float(samples[0]), *middle(samples[1:], config.confidence), queries).to_json()

    entries = []
    for arm in range(num_arms):
        entries.append(describe(recall[:, arm, 0]))
        for damage in range(share.shape[2]):
            entries.append({**describe(recall[:, arm, 1 + damage]), "kept": describe(share[:, arm, damage])})
    for samples in gaps.reshape(len(gaps), -1).T:
        p = p_value(samples[1:])
        entries.append({**describe(samples), "p": None if np.isnan(p) else p})
    return entries


def _runs(arms: Arms) -> Iterator[pa.Table]:
    """The tables of the first arm, seed after seed."""
    first = next(iter(arms.values()))
    return (first[seed] for seed in sorted(first))
