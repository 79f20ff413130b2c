"""Clusters asked: short lists of all of them first, and longer ones where a merge needs them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from amity.graph import Adjacency
from amity.index import DividedIndex
from amity.index.ranking import make_salts
from amity.retrieval.merging import Answers, MergeConfig, find_short, log_shares
from amity.retrieval.quotas import TINY

SHORTEST, ROOM = 16, 2
"""The least length of short lists, and how many times k all of them together hold at least."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """What is to be made of scores, and of what tells how likely clusters are; fitted by `fit_confidence`."""

    temperature: float = 0.14
    """What scores are divided by in the softmax."""
    implied: float = 0.0
    """The power of what scores imply of clusters, where intent was learned; else its power is 1."""
    learned: float = 1.0
    """The power of learned intent."""


@dataclass(frozen=True, slots=True)
class Question:
    """What some queries ask of every cluster."""

    asked: tuple[Float[ndarray, "queries dim"], ...]
    """For each cluster, with what vectors."""
    intent: Float[ndarray, "queries clusters"] | None
    """How likely they want it; absent where nothing has learned that."""
    excluded: Adjacency
    """The positions that each query must not get."""
    names: Int64[ndarray, "queries"]
    """By what ties of a query fall."""

    def first(self, count: int) -> "Question":
        """The same of the first so many queries."""
        count = min(count, len(self.names))
        intent = None if self.intent is None else self.intent[:count]
        asked = tuple(one[:count] for one in self.asked)
        return Question(asked, intent, self.excluded.rows(np.arange(count)), self.names[:count])


def ask(index: DividedIndex, question: Question, *, depth: int, confidence: Confidence) -> Answers:
    """Lists of that length, and how much each cluster counts: by what the scores say, and by what was learned."""
    found = index.search(question.asked, k=depth, excluded=question.excluded, names=question.names)
    masses = index.log_masses(question.asked, found, excluded=question.excluded, temperature=confidence.temperature)
    implied = intent = log_shares(masses)
    if question.intent is not None:
        learned = np.log(np.maximum(question.intent.astype(np.float64), TINY))
        intent = log_shares(confidence.implied * implied + confidence.learned * learned)
    return Answers(tuple(found), intent, implied, index.held(question.excluded), make_salts(index.seed, question.names))


def ask_for(
    index: DividedIndex, question: Question, merges: Sequence[MergeConfig], *, k: int, confidence: Confidence
) -> Answers:
    """Lists that are long enough for each of several merges of k."""
    longest = max([k, *(way.pool for way in merges if way.relevance < 1 or way.by_column)])
    longest = min(longest, len(index.clusters.of))
    depth = min(longest, max(SHORTEST, -(-ROOM * k // index.clusters.count)))
    if question.intent is None and all(way.is_plain for way in merges):
        answers = _ask_plainly(index, question, k=longest, depth=depth)
    else:
        answers = ask(index, question, depth=depth, confidence=confidence)
    if answers.lists[0].rows.shape[1] == longest:
        return answers
    floors = np.min([find_short(answers, way, k=k, temperature=confidence.temperature) for way in merges], axis=0)
    longer = index.deepen(
        answers.lists, question.asked, floors, k=longest, excluded=question.excluded, names=question.names
    )
    return replace(answers, lists=tuple(longer))


def _ask_plainly(index: DividedIndex, question: Question, *, k: int, depth: int) -> Answers:
    """The same where scores compare and nothing weighs clusters: k of all together; of graphs short lists of each."""
    equal = np.zeros((len(question.names), index.clusters.count))
    about = {"excluded": question.excluded, "names": question.names}
    if index.kind == "hnsw":
        found = index.search(question.asked, k=depth, effort=min(1.0, depth / k), **about)
    else:
        found = index.search_together(question.asked, k=k, **about)
    return Answers(tuple(found), equal, equal, index.held(question.excluded), make_salts(index.seed, question.names))
