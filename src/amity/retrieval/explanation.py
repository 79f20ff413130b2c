"""Why candidates stand in a list: the cluster of each, how likely the query wants that, and the places it gets."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from amity.retrieval.blend import Blended
from amity.retrieval.candidates import Candidates
from amity.retrieval.divided import DividedRetriever
from amity.retrieval.heuristics import Recommender


@dataclass(frozen=True, slots=True)
class Explanation:
    """The candidates of one query with what decided between clusters; prints as a table."""

    candidates: Candidates
    clusters: tuple[str, ...]
    """The name of each candidate's cluster."""
    intent: tuple[float, ...]
    """How likely the query is to want that cluster."""
    quotas: tuple[int, ...] | None
    """How many places of the list of the vectors that gives it; absent where all candidates are ranked together."""

    def to_json(self) -> list[dict[str, Any]]:
        """One entry a candidate, best first."""
        quotas = self.quotas or (None,) * len(self.clusters)
        parts = zip(self.candidates.ids, self.candidates.scores, self.clusters, self.intent, quotas, strict=True)
        return [dict(zip(("id", "score", "cluster", "intent", "quota"), part, strict=True)) for part in parts]

    def __str__(self) -> str:
        entries = self.to_json()
        kind, wide = self.candidates.kind, max([7, *map(len, self.clusters)])
        width = max([len(kind), *(len(str(entry["id"])) for entry in entries)])
        lines = [
            f"{len(entries)} candidates for {self.candidates.query}",
            f"{'rank':>4}  {kind:<{width}}  {'cluster':<{wide}}  intent  quota    score",
        ]
        lines += [
            f"{place:>4}  {entry['id']!s:<{width}}  {entry['cluster']:<{wide}}  {entry['intent']:>6.1%}  "
            f"{'–' if entry['quota'] is None else entry['quota']:>5}  {entry['score']:>7.4f}"
            for place, entry in enumerate(entries, start=1)
        ]
        return "\n".join(lines)


def explain(
    candidates: Candidates, retriever: DividedRetriever, *, k: int, recommender: Recommender | None = None
) -> Explanation:
    """What speaks for candidates that were found among lists of k by a retriever, or by a recommender that blends it.

    A blend asks the retriever for longer lists than its own, and places are shared out in those.
    """
    k = recommender.depth_for(k) if isinstance(recommender, Blended) else k
    graph, clusters = retriever.embeddings.graph, retriever.index.clusters
    intent, quotas = retriever.intent(np.array([graph.row(candidates.query)]), k=k)
    own = clusters.of[[graph.candidates.vocabulary.find(raw_id) for raw_id in candidates.ids]]
    return Explanation(
        candidates,
        tuple(clusters.names[cluster] for cluster in own),
        tuple(map(float, intent[0, own])),
        None if retriever.merge.ignores_clusters else tuple(map(int, quotas[0, own])),
    )
