"""How training judges a model: recall on the validation part, among all candidates or a pool of them."""

from dataclasses import replace
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from amity.embedding import Embeddings, embed_graph, embed_nodes
from amity.embedding.histories import ask_after
from amity.embedding.learned import Learned
from amity.encoder import Model, SequenceEncoder
from amity.evaluation import EvaluationConfig, evaluate
from amity.index.exact import exact_index
from amity.pipeline.judge import Judge
from amity.pipeline.pool import LENGTH, QUERIES, Pool, draw_pool, places_of_known, recall_of_lists
from amity.pipeline.sampled import embed_sampled
from amity.retrieval import AnyRetriever, Retriever
from amity.retrieval.fusion import keep_best
from amity.sampling import histories_before
from amity.splitting import Split
from amity.training import Recipe, Validate

Asked = TypeVar("Asked", bound=AnyRetriever)


def validation(split: Split, recipe: Recipe, *, seed: int) -> Validate:
    """The recall that chooses the model: among all candidates where that costs little, else among a pool of them.

    On a small graph it is taken as the test part will be judged. Past `validation_candidates` the whole graph would be
    embedded for it again and again: there the held-out friends of the queries and a uniform draw of others are ranked,
    the same ones each time, and both they and the queries hear from as many neighbours as in training. A sequence
    encoder computes the queries and the candidates alone, be it among all or a pool.

    A divided model is judged by the lists of all clusters, merged by calibrated scores: see `Judge.recall`.
    """
    judge = Judge.of(split, recipe, seed=seed)
    size, fanout = recipe.training.validation_candidates, recipe.sampling.fanout
    if judge is not None:
        return lambda model: judge.recall(judge.ask(model))
    if recipe.encoder.kind == "graph" and split.train.candidates.count <= size:
        return lambda model: recall_among_all(model, split, seed=seed)
    pool = draw_pool(split, size, seed=seed)
    if recipe.encoder.kind == "sequence" and recipe.encoder.sequence.interests:
        return lambda model: recall_by_interests(pool, model, split, seed=seed)
    return lambda model: recall_among(pool, model, split, fanout=fanout, seed=seed)


def recall_among_all(model: Model, split: Split, *, seed: int) -> float:
    """Recall in the harness in which the test part will be judged; every node hears from all its neighbours."""
    device = model.encoder.device
    return recall_of_all(embed_graph(model, split.train, device=device).vectors, split, seed=seed)


def recall_of_all(vectors: Float[ndarray, "nodes dim"], split: Split, *, seed: int) -> float:
    """The same of vectors of all nodes."""
    config = EvaluationConfig(queries=QUERIES, k=(LENGTH,), headline=LENGTH)
    retriever = Retriever.build(Embeddings(vectors, split.train), seed=seed)
    found = evaluate(retriever, split.train, split.valid, config, seed=seed, vectors=vectors)
    return float(found.values[f"recall@{LENGTH}"].mean())


def recall_among(pool: Pool, model: Model, split: Split, *, fanout: tuple[int, ...], seed: int) -> float:
    """Recall at `LENGTH` where only a pool of candidates is ranked, without the queries' train friends and themselves.

    Messages are those of the train part, so that no vector has heard of an edge that is held out.
    """
    return recall_of_pool(embed_sampled(model, split, pool.nodes, fanout=fanout, seed=seed), pool, split, seed=seed)


def recall_of_pool(vectors: Float32[ndarray, "nodes dim"], pool: Pool, split: Split, *, seed: int) -> float:
    """The same of vectors of `pool.nodes`."""
    queries, nodes = pool.queries, pool.nodes
    index = exact_index(vectors[np.searchsorted(nodes, pool.candidates)], seed=seed)
    asked = vectors[np.searchsorted(nodes, queries)]
    excluded = places_of_known(split.train.target.adjacency, pool)
    hits = index.search(asked, k=min(LENGTH, len(pool.candidates)), excluded=excluded, names=queries)
    return recall_of_lists(hits, pool, split.valid.truth)


def recall_by_interests(pool: Pool, model: Model, split: Split, *, seed: int) -> float:
    """The same where each query asks with several interests, the best of which counts."""
    encoder, graph, told = model.encoder, split.train, histories_before(split, split.valid)
    assert isinstance(encoder, SequenceEncoder)
    learned = Learned.of_queries(encoder, len(pool.queries))
    ask_after(encoder, learned, told, pool.queries - graph.queries.first, first=0)
    index = exact_index(embed_nodes(model, graph, told, pool.candidates), seed=seed)
    asked = {"k": min(LENGTH, len(pool.candidates)), "names": pool.queries}
    excluded = places_of_known(graph.target.adjacency, pool)
    interests = learned.asked_each(clusters=encoder.num_asked)
    lists = [index.search(vectors, excluded=excluded, **asked) for vectors in interests]
    return recall_of_lists(keep_best(lists, seed=seed, **asked), pool, split.valid.truth)


def as_validated(retriever: Asked, model: Model, split: Split) -> Asked:
    """The retriever as the validation part may ask it: by histories that end before that part.

    Its own vectors are to be asked for the test part, and what is held out for validation may be told in them. Those of
    a graph encoder never are.
    """
    if not isinstance(model.encoder, SequenceEncoder):
        return retriever
    embeddings, queries = retriever.embeddings, split.train.queries
    learned = Learned.of_queries(model.encoder, queries.count)
    ask_after(model.encoder, learned, histories_before(split, split.valid), np.arange(queries.count), first=0)
    vectors, asking, dim = np.array(embeddings.vectors), learned.asking, model.encoder.dim
    vectors[queries.rows, :dim] = learned.vectors.array
    if isinstance(asking, ndarray) and isinstance(embeddings.asking, ndarray):
        asking = np.concatenate([asking, embeddings.asking[..., dim:]], axis=2)
    told = replace(embeddings, vectors=vectors, asking=asking, intent=learned.intent)
    return replace(retriever, embeddings=told)
