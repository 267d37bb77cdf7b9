"""A study of trials in a database, which several processes on several machines may share and any of which may be killed."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import filelock
import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import make_url

from claimstance.errors import ClaimstanceError
from claimstance.features import MEANINGS
from claimstance.files import read_text
from training.corpus import LoadedCorpus
from training.preparation import thesaurus_lists
from training.space import CROSS_VALIDATION, Space, Sweep
from training.tracking import lock_path

COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)
"""The states of trials that count towards those asked for."""
RUN = "run"
"""Attribute that holds the id of the tracked run of a study or a trial."""
_MADE_FOR, _BEGUN = "made_for", "begun"
_HEARTBEAT_S, _GRACE_S = 10, 60
_POLL_S = 0.5
_START_S = 30


class Study:
    """A study that goes on until enough trials are counted, whoever runs them.

    Args:
        sweep: what is swept.
        made_for: what makes figures comparable, by part; a study that was made for something else is refused.
        end_killed: called with the id of the tracked run of a trial whose process was killed.

    Raises:
        ClaimstanceError: the database cannot be used, or the study in it was made for something else.
    """

    def __init__(self, sweep: Sweep, made_for: Mapping[str, str], end_killed: Callable[[str], None]) -> None:
        self._wanted = sweep.trials
        self._end_killed = end_killed
        self._doubted: dict[int, float] = {}
        self.where = shown(sweep.storage)
        storage = self._open_storage(sweep.storage)
        parts: dict[str, Any] = {
            "sampler": _SeededByTrial(sweep.seed),
            "pruner": optuna.pruners.MedianPruner() if sweep.pruning else optuna.pruners.NopPruner(),
        }
        try:
            self.study = optuna.create_study(storage=storage, study_name=sweep.name, direction="maximize", **parts)
            self.study.set_user_attr(_MADE_FOR, dict(made_for))
            self.created = True
        except DuplicatedStudyError:
            self.study = optuna.load_study(storage=storage, study_name=sweep.name, **parts)
            self.created = False
        self._check_made_for(sweep, made_for)

    def _open_storage(self, url: str) -> RDBStorage:
        waits = {"connect_args": {"timeout": _GRACE_S}} if url.startswith("sqlite") else {}
        try:
            # As with tracking: two processes that make the tables at once destroy each other's work.
            with warnings.catch_warnings(), filelock.FileLock(lock_path(url)):
                warnings.simplefilter("ignore", ExperimentalWarning)
                return RDBStorage(
                    url,
                    engine_kwargs=waits,
                    heartbeat_interval=_HEARTBEAT_S,
                    grace_period=_GRACE_S,
                    heartbeat_stale_trial_callback=lambda _, trial: self._end_killed(trial.user_attrs.get(RUN, "")),
                )
        except Exception as error:
            # The drivers of databases raise errors of their own; whatever it was, this is the way out.
            raise ClaimstanceError(
                f"the study cannot be kept in {self.where} ({type(error).__name__}: {str(error).splitlines()[0]:.200}); "
                f"correct storage, for example to sqlite:///sweeps.db"
            ) from None

    def _check_made_for(self, sweep: Sweep, made_for: Mapping[str, str]) -> None:
        found = self.attribute(_MADE_FOR) or {}
        different = [part for part, value in made_for.items() if found.get(part) != value]
        if different:
            raise ClaimstanceError(
                f"the study {sweep.name} in {self.where} was made with another {', '.join(different)}, so its figures are "
                f"no match for this sweep's; give the sweep another name or another storage, or go back to what it was"
            )

    def attribute(self, key: str) -> Any:
        """Return an attribute of the study; waits a while for one that the process which made the study is about to set."""
        until = time.monotonic() + _START_S
        while (value := self.study.user_attrs.get(key)) is None and time.monotonic() < until:
            time.sleep(_POLL_S)
        return value

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in some states, by number."""
        return self.study.get_trials(deepcopy=False, states=states)

    def best(self, count: int) -> list[FrozenTrial]:
        """Return the best completed trials, the best first; of equal ones the earlier."""
        return sorted(self.trials(TrialState.COMPLETE), key=lambda trial: (-trial.value, trial.number))[:count]

    def run(self, objective: Callable[[Trial], float], after: Callable[[], None]) -> None:
        """Run trials until enough are counted; where others run the last ones, wait for them.

        Args:
            objective: gives the figure of a trial, or raises TrialPruned.
            after: called whenever trials may have ended.
        """

        def unless_enough(trial: Trial) -> float:
            trial.set_user_attr(_BEGUN, True)
            # Two processes may ask at once for what is the last trial; the one that asked first runs it.
            before = [one for one in self.trials(*COUNTED, TrialState.RUNNING) if one.number < trial.number]
            if len(before) >= self._wanted:
                raise _EnoughError
            return objective(trial)

        while len(self.trials(*COUNTED)) < self._wanted:
            if len(self.trials(*COUNTED, TrialState.RUNNING)) < self._wanted:
                self.study.optimize(unless_enough, n_trials=1, catch=(_EnoughError,))
            else:
                time.sleep(_POLL_S)
                self._fail_dead()
            after()

    def _fail_dead(self) -> None:
        """Fail the trials of processes that were killed."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            fail_stale_trials(self.study)
        for trial in self.trials(TrialState.RUNNING):
            # Killed before its first heartbeat, a trial is never found stale.
            if _BEGUN not in trial.user_attrs:
                since = self._doubted.setdefault(trial.number, time.monotonic())
                if time.monotonic() - since > _GRACE_S:
                    self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


class _EnoughError(Exception):
    """The trials that were asked for are done, or others are at them."""


class _SeededByTrial(BaseSampler):
    """TPE that draws each trial from a seed and its number, so that neither a resumed process nor another machine draws again
    what has been drawn."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._sampler = TPESampler(seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        (seed,) = np.random.SeedSequence((self._seed, trial.number)).generate_state(1)
        self._sampler = TPESampler(seed=int(seed))
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self._sampler.after_trial(study, trial, state, values)


def shown(url: str) -> str:
    """Return the URL of a database without its password.

    Raises:
        ClaimstanceError: it is no such URL.
    """
    try:
        return make_url(url).render_as_string(hide_password=True)
    except Exception:
        raise ClaimstanceError("storage: not the URL of a database, expected one such as sqlite:///sweeps.db") from None


def made_for(sweep: Sweep, space: Space, corpus: LoadedCorpus) -> dict[str, str]:
    """Return what makes the figures of a sweep comparable, by part: digests of the base run, the space, the word lists and the
    corpus, and the objective. What files are called, and what a run is measured by beside, makes no difference."""
    base = space.base.model_dump(mode="json", include={"labels", "model", "seed"})
    lexicons = base["model"].pop("lexicons")
    thesaurus = base["model"].pop("thesaurus", ())
    read = thesaurus and set(MEANINGS) & set(base["model"]["families"])
    base["taught"] = corpus.taught.known if corpus.taught else {}
    base["corpus"] = space.base.corpus.model_dump(mode="json", include={"splits", "columns", "labels"})
    return {
        "base": _digest(base),
        "space": _digest({key: dimension.model_dump(mode="json") for key, dimension in sweep.space.items()}),
        "lexicons": _digest([read_text(path) for path in lexicons]),
        "thesaurus": _digest([text for _, text in thesaurus_lists(thesaurus)] if read else []),
        "corpus": corpus.digest,
        "objective": sweep.objective,
        "folds": str(sweep.folds if sweep.objective == CROSS_VALIDATION else 0),
    }


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
