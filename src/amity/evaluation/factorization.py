"""Baselines that learn a vector for each node and nothing of its features: iALS and BPR, by the library `implicit`."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from amity.errors import ConfigError
from amity.graph import Adjacency, Graph
from amity.index import Hits, Index
from amity.index.exact import exact_index
from amity.retrieval.candidates import excluded_positions, refuse_strangers, refuse_unknown
from amity.section import Section

FactorizationName = Literal["ials", "bpr"]
"""Their names."""
FACTORIZATIONS: tuple[FactorizationName, ...] = get_args(FactorizationName)
"""Both of them."""


class IalsConfig(Section):
    """Alternating least squares on what is there and, with less weight, on what is not (Hu et al., 2008)."""

    factors: PositiveInt = 128
    """Width of the vectors."""
    regularization: NonNegativeFloat = 80.0
    """Factor on their squared lengths."""
    alpha: PositiveFloat = 32.0
    """Weight of an edge that is there; one that is not has 1."""
    iterations: PositiveInt = 15
    """How often each side is solved for the other."""


class BprConfig(Section):
    """Pairwise ranking by stochastic gradients (Rendle et al., arXiv 1205.2618), with a bias for each candidate."""

    factors: PositiveInt = 64
    """Width of the vectors, without the bias."""
    regularization: NonNegativeFloat = 0.05
    """Factor on their squared lengths."""
    learning_rate: PositiveFloat = 0.03
    """Size of a step."""
    iterations: PositiveInt = 1000
    """Passes over as many random edges as there are."""


class FactorizationConfig(Section):
    """How the train edges are factorised for the baselines `ials` and `bpr`."""

    ials: IalsConfig = IalsConfig()
    """Weighted least squares."""
    bpr: BprConfig = BprConfig()
    """Pairwise ranking."""


@dataclass(frozen=True, slots=True)
class Factorization:
    """Ranks candidates by the inner product of the asker's vector with theirs.

    Who asks without a train edge gets candidates at random from iALS, and the popular from BPR.
    """

    graph: Graph
    asking: Float32[ndarray, "queries factors"]
    """The vectors of those who can ask, in the order of their rows."""
    index: Index
    """Over the vectors of the candidates, in the order of their rows."""

    def search(self, queries: Int64[ndarray, "queries"], *, k: int, known: Adjacency | None = None) -> Hits:
        """See `Recommender.search`."""
        queries = np.asarray(queries, np.int64)
        refuse_unknown(self.graph, queries, k)
        refuse_strangers(self.graph, queries)
        excluded = excluded_positions(self.graph, queries, known)
        asked = self.asking[queries - self.graph.queries.first]
        return self.index.search(asked, k=k, excluded=excluded, names=queries).moved(self.graph.candidates.first)


def factorize(name: FactorizationName, graph: Graph, config: FactorizationConfig, *, seed: int) -> Factorization:
    """Factorise the target relation of a train graph; among people, everybody is both an asker and a candidate.

    One thread computes, so that the same seed gives the same vectors. Raises `ConfigError` where `implicit` is not
    installed.
    """
    asking, found = _fit(name, graph, config, seed=seed)
    return Factorization(graph, asking, exact_index(found, seed=seed))


def _fit(name: FactorizationName, graph: Graph, config: FactorizationConfig, *, seed: int) -> tuple[ndarray, ndarray]:
    """The vectors of askers and of candidates."""
    try:
        from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415 (an extra, of which most have no need)
        from implicit.cpu.bpr import BayesianPersonalizedRanking  # noqa: PLC0415
        from scipy.sparse import csr_matrix  # noqa: PLC0415
        from threadpoolctl import threadpool_limits  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The baseline `{name}` needs {error.name}, which is not here. Type: pip install 'amity[baselines]', or "
            "take it out of `evaluation.baselines`."
        ) from error
    make, settings = {
        "ials": (AlternatingLeastSquares, config.ials),
        "bpr": (BayesianPersonalizedRanking, config.bpr),
    }[name]
    with threadpool_limits(1, "blas"):
        model = make(**settings.model_dump(), num_threads=1, random_state=seed)
        model.fit(csr_matrix(*_incidence(graph)), show_progress=False)
    return model.user_factors, model.item_factors


def _incidence(graph: Graph) -> tuple[tuple[ndarray, ndarray, ndarray], tuple[int, int]]:
    """A row for each asker, with ones where it has an edge, as scipy takes it: (values, columns, starts) and shape."""
    edges, asking, found = graph.target.adjacency, graph.queries, graph.candidates
    starts = edges.indptr[asking.first : asking.first + asking.count + 1]
    columns = edges.indices[starts[0] : starts[-1]] - found.first
    return (np.ones(len(columns), np.float32), columns, starts - starts[0]), (asking.count, found.count)
