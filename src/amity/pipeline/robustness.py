"""Finished runs on damaged graphs: the trained model embeds what is left, and is asked what it was asked before."""

from collections.abc import Sequence

from pyarrow import Table

from amity.clustering import Clusters
from amity.config import Config
from amity.device import check_device
from amity.embedding import Embeddings
from amity.encoder import Model
from amity.errors import ConfigError
from amity.evaluation import Evaluation, EvaluationConfig, per_query_table
from amity.evaluation.damage import DamageConfig, choose_damages
from amity.graph import Graph
from amity.index import IndexConfig
from amity.pipeline import verbs
from amity.pipeline.arms import Arms, gather_arms
from amity.pipeline.work import Work
from amity.retrieval import Retriever
from amity.splitting import HeldOut


def damage_arms(texts: Sequence[str], config: DamageConfig | None = None) -> Arms:
    """Trained runs, as arms (see `read_arms`), with what each query finds when their train graphs are damaged.

    The tables are what `amity.evaluation.summarize_robustness` takes. A damage is a function of the run's seed, so that
    the runs of one seed suffer the same. Nothing is written.
    """
    return gather_arms(texts, lambda work: damaged_table(work, config or DamageConfig()), until="embed")


def damaged_table(work: Work, config: DamageConfig) -> Table:
    """What each test query of a run finds by vectors alone, on its train graph and on what each damage leaves of it.

    Raises `ConfigError` for a sequence encoder, which no damage would reach.
    """
    model, split = work.model(), work.split()
    if work.config.encoder.kind == "sequence":
        raise ConfigError(
            f"Damage takes messages and features away, and the sequence encoder of {work.run.path} hears neither: it "
            'would seem to keep everything. Name runs whose `encoder.kind` is "graph".'
        )
    settings = work.config.model_copy(update={"embedding": work.embedding()})
    about = split.train, split.test, settings, work.clusters()
    whole = evaluate_hearing(model, split.train, *about)
    found = {
        damage.name: evaluate_hearing(model, damage.apply(split.train, seed=settings.seed), *about)
        for damage in choose_damages(config, split.train)
    }
    return per_query_table(whole, split.train, split.test.truth, beside=found)


def evaluate_hearing(
    model: Model, heard: Graph, graph: Graph, held_out: HeldOut, config: Config, clusters: Clusters | None = None
) -> Evaluation:
    """Judge a model that embeds what is `heard`; queries, known friends and truth are those of `graph`.

    Both have the same nodes; clusters are there for their eigenvectors alone. Candidates are found by the vectors
    alone, exactly, at the headline length.
    """
    embeddings = verbs.embed(model, heard, config.embedding, device=config.device, clusters=clusters)
    retriever = Retriever.build(
        Embeddings(embeddings.vectors, graph),
        IndexConfig(kind="exact"),
        seed=config.seed,
        device=check_device(config.device),
    )
    judged = EvaluationConfig.model_validate(
        config.evaluation.model_dump() | {"k": (config.evaluation.headline,), "baselines": ()}
    )
    return verbs.evaluate(retriever, held_out, judged, seed=config.seed)
