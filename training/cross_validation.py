"""Cross-validation: a model fitted anew for each fold of events and asked about that fold, as runs and sweeps report it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from claimstance.errors import ClaimstanceError
from evaluation import metrics
from training.config import Config
from training.corpus import LoadedCorpus, split_by_event
from training.kinds import Encoder, Exported
from training.models import Workshop, learn
from training.preparation import examples_of, folds_by_event

_PREFIX = "cross_validation_"
MACRO_F1 = _PREFIX + metrics.MACRO_F1
"""Name of macro-F1 over the stances, its confusion matrix pooled over the folds."""


@dataclass(frozen=True)
class Fold:
    """One fold: its ``number`` (from 1), its ``confusion`` matrix (labels × labels) of the likeliest label, its own ``figures``
    by name, and the figures ``pooled`` over it and the folds before it."""

    number: int
    confusion: np.ndarray
    figures: dict[str, float]
    pooled: dict[str, float]


def cross_validated_pairs(corpus: LoadedCorpus) -> datasets.Dataset:
    """Return the pairs that are cross-validated: those of train and of validation together."""
    return datasets.concatenate_datasets([corpus.splits["train"], corpus.splits["validation"]])


def cross_validate(
    config: Config, data: datasets.Dataset, folds: int, key: str = "evaluation.cross_validation"
) -> Iterator[Fold]:
    """Yield each fold as soon as a model is fitted on the others and asked about it; the last one's pooled figures are those
    of the whole.

    Folds are grouped by event and stratified by label. An encoder stops early on events held out of what its fold trains on
    (their share is ``corpus.splits.validation``), never on the fold that it is asked about.

    Args:
        config: the run.
        data: the pairs, with the columns quote, claim, stance and event.
        folds: how many.
        key: of the config file, which says how many folds.

    Raises:
        ClaimstanceError: there are fewer events than folds, or a member of an ensemble is exported already; nothing is fitted
            then.
    """
    for section in _sections(config):
        if isinstance(section, Exported):
            raise ClaimstanceError(
                f"{section.path}: is exported already, so it knows the pairs that cross-validation would ask about; "
                f"set evaluation.cross_validation to 0"
            )
    parts = list(folds_by_event(np.array(data["stance"]), np.array(data["event"]), folds, config.seed, key))
    return _folds(config, data, parts)


def _sections(config: Config) -> tuple[Any, ...]:
    return getattr(config.model, "members", (config.model,))


def _folds(config: Config, data: datasets.Dataset, parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[Fold]:
    confusions: list[np.ndarray] = []
    for number, (inside, outside) in enumerate(parts, start=1):
        confusions.append(_confusion(config, data.select(inside), data.select(outside)))
        yield Fold(
            number, confusions[-1], _figures_of(config, confusions[-1]), pooled_figures(config, np.stack(confusions))
        )


def _confusion(config: Config, known: datasets.Dataset, asked: datasets.Dataset) -> np.ndarray:
    fold = examples_of(config, asked).without_mismatched()
    held_out = None
    if any(isinstance(section, Encoder) for section in _sections(config)):
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


def _figures_of(config: Config, confusion: np.ndarray) -> dict[str, float]:
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
