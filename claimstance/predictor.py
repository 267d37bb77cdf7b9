"""Stances from an exported model."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, Self

import numpy as np

from claimstance.bundle import AnyBundle, Bundle, EnsembleBundle, Manifest, read_bundle
from claimstance.ensemble import EnsembleModel
from claimstance.errors import BundleError, ClaimstanceError
from claimstance.lexicon import Lexicon
from claimstance.linear import LinearModel
from claimstance.records import Pair


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

    def __init__(self, bundle: AnyBundle) -> None:
        self.bundle = bundle
        self.model = open_model(bundle)
        self._stances = np.flatnonzero([label != self.manifest.abstain_label for label in self.manifest.labels])

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

    @property
    def lexicon(self) -> Lexicon:
        return self.model.lexicon

    def probabilities(self, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray:
        """Return the probability of every label of ``manifest.labels`` (n × k, float64)."""
        return self.model.probabilities(quotes, claims)

    def decide(self, probabilities: np.ndarray) -> list[Prediction]:
        """Turn a table of probabilities (n × k) into predictions, abstaining below the model's threshold."""
        labels = self.manifest.labels
        chosen, confidence = self.choose(probabilities)
        # The last stands for what the model abstains from, whose index is -1.
        names = (*labels, None)
        stances = [names[index] for index in chosen.tolist()]
        by_label = map(dict, map(zip, itertools.repeat(labels), probabilities.tolist()))
        return list(map(Prediction._make, zip(stances, confidence.tolist(), by_label, strict=True)))

    def choose(self, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the index of every pair's stance in ``manifest.labels``, -1 where the model abstains, and the confidence,
        the probability of the likeliest stance (n each) of a table of probabilities (n × k)."""
        best = self._stances[np.take(probabilities, self._stances, axis=1).argmax(axis=1)]
        confidence = probabilities[np.arange(len(best)), best]
        return np.where(confidence >= self.manifest.threshold, best, -1), confidence

    def _texts(self, pairs: Iterable[Pair | tuple[str, str] | str]) -> tuple[list[str], list[str]]:
        quotes, claims = [], []
        needs_claim = "claim" in self.manifest.sides
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


class StanceModel(Protocol):
    """What a model of any kind can do: give the probability of every label (n × k) for n quotes and claims."""

    lexicon: Lexicon

    def probabilities(self, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray: ...


def open_model(bundle: AnyBundle) -> StanceModel:
    """Make a bundle ready to answer.

    Raises:
        ClaimstanceError: the bundle is malformed, or needs a package that is not installed.
    """
    if isinstance(bundle, Bundle):
        return LinearModel(bundle)
    if isinstance(bundle, EnsembleBundle):
        return EnsembleModel(bundle, [open_model(member) for member in bundle.members])
    # Its own packages are an extra, which linear models do without.
    from claimstance.encoder import EncoderModel

    return EncoderModel(bundle)
