"""How training judges a model: recall on the validation part, among all candidates or a pool of them."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy import ndarray

from amity.embedding import Embeddings, embed_graph, embed_nodes
from amity.encoder import InputSource, Model, SequenceEncoder, block_edges
from amity.evaluation import EvaluationConfig, evaluate, metrics
from amity.evaluation.evaluate import choose_queries
from amity.graph import Adjacency
from amity.index.exact import exact_index
from amity.retrieval import AnyRetriever, Retriever
from amity.sampling import histories_before, sample_neighbors
from amity.sampling.draws import keyed
from amity.sampling.order import shuffled
from amity.splitting import Split
from amity.training import Recipe, Validate

QUERIES, LENGTH = 2000, 50
"""Queries that one validation asks at most, and the length of the lists whose recall it takes.

They are no settings of `[evaluation]`: what is learned must not depend on how it is judged afterwards.
"""
CHUNK = 1024
"""Nodes of a pool that are embedded at once, each with a sampled neighbourhood of its own."""
POOL, NEIGHBORS = 16, 17
"""What the seed is used for here; lower numbers are sampling's and training's."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Who asks, and who may be found."""

    queries: Int64[ndarray, "queries"]
    """Rows of the graph, ascending."""
    candidates: Int64[ndarray, "pool"]
    """Rows of the graph, ascending: every held-out friend of the queries, and others by lot."""

    @property
    def nodes(self) -> Int64[ndarray, "nodes"]:
        """All of them, ascending."""
        return np.union1d(self.queries, self.candidates)


def validation(split: Split, recipe: Recipe, *, seed: int) -> Validate:
    """The recall that chooses the model: among all candidates where that costs little, else among a pool of them.

    On a small graph it is taken as the test part will be judged. Past `validation_candidates` the whole graph would be
    embedded for it again and again: there the held-out friends of the queries and a uniform draw of others are ranked,
    the same ones each time, and both they and the queries hear from as many neighbours as in training. A sequence
    encoder computes the queries and the candidates alone, be it among all or a pool.
    """
    size = recipe.training.validation_candidates
    if recipe.encoder.kind == "graph" and split.train.candidates.count <= size:
        return lambda model: recall_among_all(model, split, seed=seed)
    pool = draw_pool(split, size, seed=seed)
    if recipe.encoder.kind == "sequence":
        told, graph, nodes = histories_before(split, split.valid), split.train, pool.nodes
        return lambda model: recall_of_pool(embed_nodes(model, graph, told, nodes), pool, split, seed=seed)
    return lambda model: recall_among(pool, model, split, fanout=recipe.sampling.fanout, seed=seed)


def recall_among_all(model: Model, split: Split, *, seed: int) -> float:
    """Recall in the harness in which the test part will be judged; every node hears from all its neighbours."""
    device = next(model.encoder.parameters()).device
    return recall_of_all(embed_graph(model, split.train, device=device).vectors, split, seed=seed)


def recall_of_all(vectors: Float[ndarray, "nodes dim"], split: Split, *, seed: int) -> float:
    """The same of vectors of all nodes."""
    config = EvaluationConfig(queries=QUERIES, k=(LENGTH,), headline=LENGTH)
    retriever = Retriever.build(Embeddings(vectors, split.train), seed=seed)
    found = evaluate(retriever, split.train, split.valid, config, seed=seed, vectors=vectors)
    return float(found.values[f"recall@{LENGTH}"].mean())


def draw_pool(split: Split, size: int, *, seed: int) -> Pool:
    """The queries of every validation, and their held-out friends with others by lot, up to `size` in all.

    More than `size` only where there are more friends than that.
    """
    candidates = split.train.candidates
    queries = choose_queries(split.valid.truth, QUERIES, seed=seed)
    _, friends = _rows_of(split.valid.truth, queries)
    friends = np.unique(friends)
    places = np.arange(min(size, candidates.count))
    drawn = candidates.first + shuffled(places, size=candidates.count, seed=int(keyed(seed, POOL, 0)))
    others = drawn[~np.isin(drawn, friends)][: max(size - len(friends), 0)]
    return Pool(queries, np.sort(np.concatenate([friends, others])))


