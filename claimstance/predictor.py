"""Stances from an exported model."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np

from claimstance.bundle import Bundle, Manifest, read_bundle
from claimstance.errors import BundleError, ClaimstanceError
from claimstance.features import FeatureExtractor, Features
from claimstance.lexicon import Lexicon
from claimstance.records import Pair

_CHUNK_PAIRS = 2048
_CHUNK_CHARACTERS = 400_000


class Prediction(NamedTuple):
    """What a model says of one pair.

    ``stance`` is None where the model abstains. ``confidence`` (0 to 1) is the probability of the likeliest stance;
    ``probabilities`` has every label of the model, the label of no stance included, and sums to 1.
    """

    stance: str | None
    confidence: float
    probabilities: dict[str, float]


class Predictor:
    """An exported model, ready to label pairs of quote and claim.

    >>> predictor = Predictor.load("exports/champion")              # doctest: +SKIP
    >>> predictor.predict([("We did not send anyone.", "Fighters were sent.")])   # doctest: +SKIP
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        try:
            self.lexicon = Lexicon(bundle.lexicons)
        except (ClaimstanceError, TypeError, AttributeError, KeyError, ValueError) as error:
            raise BundleError(f"the model's word lists are malformed ({error}); export the model again") from None
        self.extractor = FeatureExtractor(self.lexicon, bundle.idf, bundle.manifest.families)
        width = self.extractor([""], [""]).dense.shape[1]
        if bundle.dense.shape[0] != width + 1:
            raise BundleError(
                f"the model weighs {bundle.dense.shape[0] - 1} dense features, its families have {width}; export it again"
            )
        # By label, so that weighing one label reads one run of memory.
        self._sparse = np.asfortranarray(bundle.sparse)
        self._is_stance = np.array([label != self.manifest.abstain_label for label in self.manifest.labels])

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Load a bundle.

        Raises:
            BundleError: a file of it is missing, altered or of a newer format.
        """
        bundle = read_bundle(folder)
        try:
            return cls(bundle)
        except BundleError as error:
            raise BundleError(f"{folder}: {error}") from None

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    def predict(self, pairs: Iterable[Pair | tuple[str, str] | str]) -> list[Prediction]:
        """Label pairs: records, ``(quote, claim)`` tuples, or quotes alone where the model was trained without claims.

        Raises:
            ClaimstanceError: a pair lacks the claim that this model needs.
        """
        quotes, claims = self._texts(pairs)
        return self.decide(self.probabilities(quotes, claims))

    def probabilities(self, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray:
        """Return the probability of every label of ``manifest.labels`` (n × k, float64)."""
        scores = np.empty((len(quotes), len(self.manifest.labels)))
        for start, stop in _chunks(quotes, claims):
            features = self.extractor(quotes[start:stop], claims[start:stop])
            scores[start:stop] = score(features, self.bundle.dense, self._sparse)
        return softmax(scores)

    def decide(self, probabilities: np.ndarray) -> list[Prediction]:
        """Turn a table of probabilities (n × k) into predictions, abstaining below the model's threshold."""
        labels, stances = self.manifest.labels, np.flatnonzero(self._is_stance)
        best = stances[probabilities[:, stances].argmax(axis=1)] if len(probabilities) else []
        predictions = []
        for row, index in zip(probabilities.tolist(), best, strict=True):
            confidence = row[index]
            stance = labels[index] if confidence >= self.manifest.threshold else None
            predictions.append(Prediction(stance, confidence, dict(zip(labels, row, strict=True))))
        return predictions

    def _texts(self, pairs: Iterable[Pair | tuple[str, str] | str]) -> tuple[list[str], list[str]]:
        quotes, claims = [], []
        needs_claim = self.manifest.inputs != "quote"
        for pair in pairs:
            if isinstance(pair, tuple) and len(pair) == 2:
                quote, claim = pair
            elif isinstance(pair, Pair):
                quote, claim = pair.quote, pair.claim
            else:
                quote, claim = pair, ""
            if not isinstance(quote, str) or not isinstance(claim, str):
                raise ClaimstanceError(
                    f"pair {len(quotes)} is {pair!r:.80}, expected a Pair or a (quote, claim) tuple of texts"
                )
            if needs_claim and not claim:
                raise ClaimstanceError(
                    f"pair {len(quotes)} has no claim, but this model reads pairs; give (quote, claim)"
                )
            quotes.append(quote)
            claims.append(claim)
        return sides_read(quotes, claims, self.manifest.inputs)


def sides_read(quotes: Sequence[str], claims: Sequence[str], inputs: str) -> tuple[list[str], list[str]]:
    """Return quotes and claims with the side emptied that a model of ``inputs`` (pair, quote or claim) does not read."""
    empty = [""] * len(quotes)
    return (empty if inputs == "claim" else list(quotes)), (empty if inputs == "quote" else list(claims))


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
