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
ACCURACY_AT_80 = "accuracy_at_80_coverage"
SHORTCUT_GAIN = "shortcut_gain"
INVARIANCE_PASS_RATE = "invariance_pass_rate"
DIRECTED_PASS_RATE = "directed_pass_rate"
OTHER_EVENT_ABSTAINED = "other_event_abstained"
SWAP_UNCHANGED = "swap_unchanged"
SEEDS_MEAN = "seeds_mean"
SEEDS_DEVIATION = "seeds_deviation"


def of_label(name: str, label: str) -> str:
    """Name the ``precision``, ``recall`` or ``f1`` of one label: ``f1_deny``."""
    return f"{name}_{label}"


def of_language(language: str) -> str:
    """Name the macro-F1 over the pairs of one language: ``macro_f1_ar``."""
    return f"{MACRO_F1}_{language}"


def conformal_name(what: str, level: float) -> str:
    """Name the ``coverage`` or mean ``size`` of conformal sets made for a level: ``conformal_coverage_90``."""
    return f"conformal_{what}_{level * 100:.0f}"


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
