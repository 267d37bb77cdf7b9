"""``python -m training sweep CONFIG``: vary the values of a run, and write the best ones as a run of their own.

CONFIG is the YAML file of one sweep, such as configs/sweeps/pair-linear.yaml. Started again it goes on where it stopped, and
started on several machines with one storage they share its trials. Every trial is a nested run of the sweep's tracked run.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, Trial, TrialState
from rich.table import Table

from claimstance.cli import reporting_errors
from claimstance.console import console, counter
from claimstance.errors import ClaimstanceError
from claimstance.files import read_text, replacing
from claimstance.predictor import Predictor
from evaluation import metrics
from evaluation.scoring import score_model
from training import cross_validation
from training.config import Config
from training.corpus import LoadedCorpus, load_corpus
from training.cross_validation import cross_validate, cross_validated_pairs, summaries
from training.distillation import teach
from training.experiment import data_inputs, labelled_pairs
from training.models import Workshop, fit
from training.space import CROSS_VALIDATION, Space, Sweep, read_sweep
from training.study import COUNTED, RUN, Study, made_for
from training.sweep_plots import write_plots
from training.tracking import File, MlflowTracker, NullTracker, Params, Tags, TrackedRun, open_tracker
from training.tracking import Metrics as Figures

_SIGN = "# The best of "
_FIGURES = "figures"
_SHOWN = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", metavar="CONFIG", help="YAML file of one sweep")
    parser.add_argument("--trials", type=int, metavar="N", help="how many trials, instead of the file's")
    parser.add_argument("--storage", metavar="URL", help="database that keeps the study, instead of the file's")
    options = parser.parse_args(arguments)
    given = {"trials": options.trials, "storage": options.storage}
    overridden = {key: value for key, value in given.items() if value is not None}
    # Told to stop, a sweep ends its trial, which an exception of another kind would leave running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return reporting_errors(lambda: _sweep(options.config, overridden), "sweep")


def _sweep(path: str, overridden: dict[str, Any]) -> None:
    sweep, space = read_sweep(path, overridden)
    _check_writable(sweep.best_path)
    base = space.base
    corpus = load_corpus(base)
    if base.distill is not None:
        corpus = replace(corpus, taught=teach(base, corpus))
    trials = _Trials(sweep, space, corpus)
    tracker = open_tracker(base.tracking.uri, base.tracking.experiment, base.tracking.model)
    study = Study(sweep, made_for(sweep, space, corpus), tracker.end_killed)
    if study.created and (values := space.base_values()):
        study.study.enqueue_trial(values)
    known = None if study.created else study.attribute(RUN)
    with tracker.run(sweep.name, sweep.description, known, again=True) as run:
        if run.id != known:
            study.study.set_user_attr(RUN, run.id)
        run.record(
            [
                Params({"objective": sweep.objective, "folds": sweep.folds}),
                Params({f"space.{key}": str(dimension) for key, dimension in sweep.space.items()}),
                Tags({"sweep": sweep.name, "base": sweep.base, "storage": study.where}),
                Tags({"model_kind": base.model.kind, "corpus_sha256": corpus.digest}),
                *data_inputs(base, corpus),
            ]
        )
        try:
            _run_trials(sweep, study, trials, tracker, run)
        except KeyboardInterrupt:
            done = len(study.trials(*COUNTED))
            print(f"sweep: stopped, {done} of {sweep.trials} trials done; started again, it goes on", file=sys.stderr)
            raise
        _finish(sweep, space, study, run)


def _run_trials(
    sweep: Sweep, study: Study, trials: _Trials, tracker: MlflowTracker | NullTracker, run: TrackedRun
) -> None:
    with counter(sweep.name, len(study.trials(*COUNTED)), sweep.trials) as (show, say):
        shown: list[int] = []

        def after() -> None:
            best = study.best(1)
            show(len(study.trials(*COUNTED)), f"best {best[0].value:.4f}" if best else "")
            if best and shown[-1:] != [best[0].number]:
                shown.append(best[0].number)
                values = " ".join(f"{key}={_short(value)}" for key, value in best[0].params.items())
                say(f"best so far: trial {best[0].number}, {trials.objective} {best[0].value:.4f}, {values}")
                run.record([Figures({f"best_{trials.objective}": best[0].value}, best[0].number)])

        after()
        study.run(lambda trial: trials.run(trial, tracker), after)


class _Trials:
    """What a trial is: the base run with the values drawn for it, judged.

    Args:
        sweep: what is swept.
        space: the values to draw from.
        corpus: that of the base run.

    Raises:
        ClaimstanceError: the corpus has too few events for the folds.
    """

    def __init__(self, sweep: Sweep, space: Space, corpus: LoadedCorpus) -> None:
        self._sweep, self._space, self._corpus = sweep, space, corpus
        self._cross_validated = sweep.objective == CROSS_VALIDATION
        self.objective = cross_validation.MACRO_F1 if self._cross_validated else f"validation_{metrics.MACRO_F1}"
        if self._cross_validated:
            self._pairs = cross_validated_pairs(corpus)
            cross_validate(space.base, self._pairs, sweep.folds, "folds")
        else:
            self._validation = labelled_pairs(corpus.splits["validation"], space.base.labels.all)

    def run(self, trial: Trial, tracker: MlflowTracker | NullTracker) -> float:
        """Run a trial and return its figure.

        Raises:
            TrialPruned: it fell behind.
        """
        values = self._space.draw(trial)
        config = self._space.run_with(values)
        judge = self._cross_validate if self._cross_validated else self._validate
        with tracker.run(f"{self._sweep.name} trial {trial.number}", "", nested=True) as run:
            trial.set_user_attr(RUN, run.id)
            run.record([Params(values), Tags({"sweep": self._sweep.name, "trial": str(trial.number)})])
            try:
                figures = judge(config, trial, run)
            except optuna.TrialPruned:
                # It ended as it should; raised through the tracked run, it would count as failed there.
                run.state = "pruned"
            else:
                run.record([Figures(figures)])
        if run.state == "pruned":
            raise optuna.TrialPruned
        trial.set_user_attr(_FIGURES, figures)
        return figures[self.objective]

    def _cross_validate(self, config: Config, trial: Trial, run: TrackedRun) -> dict[str, float]:
        figures: dict[str, float] = {}
        for fold in cross_validate(config, self._pairs, self._sweep.folds):
            run.record([Figures(fold.figures, fold.number)])
            figures = fold.pooled
            trial.report(figures[self.objective], fold.number)
            if fold.number < self._sweep.folds and trial.should_prune():
                raise optuna.TrialPruned
        return figures

    def _validate(self, config: Config, trial: Trial, run: TrackedRun) -> dict[str, float]:
        evaluations = 0

        def hear(values: dict[str, float], step: int) -> None:
            nonlocal evaluations
            run.record([Figures(values, step)])
            if (value := values.get(f"step_{self.objective}")) is not None:
                # Counted, since the steps of an epoch differ with the batch size.
                evaluations += 1
                trial.report(value, evaluations)
                if trial.should_prune():
                    raise optuna.TrialPruned

        splits = self._corpus.splits
        with tempfile.TemporaryDirectory() as files:
            workshop = Workshop(Path(files), report=hear)
            fitted = fit(config, splits["train"], splits["validation"], self._corpus.trained_on(config.name), workshop)
            scores = score_model(Predictor(fitted.bundle), self._validation, config.evaluation.macro_over)
        return {f"validation_{name}": value for name, value in scores.figures.items()}


def _finish(sweep: Sweep, space: Space, study: Study, run: TrackedRun) -> None:
    """Print the best trials, write the best config and the plots, and keep them with the tracked run."""
    best = study.best(_SHOWN)
    figure = next(iter(summaries(best[0].user_attrs[_FIGURES])), f"validation_{metrics.MACRO_F1}={best[0].value:.4f}")
    pruned = len(study.trials(TrialState.PRUNED))
    path = sweep.best_path
    path.parent.mkdir(parents=True, exist_ok=True)
    done = f"{len(study.trials(*COUNTED))} trials ({pruned} pruned) of the sweep {sweep.name}"
    with replacing(path) as file:
        file.write(f"{_SIGN}{done}, kept in {study.where}: trial {best[0].number}, {figure}\n")
        file.write(f"# Trained alone, to the same figure: python -m training {path}\n")
        content = best_config(sweep, space, best[0], figure).model_dump(mode="json")
        yaml.safe_dump(content, file, allow_unicode=True, sort_keys=False, width=120)
    plots, left_out = write_plots(study.study, path.with_suffix(""), figure.partition("=")[0])
    run.record([File(each, "sweep") for each in (path, *plots)])
    run.record([Tags({"best_trial": str(best[0].number), "mlflow.note.content": f"{done}: {figure}"})])
    _print_best(sweep, best)
    print(f"best: trial {best[0].number}, {figure}, written to {path}")
    for plot in plots:
        print(f"plot: {plot}")
    for reason in left_out:
        print(reason)


def best_config(sweep: Sweep, space: Space, best: FrozenTrial, figure: str) -> Config:
    """Return the run that trains the best trial alone; it leaves the test split unread, which a choice must not see."""
    config = space.run_with(best.params)
    return config.model_copy(
        update={
            "name": f"{sweep.name}-best",
            "description": f"Trial {best.number} of the sweep {sweep.name}, based on {sweep.base}: {figure}",
            "evaluation": config.evaluation.model_copy(update={"test": False}),
        }
    )


def _print_best(sweep: Sweep, best: Sequence[FrozenTrial]) -> None:
    table = Table(title=f"The best trials of {sweep.name}, by {sweep.objective} macro-F1", title_justify="left")
    spread = f"{cross_validation.MACRO_F1}_sd"
    keys = [key.removeprefix("model.").removeprefix("families.") for key in sweep.space]
    for column in ("trial", "macro-F1", *(["± sd"] if sweep.objective == CROSS_VALIDATION else []), *keys):
        table.add_column(column, justify="right")
    for trial in best:
        figures = [f"{trial.value:.4f}"]
        if spread in trial.user_attrs[_FIGURES]:
            figures.append(f"{trial.user_attrs[_FIGURES][spread]:.4f}")
        table.add_row(str(trial.number), *figures, *(_short(trial.params[key]) for key in sweep.space))
    console().print(table)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _check_writable(path: Path) -> None:
    """Make sure that the best config replaces nothing but an earlier one."""
    if path.exists() and not read_text(path).startswith(_SIGN):
        raise ClaimstanceError(f"{path}: not written by a sweep, so it is not replaced; name another file in best")
