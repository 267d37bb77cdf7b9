"""Metrics: equal to scikit-learn's where it has them, equal to worked examples where it does not."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from evaluation import metrics


def drawn(seed: int, labels: int = 4, count: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random truth, predictions that are often right, and probabilities; the last label is never predicted for odd seeds."""
    random = np.random.default_rng(seed)
    truth = random.integers(labels, size=count)
    predicted = np.where(random.random(count) < 0.6, truth, random.integers(labels, size=count))
    if seed % 2:
        predicted[predicted == labels - 1] = 0
    return truth, predicted, random.dirichlet(np.ones(labels), size=count)


@pytest.mark.parametrize("seed", range(6))
def test_confusion_precision_recall_and_f1_are_those_of_scikit_learn(seed: int) -> None:
    truth, predicted, _ = drawn(seed)
    labels = np.arange(4)
    confusion = metrics.confusion_matrix(truth, predicted, 4)
    np.testing.assert_array_equal(confusion, sklearn.metrics.confusion_matrix(truth, predicted, labels=labels))
    theirs = sklearn.metrics.precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    np.testing.assert_allclose(metrics.precision_recall_f1(confusion), np.stack(theirs[:3]))
    assert metrics.accuracy(confusion) == pytest.approx(sklearn.metrics.accuracy_score(truth, predicted))


@pytest.mark.parametrize("over", [[0, 1, 2, 3], [0, 1, 2], [1, 3]])
@pytest.mark.parametrize("seed", [0, 1])
def test_macro_f1_over_some_labels_is_that_of_scikit_learn(seed: int, over: list[int]) -> None:
    truth, predicted, _ = drawn(seed)
    theirs = sklearn.metrics.f1_score(truth, predicted, labels=over, average="macro", zero_division=0)
    assert metrics.macro_f1(metrics.confusion_matrix(truth, predicted, 4), over) == pytest.approx(theirs)


@pytest.mark.parametrize("labels", [2, 4])
def test_brier_score_is_the_unhalved_one_of_scikit_learn(labels: int) -> None:
    truth, _, probabilities = drawn(0, labels)
    theirs = sklearn.metrics.brier_score_loss(truth, probabilities, labels=np.arange(labels), scale_by_half=False)
    assert metrics.brier_score(probabilities, truth) == pytest.approx(theirs)


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


def test_calibration_error_of_a_worked_example_with_equal_mass_bins() -> None:
    # Sorted: .1 .2 .3 | .8 .9 1.0; means .2 and .9; right 1/3 and 2/3. In bins of equal width it would differ.
    confidence = np.array([0.9, 0.1, 0.3, 0.8, 1.0, 0.2])
    correct = np.array([True, False, True, False, True, False])
    table = metrics.equal_mass_bins(confidence, correct, bins=2)
    np.testing.assert_allclose(table, [[0.2, 1 / 3, 3], [0.9, 2 / 3, 3]])
    expected = (abs(1 / 3 - 0.2) + abs(2 / 3 - 0.9)) / 2
    assert metrics.calibration_error(confidence, correct, bins=2) == pytest.approx(expected)


def test_calibration_error_weighs_bins_by_their_size() -> None:
    # Five pairs in two bins are three and two.
    confidence = np.array([0.5, 0.5, 0.5, 1.0, 1.0])
    correct = np.array([False, False, False, True, True])
    assert metrics.calibration_error(confidence, correct, bins=2) == pytest.approx(0.5 * 3 / 5)


def test_bins_hold_equally_many_pairs_however_confidence_is_spread() -> None:
    confidence = np.random.default_rng(0).beta(9, 1, size=103)
    sizes = metrics.equal_mass_bins(confidence, confidence > 0.9)[:, 2]
    assert sizes.size == 10 and sizes.sum() == 103
    assert sizes.max() - sizes.min() <= 1


def test_fewer_pairs_than_bins_leave_no_empty_bin() -> None:
    table = metrics.equal_mass_bins(np.array([0.2, 0.8]), np.array([False, True]))
    assert table.tolist() == [[0.2, 0, 1], [0.8, 1, 1]]
    assert metrics.calibration_error(np.array([0.2, 0.8]), np.array([False, True])) == pytest.approx(0.2)


def test_a_calibrated_model_has_a_small_calibration_error_and_an_overconfident_one_a_large() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.3, 0.9, size=20_000)
    correct = random.random(confidence.size) < confidence
    assert metrics.calibration_error(confidence, correct) < 0.02
    assert metrics.calibration_error(np.minimum(confidence + 0.3, 1), correct) > 0.2


