"""The default model, ``pair-linear``: logistic regression over pair features, calibrated, with a threshold to abstain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import datasets
import numpy as np
import scipy.optimize
import scipy.sparse
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from claimstance.bundle import Bundle, Manifest
from claimstance.errors import ClaimstanceError
from claimstance.features import SLOTS, FeatureExtractor, Features, idf_slots
from claimstance.files import read_text
from claimstance.lexicon import Lexicon
from claimstance.predictor import sides_read, softmax
from claimstance.words import read_words
from evaluation import metrics
from training.config import Config

_ITERATIONS = 300
_TOLERANCE = 1e-3
_TEMPERATURES = (0.1, 20.0)
_THRESHOLDS = np.round(np.arange(0.0, 0.96, 0.01), 2)


@dataclass(frozen=True)
class Fitted:
    """A fitted bundle; what was chosen on validation: ``temperature`` divides the scores of the plain fit; and the
    ``probabilities`` (n × k) that the fitted model gives the validation pairs, before it is made a bundle."""

    bundle: Bundle
    temperature: float
    probabilities: np.ndarray


@dataclass(frozen=True)
class _Regression:
    """A fitted classifier over standardised dense features and the hashed ones that training saw, in ``used`` slots."""

    classifier: LogisticRegression
    mean: np.ndarray
    scale: np.ndarray
    used: np.ndarray

    def scores(self, features: Features) -> np.ndarray:
        """Return one score a pair and label (n × k), as scikit-learn gives them."""
        scores = self.classifier.decision_function(_matrix(features, self.mean, self.scale, self.used))
        return np.column_stack((-scores / 2, scores / 2)) if scores.ndim == 1 else scores

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights of dense features ((d + 1) × k, the last row the intercept) and of slots (SLOTS × k), with
        the standardisation folded in."""
        coefficients, intercept = self.classifier.coef_.T, self.classifier.intercept_
        if coefficients.shape[1] == 1:
            coefficients = np.hstack((-coefficients / 2, coefficients / 2))
            intercept = np.array([-intercept[0] / 2, intercept[0] / 2])
        width = self.mean.size
        folded = coefficients[:width] * self.scale[:, None]
        table = np.zeros((SLOTS, intercept.size))
        table[self.used] = coefficients[width:]
        return np.vstack((folded, intercept - self.mean @ folded)), table


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


def fit(config: Config, train: datasets.Dataset, validation: datasets.Dataset, trained_on: dict[str, str]) -> Fitted:
    """Fit a model on ``train``; choose its temperature and its threshold on ``validation``.

    Args:
        config: the run.
        train: pairs with the columns quote, claim and stance.
        validation: pairs of other events, with the same columns; mismatched ones are added as in training.
        trained_on: what the manifest says of the data, such as its digest.
    """
    model, labels = config.model, config.labels.all
    lexicons = read_lexicons(model.lexicons)
    quotes, claims, truth = texts_of(train, model.inputs)
    lexicon = Lexicon(lexicons)
    idf = inverse_document_frequency([*quotes, *claims], lexicon)
    extractor = FeatureExtractor(lexicon, idf, model.families)
    quotes, claims, truth = _with_mismatched(config, quotes, claims, truth, np.array(train["event"]))
    regression = _fit(config, extractor(quotes, claims), truth)
    quotes, claims, truth = texts_of(validation, model.inputs)
    quotes, claims, truth = _with_mismatched(config, quotes, claims, truth, np.array(validation["event"]))
    scores = regression.scores(extractor(quotes, claims))
    temperature = choose_temperature(scores, truth)
    probabilities = softmax(scores / temperature)
    stances = [index for index, label in enumerate(labels) if label != config.labels.abstain]
    threshold = 0.0
    if config.labels.abstain is not None:
        threshold = choose_threshold(probabilities, truth, stances)
    manifest = Manifest(
        name=config.name,
        labels=labels,
        abstain_label=config.labels.abstain or "",
        threshold=threshold,
        inputs=model.inputs,
        families=extractor.families,
        trained_on=trained_on,
    )
    calibrated = [(array / temperature).astype(np.float32) for array in regression.weights()]
    return Fitted(Bundle(manifest, *calibrated, idf, lexicons), temperature, probabilities[: len(validation)])


