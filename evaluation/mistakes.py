"""Error analysis: the most confident mistakes with what drove them, and the labels that the model doubts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

from claimstance.explanation import WordPush, explain
from claimstance.predictor import Predictor
from evaluation.scoring import LabelledPairs, Scores


@dataclass(frozen=True)
class Mistake:
    """A stance taken wrongly: the index of the pair, the true and the predicted label, the confidence, and what pushed
    from the true label to the predicted one: ``parts`` of the pair as a whole (log-odds by name) and ``words``."""

    index: int
    truth: str
    predicted: str
    confidence: float
    parts: dict[str, float]
    words: tuple[tuple[WordPush, float], ...]


@dataclass(frozen=True)
class Doubt:
    """A label that the model doubts: the index of the pair, its label, the label the model gives, and ``quality``, the
    probability that the model gives the label (0 to 1)."""

    index: int
    label: str
    likelier: str
    quality: float


def confident_mistakes(predictor: Predictor, scores: Scores, pairs: LabelledPairs, count: int = 20) -> list[Mistake]:
    """Return the wrong stances taken with most confidence, each explained; abstentions are no mistakes here."""
    abstain = predictor.manifest.abstain_label
    taken = np.array([scores.labels[label] != abstain for label in scores.predicted])
    wrong = np.flatnonzero(~scores.right & taken)
    worst = wrong[np.argsort(-scores.confidence[wrong], kind="stable")][:count]
    mistakes = []
    for index in worst.tolist():
        truth, predicted = scores.labels[scores.truth[index]], scores.labels[scores.predicted[index]]
        found = explain(predictor, pairs.quotes[index], pairs.claims[index])
        parts = {name: found.towards(push, predicted, truth) for name, push in found.parts.items()}
        words = tuple((word, found.towards(word.push, predicted, truth)) for word in found.strongest(predicted, truth))
        mistakes.append(Mistake(index, truth, predicted, float(scores.confidence[index]), parts, words))
    return mistakes


def doubted_labels(scores: Scores, count: int = 20) -> list[Doubt]:
    """Return the pairs whose label is probably wrong by confident learning, the least likely label first.

    A label is doubted when the model is as sure of another one as it is, on average, of the pairs that bear that one
    (Northcutt, Jiang & Chuang, "Confident Learning", JAIR 2021). It ranks what to look at again; nothing is dropped by it.
    """
    if np.unique(scores.truth).size < len(scores.labels):
        return []
    doubted = find_label_issues(scores.truth, scores.probabilities, filter_by="confident_learning", n_jobs=1)
    quality = get_label_quality_scores(scores.truth, scores.probabilities)
    ranked = np.flatnonzero(doubted)[np.argsort(quality[doubted], kind="stable")][:count]
    return [
        Doubt(
            index,
            scores.labels[scores.truth[index]],
            scores.labels[scores.probabilities[index].argmax()],
            float(quality[index]),
        )
        for index in ranked.tolist()
    ]
