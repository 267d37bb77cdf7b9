"""The linear model of a bundle: pair features, weighed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from claimstance.bundle import Bundle
from claimstance.errors import BundleError, ClaimstanceError
from claimstance.features import FeatureExtractor
from claimstance.formulas import product
from claimstance.lexicon import Lexicon
from claimstance.meanings import Thesaurus
from claimstance.single import SingleScorer

_FEW = 8
"""Pairs that are scored one at a time; for more the arrays of a batch pay."""

_CHUNK_PAIRS = 4096
_CHUNK_CHARACTERS = 400_000
_STEPS = 1 << 20


class LinearModel:
    """Weighs the features of pairs; a pair scores the same alone and in any batch.

    ``dense`` (d × k), ``intercept`` (k) and ``sparse`` (SLOTS × k) are the bundle's weights in steps of 2⁻²⁰ (float64).

    Raises:
        BundleError: the word lists are malformed, or the weights are not of the families' features.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.lexicon = read_lexicon(bundle.lexicons)
        thesaurus = Thesaurus(bundle.thesaurus) if bundle.thesaurus is not None else None
        self.sparse = _in_steps(bundle.sparse)
        extractor = FeatureExtractor(self.lexicon, bundle.idf, bundle.manifest.families, thesaurus, self.sparse)
        self.extractor = extractor
        width = extractor.dense(extractor.view([""], [""])).shape[1]
        if bundle.dense.shape[0] != width + 1:
            raise BundleError(
                f"the model weighs {bundle.dense.shape[0] - 1} dense features, its families have {width}; export it again"
            )
        cells = {
            family: extractor.values[family] * self.sparse[slots] for family, slots in extractor.cell_slots.items()
        }
        self.dense, self.intercept = _in_steps(bundle.dense[:-1]), _in_steps(bundle.dense[-1])
        self._cells, self._single = cells, None
        if SingleScorer.serves(extractor):
            self._single = SingleScorer(extractor, self.dense, self.intercept, self.sparse, cells)

    def probabilities(self, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray:
        """Return the probability of every label (n × k)."""
        scores = np.empty((len(quotes), len(self.bundle.manifest.labels)))
        if len(quotes) <= _FEW and self._single is not None:
            for index, (quote, claim) in enumerate(zip(quotes, claims, strict=True)):
                found = self._single(quote, claim)
                scores[index] = self._scores([quote], [claim])[0] if found is None else found
        else:
            for start, stop in _chunks(quotes, claims):
                scores[start:stop] = self._scores(quotes[start:stop], claims[start:stop])
        return softmax(scores)

    def _scores(self, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray:
        """Weigh the features of some pairs linearly; one score a pair and label (n × k).

        Features and weights are multiples of powers of two, so that products and sums are exact, in whatever order.
        """
        extractor = self.extractor
        view = extractor.view(quotes, claims)
        scores = product(extractor.dense(view), self.dense) + self.intercept + extractor.word_scores(view)
        pairs, weights = [], []
        for family, value in extractor.values.items():
            if family in self._cells:
                scores += np.take(self._cells[family], extractor.cell_rows(view, family), axis=0).sum(axis=0)
            for entries in extractor.pair_entries(view, family):
                pairs.append(entries.pair)
                weights.append(np.take(self.sparse, entries.slot, axis=0) * value)
        if pairs:
            pair, weight = np.concatenate(pairs), np.concatenate(weights)
            for label in range(scores.shape[1]):
                scores[:, label] += np.bincount(pair, weights=weight[:, label], minlength=view.count)
        return scores


def read_lexicon(lexicons: Sequence[dict]) -> Lexicon:
    """Compile the word lists of a bundle.

    Raises:
        BundleError: they are malformed.
    """
    try:
        return Lexicon(lexicons)
    except (ClaimstanceError, TypeError, AttributeError, KeyError, ValueError) as error:
        raise BundleError(f"the model's word lists are malformed ({error}); export the model again") from None


def _in_steps(weights: np.ndarray) -> np.ndarray:
    return np.rint(weights.astype(np.float64) * _STEPS) / _STEPS


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return exp(s) / Σ exp(s) along the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _chunks(quotes: Sequence[str], claims: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield bounds of chunks of limited pairs and characters; a longer pair is a chunk of its own."""
    sizes = [len(quote) + len(claim) for quote, claim in zip(quotes, claims, strict=True)]
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        fitting = int(np.searchsorted(ends, before + _CHUNK_CHARACTERS, side="right"))
        stop = max(min(fitting, start + _CHUNK_PAIRS), start + 1)
        yield start, stop
        start = stop
