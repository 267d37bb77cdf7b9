"""Metrics of stance predictions, as pure functions of arrays; their names stand here and nowhere else.

Labels are integers into a list of labels. A model that abstains predicts the label of no stance, so every pair has a
prediction, and taking a stance on a pair without one costs precision.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MACRO_F1 = "macro_f1"
ACCURACY = "accuracy"
COVERAGE = "coverage"
CALIBRATION_ERROR = "calibration_error"
BRIER = "brier_score"
RISK_COVERAGE_AREA = "risk_coverage_area"
CONTRAST_ALL_RIGHT = "contrast_all_right"


def macro_over_name(labels: Sequence[str]) -> str:
    """Name the macro-F1 over a subset of labels: ``agree_disagree_macro_f1``."""
    return f"{'_'.join(labels)}_{MACRO_F1}"


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, labels: int) -> np.ndarray:
    """Count pairs by true label (row) and predicted label (column); returns labels × labels integers."""
    return np.bincount(truth * labels + predicted, minlength=labels * labels).reshape(labels, labels)


def precision_recall_f1(confusion: np.ndarray) -> np.ndarray:
    """Return precision, recall and F1 of every label (3 × labels, 0 to 1; 0 where undefined)."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    predicted, true = confusion.sum(axis=-2), confusion.sum(axis=-1)
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(true, 1)
    f1 = 2 * hits / np.maximum(predicted + true, 1)
    return np.stack((precision, recall, f1))


def macro_f1(confusion: np.ndarray, over: Sequence[int]) -> float:
    """Return the unweighted mean of F1 over some labels (0 to 1)."""
    return float(precision_recall_f1(confusion)[2][list(over)].mean())


def accuracy(confusion: np.ndarray) -> float:
    """Return the share of pairs whose label is predicted (0 to 1)."""
    return float(np.trace(confusion) / max(confusion.sum(), 1))


def equal_mass_bins(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> np.ndarray:
    """Return (mean confidence, share correct, number of pairs) of each bin of equally many pairs (bins × 3)."""
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if part.size]
    return np.array([(confidence[part].mean(), correct[part].mean(), part.size) for part in parts]).reshape(-1, 3)


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> float:
    """Return the expected calibration error over equal-mass bins (0 to 1).

    The mean of |share correct − mean confidence| over the bins, weighed by their size (Naeini et al., AAAI 2015;
    equal-mass bins after Nguyen & O'Connor, EMNLP 2015).
    """
    table = equal_mass_bins(confidence, correct, bins)
    return float(np.abs(table[:, 0] - table[:, 1]) @ table[:, 2] / max(table[:, 2].sum(), 1))


def brier_score(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean squared distance between probabilities and the true label's indicator (0 to 2; Brier 1950)."""
    indicator = np.eye(probabilities.shape[1])[truth]
    return float(((probabilities - indicator) ** 2).sum(axis=1).mean())


def risk_coverage_area(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return the area under the risk–coverage curve (0 to 1, lower is better).

    The mean over k of the error rate among the k most confident pairs (Geifman & El-Yaniv, NeurIPS 2017); pairs of
    equal confidence share their mean error, so that their order does not matter.
    """
    order = np.argsort(-confidence, kind="stable")
    _, group = np.unique(-confidence[order], return_inverse=True)
    error = 1.0 - correct[order].astype(float)
    mean_error = np.bincount(group, weights=error) / np.bincount(group)
    return float((np.cumsum(mean_error[group]) / np.arange(1, error.size + 1)).mean())


def all_right_rate(right: np.ndarray, groups: Sequence[str]) -> float:
    """Return the share of groups whose pairs are all right (0 to 1; nan where no pair is in a group).

    Args:
        right: n booleans.
        groups: n names; an empty one is no group. Source: the consistency of contrast sets, Gardner et al., EMNLP 2020.
    """
    names = np.asarray(groups)
    member = names != ""
    if not member.any():
        return float("nan")
    _, group = np.unique(names[member], return_inverse=True)
    return float((np.bincount(group, weights=~right[member]) == 0).mean())


def clustered_bootstrap(
    truth: np.ndarray,
    predicted: np.ndarray,
    labels: int,
    over: Sequence[int],
    clusters: Sequence[str],
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % percentile interval of macro-F1 when whole clusters (events) are drawn with replacement.

    Pairs of one event are alike, so drawing single pairs would make the interval too narrow (Davison & Hinkley 1997,
    section 3.8).
    """
    _, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    count = cluster.max() + 1
    cell = (cluster * labels + truth) * labels + predicted
    confusion = np.bincount(cell, minlength=count * labels * labels).reshape(count, labels * labels)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    drawn = (weights @ confusion).reshape(draws, labels, labels)
    figures = precision_recall_f1(drawn)[2][:, list(over)].mean(axis=1)
    low, high = np.quantile(figures, (0.025, 0.975))
    return float(low), float(high)
