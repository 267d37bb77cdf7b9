"""Calibration and abstention: whether a confidence means what it says, as pure functions of arrays.

``confidence`` (n) is that of each pair's likeliest stance, ``correct`` (n booleans) whether that stance is the true label.
"""

from __future__ import annotations

import numpy as np


def equal_mass_bins(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> np.ndarray:
    """Return (mean confidence, share correct, number of pairs) of each bin of equally many pairs (bins × 3)."""
    order = np.argsort(confidence, kind="stable")
    share = _shared_among_ties(confidence, correct)
    parts = [part for part in np.array_split(order, bins) if part.size]
    return np.array([(confidence[part].mean(), share[part].mean(), part.size) for part in parts]).reshape(-1, 3)


def _shared_among_ties(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Give pairs of equal confidence the share of them that is correct, so that their order does not matter."""
    _, group = np.unique(confidence, return_inverse=True)
    return (np.bincount(group, weights=correct) / np.bincount(group))[group]


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


def risk_coverage_curve(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Return the error rate among the k most confident pairs for k = 1 … n (n floats, 0 to 1).

    Source: El-Yaniv & Wiener, JMLR 2010. Pairs of equal confidence share their mean error.
    """
    order = np.argsort(-confidence, kind="stable")
    error = 1.0 - _shared_among_ties(confidence, correct)[order]
    return np.cumsum(error) / np.arange(1, error.size + 1)


def risk_coverage_area(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return the area under the risk–coverage curve (0 to 1, lower is better): its mean (Geifman & El-Yaniv, NeurIPS 2017)."""
    return float(risk_coverage_curve(confidence, correct).mean())


def accuracy_at_coverage(confidence: np.ndarray, correct: np.ndarray, coverage: float) -> float:
    """Return the share correct among the most confident pairs, as many as make up ``coverage`` (above 0, to 1) of all."""
    kept = max(1, int(np.ceil(coverage * confidence.size - 1e-9)))
    return float(1 - risk_coverage_curve(confidence, correct)[kept - 1])


def conformal_threshold(probabilities: np.ndarray, truth: np.ndarray, level: float) -> float:
    """Return the probability from which a label enters the prediction set, so that sets hold the truth at ``level``.

    Split conformal prediction with the score 1 − p(true label): the threshold is the probability whose score is the
    ⌈(n + 1) · level⌉-th smallest of n calibration pairs, and 0 (every label) where n is too small (Vovk, Gammerman &
    Shafer 2005; Sadinle, Lei & Wasserman, JASA 2019). The promise holds for pairs exchangeable with the calibration pairs.

    Args:
        probabilities: n × k, of calibration pairs that the model was not fitted on.
        truth: n label indices.
        level: wanted share of sets that hold the truth, between 0 and 1.
    """
    likeliest_first = -np.sort(-probabilities[np.arange(truth.size), truth])
    rank = int(np.ceil((truth.size + 1) * level - 1e-9))
    return float(likeliest_first[rank - 1]) if rank <= truth.size else 0.0


def conformal_sets(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Return which labels are in each pair's prediction set (n × k booleans); a set may be empty."""
    return probabilities >= threshold
