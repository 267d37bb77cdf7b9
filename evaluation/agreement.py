"""Agreement between annotators beyond chance, as pure functions of an array of units × annotators.

Labels are integers into a list of labels, as in ``evaluation.metrics``; ``MISSING`` stands where an annotator did not
label a unit.
"""

from __future__ import annotations

import numpy as np

from claimstance.errors import ClaimstanceError

MISSING = -1


def coincidence_matrix(table: np.ndarray, labels: int) -> np.ndarray:
    """Count how often two labels meet in one unit, each unit weighing as many counts as it has labels.

    ``o_ck = Σ_u n_uc (n_uk − [c = k]) / (m_u − 1)``, where ``n_uc`` annotators gave unit ``u`` the label ``c`` and
    ``m_u`` labelled it at all; units that fewer than two annotators labelled say nothing of agreement and are left out
    (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", University of Pennsylvania, section C).

    Args:
        table: units × annotators, integers from 0 to ``labels`` − 1, or ``MISSING``.
        labels: how many labels there are.

    Returns:
        labels × labels floats, symmetric; the sum is the number of labels that have another to be compared with.

    Raises:
        ClaimstanceError: ``table`` is no two-dimensional array of integers, or holds a number that is no label.
    """
    table = np.asarray(table)
    if table.ndim != 2 or not np.issubdtype(table.dtype, np.integer):
        raise ClaimstanceError(
            f"annotations are an array of {table.dtype} with {table.ndim} dimensions, expected integers, "
            f"units × annotators; number the labels and put {MISSING} where one is missing"
        )
    if table.size and (table.max() >= labels or table.min() < MISSING):
        unit, annotator = np.argwhere((table >= labels) | (table < MISSING))[0]
        raise ClaimstanceError(
            f"annotation of unit {unit} by annotator {annotator} is {table[unit, annotator]}, expected a label from 0 to "
            f"{labels - 1}, or {MISSING} where it is missing"
        )
    unit, annotator = np.nonzero(table != MISSING)
    cells = unit * labels + table[unit, annotator]
    counts = np.bincount(cells, minlength=table.shape[0] * labels).reshape(table.shape[0], labels)
    counts = counts[counts.sum(axis=1) >= 2].astype(float)
    weights = 1 / (counts.sum(axis=1) - 1)
    return (counts * weights[:, None]).T @ counts - np.diag(weights @ counts)


def krippendorff_alpha(table: np.ndarray, labels: int) -> float:
    """Return Krippendorff's alpha for nominal labels: 1 is perfect agreement, 0 is chance, below 0 is worse than chance.

    ``α = 1 − D_o / D_e = 1 − (n − 1) (n − Σ_c o_cc) / (n² − Σ_c n_c²)``, where ``o`` is the coincidence matrix, ``n_c``
    its row sums and ``n`` its sum (Krippendorff 2011, sections B and C; the missing labels are those of section C).

    Args:
        table: units × annotators, integers from 0 to ``labels`` − 1, or ``MISSING``.
        labels: how many labels there are.

    Returns:
        Alpha (at most 1); nan where it is undefined, which is when no unit has two labels or when only one label was
        ever given, so that chance could not have disagreed.

    Raises:
        ClaimstanceError: ``table`` is no two-dimensional array of integers, or holds a number that is no label.
    """
    coincidences = coincidence_matrix(table, labels)
    margins = coincidences.sum(axis=1)
    total = margins.sum()
    return float(_alpha(total - np.trace(coincidences), total**2 - (margins**2).sum(), total))


def alpha_by_label(table: np.ndarray, labels: int) -> np.ndarray:
    """Return Krippendorff's alpha of every label against all others.

    The formula of ``krippendorff_alpha`` over the coincidence matrix with all other labels merged into one: merging
    labels adds up their rows and columns, so ``D_o`` comes from ``2 (n_c − o_cc)`` and ``D_e`` from ``2 n_c (n − n_c)``.

    Args:
        table: units × annotators, integers from 0 to ``labels`` − 1, or ``MISSING``.
        labels: how many labels there are.

    Returns:
        ``labels`` floats (at most 1); nan for a label that was given never or always.

    Raises:
        ClaimstanceError: ``table`` is no two-dimensional array of integers, or holds a number that is no label.
    """
    coincidences = coincidence_matrix(table, labels)
    margins = coincidences.sum(axis=1)
    total = margins.sum()
    return _alpha(2 * (margins - np.diagonal(coincidences)), 2 * margins * (total - margins), total)


def _alpha(disagreeing: np.ndarray, expected: np.ndarray, total: float) -> np.ndarray:
    # The sums are of fractions, so a chance disagreement of nothing may come out as a rounding error above it.
    possible = expected > 1e-9 * max(total, 1.0) ** 2
    return np.where(possible, 1 - (total - 1) * disagreeing / np.where(possible, expected, 1.0), np.nan)
