"""The linear model of a bundle: pair features, weighed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from claimstance.bundle import Bundle
from claimstance.errors import BundleError, ClaimstanceError
from claimstance.features import FeatureExtractor, Features
from claimstance.lexicon import Lexicon
from claimstance.meanings import Thesaurus

_CHUNK_PAIRS = 2048
_CHUNK_CHARACTERS = 400_000


class LinearModel:
    """Weighs the features of pairs; a pair scores the same alone and in any batch.

    Raises:
        BundleError: the word lists are malformed, or the weights are not of the families' features.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.lexicon = read_lexicon(bundle.lexicons)
        thesaurus = Thesaurus(bundle.thesaurus) if bundle.thesaurus is not None else None
        self.extractor = FeatureExtractor(self.lexicon, bundle.idf, bundle.manifest.families, thesaurus)
        width = self.extractor([""], [""]).dense.shape[1]
        if bundle.dense.shape[0] != width + 1:
            raise BundleError(
                f"the model weighs {bundle.dense.shape[0] - 1} dense features, its families have {width}; export it again"
            )
        # By label, so that weighing one label reads one run of memory.
        self._sparse = np.asfortranarray(bundle.sparse)

    def probabilities(self, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray:
        """Return the probability of every label (n × k)."""
        scores = np.empty((len(quotes), len(self.bundle.manifest.labels)))
        for start, stop in _chunks(quotes, claims):
            features = self.extractor(quotes[start:stop], claims[start:stop])
            scores[start:stop] = score(features, self.bundle.dense, self._sparse)
        return softmax(scores)


def read_lexicon(lexicons: Sequence[dict]) -> Lexicon:
    """Compile the word lists of a bundle.

    Raises:
        BundleError: they are malformed.
    """
    try:
        return Lexicon(lexicons)
    except (ClaimstanceError, TypeError, AttributeError, KeyError, ValueError) as error:
        raise BundleError(f"the model's word lists are malformed ({error}); export the model again") from None


def score(features: Features, dense: np.ndarray, sparse: np.ndarray) -> np.ndarray:
    """Weigh features linearly; returns one score a pair and label (n × k, float64).

    Sums run in a fixed order for every pair, so that a pair scores the same alone and in any batch.
    """
    count, labels = features.dense.shape[0], dense.shape[1]
    scores = np.empty((count, labels))
    for label in range(labels):
        weighed = np.einsum("nd,d->n", features.dense, dense[:-1, label])
        hashed = sparse[:, label][features.slot] * features.value
        scores[:, label] = weighed + dense[-1, label] + np.bincount(features.pair, weights=hashed, minlength=count)
    return scores


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return exp(s) / Σ exp(s) along the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _chunks(quotes: Sequence[str], claims: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield bounds of chunks of limited pairs and characters; a longer pair is a chunk of its own."""
    start = characters = 0
    for index, (quote, claim) in enumerate(zip(quotes, claims, strict=True)):
        size = len(quote) + len(claim)
        if index > start and (index - start >= _CHUNK_PAIRS or characters + size > _CHUNK_CHARACTERS):
            yield start, index
            start, characters = index, 0
        characters += size
    if len(quotes) > start:
        yield start, len(quotes)
