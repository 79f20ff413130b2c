"""How a divided model is judged: every cluster of a pool is asked, and the lists are merged by calibrated scores."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from amity.clustering import Clusters
from amity.embedding import EmbeddingConfig, embed_graph, embed_nodes
from amity.embedding.histories import ask_after
from amity.embedding.learned import Learned
from amity.encoder import Model, SequenceEncoder
from amity.evaluation.calibration import Calibration, calibrate
from amity.evaluation.confidence import confide
from amity.index import DividedIndex, IndexConfig, build_divided
from amity.pipeline.pool import LENGTH, Pool, draw_pool, places_of_known, recall_of_lists
from amity.pipeline.sampled import codes_sampled, embed_sampled
from amity.retrieval.asking import Confidence, Question, ask
from amity.retrieval.merging import MergeConfig, merge
from amity.retrieval.quotas import TINY
from amity.sampling import histories_before
from amity.splitting import Split
from amity.training import Recipe

FITTED = 200
"""So many queries of a pool, the first, say how far scores and intent are believed."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a model says of a pool."""

    vectors: Float32[ndarray, "pool dim"]
    """Of the candidates."""
    asked: tuple[Float32[ndarray, "queries dim"], ...]
    """For each cluster, with what the queries ask it."""
    intent: Float32[ndarray, "queries clusters"] | None
    """How likely each cluster is; absent where nothing has learned it."""

    def beside(self, candidates: Float32[ndarray, "pool more"], queries: Float32[ndarray, "queries more"]) -> "Told":
        """The same with more columns."""
        asked = tuple(np.hstack([one, queries]) for one in self.asked)
        return Told(np.hstack([self.vectors, candidates]), asked, self.intent)


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges what a model says of a pool by the validation part."""

    split: Split
    pool: Pool
    recipe: Recipe
    seed: int

    @classmethod
    def of(cls, split: Split, recipe: Recipe, *, seed: int) -> "Judge | None":
        """The judge of a divided training; none where there is one cluster."""
        if recipe.clusters is None or recipe.clusters.count == 1:
            return None
        pool = draw_pool(split, recipe.training.validation_candidates, seed=seed)
        return cls(split, pool, recipe, seed)

    @property
    def clusters(self) -> Clusters:
        """How the candidates are divided now."""
        clusters = self.recipe.standing_clusters
        assert clusters is not None
        return clusters

    def ask(self, model: Model, config: EmbeddingConfig | None = None) -> Told:
        """What a model says: of all nodes where the pool holds all candidates, else of those who are in it alone.

        A sequence encoder is told what came before the validation part.
        """
        split, pool, encoder, fanout = self.split, self.pool, model.encoder, self.recipe.sampling.fanout
        learned, places = Learned.of_queries(encoder, len(pool.queries)), pool.queries - split.train.queries.first
        if isinstance(encoder, SequenceEncoder):
            told = histories_before(split, split.valid)
            ask_after(encoder, learned, told, places, first=0)
            vectors = embed_nodes(model, split.train, told, pool.candidates)
        elif len(pool.candidates) == split.train.candidates.count:
            made = embed_graph(model, split.train, None, config, device=encoder.device)
            asked = made.asked_each(pool.queries, clusters=self.clusters.count)
            return Told(made.vectors[pool.candidates], asked, None if made.intent is None else made.intent[places])
        else:
            learned.write(0, *codes_sampled(model, split, pool.queries, fanout=fanout, seed=self.seed))
            vectors = embed_sampled(model, split, pool.candidates, fanout=fanout, seed=self.seed)
        return Told(vectors, learned.asked_each(clusters=self.clusters.count), learned.intent)

    def recall(self, told: Told) -> float:
        """Recall of the merged lists, without the queries' train friends and themselves.

        They are merged by calibrated scores, with the confidence that fits the validation part, as told by `FITTED` of
        the queries.
        """
        pool, train, truth = self.pool, self.split.train, self.split.valid.truth
        present, of = np.unique(self.clusters.of[pool.candidates - train.candidates.first], return_inverse=True)
        clusters = Clusters(of.astype(np.int32), tuple(self.clusters.names[one] for one in present))
        index = build_divided(told.vectors, clusters, IndexConfig(kind="exact"), seed=self.seed)
        asked, intent = tuple(told.asked[one] for one in present), told.intent
        intent = None if intent is None else intent[:, present]
        question = Question(asked, intent, places_of_known(train.target.adjacency, pool), pool.queries)
        confidence = self._confide(index, question.first(FITTED))
        answers = ask(index, question, depth=min(LENGTH, len(of)), confidence=confidence)
        about = {"vectors": told.vectors, "groups": np.empty(0, np.int64)}
        merged = merge(answers, MergeConfig(), k=LENGTH, temperature=confidence.temperature, **about)
        return recall_of_lists(merged.hits, pool, truth)

    def calibrate(self, told: Told) -> Calibration:
        """By what the logits of intent, which the model has learned, are to be divided."""
        assert told.intent is not None
        askers, friends = self.split.valid.truth.edges_of(self.pool.queries)
        labels = self.clusters.of[friends - self.split.train.candidates.first].astype(np.int64)
        return calibrate(np.log(np.maximum(told.intent[askers].astype(np.float64), TINY)), labels)

    def _confide(self, index: DividedIndex, question: Question) -> Confidence:
        """See `confide`; of some queries, since it takes as many passes as it tries temperatures."""
        askers, friends = self.split.valid.truth.edges_of(question.names)
        truth = askers, np.searchsorted(self.pool.candidates, friends)
        return confide(index, question, truth, depth=LENGTH, start=self.recipe.objectives.retrieval.temperature)
