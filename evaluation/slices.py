"""Figures on parts of the pairs: where a model is good, and where an average hides that it is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from evaluation.metrics import accuracy, precision_recall_f1
from evaluation.scoring import LabelledPairs, Scores
from evaluation.significance import confusions_by_cluster, drawn, interval

_TITLES = {
    "lang": "language",
    "topic": "topic",
    "genre": "genre",
    "form": "reporting verb",
    "pattern": "construction",
}
_SHOWN = {("form", "reported"): "with", ("form", "bare"): "without (bare speech)"}
_LENGTHS = ((14, "up to 14 words"), (24, "15 to 24"), (39, "25 to 39"), (10**9, "40 and more"))
_FEWEST_OF_A_STANCE = 5
LENGTH = "quote length"


@dataclass(frozen=True)
class Slice:
    """Figures of the pairs that share one ``value`` of one ``dimension``.

    ``accuracy`` counts abstention as the label of no stance, with its 95 % interval by event (None for a single event, of
    which nothing can be drawn); ``macro_f1`` is over the stances, and None where one of them has fewer than five pairs.
    """

    dimension: str
    value: str
    pairs: int
    events: int
    accuracy: float
    interval: tuple[float, float] | None
    macro_f1: float | None


def slices_of(scores: Scores, pairs: LabelledPairs, stances: list[int]) -> list[Slice]:
    """Score every value of every annotation that tells pairs apart, and quote length; the largest part first.

    Args:
        scores: of the model on the pairs.
        pairs: the pairs.
        stances: indices of the labels that are stances.
    """
    found = []
    for dimension, values in _dimensions(pairs):
        column = np.array(values)
        names, counts = np.unique(column[column != ""], return_counts=True)
        if names.size < 2:
            continue
        if dimension == LENGTH:
            names = [name for _, name in _LENGTHS if name in names]
        else:
            names = names[np.argsort(-counts, kind="stable")].tolist()
        found += [_slice(scores, pairs, stances, dimension, name, column == name) for name in names]
    return found


def _dimensions(pairs: LabelledPairs) -> Iterator[tuple[str, list[str]]]:
    for name, title in _TITLES.items():
        yield title, [_SHOWN.get((name, value), value) for value in pairs.slices[name]]
    words = [len(quote.split()) for quote in pairs.quotes]
    yield LENGTH, [next(name for longest, name in _LENGTHS if count <= longest) for count in words]


def _slice(
    scores: Scores, pairs: LabelledPairs, stances: list[int], dimension: str, value: str, member: np.ndarray
) -> Slice:
    events = [pairs.events[index] for index in np.flatnonzero(member)]
    by_event = confusions_by_cluster(scores.truth[member], scores.predicted[member], len(scores.labels), events)
    total = by_event.sum(axis=0)
    draws = drawn(by_event)
    shares = np.trace(draws, axis1=1, axis2=2) / draws.sum(axis=(1, 2))
    enough = (total.sum(axis=1)[stances] >= _FEWEST_OF_A_STANCE).all()
    macro_f1 = float(precision_recall_f1(total)[2][stances].mean()) if enough else None
    return Slice(
        dimension,
        value,
        int(member.sum()),
        len(by_event),
        accuracy(total),
        interval(shares) if len(by_event) > 1 else None,
        macro_f1,
    )
