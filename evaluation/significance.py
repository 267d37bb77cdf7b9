"""How sure a figure is: intervals and tests that know that pairs of one event are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from evaluation.metrics import precision_recall_f1

DRAWS = 2000


def confusions_by_cluster(truth: np.ndarray, predicted: np.ndarray, labels: int, clusters: Sequence[str]) -> np.ndarray:
    """Return the confusion matrix of every cluster, in the order of their sorted names (clusters × labels × labels)."""
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    cell = (cluster * labels + truth) * labels + predicted
    return np.bincount(cell, minlength=names.size * labels * labels).reshape(names.size, labels, labels)


def drawn(counts: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Add up the counts of as many clusters as there are, drawn with replacement, so many times.

    Pairs of one event are alike, so drawing single pairs would make an interval too narrow (Davison & Hinkley 1997, section
    3.8). Equal seeds draw the same clusters, which pairs the draws of two models.

    Args:
        counts: clusters × anything.
        draws: how many times.
        seed: of the draw.

    Returns:
        draws × anything.
    """
    clusters = len(counts)
    weights = np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), size=draws)
    return (weights @ counts.reshape(clusters, -1)).reshape(draws, *counts.shape[1:])


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile interval of bootstrap values; nan values, of draws without any pair, are left out."""
    low, high = np.nanquantile(values, (0.025, 0.975))
    return float(low), float(high)


def macro_f1_draws(confusions: np.ndarray, over: Sequence[int], draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Return macro-F1 over some labels in each bootstrap draw of clusters (draws).

    Args:
        confusions: clusters × labels × labels.
        over: indices of the labels to average.
        draws: how many times to draw.
        seed: of the draw.
    """
    return precision_recall_f1(drawn(confusions, draws, seed))[2][:, list(over)].mean(axis=1)


class McNemar(NamedTuple):
    """``only_first`` and ``only_second`` count the pairs that one model alone has right; ``p`` is the two-sided exact
    binomial probability of a split at least as uneven if both were equally good."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> McNemar:
    """Test whether two models err equally often on the same pairs (McNemar, Psychometrika 1947; the exact form).

    It takes pairs as independent, which pairs of one event are not: read it beside the clustered interval.

    Args:
        first_right: n booleans.
        second_right: n booleans, of the same pairs.
    """
    first, second = int((first_right & ~second_right).sum()), int((~first_right & second_right).sum())
    return McNemar(first, second, float(binomtest(first, first + second).pvalue) if first + second else 1.0)
