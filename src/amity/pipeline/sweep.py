"""Many trainings under settings drawn from a space, each judged by the validation part; the best becomes a config file.

DIR/graphs/NAME/    one run a data set: its graph, and its split without a test part
DIR/trainings/      the log and the recall of each training, under a hash of all that decides it
DIR/journal.jsonl   what was tried, in Optuna's format
DIR/best.toml       the base with the best settings
"""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from amity import __version__
from amity.artifacts import Run, digest, remove, write_atomically
from amity.config import Config
from amity.errors import ConfigError, TrainingError
from amity.graph import Adjacency
from amity.graph.storage import save_adjacency
from amity.log import read_metrics, say
from amity.pipeline import verbs
from amity.pipeline.learning import learn
from amity.pipeline.running import bring_up_to_date, prepare
from amity.pipeline.space import Space, Trial, read_space
from amity.pipeline.stages import CHECKPOINT, STAGES, purpose, split_graph
from amity.pipeline.work import LOG, Work
from amity.splitting import Split
from amity.training import Journal
from amity.training.loop import VALID_RECALL


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep has found."""

    trials: tuple[Trial, ...]
    config: Path
    """The base with the best settings: a file for `amity run -c`."""

    @property
    def best(self) -> Trial:
        """The trial of the highest score, the first of several."""
        return max(self.trials, key=lambda trial: trial.score)


@dataclass(frozen=True, slots=True)
class Field:
    """A data set, ready for trainings."""

    work: Work
    split: Split
    """Its test part is empty."""


def sweep(file: Path, into: Path) -> Sweep:
    """Run the trials that a sweep still lacks, under a directory: stopped, it goes on when it is called again.

    Tables are read and split once a data set, and the test part is thrown away before the first training. Raises
    `ConfigError` where the space cannot stand, Optuna is not installed, or another sweep lies in the directory; and
    what ingestion, splitting and the training of the base raise.
    """
    space = read_space(file)
    try:
        from amity.pipeline import study as optuna_part  # noqa: PLC0415 (an extra, of which most have no need)
    except ModuleNotFoundError as error:
        raise ConfigError(f"A sweep needs {error.name}, which is not here. Type: pip install 'amity[sweep]'") from error
    with ExitStack() as stack:
        fields = _open_fields(stack, space, into / "graphs")
        study = optuna_part.open_study(into / "journal.jsonl", identity=_identity(space, fields))
        while len(trials := optuna_part.finished_trials(study)) < space.sweep.trials:
            settings = optuna_part.draw_settings(study, space)
            trial = _try(trials, space, fields, settings, into / "trainings")
            optuna_part.keep_trial(study, space, trial)
            say(str(trial))
        found = Sweep(tuple(trials), into / "best.toml")
        write_atomically(found.config, tomli_w.dumps(space.page(found.best.settings)).encode())
    return found


def split_without_test(work: Work, directory: Path) -> Mapping[str, Any]:
    """`graph/` -> `split/`, whose test part is empty: what is not there cannot be tuned on."""
    found = split_graph(work, directory)
    place, nodes = directory / "split" / "test" / "truth", work.graph().num_nodes
    remove(place)
    save_adjacency(Adjacency(np.zeros(nodes + 1, np.int64), np.empty(0, np.int32)), place)
    return {**found, "test": 0}


def _open_fields(stack: ExitStack, space: Space, folder: Path) -> dict[str, Field]:
    """Read and split tables, unless that was done before; no other sweep writes here until the stack is closed."""
    fields, without_test = {}, replace(STAGES["split"], make=split_without_test)
    for data, config in zip(space.sweep.data, space.configs(space.base()), strict=True):
        opened = stack.enter_context(Run(folder / data.path.name, write=True))
        work = prepare(opened, space.path(data), config)
        for stage in (STAGES["ingest"], without_test):
            bring_up_to_date(work, stage)
        fields[data.path.name] = Field(work, work.split())
    return fields


def _identity(space: Space, fields: Mapping[str, Field]) -> str:
    """What makes two sweeps one: all but the number of trials, and where the files lie."""
    page = space.sweep.model_dump(mode="json", exclude={"trials", "data", "config"})
    return digest([__version__, page, {name: _decider(field.work) for name, field in fields.items()}])


def _decider(work: Work) -> str:
    """One hash over all that decides a training: the clusters of its settings too, which no stage has made here."""
    return digest([purpose(work, stage) for stage in ("cluster", "train")])


def _try(
    trials: list[Trial], space: Space, fields: Mapping[str, Field], settings: dict[str, Any], folder: Path
) -> Trial:
    """Train on every data set; settings of which no model comes find nothing, unless they are the base's."""
    try:
        each = zip(fields.items(), space.configs(settings), strict=True)
        recall = {name: _train(field, config, folder) for (name, field), config in each}
    except (ConfigError, TrainingError) as error:
        if not trials:
            raise
        return Trial(len(trials), settings, {}, 0.0, str(error))
    base = trials[0].recall if trials else recall
    nothing = [name for name, found in base.items() if found == 0]
    if nothing:
        raise ConfigError(
            f"With the base, training finds no held-out friend on {nothing[0]}, so that nothing can be told relative "
            "to it. Begin from another base, or leave that data set out."
        )
    return Trial(len(trials), settings, recall, float(np.mean([recall[name] / base[name] for name in base])))


def _train(field: Field, config: Config, folder: Path) -> float:
    """The best recall on the validation part that a training logs; one that was done is not done again."""
    work = replace(field.work, config=config)
    place = folder / _decider(work)[:16]
    score = place / "score.json"
    if not score.exists():
        place.mkdir(parents=True, exist_ok=True)
        clusters = verbs.cluster(field.split, config.clustering, seed=config.seed)
        learn(field.split, config, clusters, journal=Journal(place / CHECKPOINT, place / LOG))
        found = [entry[VALID_RECALL] for entry in read_metrics(place / LOG) if VALID_RECALL in entry]
        if not found:
            raise ConfigError("Without a step there is no validation to judge by. Let `training.steps` be 1 or more.")
        write_atomically(score, json.dumps({VALID_RECALL: max(found)}).encode())
        (place / CHECKPOINT).unlink(missing_ok=True)
    return json.loads(score.read_bytes())[VALID_RECALL]
