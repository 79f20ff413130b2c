"""Optuna's part in a sweep: it draws settings, and keeps in its journal what was found with them.

The journal is a text file of JSON lines: nothing of a sweep is pickled, a line that was torn by a kill can be cut off,
and Optuna's own tools read it. A trial enters it when it is done, in one line; and a draw hangs on the sweep's seed and
the trials that are done, never on a state. So a sweep that was stopped at any moment ends as one that never was.

Only this module imports Optuna, which is an extra.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages.journal import JournalFileBackend

from amity.errors import ConfigError
from amity.pipeline.space import Range, Space, Trial

optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_study(journal: Path, *, identity: str) -> optuna.Study:
    """Open the journal of a sweep, or begin it; raises `ConfigError` where it is another sweep's."""
    if journal.exists():
        os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(study_name="sweep", storage=storage, direction="maximize", load_if_exists=True)
    if study.user_attrs.get("identity", identity) != identity:
        raise ConfigError(
            f"Another sweep lies in {journal.parent}: of other tables, another base, another space or another version "
            "of amity. Go on with that one, or give this one a directory of its own: `--into DIR`."
        )
    study.set_user_attr("identity", identity)
    return study


def finished_trials(study: optuna.Study) -> list[Trial]:
    """What was tried so far, in order."""
    return [Trial(**one.user_attrs) for one in study.get_trials(deepcopy=False)]


def draw_settings(study: optuna.Study, space: Space) -> dict[str, Any]:
    """What to try next: the base first, then what the sampler draws from what was found so far."""
    done = study.get_trials(deepcopy=False)
    if not done:
        return space.base()
    # Asked in a copy in memory: what is drawn and never finished leaves no trace.
    asked = optuna.create_study(direction="maximize", sampler=_sampler(space, len(done)))
    asked.add_trials(done)
    drawn = asked.ask({name: _distribution(one) for name, one in space.ranges.items()}).params
    return {name: _decode(one, drawn[name]) for name, one in space.ranges.items()}


def keep_trial(study: optuna.Study, space: Space, trial: Trial) -> None:
    """Write a finished trial into the journal; of the base, Optuna learns what lies inside the space."""
    distributions = {name: _distribution(one) for name, one in space.ranges.items()}
    encoded = {name: _encode(space.ranges[name], value) for name, value in trial.settings.items()}
    inside = {name: value for name, value in encoded.items() if _holds(distributions[name], value)}
    kept = {name: distributions[name] for name in inside}
    study.add_trial(optuna.create_trial(params=inside, distributions=kept, value=trial.score, user_attrs=asdict(trial)))


def _sampler(space: Space, number: int) -> BaseSampler:
    seed = int(np.random.SeedSequence([space.sweep.seed, number]).generate_state(1)[0])
    if space.sweep.sampler == "random":
        return RandomSampler(seed=seed)
    # One setting at a time, so that a base outside of one range still tells of the others.
    return TPESampler(seed=seed, multivariate=False, constant_liar=False)


def _distribution(one: Range) -> BaseDistribution:
    if one.listed:
        return CategoricalDistribution([_encode(one, value) for value in one.values])
    low, high = one.values
    return IntDistribution(low, high) if one.kind == "int" else FloatDistribution(low, high, log=one.kind == "log")


def _encode(one: Range, value: Any) -> Any:
    """Optuna's choices are texts: lists and tables are none of what its journal can hold."""
    return json.dumps(value, sort_keys=True) if one.listed else value


def _decode(one: Range, value: Any) -> Any:
    return json.loads(value) if one.listed else value


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return distribution.low <= value <= distribution.high
