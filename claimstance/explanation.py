"""Why a model says what it says of one pair: what each word, and the pair as a whole, pushed towards which label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from claimstance.alignment import CLAIM, QUOTE
from claimstance.errors import ClaimstanceError, did_you_mean
from claimstance.families import cue_words
from claimstance.lexicon import CUE_CLASSES
from claimstance.linear import LinearModel
from claimstance.meanings import APART, OPPOSED, SAME
from claimstance.predictor import Prediction, Predictor, sides_read
from claimstance.view import COMPOSING, PairView
from claimstance.words import word_spans

METHODS = ("contributions", "occlusion")
"""How words are weighed: by the terms of a linear score, or by what changes when a word is left out."""

_SIDES = {QUOTE: "quote", CLAIM: "claim"}
START = "where the model starts, nothing shared and no cue"
COVERAGE = "how far quote and claim cover each other"
QUESTIONS = "question marks"


@dataclass(frozen=True)
class WordPush:
    """One word of the ``quote`` or the ``claim`` (``side``), as written (``text``, at ``start``), and its push towards
    each label (k floats, log-odds against the labels' mean)."""

    side: str
    text: str
    start: int
    push: np.ndarray


@dataclass(frozen=True)
class Explanation:
    """What made the prediction of one pair.

    ``words`` in reading order, quote first; ``parts`` is what is owed to no single word, by its name in plain words (k
    floats each). ``scores`` (k floats) are the log of each probability against the labels' mean log. With the method
    ``contributions`` they are the sum of ``parts`` and ``words``; ``occlusion`` gives no parts, and its pushes need not add up.
    """

    labels: tuple[str, ...]
    prediction: Prediction
    scores: np.ndarray
    parts: dict[str, np.ndarray]
    words: tuple[WordPush, ...]

    def strongest(self, label: str, against: str | None = None, count: int = 8) -> list[WordPush]:
        """Return the words that push most towards ``label``, or from ``against`` to it, strongest first."""
        pushes = [(self.towards(word.push, label, against), word) for word in self.words]
        ranked = sorted((item for item in pushes if item[0] > 0), key=lambda item: -item[0])
        return [word for _, word in ranked[:count]]

    def towards(self, push: np.ndarray, label: str, against: str | None = None) -> float:
        """Return how far a push goes towards ``label``, against the labels' mean or against another label (log-odds)."""
        return float(push[self.labels.index(label)] - (push[self.labels.index(against)] if against else 0.0))


def explain(predictor: Predictor, quote: str, claim: str, method: str | None = None) -> Explanation:
    """Explain the prediction of one pair.

    Args:
        predictor: the model.
        quote: the statement.
        claim: the proposition; may be empty for a model of quotes alone.
        method: one of METHODS. ``contributions`` is exact, and the choice for linear models; they alone have them.
            ``occlusion`` leaves out one word at a time and takes what the scores lose (Li, Monroe & Jurafsky 2016,
            "Understanding neural networks through representation erasure").

    Raises:
        ClaimstanceError: the method is unknown, or contributions are asked of a model that is not linear.
    """
    linear = predictor.model if isinstance(predictor.model, LinearModel) else None
    method = method or ("contributions" if linear else "occlusion")
    if method not in METHODS:
        raise ClaimstanceError(f"{method!r} is not one of {', '.join(METHODS)}{did_you_mean(method, METHODS)}")
    if method == "contributions" and linear is None:
        raise ClaimstanceError(f"a model of kind {predictor.manifest.kind} has no terms to share out; use occlusion")
    ((quote,), (claim,)) = sides_read([quote], [claim], predictor.manifest.inputs)
    probabilities = predictor.probabilities([quote], [claim])
    (prediction,) = predictor.decide(probabilities)
    texts = [word_spans(text) for text in (quote, claim)]
    if method == "occlusion":
        scores, parts = _centred_logs(probabilities[0]), {}
        pushes = _occluded(predictor, texts, scores)
    else:
        parts, pushes = _contributions(linear, quote, claim)
        scores = np.sum([*parts.values(), *pushes], axis=0)
    places = [
        (_SIDES[side], text[start:stop], start) for side, (text, spans) in enumerate(texts) for start, stop in spans
    ]
    words = tuple(WordPush(*place, push) for place, push in zip(places, pushes, strict=True))
    return Explanation(predictor.manifest.labels, prediction, scores, parts, words)


def _centred(pushes: np.ndarray) -> np.ndarray:
    """Take the labels' mean away: a push towards every label alike changes no probability."""
    return pushes - pushes.mean(axis=-1, keepdims=True)


def _centred_logs(probabilities: np.ndarray) -> np.ndarray:
    return _centred(np.log(np.maximum(probabilities, np.finfo(float).tiny)))


def _occluded(predictor: Predictor, texts: list[tuple[str, list[tuple[int, int]]]], scores: np.ndarray) -> np.ndarray:
    quotes, claims = [], []
    (quote, quote_spans), (claim, claim_spans) = texts
    for start, stop in quote_spans:
        quotes.append(quote[:start] + quote[stop:])
        claims.append(claim)
    for start, stop in claim_spans:
        quotes.append(quote)
        claims.append(claim[:start] + claim[stop:])
    return scores - _centred_logs(predictor.probabilities(quotes, claims))


def _contributions(model: LinearModel, quote: str, claim: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Split the linear score into its terms and give each to the words that its feature is made of, in equal parts.

    What a whole pair has no single word for is taken in three steps: with nothing shared and no cue, with what is shared,
    and with the cues and opposites; what the last step adds goes to the cues that compose and to the opposites.
    """
    extractor = model.extractor
    view = extractor.view([quote], [claim])
    composing = ((view.reading.classes & COMPOSING) != 0) | (view.reading.paired & view.alignment.exact)
    composing |= view.relations.opposed | view.relations.apart
    plain = replace(
        view,
        reading=replace(view.reading, classes=view.reading.classes & ~np.uint32(COMPOSING)),
        alignment=replace(view.alignment, turned=np.zeros_like(view.alignment.turned)),
        relations=view.relations.without(OPPOSED, APART),
    )
    nothing = np.zeros(view.words.count)
    bare = replace(
        plain,
        alignment=replace(plain.alignment, exact=nothing > 0, similarity=nothing, aligned=nothing > 0),
        relations=view.relations.without(SAME, OPPOSED, APART),
    )
    pushes = np.zeros((view.words.count, model.intercept.size))
    start, shared, whole = (_of_the_pair(model, step) for step in (bare, plain, view))
    parts = {START: model.intercept + start, COVERAGE: shared - start}
    if composing.any():
        pushes[composing] += (whole - shared) / composing.sum()
    else:
        parts[COVERAGE] += whole - shared
    for family, terms in _dense_terms(model, view):
        if family == "cues":
            parts[QUESTIONS] = _give_cues_to_words(view, terms, pushes).sum(axis=0)
    for family, entries in extractor.sparse_entries(view):
        for owner in entries.owners:
            terms = extractor.values[family] * model.sparse[entries.slot]
            np.add.at(pushes, owner, terms / len(entries.owners))
    return {name: _centred(push) for name, push in parts.items()}, _centred(pushes)


def _of_the_pair(model: LinearModel, view: PairView) -> np.ndarray:
    """Add up the terms of features that no single word owns (k)."""
    extractor = model.extractor
    total = np.zeros(model.intercept.size)
    for family, terms in _dense_terms(model, view):
        if family != "cues":
            total += terms.sum(axis=0)
    for family, entries in extractor.sparse_entries(view):
        if not entries.owners:
            total += extractor.values[family] * model.sparse[entries.slot].sum(axis=0)
    return total


def _dense_terms(model: LinearModel, view: PairView) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each dense family's terms of the score (its width × k)."""
    first = 0
    for family, block in model.extractor.dense_blocks(view):
        yield family, block * model.dense[first : first + len(block)]
        first += len(block)


def _give_cues_to_words(view: PairView, terms: np.ndarray, pushes: np.ndarray) -> np.ndarray:
    """Share the terms of cue counts among the cues of each class and side, in place; return what is left.

    The third block of columns is the difference of the counts, so its terms are a term of the quote's count less one
    of the claim's.
    """
    classes = len(CUE_CLASSES)
    word, cue = cue_words(view)
    side = view.alignment.side[word]
    found = np.bincount(side * classes + cue, minlength=2 * classes).reshape(2, classes)
    counts = np.minimum(found, 3)
    difference = terms[2 * classes : 3 * classes]
    by_count = difference / np.where(counts[QUOTE] != counts[CLAIM], counts[QUOTE] - counts[CLAIM], 1)[:, None]
    of_side = np.stack(
        (
            terms[:classes] + by_count * counts[QUOTE, :, None],
            terms[classes : 2 * classes] - by_count * counts[CLAIM, :, None],
        )
    )
    np.add.at(pushes, word, of_side[side, cue] / found[side, cue, None])
    return terms[3 * classes :]
