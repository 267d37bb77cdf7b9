"""Cross-validation: a model fitted anew for each fold of events and asked about that fold, as runs and sweeps report it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from claimstance.errors import ClaimstanceError
from evaluation import metrics
from training.config import Config, Encoder
from training.corpus import LoadedCorpus, split_by_event
from training.models import Workshop, learn
from training.preparation import examples_of

_PREFIX = "cross_validation_"
MACRO_F1 = _PREFIX + metrics.MACRO_F1
"""Name of macro-F1 over the stances, its confusion matrix pooled over the folds."""


def cross_validated_pairs(corpus: LoadedCorpus) -> datasets.Dataset:
    """Return the pairs that are cross-validated: those of train and of validation together."""
    return datasets.concatenate_datasets([corpus.splits["train"], corpus.splits["validation"]])


def cross_validate(config: Config, data: datasets.Dataset, folds: int) -> Iterator[np.ndarray]:
    """Yield the confusion matrix (labels × labels) of the likeliest label for each fold, as soon as it is fitted.

    Folds are grouped by event and stratified by label. An encoder stops early on events held out of what its fold trains on
    (their share is ``corpus.splits.validation``), never on the fold that it is asked about.

    Raises:
        ClaimstanceError: there are fewer events than folds; nothing is fitted then.
    """
    events, truth = np.array(data["event"]), np.array(data["stance"])
    if folds > np.unique(events).size:
        raise ClaimstanceError(
            f"{folds} folds are asked for, but the pairs are of {np.unique(events).size} events; set "
            f"evaluation.cross_validation, or folds of a sweep, to fewer"
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=config.seed)
    parts = splitter.split(truth, truth, events)
    return (_confusion(config, data.select(inside), data.select(outside)) for inside, outside in parts)


def _confusion(config: Config, known: datasets.Dataset, asked: datasets.Dataset) -> np.ndarray:
    fold = examples_of(config, asked).without_mismatched()
    held_out = fold
    if isinstance(config.model, Encoder):
        parts = split_by_event(known, config.corpus.splits.validation, 0.0, config.seed)
        known, held_out = parts["train"], examples_of(config, parts["validation"])
    with tempfile.TemporaryDirectory() as files:
        learned = learn(config, examples_of(config, known), held_out, Workshop(Path(files)))
        predicted = learned.scores(fold.quotes, fold.claims).argmax(axis=1)
    return metrics.confusion_matrix(fold.truth, predicted, len(config.labels.all))


def pooled_figures(config: Config, confusions: np.ndarray) -> dict[str, float]:
    """Return each macro-F1 over the pooled folds, and the mean and standard deviation (of a sample) of the folds' own.

    Args:
        config: the run; macro-F1 is over its stances, and over each set of labels that it names.
        confusions: folds × labels × labels.
    """
    figures = {}
    for name, over in _subsets(config).items():
        by_fold = [metrics.macro_f1(confusion, over) for confusion in confusions]
        figures[_PREFIX + name] = metrics.macro_f1(confusions.sum(axis=0), over)
        figures[f"{_PREFIX}{name}_mean"] = float(np.mean(by_fold))
        figures[f"{_PREFIX}{name}_sd"] = float(np.std(by_fold, ddof=1)) if len(by_fold) > 1 else 0.0
    return figures


def fold_figures(config: Config, confusion: np.ndarray) -> dict[str, float]:
    """Return each macro-F1 of one fold (``confusion`` labels × labels): ``cross_validation_fold_macro_f1`` and so on."""
    return {f"{_PREFIX}fold_{name}": metrics.macro_f1(confusion, over) for name, over in _subsets(config).items()}


def summaries(figures: dict[str, float]) -> Iterator[str]:
    """Yield a line for each pooled macro-F1: ``cross_validation_macro_f1=0.6521 ± 0.0123 (sd over folds)``."""
    for name, value in figures.items():
        if f"{name}_sd" in figures:
            yield f"{name}={value:.4f} ± {figures[f'{name}_sd']:.4f} (sd over folds)"


def _subsets(config: Config) -> dict[str, list[int]]:
    index = {label: number for number, label in enumerate(config.labels.all)}
    named = {metrics.MACRO_F1: config.labels.stances}
    named |= {metrics.macro_over_name(subset): subset for subset in config.evaluation.macro_over}
    return {name: [index[label] for label in subset] for name, subset in named.items()}
