"""The default model, ``pair-linear``: logistic regression over pair features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
from sklearn.linear_model import LogisticRegression

from claimstance.bundle import Bundle, Manifest
from claimstance.features import MEANINGS, SLOTS, FeatureExtractor, Features, idf_slots
from claimstance.lexicon import Lexicon
from claimstance.meanings import NO_THESAURUS
from claimstance.words import read_words
from training.config import Config
from training.preparation import Examples, Taught, read_lexicons, read_thesaurus

_ITERATIONS = 300
_TOLERANCE = 1e-3
_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class LearnedLinear:
    """A fitted linear model and the features that it reads."""

    extractor: FeatureExtractor
    lexicons: list[dict]
    regression: _Regression

    def scores(self, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray:
        """Return one score a pair and label (n × k), as scikit-learn gives them."""
        return self.regression.scores(self.extractor(quotes, claims))

    def bundle(self, manifest: Manifest, temperature: float) -> Bundle:
        """Make the bundle, its weights divided by the temperature."""
        manifest = replace(manifest, families=self.extractor.families)
        calibrated = [(array / temperature).astype(np.float32) for array in self.regression.weights()]
        thesaurus = self.extractor.thesaurus
        table = None if thesaurus is NO_THESAURUS else thesaurus.table
        return Bundle(manifest, *calibrated, self.extractor.idf, self.lexicons, table)


def learn(config: Config, train: Examples) -> LearnedLinear:
    """Fit the model of a run."""
    lexicons = read_lexicons(config.model.lexicons)
    lexicon = Lexicon(lexicons)
    texts = [*train.quotes[: train.originals], *train.claims[: train.originals]]
    families = config.model.families
    thesaurus = read_thesaurus(config.model.thesaurus) if set(MEANINGS) & set(families) else None
    extractor = FeatureExtractor(lexicon, inverse_document_frequency(texts, lexicon), families, thesaurus)
    quotes, claims = train.quotes, train.claims
    if train.taught is not None:
        quotes, claims = [*quotes, *train.taught.quotes], [*claims, *train.taught.claims]
    return LearnedLinear(extractor, lexicons, _fit(config, extractor(quotes, claims), train))


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
        coefficients, intercept = weights_by_label(self.classifier)
        width = self.mean.size
        folded = coefficients[:width] * self.scale[:, None]
        table = np.zeros((SLOTS, intercept.size))
        table[self.used] = coefficients[width:]
        return np.vstack((folded, intercept - self.mean @ folded)), table


def weights_by_label(classifier: LogisticRegression) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients (d × k) and intercepts (k) of a fitted classifier; of two labels, too, each has its own."""
    coefficients, intercept = classifier.coef_.T, classifier.intercept_
    if intercept.size > 1:
        return coefficients, intercept
    return np.hstack((-coefficients / 2, coefficients / 2)), np.array([-intercept[0] / 2, intercept[0] / 2])


def inverse_document_frequency(texts: Sequence[str], lexicon: Lexicon) -> np.ndarray:
    """Return log((1 + texts) / (1 + texts with the stem)) by ``idf_slots`` (65,536, float32; smoothed idf of
    scikit-learn's TfidfTransformer without its added one)."""
    texts = [text for text in texts if text]
    words = read_words(texts)
    slots = idf_slots(lexicon.read(words))
    seen = np.unique(words.text.astype(np.int64) << 16 | slots) & 0xFFFF
    frequency = np.bincount(seen, minlength=1 << 16)
    return np.log((1 + len(texts)) / (1 + frequency)).astype(np.float32)


def _fit(config: Config, features: Features, train: Examples) -> _Regression:
    """Fit standardised dense and hashed sparse features together; those of taught pairs follow those of labelled ones."""
    dense = features.dense.astype(np.float64)
    mean, deviation = dense.mean(axis=0), dense.std(axis=0)
    scale = np.where(deviation > 1e-9, config.model.dense_scale / np.maximum(deviation, 1e-9), 0.0)
    used = np.unique(features.slot)
    matrix, truth, weight = _matrix(features, mean, scale, used), train.truth, None
    if train.taught is not None:
        row, truth, weight = _once_a_label(train.truth, train.taught)
        matrix = matrix[row]
    classifier = LogisticRegression(
        C=config.model.C,
        class_weight=config.model.class_weight,
        max_iter=_ITERATIONS,
        tol=_TOLERANCE,
        random_state=config.seed,
    ).fit(matrix, truth, sample_weight=weight)
    return _Regression(classifier, mean, scale, used)


def _once_a_label(truth: np.ndarray, taught: Taught) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs (their index), labels and weights of what is fitted: each labelled pair (n, ``truth``) once, and then
    each taught one once a label that its teacher gives it, weighed by the probability: together their loss is the
    cross-entropy to the teacher's answer. Labels that hardly weigh anything are left out."""
    share = np.where(taught.probabilities >= _LEAST_SHARE, taught.probabilities, 0.0)
    share /= share.sum(axis=1, keepdims=True)
    pair, label = np.nonzero(share)
    return (
        np.concatenate((np.arange(truth.size), truth.size + pair)),
        np.concatenate((truth, label)),
        np.concatenate((np.ones(truth.size), taught.weight * share[pair, label])),
    )


def _matrix(features: Features, mean: np.ndarray, scale: np.ndarray, used: np.ndarray) -> scipy.sparse.csr_matrix:
    shape = (features.dense.shape[0], SLOTS)
    sparse = scipy.sparse.coo_matrix((features.value, (features.pair, features.slot)), shape=shape).tocsr()
    dense = scipy.sparse.csr_matrix((features.dense.astype(np.float64) - mean) * scale)
    return scipy.sparse.hstack((dense, sparse[:, used]), format="csr")