@pytest.mark.parametrize(
    ("confidence", "correct", "area"),
    [
        # Error among the 1, 2, 3, 4 most confident: 0, 0, 1/3, 1/2.
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0], (0 + 0 + 1 / 3 + 1 / 2) / 4),
        # The same given in another order.
        ([0.6, 0.9, 0.7, 0.8], [0, 1, 0, 1], (0 + 0 + 1 / 3 + 1 / 2) / 4),
        # The worst order: 1, 1, 2/3, 1/2.
        ([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 1], (1 + 1 + 2 / 3 + 1 / 2) / 4),
        # Ties share their mean error: 0, 1/4, 1/3, 3/8 after one sure hit and three alike of which one... is wrong.
        ([0.9, 0.5, 0.5], [1, 0, 1], (0 + 0.5 / 2 + 1 / 3) / 3),
        ([0.9, 0.5, 0.5], [1, 1, 0], (0 + 0.5 / 2 + 1 / 3) / 3),
        ([0.5, 0.5], [1, 1], 0.0),
        ([0.5, 0.5], [0, 0], 1.0),
    ],
)
def test_risk_coverage_area_of_worked_examples(confidence: list[float], correct: list[int], area: float) -> None:
    figure = metrics.risk_coverage_area(np.array(confidence), np.array(correct, dtype=bool))
    assert figure == pytest.approx(area)


def clustered(seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Twenty events of thirty pairs; a model gets an event either nearly all right or nearly all wrong."""
    random = np.random.default_rng(seed)
    truth = random.integers(3, size=600)
    event = np.repeat(np.arange(20), 30)
    right = random.random(600) < np.where(event % 2, 0.95, 0.3)
    return truth, np.where(right, truth, (truth + 1) % 3), [f"event-{number}" for number in event]


def test_the_interval_is_wider_by_event_than_by_pair_where_events_differ() -> None:
    truth, predicted, events = clustered()
    by_event = metrics.clustered_bootstrap(truth, predicted, 3, [0, 1, 2], events)
    by_pair = metrics.clustered_bootstrap(truth, predicted, 3, [0, 1, 2], [str(n) for n in range(600)])
    assert by_event[1] - by_event[0] > 2 * (by_pair[1] - by_pair[0])


def test_the_interval_holds_the_figure_and_is_the_same_for_the_same_seed() -> None:
    truth, predicted, events = clustered()
    low, high = metrics.clustered_bootstrap(truth, predicted, 3, [0, 1], events)
    assert low < metrics.macro_f1(metrics.confusion_matrix(truth, predicted, 3), [0, 1]) < high
    assert (low, high) == metrics.clustered_bootstrap(truth, predicted, 3, [0, 1], events)
    assert (low, high) != metrics.clustered_bootstrap(truth, predicted, 3, [0, 1], events, seed=1)


def test_the_interval_agrees_with_drawing_events_one_by_one() -> None:
    truth, predicted, events = clustered()
    low, high = metrics.clustered_bootstrap(truth, predicted, 3, [0, 1, 2], events, draws=2000)
    random, names, event = np.random.default_rng(5), sorted(set(events)), np.array(events)
    figures = []
    for _ in range(400):
        rows = np.concatenate([np.flatnonzero(event == name) for name in random.choice(names, size=len(names))])
        figures.append(sklearn.metrics.f1_score(truth[rows], predicted[rows], average="macro"))
    assert (low, high) == pytest.approx(np.quantile(figures, (0.025, 0.975)), abs=0.03)


def test_a_perfect_model_has_an_interval_of_no_width() -> None:
    truth = np.tile(np.arange(3), 30)
    interval = metrics.clustered_bootstrap(truth, truth, 3, [0, 1, 2], [str(n // 9) for n in range(90)])
    assert interval == (1.0, 1.0)


def test_a_macro_f1_over_some_labels_is_named_after_them() -> None:
    assert metrics.macro_over_name(["agree", "disagree"]) == "agree_disagree_macro_f1"


def test_a_contrast_group_counts_when_all_of_it_is_right() -> None:
    right = np.array([True, True, True, False, False, True])
    assert metrics.all_right_rate(right, ["a", "a", "b", "b", "", ""]) == 0.5
    assert np.isnan(metrics.all_right_rate(right, [""] * 6))
