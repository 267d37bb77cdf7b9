"""Scores of an exported bundle on labelled pairs, through the same Predictor that users call."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from claimstance.errors import RecordError, did_you_mean
from claimstance.predictor import Predictor, sides_read
from claimstance.tables import read_rows
from evaluation import calibration, metrics
from evaluation.significance import confusions_by_cluster, interval, macro_f1_draws

ANNOTATIONS = ("lang", "topic", "genre", "form", "pattern")
"""Fields of a record that slice an evaluation."""

FIELDS = ("id", "event", "quote", "claim", "stance", "contrast", "speaker", *ANNOTATIONS)
"""Fields of a row that an evaluation reads; the others of a file are passed over."""


@dataclass(frozen=True)
class LabelledPairs:
    """Pairs to score a model on: parallel lists, with an empty text where a field is unknown.

    ``contrasts`` name the group of minimally different pairs that each is in; ``slices`` has a list for each of
    ANNOTATIONS.
    """

    ids: list[str]
    quotes: list[str]
    claims: list[str]
    labels: list[str]
    events: list[str]
    contrasts: list[str]
    speakers: list[str]
    slices: dict[str, list[str]]

    @classmethod
    def from_columns(cls, columns: Mapping[str, list[str]]) -> LabelledPairs:
        """Make pairs of the columns of FIELDS."""
        return cls(
            columns["id"],
            columns["quote"],
            columns["claim"],
            columns["stance"],
            columns["event"],
            columns["contrast"],
            columns["speaker"],
            {name: columns[name] for name in ANNOTATIONS},
        )

    def __len__(self) -> int:
        return len(self.quotes)


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
    def right(self) -> np.ndarray:
        """Whether the prediction, abstention included, is the true label (n booleans)."""
        return self.predicted == self.truth

    @property
    def confusion(self) -> np.ndarray:
        return metrics.confusion_matrix(self.truth, self.predicted, len(self.labels))


def read_labelled(
    path: str | os.PathLike[str], predictor: Predictor, columns: Mapping[str, str] | None = None
) -> LabelledPairs:
    """Read a file with the fields quote, claim (unless the model reads quotes alone), stance and, if there, the others.

    Args:
        path: a JSONL, CSV or TSV file.
        predictor: the model that the pairs are for.
        columns: the file's name for a field of FIELDS where it differs.

    Raises:
        ClaimstanceError: the file cannot be read, a field is missing, or a stance is not a label of the model.
    """
    table: dict[str, list[str]] = {name: [] for name in FIELDS}
    labels = predictor.manifest.labels
    needed = (*predictor.manifest.sides, "stance")
    for number, row in read_rows(path, columns):
        for name in needed:
            if not isinstance(row.get(name), str) or not row[name].strip():
                raise RecordError(
                    f"{path}:{number}: {name} is missing or empty, expected the fields {', '.join(needed)}; "
                    f"map other names with --columns {name}=COLUMN"
                )
        if row["stance"] not in labels:
            raise RecordError(
                f"{path}:{number}: stance {row['stance']!r} is not one of the model's labels, "
                f"{', '.join(labels)}{did_you_mean(row['stance'], labels)}"
            )
        # A pair whose event is unknown is an event of its own.
        unknown = {"id": f"line {number}", "event": str(number)}
        for name, column in table.items():
            value = row.get(name)
            column.append(unknown.get(name, "") if value in (None, "") else str(value))
    return LabelledPairs.from_columns(table)


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
    over = [index[label] for label in manifest.stances]
    best_stance = np.array(over)[probabilities[:, over].argmax(axis=1)]
    stance_right = best_stance == truth

    confusion = metrics.confusion_matrix(truth, predicted, len(labels))
    subsets = {metrics.MACRO_F1: over}
    subsets |= {metrics.macro_over_name(subset): [index[label] for label in subset] for subset in macro_over}
    figures = {name: metrics.macro_f1(confusion, subset) for name, subset in subsets.items()}
    figures[metrics.ACCURACY] = metrics.accuracy(confusion)
    figures[metrics.COVERAGE] = float(took_stance.mean())
    figures[metrics.CALIBRATION_ERROR] = calibration.calibration_error(confidence, stance_right)
    figures[metrics.BRIER] = calibration.brier_score(probabilities, truth)
    figures[metrics.RISK_COVERAGE_AREA] = calibration.risk_coverage_area(confidence, stance_right)
    figures[metrics.ACCURACY_AT_80] = calibration.accuracy_at_coverage(confidence, stance_right, 0.8)
    all_right = metrics.all_right_rate(predicted == truth, pairs.contrasts)
    if not np.isnan(all_right):
        figures[metrics.CONTRAST_ALL_RIGHT] = all_right
    for name, values in zip(("precision", "recall", "f1"), metrics.precision_recall_f1(confusion), strict=True):
        figures |= {metrics.of_label(name, label): float(value) for label, value in zip(labels, values, strict=True)}
    by_event = confusions_by_cluster(truth, predicted, len(labels), pairs.events)
    bounds = {name: interval(macro_f1_draws(by_event, subset)) for name, subset in subsets.items()}
    return Scores(labels, truth, predicted, probabilities, confidence, stance_right, figures, bounds)