def cross_validate(config: Config, data: datasets.Dataset, folds: int) -> np.ndarray:
    """Return the pooled confusion matrix (labels × labels) of the likeliest label over folds grouped by event."""
    model, labels = config.model, config.labels.all
    quotes, claims, truth = (np.array(column) for column in texts_of(data, model.inputs))
    events = np.array(data["event"])
    if folds > np.unique(events).size:
        raise ClaimstanceError(
            f"evaluation.cross_validation is {folds}, but the pairs are of {np.unique(events).size} events; name fewer folds"
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=config.seed)
    lexicon = Lexicon(read_lexicons(model.lexicons))
    confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for inside, outside in splitter.split(quotes, truth, events):
        idf = inverse_document_frequency([*quotes[inside], *claims[inside]], lexicon)
        extractor = FeatureExtractor(lexicon, idf, model.families)
        known = _with_mismatched(
            config, quotes[inside].tolist(), claims[inside].tolist(), truth[inside], events[inside]
        )
        regression = _fit(config, extractor(*known[:2]), known[2])
        predicted = regression.scores(extractor(quotes[outside].tolist(), claims[outside].tolist())).argmax(axis=1)
        confusion += metrics.confusion_matrix(truth[outside], predicted, len(labels))
    return confusion


def texts_of(data: datasets.Dataset, inputs: str) -> tuple[list[str], list[str], np.ndarray]:
    """Return quotes, claims and label indices of a dataset; the side that the model does not read is empty."""
    quotes, claims = sides_read(data["quote"], data["claim"], inputs)
    return quotes, claims, np.array(data["stance"], dtype=np.int64)


def _with_mismatched(
    config: Config, quotes: list[str], claims: list[str], truth: np.ndarray, events: np.ndarray
) -> tuple[list[str], list[str], np.ndarray]:
    """Add quotes met with a claim of another event, which they take no stance to."""
    count = round(config.model.mismatched * len(quotes))
    if not count:
        return quotes, claims, truth
    random = np.random.default_rng(config.seed)
    chosen, other = random.integers(len(quotes), size=(2, 2 * count))
    apart = np.flatnonzero(events[chosen] != events[other])[:count]
    none = config.labels.all.index(config.labels.abstain)
    return (
        quotes + [quotes[index] for index in chosen[apart]],
        claims + [claims[index] for index in other[apart]],
        np.concatenate((truth, np.full(apart.size, none))),
    )


def inverse_document_frequency(texts: Sequence[str], lexicon: Lexicon) -> np.ndarray:
    """Return log((1 + texts) / (1 + texts with the stem)) by ``idf_slots`` (65,536, float32; smoothed idf of
    scikit-learn's TfidfTransformer without its added one)."""
    texts = [text for text in texts if text]
    words = read_words(texts)
    slots = idf_slots(lexicon.read(words))
    seen = np.unique(words.text.astype(np.int64) << 16 | slots) & 0xFFFF
    frequency = np.bincount(seen, minlength=1 << 16)
    return np.log((1 + len(texts)) / (1 + frequency)).astype(np.float32)


def _fit(config: Config, features: Features, truth: np.ndarray) -> _Regression:
    """Fit standardised dense and hashed sparse features together."""
    absent = set(range(len(config.labels.all))) - set(truth.tolist())
    if absent:
        names = ", ".join(config.labels.all[index] for index in sorted(absent))
        raise ClaimstanceError(f"no training pair is labelled {names}; add some or leave the label out of the run")
    dense = features.dense.astype(np.float64)
    mean, deviation = dense.mean(axis=0), dense.std(axis=0)
    scale = np.where(deviation > 1e-9, config.model.dense_scale / np.maximum(deviation, 1e-9), 0.0)
    used = np.unique(features.slot)
    classifier = LogisticRegression(
        C=config.model.C,
        class_weight=config.model.class_weight,
        max_iter=_ITERATIONS,
        tol=_TOLERANCE,
        random_state=config.seed,
    ).fit(_matrix(features, mean, scale, used), truth)
    return _Regression(classifier, mean, scale, used)


def _matrix(features: Features, mean: np.ndarray, scale: np.ndarray, used: np.ndarray) -> scipy.sparse.csr_matrix:
    shape = (features.dense.shape[0], SLOTS)
    sparse = scipy.sparse.coo_matrix((features.value, (features.pair, features.slot)), shape=shape).tocsr()
    dense = scipy.sparse.csr_matrix((features.dense.astype(np.float64) - mean) * scale)
    return scipy.sparse.hstack((dense, sparse[:, used]), format="csr")


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
