"""Metrics: equal to scikit-learn's where it has them, equal to worked examples where it does not."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from evaluation import metrics


def drawn(seed: int, labels: int = 4, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Random truth and predictions that are often right; the last label is never predicted for odd seeds."""
    random = np.random.default_rng(seed)
    truth = random.integers(labels, size=count)
    predicted = np.where(random.random(count) < 0.6, truth, random.integers(labels, size=count))
    if seed % 2:
        predicted[predicted == labels - 1] = 0
    return truth, predicted


@pytest.mark.parametrize("seed", range(6))
def test_confusion_precision_recall_and_f1_are_those_of_scikit_learn(seed: int) -> None:
    truth, predicted = drawn(seed)
    labels = np.arange(4)
    confusion = metrics.confusion_matrix(truth, predicted, 4)
    np.testing.assert_array_equal(confusion, sklearn.metrics.confusion_matrix(truth, predicted, labels=labels))
    theirs = sklearn.metrics.precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    np.testing.assert_allclose(metrics.precision_recall_f1(confusion), np.stack(theirs[:3]))
    assert metrics.accuracy(confusion) == pytest.approx(sklearn.metrics.accuracy_score(truth, predicted))


@pytest.mark.parametrize("over", [[0, 1, 2, 3], [0, 1, 2], [1, 3]])
@pytest.mark.parametrize("seed", [0, 1])
def test_macro_f1_over_some_labels_is_that_of_scikit_learn(seed: int, over: list[int]) -> None:
    truth, predicted = drawn(seed)
    theirs = sklearn.metrics.f1_score(truth, predicted, labels=over, average="macro", zero_division=0)
    assert metrics.macro_f1(metrics.confusion_matrix(truth, predicted, 4), over) == pytest.approx(theirs)


def test_figures_of_many_confusion_matrices_at_once_are_those_of_each() -> None:
    each = [metrics.confusion_matrix(*drawn(seed), 4) for seed in range(3)]
    together = metrics.precision_recall_f1(np.stack(each))
    np.testing.assert_array_equal(together, np.stack([metrics.precision_recall_f1(one) for one in each], axis=1))


def test_a_label_that_never_occurs_counts_as_zero_without_a_warning() -> None:
    confusion = metrics.confusion_matrix(np.array([0, 0]), np.array([0, 0]), 3)
    assert metrics.precision_recall_f1(confusion).tolist() == [[1, 0, 0]] * 3
    assert metrics.macro_f1(confusion, [0, 1]) == 0.5


def test_a_stance_taken_on_a_pair_without_one_costs_precision_and_no_recall() -> None:
    stance, none = 0, 1
    truth = np.array([stance, stance, none, none])
    careful = metrics.precision_recall_f1(metrics.confusion_matrix(truth, np.array([0, 0, 1, 1]), 2))
    eager = metrics.precision_recall_f1(metrics.confusion_matrix(truth, np.array([0, 0, 0, 0]), 2))
    assert careful[:, stance].tolist() == [1, 1, 1]
    assert eager[:, stance] == pytest.approx([0.5, 1, 2 / 3])


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (metrics.of_language("ar"), "macro_f1_ar"),
        (metrics.of_label("precision", "deny"), "precision_deny"),
        (metrics.macro_over_name(["agree", "disagree"]), "agree_disagree_macro_f1"),
        (metrics.conformal_name("coverage", 0.9), "conformal_coverage_90"),
        (metrics.conformal_name("size", 0.95), "conformal_size_95"),
    ],
)
def test_a_figure_is_named_after_what_it_is_of(given: str, name: str) -> None:
    assert given == name


def test_a_contrast_group_counts_when_all_of_it_is_right() -> None:
    right = np.array([True, True, True, False, False, True])
    assert metrics.all_right_rate(right, ["a", "a", "b", "b", "", ""]) == 0.5
    assert np.isnan(metrics.all_right_rate(right, [""] * 6))
