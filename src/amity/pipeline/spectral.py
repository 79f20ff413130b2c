"""How much the graph's eigenvectors count beside what was learned: chosen on the validation part."""

from collections.abc import Callable
from functools import cache
from itertools import product

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from amity.clustering import Clusters
from amity.config import Config
from amity.device import check_device
from amity.embedding import AnySpectrum, EmbeddingConfig, SpectralConfig, embed_graph
from amity.embedding.spectral import find_spectrum, needed_bytes, rms_length
from amity.encoder import Model
from amity.log import say
from amity.pipeline.judge import Judge
from amity.pipeline.pool import draw_pool
from amity.pipeline.sampled import embed_sampled
from amity.pipeline.validation import recall_of_all, recall_of_pool
from amity.splitting import Split
from amity.training import Recipe

POWERS, SHARES = (0.5, 1.0), (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Powers of the eigenvalues and weights of their inner products that are tried, beside none at all."""


def settle_spectral(
    model: Model, split: Split, config: Config, clusters: Clusters | None = None
) -> tuple[EmbeddingConfig, AnySpectrum | None]:
    """The settings of embedding with power and share of the spectral part settled, and the spectrum that it is of.

    What is given stays; what is not is what finds most friends of the validation part. The share is 0 where that is
    best, where the part has no width, and where it would take more memory than there is for it. With clusters it is
    judged by their merged lists, as in training. Raises `ConfigError` as `find_spectrum` does.
    """
    chosen = config.embedding.spectral
    needed_gib = needed_bytes(split.train, chosen, clusters) / 2**30
    fits = needed_gib <= config.embedding.memory_gib
    if chosen.wanted and not fits:
        say(
            f"embed: without spectral vectors, which would take {needed_gib:.1f} GiB "
            f"(`embedding.memory_gib` is {config.embedding.memory_gib:g})"
        )
    if not (chosen.wanted and fits):
        return _with(config, chosen.model_copy(update={"share": 0.0})), None
    spectrum = find_spectrum(split.train, chosen, clusters)
    if "auto" in (chosen.share, chosen.power):
        recipe = Recipe(config.sampling, config.encoder, config.objectives, config.training, clusters)
        judge = Judge.of(split, recipe, seed=config.seed)
        divided = judge and _found_divided(model, judge, config, spectrum)
        chosen = _choose(config.embedding.spectral, divided or _found_whole(model, split, config, spectrum))
    return _with(config, chosen), spectrum


Found = Callable[[float, float], float]
"""A power and a share to the friends of the validation part that they find."""


def _choose(given: SpectralConfig, found: Found) -> SpectralConfig:
    powers = POWERS if given.power == "auto" else (given.power,)
    shares = (0.0, *SHARES) if given.share == "auto" else (given.share,)
    power, share = max(product(powers, shares), key=lambda pair: found(*pair))
    return given.model_copy(update={"power": power, "share": share})


def _found_whole(model: Model, split: Split, config: Config, spectrum: AnySpectrum) -> Found:
    pool = None
    if split.train.candidates.count > config.training.validation_candidates:
        pool = draw_pool(split, config.training.validation_candidates, seed=config.seed)
        learned = embed_sampled(model, split, pool.nodes, fanout=config.sampling.fanout, seed=config.seed)
    else:
        learned = embed_graph(model, split.train, None, _plain(config), device=check_device(config.device)).vectors
    nodes = slice(None) if pool is None else pool.nodes
    rows = cache(lambda power: spectrum.rows(power)[nodes])

    def found(power: float, share: float) -> float:
        beside = _beside(learned, rows(power), share)
        vectors: Float32[ndarray, "nodes dim"] = np.hstack([learned, beside]) if share else learned
        if pool is None:
            return recall_of_all(vectors, split, seed=config.seed)
        return recall_of_pool(vectors, pool, split, seed=config.seed)

    return found


def _found_divided(model: Model, judge: Judge, config: Config, spectrum: AnySpectrum) -> Found:
    told, nodes = judge.ask(model, _plain(config)), (judge.pool.candidates, judge.pool.queries)

    @cache
    def rows(power: float) -> tuple[ndarray, ...]:
        """Of candidates and of queries; all nodes' have mean squared length 1."""
        everybody = spectrum.rows(power)
        return tuple(everybody[some] for some in nodes)

    def found(power: float, share: float) -> float:
        if not share:
            return judge.recall(told)
        length = np.float32(rms_length(told.vectors) * share**0.5)
        candidates, queries = (some * length for some in rows(power))
        return judge.recall(told.beside(candidates, queries))

    return found


def _beside(
    learned: Float32[ndarray, "nodes dim"], rows: Float32[ndarray, "others spectral"], share: float
) -> Float32[ndarray, "others spectral"]:
    """Spectral rows whose inner products weigh `share` times as much as those of learned ones."""
    return rows * np.float32(rms_length(learned) / rms_length(rows) * share**0.5)


def _plain(config: Config) -> EmbeddingConfig:
    return _with(config, config.embedding.spectral.model_copy(update={"share": 0.0}))


def _with(config: Config, spectral: SpectralConfig) -> EmbeddingConfig:
    return config.embedding.model_copy(update={"spectral": spectral})
