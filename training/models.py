"""Fitting a model of any kind: learned on the training pairs, calibrated on validation, made a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import datasets
import numpy as np

from claimstance.bundle import AnyBundle, Manifest
from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from training import ensemble, linear
from training.config import Config
from training.kinds import Encoder, Ensemble
from training.preparation import Examples, Taught, calibrate, examples_of, manifest_of


class Learned(Protocol):
    """A fitted model before it is a bundle."""

    def scores(self, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray:
        """Return one score a pair and label (n × k)."""

    def bundle(self, manifest: Manifest, temperature: float) -> AnyBundle:
        """Make the bundle; ``manifest`` lacks what only this kind knows."""


@dataclass(frozen=True)
class Workshop:
    """What a long training works with: a ``folder`` for files that the bundle is made of; a folder of ``checkpoints`` to go on
    from and write to, if any; whether to ``resume`` from the last of them; ``report``, called with figures and their
    step; and a folder for the trained model as ``transformers`` loads it, if it is wanted."""

    folder: Path
    checkpoints: Path | None = None
    resume: bool = False
    report: Callable[[dict[str, float], int], None] = lambda figures, step: None
    transformers: Path | None = None


@dataclass(frozen=True)
class Fitted:
    """A fitted bundle; what was chosen on validation: ``temperature`` divides the scores of the plain fit; and the
    ``probabilities`` (n × k) that the fitted model gives the validation pairs, before it is written."""

    bundle: AnyBundle
    temperature: float
    probabilities: np.ndarray


def fit(
    config: Config,
    train: datasets.Dataset,
    validation: datasets.Dataset,
    trained_on: dict[str, str],
    workshop: Workshop | None = None,
    taught: Taught | None = None,
) -> Fitted:
    """Fit a model on ``train``; choose its temperature and its threshold on ``validation``.

    Args:
        config: the run.
        train: pairs with the columns quote, claim, stance and event.
        validation: pairs of other events, with the same columns; mismatched ones are added as in training.
        trained_on: what the manifest says of the data, such as its digest.
        workshop: what an encoder needs; linear models do without.
        taught: further pairs to train on, labelled by a teacher.

    Raises:
        ClaimstanceError: as ``learn`` does, or an exported member of an ensemble was trained on other pairs.
    """
    if isinstance(config.model, Ensemble):
        ensemble.check_trained_on(config.model, trained_on)
    held_out = examples_of(config, validation)
    known = examples_of(config, train)
    if taught is not None:
        known = replace(known, taught=taught.reading(config.model.inputs))
    learned = learn(config, known, held_out, workshop)
    found = calibrate(config, learned.scores(held_out.quotes, held_out.claims), held_out.truth)
    bundle = learned.bundle(manifest_of(config, found.threshold, trained_on), found.temperature)
    probabilities = found.probabilities
    if bundle.manifest.settings.get("precision") == "int8":
        # Quantised, it is another model, which the parity gate has let pass: what it says here is what it has to say later.
        probabilities = Predictor(bundle).probabilities(held_out.quotes, held_out.claims)
    return Fitted(bundle, found.temperature, probabilities[: held_out.originals])


def learn(config: Config, train: Examples, held_out: Examples | None, workshop: Workshop | None) -> Learned:
    """Fit the weights of a model of any kind; ``held_out`` says when an encoder has learned enough, and how sure an
    ensemble's members are to be. Without it the one is refused, and the others stay as sure as they were fitted.

    Raises:
        ClaimstanceError: a label has no training pair, or the kind's own reasons.
    """
    absent = set(range(len(config.labels.all))) - set(train.truth.tolist())
    if absent:
        names = ", ".join(config.labels.all[index] for index in sorted(absent))
        raise ClaimstanceError(f"no training pair is labelled {names}; add some or leave the label out of the run")
    if isinstance(config.model, Ensemble):
        return ensemble.learn(config, train, held_out, workshop, learn)
    if not isinstance(config.model, Encoder):
        return linear.learn(config, train)
    try:
        # torch and transformers take seconds to import, which linear runs do without.
        from training import encoder
    except ImportError as error:
        raise ClaimstanceError(
            f"{config.name}: fine-tuning an encoder needs {error.name}, which is not installed: make .venv/encoder"
        ) from None
    return encoder.learn(config, train, held_out, workshop)
