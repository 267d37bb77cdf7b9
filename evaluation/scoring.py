"""Scores of an exported bundle on labelled pairs, through the same Predictor that users call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from claimstance.errors import RecordError, did_you_mean
from claimstance.predictor import Predictor, sides_read
from claimstance.records import read_json_lines
from evaluation import metrics


@dataclass(frozen=True)
class LabelledPairs:
    """Pairs to score a model on: parallel lists of quotes, claims, true labels, events and contrast groups (empty for
    a pair in none)."""

    quotes: list[str]
    claims: list[str]
    labels: list[str]
    events: list[str]
    contrasts: list[str]


@dataclass(frozen=True)
class Scores:
    """What a model does on n labelled pairs.

    ``labels`` names the columns; ``truth`` and ``predicted`` (n) index it; ``probabilities`` (n × k); ``confidence`` (n)
    is that of the likeliest stance and ``correct`` (n) whether that stance is the true label, taken or not; ``figures``
    are the metrics by name; ``interval`` is the 95 % bootstrap interval of each macro-F1 by name, clustered by event.
    """

    labels: tuple[str, ...]
    truth: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    confidence: np.ndarray
    correct: np.ndarray
    figures: dict[str, float]
    interval: dict[str, tuple[float, float]]

    @property
    def confusion(self) -> np.ndarray:
        return metrics.confusion_matrix(self.truth, self.predicted, len(self.labels))


def read_labelled(path: str | os.PathLike[str], predictor: Predictor) -> LabelledPairs:
    """Read a JSONL file with the fields quote, claim (unless the model reads quotes alone), stance and, if there, event.

    Raises:
        ClaimstanceError: the file cannot be read, a field is missing, or a stance is not a label of the model.
    """
    rows = LabelledPairs([], [], [], [], [])
    labels = predictor.manifest.labels
    needed = ("quote", "stance") if predictor.manifest.inputs == "quote" else ("quote", "claim", "stance")
    for number, row in read_json_lines(path):
        for name in needed:
            if not isinstance(row.get(name), str) or not row[name].strip():
                raise RecordError(
                    f"{path}:{number}: {name} is missing or empty, expected the fields {', '.join(needed)}"
                )
        if row["stance"] not in labels:
            raise RecordError(
                f"{path}:{number}: stance {row['stance']!r} is not one of the model's labels, "
                f"{', '.join(labels)}{did_you_mean(row['stance'], labels)}"
            )
        rows.quotes.append(row["quote"])
        rows.claims.append(row.get("claim", ""))
        rows.labels.append(row["stance"])
        rows.events.append(str(row.get("event", number)))
        rows.contrasts.append(str(row.get("contrast", "")))
    return rows


def score_model(predictor: Predictor, pairs: LabelledPairs, macro_over: Sequence[Sequence[str]] = ()) -> Scores:
    """Predict and score labelled pairs.

    Args:
        predictor: the model.
        pairs: the pairs; every label is one of the model's.
        macro_over: further subsets of labels to give a macro-F1 over.
    """
    manifest = predictor.manifest
    labels = manifest.labels
    index = {label: number for number, label in enumerate(labels)}
    truth = np.array([index[label] for label in pairs.labels])
    probabilities = predictor.probabilities(*sides_read(pairs.quotes, pairs.claims, manifest.inputs))
    predictions = predictor.decide(probabilities)
    given = [prediction.stance or manifest.abstain_label for prediction in predictions]
    predicted = np.array([index[label] for label in given])
    confidence = np.array([prediction.confidence for prediction in predictions])
    took_stance = np.array([prediction.stance is not None for prediction in predictions])
    best_stance = np.array(
        [max(manifest.stances, key=prediction.probabilities.__getitem__) for prediction in predictions]
    )
    stance_right = best_stance == np.array(pairs.labels)

    confusion = metrics.confusion_matrix(truth, predicted, len(labels))
    over = [index[label] for label in manifest.stances]
    subsets = {metrics.MACRO_F1: over}
    subsets |= {metrics.macro_over_name(subset): [index[label] for label in subset] for subset in macro_over}
    figures = {name: metrics.macro_f1(confusion, subset) for name, subset in subsets.items()}
    figures[metrics.ACCURACY] = metrics.accuracy(confusion)
    figures[metrics.COVERAGE] = float(took_stance.mean())
    figures[metrics.CALIBRATION_ERROR] = metrics.calibration_error(confidence, stance_right)
    figures[metrics.BRIER] = metrics.brier_score(probabilities, truth)
    figures[metrics.RISK_COVERAGE_AREA] = metrics.risk_coverage_area(confidence, stance_right)
    all_right = metrics.all_right_rate(predicted == truth, pairs.contrasts)
    if not np.isnan(all_right):
        figures[metrics.CONTRAST_ALL_RIGHT] = all_right
    precision, recall, f1 = metrics.precision_recall_f1(confusion)
    for number, label in enumerate(labels):
        figures[f"precision_{label}"] = float(precision[number])
        figures[f"recall_{label}"] = float(recall[number])
        figures[f"f1_{label}"] = float(f1[number])
    interval = {
        name: metrics.clustered_bootstrap(truth, predicted, len(labels), subset, pairs.events)
        for name, subset in subsets.items()
    }
    return Scores(labels, truth, predicted, probabilities, confidence, stance_right, figures, interval)
