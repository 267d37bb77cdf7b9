"""How well statements of articles are found: a one-to-one assignment to gold statements, and what is right of each.

Two statements are matched by the content words that they share (F1), so that the sum over an article is largest (the assignment
problem; Kuhn, "The Hungarian method", 1955). A gold statement is found when its match has an intersection over union of half or
more: overlap alone would let a whole paragraph win.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from claimstance.words import word_spans
from evaluation.gold import GoldArticle

FOUND = 0.5
"""Intersection over union, in words, from which a statement counts as found."""


class Span(NamedTuple):
    """Where something stands in a text: character offsets."""

    start: int
    stop: int


@dataclass(frozen=True)
class Matching:
    """Gold statements of one article and their matches: pairs of indices (``pairs``), and how many there are on each side."""

    pairs: tuple[tuple[int, int], ...]
    gold: int
    given: int


class Found(NamedTuple):
    """Counts of statements in gold and given, and how many of them are matched."""

    gold: int
    given: int
    matched: int

    @property
    def precision(self) -> float:
        return self.matched / self.given if self.given else 0.0

    @property
    def recall(self) -> float:
        return self.matched / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.matched / (self.gold + self.given) if self.gold + self.given else 0.0


def match(text: str, gold: Sequence[Span], given: Sequence[Span]) -> Matching:
    """Match statements of one article."""
    _, bounds = word_spans(text)
    starts = np.array([start for start, _ in bounds])
    sides = [[_words(starts, span) for span in side] for side in (gold, given)]
    shared = np.array([[len(one & other) for other in sides[1]] for one in sides[0]]).reshape(len(gold), len(given))
    sizes = np.array([[len(one) + len(other) for other in sides[1]] for one in sides[0]]).reshape(shared.shape)
    rows, columns = linear_sum_assignment(2 * shared / np.maximum(sizes, 1), maximize=True)
    union = np.maximum(sizes - shared, 1)
    pairs = [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if shared[r, c] / union[r, c] >= FOUND]
    return Matching(tuple(pairs), len(gold), len(given))


def _words(starts: np.ndarray, span: Span) -> frozenset[int]:
    return frozenset(range(*np.searchsorted(starts, (span.start, span.stop)).tolist()))


def found(matchings: Iterable[Matching]) -> Found:
    """Add up the matchings of several articles."""
    counts = [(each.gold, each.given, len(each.pairs)) for each in matchings]
    return Found(*(sum(column) for column in zip(*counts, strict=True))) if counts else Found(0, 0, 0)


@dataclass(frozen=True)
class Agreement:
    """How far two annotations of the same articles agree: on which statements there are (``found``, the first being gold), and
    on the shares of those found by both that have the same kind, class of cue, speaker, and stances."""

    found: Found
    kind: float
    cue_class: float
    speaker: float
    stances: float


def agreement(first: Sequence[GoldArticle], second: Sequence[GoldArticle]) -> Agreement:
    """Compare two annotations of the same articles, in the same order."""
    matchings, both = [], []
    for one, other in zip(first, second, strict=True):
        spans = ([Span(each.start, each.stop) for each in article.statements] for article in (one, other))
        matching = match(one.text, *spans)
        matchings.append(matching)
        both += [(one.statements[here], other.statements[there]) for here, there in matching.pairs]

    def share(same: Callable[[str, str], bool], name: str) -> float:
        return sum(same(getattr(a, name), getattr(b, name)) for a, b in both) / max(len(both), 1)

    def equal(one: object, other: object) -> bool:
        return one == other

    return Agreement(
        found(matchings),
        share(equal, "kind"),
        share(equal, "cue_class"),
        share(same_speaker, "speaker"),
        share(equal, "stances"),
    )


def same_speaker(one: str, other: str) -> bool:
    """Say whether two names are one speaker's: equal, or one with a title or description that the other is without."""
    words = [set(name.replace("،", " ").replace(",", " ").split()) for name in (one, other)]
    return words[0] <= words[1] or words[1] <= words[0]
