"""What a model is fitted on and calibrated with, whatever its kind: examples, word lists, temperature, threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import datasets
import numpy as np
import scipy.optimize
import yaml

from claimstance.errors import ClaimstanceError
from claimstance.files import read_text
from claimstance.lexicon import Lexicon
from claimstance.linear import softmax
from claimstance.predictor import sides_read
from evaluation import metrics
from training.config import Config

_TEMPERATURES = (0.1, 20.0)
_THRESHOLDS = np.round(np.arange(0.0, 0.96, 0.01), 2)


@dataclass(frozen=True)
class Examples:
    """Quotes, claims and label indices, n each, the side emptied that a model does not read; the first ``originals`` are
    those of the corpus, the others quotes met with a claim of another event."""

    quotes: list[str]
    claims: list[str]
    truth: np.ndarray
    originals: int

    def without_mismatched(self) -> Examples:
        """Return the pairs of the corpus alone."""
        count = self.originals
        return Examples(self.quotes[:count], self.claims[:count], self.truth[:count], count)


@dataclass(frozen=True)
class Calibration:
    """``temperature`` divides scores so that their softmax (``probabilities``, n × k) is calibrated; below ``threshold`` a
    model abstains."""

    temperature: float
    threshold: float
    probabilities: np.ndarray


def examples_of(config: Config, data: datasets.Dataset) -> Examples:
    """Take a split of the corpus, and add quotes met with a claim of another event, which they take no stance to."""
    quotes, claims = sides_read(data["quote"], data["claim"], config.model.inputs)
    truth, events = np.array(data["stance"], dtype=np.int64), np.array(data["event"])
    originals, count = len(quotes), round(config.model.mismatched * len(quotes))
    if not count:
        return Examples(quotes, claims, truth, originals)
    random = np.random.default_rng(config.seed)
    chosen, other = random.integers(originals, size=(2, 2 * count))
    apart = np.flatnonzero(events[chosen] != events[other])[:count]
    none = config.labels.all.index(config.labels.abstain)
    return Examples(
        quotes + [quotes[index] for index in chosen[apart]],
        claims + [claims[index] for index in other[apart]],
        np.concatenate((truth, np.full(apart.size, none))),
        originals,
    )


def read_lexicons(paths: Sequence[str]) -> list[dict]:
    """Read word lists from YAML files.

    Raises:
        ClaimstanceError: a file is missing or not YAML.
    """
    sources = []
    for path in paths:
        try:
            source = yaml.safe_load(read_text(path))
            if not isinstance(source, dict):
                raise ClaimstanceError("expected the sections of a lexicon, such as cues and function_words")
            # JSON, which bundles hold, has only texts as keys.
            source["numbers"] = {str(value): forms for value, forms in (source.get("numbers") or {}).items()}
            Lexicon([source])
        except yaml.YAMLError as error:
            raise ClaimstanceError(f"{path}: not YAML: {error}") from None
        except ClaimstanceError as error:
            raise ClaimstanceError(f"{path}: {error}") from None
        sources.append(source)
    return sources


def calibrate(config: Config, scores: np.ndarray, truth: np.ndarray) -> Calibration:
    """Choose temperature and threshold on pairs that the model was not fitted on.

    Args:
        config: the run.
        scores: n × k, before any temperature.
        truth: n label indices.
    """
    temperature = choose_temperature(scores, truth)
    probabilities = softmax(scores / temperature)
    threshold = 0.0
    if config.labels.abstain is not None:
        stances = [config.labels.all.index(label) for label in config.labels.stances]
        threshold = choose_threshold(probabilities, truth, stances)
    return Calibration(temperature, threshold, probabilities)


def choose_temperature(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the temperature that minimises the negative log-likelihood of softmax(scores / temperature).

    Args:
        scores: n × k.
        truth: n label indices.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """

    def loss(log_temperature: float) -> float:
        probabilities = softmax(scores / np.exp(log_temperature))
        return float(-np.log(np.maximum(probabilities[np.arange(truth.size), truth], 1e-12)).mean())

    bounds = tuple(np.log(_TEMPERATURES))
    return float(np.exp(scipy.optimize.minimize_scalar(loss, bounds=bounds, method="bounded").x))


def choose_threshold(probabilities: np.ndarray, truth: np.ndarray, stances: Sequence[int]) -> float:
    """Return the confidence below which to abstain that maximises macro-F1 over the stances.

    Among equally good thresholds the middle one is taken, which is the steadiest on other data.
    """
    stances = np.asarray(stances)
    labels = probabilities.shape[1]
    (abstain,) = set(range(labels)) - set(stances.tolist())
    best = stances[probabilities[:, stances].argmax(axis=1)]
    confidence = probabilities[np.arange(truth.size), best]
    figures = [
        metrics.macro_f1(
            metrics.confusion_matrix(truth, np.where(confidence >= threshold, best, abstain), labels), stances
        )
        for threshold in _THRESHOLDS
    ]
    good = np.flatnonzero(np.isclose(figures, max(figures)))
    return float(_THRESHOLDS[good[good.size // 2]])
