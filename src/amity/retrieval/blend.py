"""The blend: lists of the vectors and of heuristics made one, with weights by how many friends a query has."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray
from pydantic import Field, PositiveInt

from amity.errors import ArtifactError
from amity.graph import Adjacency, Graph
from amity.graph.degrees import DEGREE_BUCKETS, degree_buckets
from amity.index.hits import Hits
from amity.retrieval.candidates import refuse_unknown
from amity.retrieval.fusion import fuse
from amity.retrieval.heuristics import HeuristicName, Popularity, Recommender, Walker, heuristic
from amity.section import Section

VECTORS = "vectors"
"""The name of the retriever's own lists."""


class BlendConfig(Section):
    """What stands beside the vectors where candidates are fetched."""

    heuristics: tuple[HeuristicName, ...] = Field(default=("ppr", "resource_allocation"), max_length=3)
    """Whose lists are fused with those of the vectors, three at most; none leaves the vectors alone."""
    depth: PositiveInt = 200
    """How long the lists are that are fused, at least."""
    queries: PositiveInt = 5000
    """The weights are those that find most held-out friends of so many queries of the validation part."""


@dataclass(frozen=True, slots=True)
class Blend:
    """Who is fused, and with what weight."""

    recommenders: tuple[str, ...]
    """Names: `vectors`, and heuristics."""
    weights: Float64[ndarray, "buckets recommenders"]
    """A row for each of `DEGREE_BUCKETS`: the weight of each recommender's lists for queries with so many friends."""

    def to_json(self) -> dict[str, Any]:
        """The names, and the weights by bucket."""
        return {
            "recommenders": list(self.recommenders),
            "weights": dict(zip(DEGREE_BUCKETS, self.weights.tolist(), strict=True)),
        }

    @classmethod
    def from_json(cls, page: Mapping[str, Any]) -> "Blend":
        """What `to_json` gives; raises `KeyError` or `ValueError` for anything else."""
        weights = np.array([page["weights"][bucket] for bucket in DEGREE_BUCKETS], np.float64)
        names = tuple(page["recommenders"])
        if weights.shape != (len(DEGREE_BUCKETS), len(names)):
            raise ValueError(f"weights of the shape {weights.shape} for {len(names)} recommenders")
        return cls(names, weights)


@dataclass(frozen=True, slots=True)
class Blended:
    """The recommender that a blend makes of others."""

    parts: tuple[Recommender, ...]
    blend: Blend
    graph: Graph
    """The graph whose friends are known."""
    depth: int
    seed: int

    def depth_for(self, k: int) -> int:
        """How long the lists are that its parts are asked for."""
        return min(max(k, self.depth), max(self.graph.candidates.count, 1))

    def search(self, queries: Int64[ndarray, "queries"], *, k: int, known: Adjacency | None = None) -> Hits:
        """See `Recommender.search`; scores are weighted sums of reciprocal ranks. Lists of weight 0 cost nothing."""
        queries = np.asarray(queries, np.int64)
        refuse_unknown(self.graph, queries, k)
        weights = self.blend.weights[degree_buckets(self.graph.target.adjacency.degrees_of(queries))].T
        asked = [place for place, some in enumerate(weights) if some.any() or not len(queries)]
        lists = ask([self.parts[place] for place in asked], queries, self.depth_for(k), known)
        return fuse(lists, weights[asked], k=k, names=queries, seed=self.seed)


def blended(retriever: Recommender, blend: Blend, graph: Graph, *, depth: int, seed: int) -> Recommender:
    """The retriever beside the heuristics of a blend; the retriever itself where there are none."""
    if len(blend.recommenders) == 1:
        return retriever
    return Blended(tuple(parts(retriever, blend.recommenders, graph, seed=seed)), blend, graph, depth, seed)


def parts(retriever: Recommender, names: tuple[str, ...], graph: Graph, *, seed: int) -> list[Recommender]:
    """The recommenders of these names: `vectors` is the retriever."""
    return [retriever if name == VECTORS else heuristic(name, graph, seed=seed) for name in names]  # pyright: ignore[reportArgumentType]


def ask(
    recommenders: Sequence[Recommender], queries: Int64[ndarray, "queries"], k: int, known: Adjacency | None
) -> list[Hits]:
    """The lists of several recommenders, to be fused: nobody stands in them whom a heuristic cannot reach.

    A heuristic fills its list with others by lot, whose ranks would count as if they meant something.
    """
    lists = [one.search(queries, k=k, known=known) for one in recommenders]
    heuristics = [isinstance(one, Popularity | Walker) for one in recommenders]
    return [hits.where(hits.scores > 0) if mute else hits for hits, mute in zip(lists, heuristics, strict=True)]


def save_blend(blend: Blend, path: Path) -> None:
    """Write one JSON document."""
    path.write_text(json.dumps(blend.to_json(), indent=1) + "\n", encoding="utf-8")


def open_blend(path: Path) -> Blend:
    """Read what `save_blend` wrote; raises `ArtifactError` where it is no blend."""
    try:
        return Blend.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} cannot be read as a blend ({error}). Run `amity blend` again.") from error
