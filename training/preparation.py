"""What a model is fitted on and calibrated with, whatever its kind: examples, word lists, temperature, threshold."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import numpy as np
import scipy.optimize
import yaml
from sklearn.model_selection import StratifiedGroupKFold

from claimstance.bundle import Manifest
from claimstance.errors import ClaimstanceError
from claimstance.files import read_text
from claimstance.lexicon import Lexicon
from claimstance.linear import softmax
from claimstance.meanings import Thesaurus, compile_thesaurus
from claimstance.predictor import sides_read
from evaluation import metrics
from training.config import Config

_TEMPERATURES = (0.1, 20.0)
_THRESHOLDS = np.round(np.arange(0.0, 0.96, 0.01), 2)


@dataclass(frozen=True)
class Taught:
    """Pairs that a teacher labelled: their quotes and claims, m each; the ``probabilities`` (m × k) that it gives; the
    ``weight`` of one against a labelled pair; and what the manifest says of them and of the teacher (``known``)."""

    quotes: list[str]
    claims: list[str]
    probabilities: np.ndarray
    weight: float
    known: dict[str, str]

    def reading(self, inputs: str) -> Taught:
        """Return the pairs with the side emptied that a model of ``inputs`` does not read."""
        quotes, claims = sides_read(self.quotes, self.claims, inputs)
        return replace(self, quotes=quotes, claims=claims)


@dataclass(frozen=True)
class Examples:
    """Quotes, claims and label indices, n each, the side emptied that a model does not read; the first ``originals`` are
    those of the corpus, the others quotes met with a claim of another event. ``events`` (n × 2) are the quote's and the
    claim's. ``taught`` are further pairs that a teacher labelled, if there is one."""

    quotes: list[str]
    claims: list[str]
    truth: np.ndarray
    originals: int
    events: np.ndarray
    taught: Taught | None = None

    def without_mismatched(self) -> Examples:
        """Return the pairs of the corpus alone."""
        return self.select(np.arange(self.originals))

    def select(self, chosen: np.ndarray) -> Examples:
        """Return the examples of some indices, which rise, with nothing taught."""
        return Examples(
            [self.quotes[index] for index in chosen],
            [self.claims[index] for index in chosen],
            self.truth[chosen],
            int((chosen < self.originals).sum()),
            self.events[chosen],
        )


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
        return Examples(quotes, claims, truth, originals, np.column_stack((events, events)))
    random = np.random.default_rng(config.seed)
    chosen, other = random.integers(originals, size=(2, 2 * count))
    apart = np.flatnonzero(events[chosen] != events[other])[:count]
    none = config.labels.all.index(config.labels.abstain)
    return Examples(
        quotes + [quotes[index] for index in chosen[apart]],
        claims + [claims[index] for index in other[apart]],
        np.concatenate((truth, np.full(apart.size, none))),
        originals,
        np.vstack((np.column_stack((events, events)), np.column_stack((events[chosen[apart]], events[other[apart]])))),
    )


def folds_by_event(
    truth: np.ndarray, events: np.ndarray, folds: int, seed: int, key: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the indices inside and outside of each fold, no event in both, the labels spread evenly.

    Args:
        truth: n label indices.
        events: the event of each.
        folds: how many.
        seed: of the draw.
        key: of the config, which says how many folds.

    Raises:
        ClaimstanceError: there are fewer events than folds.
    """
    if folds > np.unique(events).size:
        raise ClaimstanceError(
            f"{key} is {folds}, but the pairs are of {np.unique(events).size} events; name fewer folds"
        )
    yield from StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(truth, truth, events)


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


def read_thesaurus(paths: Sequence[str]) -> Thesaurus:
    """Compile the word sets of text files, and of every ``.txt`` file of a folder.

    Raises:
        ClaimstanceError: a file is missing or a folder empty, or a line is no set of words.
    """
    return _compiled(thesaurus_lists(paths))


def thesaurus_lists(paths: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the name and the text of each list of word sets.

    Raises:
        ClaimstanceError: a file is missing or a folder empty.
    """
    files = [file for path in map(Path, paths) for file in (sorted(path.rglob("*.txt")) if path.is_dir() else [path])]
    if not files:
        raise ClaimstanceError(f"no word sets in {', '.join(paths)}; name files or folders in model.thesaurus")
    return tuple((str(file), read_text(file)) for file in files)


@functools.lru_cache(maxsize=4)
def _compiled(lists: tuple[tuple[str, str], ...]) -> Thesaurus:
    return Thesaurus(compile_thesaurus((name, text.splitlines()) for name, text in lists))


def manifest_of(config: Config, threshold: float, trained_on: dict[str, str]) -> Manifest:
    """Return the manifest of a run's model, less what only its kind knows."""
    return Manifest(
        name=config.name,
        labels=config.labels.all,
        abstain_label=config.labels.abstain or "",
        threshold=threshold,
        inputs=config.model.inputs,
        families={},
        trained_on=trained_on,
    )


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