def recall_among(pool: Pool, model: Model, split: Split, *, fanout: tuple[int, ...], seed: int) -> float:
    """Recall at `LENGTH` where only a pool of candidates is ranked, without the queries' train friends and themselves.

    Messages are those of the train part, so that no vector has heard of an edge that is held out.
    """
    return recall_of_pool(embed_sampled(model, split, pool.nodes, fanout=fanout, seed=seed), pool, split, seed=seed)


def recall_of_pool(vectors: Float32[ndarray, "nodes dim"], pool: Pool, split: Split, *, seed: int) -> float:
    """The same of vectors of `pool.nodes`."""
    queries, candidates, nodes, truth = pool.queries, pool.candidates, pool.nodes, split.valid.truth
    index = exact_index(vectors[np.searchsorted(nodes, candidates)], seed=seed)
    asked = vectors[np.searchsorted(nodes, queries)]
    excluded = _places_of_known(split.train.target.adjacency, pool)
    hits = index.search(asked, k=min(LENGTH, len(candidates)), excluded=excluded, names=queries)
    rows = np.where(hits.rows < 0, hits.rows, candidates[hits.rows])
    sizes = truth.indptr[queries + 1] - truth.indptr[queries]
    return float(metrics.recall(metrics.find_truth(rows, queries, truth) >= 0, sizes, LENGTH).mean())


@torch.no_grad()
def embed_sampled(
    model: Model, split: Split, nodes: Int64[ndarray, "nodes"], *, fanout: tuple[int, ...], seed: int
) -> Float32[ndarray, "nodes dim"]:
    """The vectors of some distinct nodes of the train graph, each from its sampled surroundings alone."""
    if isinstance(model.encoder, SequenceEncoder):
        return embed_nodes(model, split.train, histories_before(split, split.valid), nodes)
    encoder, source = model.encoder, InputSource.of(model.transform, split.train)
    device = next(encoder.parameters()).device
    vectors = np.empty((len(nodes), encoder.dim), np.float32)
    for first in range(0, len(nodes), CHUNK):
        seeds = nodes[first : first + CHUNK]
        key = int(keyed(seed, NEIGHBORS, 0))
        block = sample_neighbors(split.train.messages, seeds, fanout=fanout, seed=key)
        inputs = source.gather(block.nodes)
        codes = encoder(encoder.encode_inputs(inputs.to(device)), block_edges(block, inputs.degrees.numpy()))
        stretched = encoder.stretch(codes, inputs.degrees[: len(seeds)].to(device))
        vectors[first : first + len(seeds)] = stretched.numpy(force=True)
    return vectors


def as_validated(retriever: AnyRetriever, model: Model, split: Split) -> AnyRetriever:
    """The retriever as the validation part may ask it: by histories that end before that part.

    Its own vectors are to be asked for the test part, and what is held out for validation may be told in them. Those of
    a graph encoder never are.
    """
    if not isinstance(model.encoder, SequenceEncoder):
        return retriever
    queries, vectors = split.train.queries, np.array(retriever.embeddings.vectors)
    nodes = np.arange(queries.first, queries.first + queries.count)
    told = embed_nodes(model, split.train, histories_before(split, split.valid), nodes)
    vectors[queries.rows, : model.encoder.dim] = told
    return replace(retriever, embeddings=replace(retriever.embeddings, vectors=vectors))


def _places_of_known(friends: Adjacency, pool: Pool) -> Adjacency:
    """In the row of each query, the places in the pool of itself and its friends, sorted."""
    askers, rows = _rows_of(friends, pool.queries)
    num_queries, num_candidates = len(pool.queries), len(pool.candidates)
    askers, rows = np.append(askers, np.arange(num_queries)), np.append(rows, pool.queries)
    places = np.minimum(np.searchsorted(pool.candidates, rows), num_candidates - 1)
    inside = pool.candidates[places] == rows
    keys = np.unique(askers[inside] * num_candidates + places[inside])
    return Adjacency(np.searchsorted(keys, np.arange(num_queries + 1) * num_candidates), keys % num_candidates)


def _rows_of(adjacency: Adjacency, queries: Int64[ndarray, "queries"]) -> tuple[ndarray, ndarray]:
    """The neighbours of some nodes, end to end, each beside the place of its node among the queries."""
    sizes = adjacency.indptr[queries + 1] - adjacency.indptr[queries]
    askers = np.repeat(np.arange(len(queries)), sizes)
    return askers, np.concatenate([adjacency.neighbors(query) for query in queries]).astype(np.int64)
