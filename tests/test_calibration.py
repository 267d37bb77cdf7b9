"""Calibration and abstention: equal to scikit-learn's, MAPIE's and worked examples; conformal sets keep their promise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sklearn.metrics
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import calibration_curve

from evaluation import calibration


def drawn(seed: int, labels: int = 4, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Random probabilities, and truth that is drawn from flatter ones, so that the model is overconfident."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(labels), size=count)
    flatter = np.sqrt(probabilities)
    reached = np.cumsum(flatter / flatter.sum(axis=1, keepdims=True), axis=1) < random.random((count, 1))
    return probabilities, np.minimum(reached.sum(axis=1), labels - 1)


@pytest.mark.parametrize("labels", [2, 4])
def test_brier_score_is_the_unhalved_one_of_scikit_learn(labels: int) -> None:
    probabilities, truth = drawn(0, labels)
    theirs = sklearn.metrics.brier_score_loss(truth, probabilities, labels=np.arange(labels), scale_by_half=False)
    assert calibration.brier_score(probabilities, truth) == pytest.approx(theirs)


@pytest.mark.parametrize("bins", [4, 10])
def test_bins_are_the_quantile_bins_of_scikit_learn(bins: int) -> None:
    random = np.random.default_rng(bins)
    confidence = random.beta(5, 2, size=200)
    correct = random.random(200) < confidence**2
    share, mean = calibration_curve(correct, confidence, n_bins=bins, strategy="quantile")
    table = calibration.equal_mass_bins(confidence, correct, bins)
    np.testing.assert_allclose(table[:, :2], np.stack((mean, share), axis=1))
    assert calibration.calibration_error(confidence, correct, bins) == pytest.approx(np.abs(share - mean).mean())


def test_calibration_error_of_a_worked_example_with_equal_mass_bins() -> None:
    # Sorted: .1 .2 .3 | .8 .9 1.0; means .2 and .9; right 1/3 and 2/3. In bins of equal width it would differ.
    confidence = np.array([0.9, 0.1, 0.3, 0.8, 1.0, 0.2])
    correct = np.array([True, False, True, False, True, False])
    table = calibration.equal_mass_bins(confidence, correct, bins=2)
    np.testing.assert_allclose(table, [[0.2, 1 / 3, 3], [0.9, 2 / 3, 3]])
    expected = (abs(1 / 3 - 0.2) + abs(2 / 3 - 0.9)) / 2
    assert calibration.calibration_error(confidence, correct, bins=2) == pytest.approx(expected)


def test_calibration_error_weighs_bins_by_their_size() -> None:
    # Five pairs in two bins are three and two.
    confidence = np.array([0.5, 0.5, 0.5, 1.0, 1.0])
    correct = np.array([False, False, False, True, True])
    assert calibration.calibration_error(confidence, correct, bins=2) == pytest.approx(0.5 * 3 / 5)


def test_bins_hold_equally_many_pairs_however_confidence_is_spread() -> None:
    confidence = np.random.default_rng(0).beta(9, 1, size=103)
    sizes = calibration.equal_mass_bins(confidence, confidence > 0.9)[:, 2]
    assert sizes.size == 10 and sizes.sum() == 103
    assert sizes.max() - sizes.min() <= 1


def test_fewer_pairs_than_bins_leave_no_empty_bin() -> None:
    table = calibration.equal_mass_bins(np.array([0.2, 0.8]), np.array([False, True]))
    assert table.tolist() == [[0.2, 0, 1], [0.8, 1, 1]]
    assert calibration.calibration_error(np.array([0.2, 0.8]), np.array([False, True])) == pytest.approx(0.2)


def test_a_calibrated_model_has_a_small_calibration_error_and_an_overconfident_one_a_large() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.3, 0.9, size=20_000)
    correct = random.random(confidence.size) < confidence
    assert calibration.calibration_error(confidence, correct) < 0.02
    assert calibration.calibration_error(np.minimum(confidence + 0.3, 1), correct) > 0.2


def test_the_order_of_pairs_of_equal_confidence_does_not_change_the_calibration_error() -> None:
    # A model that reads the claim alone gives all pairs of a claim one confidence, and files are ordered by event.
    confidence = np.full(100, 0.5)
    in_order, mixed = np.arange(100) < 50, np.arange(100) % 2 == 0
    assert calibration.calibration_error(confidence, mixed) == pytest.approx(0)
    assert calibration.calibration_error(confidence, in_order) == pytest.approx(0)


@pytest.mark.parametrize(
    ("confidence", "correct", "area"),
    [
        # Error among the 1, 2, 3, 4 most confident: 0, 0, 1/3, 1/2.
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0], (0 + 0 + 1 / 3 + 1 / 2) / 4),
        # The same given in another order.
        ([0.6, 0.9, 0.7, 0.8], [0, 1, 0, 1], (0 + 0 + 1 / 3 + 1 / 2) / 4),
        # The worst order: 1, 1, 2/3, 1/2.
        ([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 1], (1 + 1 + 2 / 3 + 1 / 2) / 4),
        # Of two alike, one is wrong: each counts half an error, 0, 1/4, 1/3.
        ([0.9, 0.5, 0.5], [1, 0, 1], (0 + 0.5 / 2 + 1 / 3) / 3),
        ([0.9, 0.5, 0.5], [1, 1, 0], (0 + 0.5 / 2 + 1 / 3) / 3),
        ([0.5, 0.5], [1, 1], 0.0),
        ([0.5, 0.5], [0, 0], 1.0),
    ],
)
def test_risk_coverage_area_of_worked_examples(confidence: list[float], correct: list[int], area: float) -> None:
    figure = calibration.risk_coverage_area(np.array(confidence), np.array(correct, dtype=bool))
    assert figure == pytest.approx(area)


def test_ties_on_the_risk_coverage_curve_give_the_mean_over_all_their_orders() -> None:
    confidence = np.array([0.5, 0.9, 0.5, 0.2, 0.5, 0.2])
    correct = np.array([True, False, False, True, True, False])
    curves = []
    for order in itertools.permutations(range(6)):
        if (np.diff(confidence[list(order)]) <= 0).all():
            curves.append(np.cumsum(~correct[list(order)]) / np.arange(1, 7))
    assert len(curves) == 12
    np.testing.assert_allclose(calibration.risk_coverage_curve(confidence, correct), np.mean(curves, axis=0))
    for order in itertools.permutations(range(6)):
        shuffled = calibration.risk_coverage_area(confidence[list(order)], correct[list(order)])
        assert shuffled == pytest.approx(np.mean(curves))


@pytest.mark.parametrize(
    ("correct", "coverage", "share"),
    [
        ([1, 1, 1, 0, 1, 1, 1, 1, 0, 0], 0.8, 7 / 8),
        ([1, 1, 1, 0, 1, 1, 1, 1, 0, 0], 1.0, 7 / 10),
        ([1] * 7 + [0] * 43, 0.14, 1.0),  # 0.14 × 50 comes out a little above 7 and still means 7 pairs.
        ([1, 0, 1, 0, 0], 0.5, 2 / 3),  # 2.5 pairs are three.
        ([1, 0, 0], 0.01, 1.0),
    ],
)
def test_accuracy_at_coverage_is_that_of_the_most_confident_pairs(
    correct: list[int], coverage: float, share: float
) -> None:
    confidence = np.linspace(0.9, 0.4, len(correct))
    back = np.array(correct, dtype=bool)[::-1]
    assert calibration.accuracy_at_coverage(confidence[::-1], back, coverage) == pytest.approx(share)


class Given(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose inputs are its probabilities."""

    def __init__(self, labels: int = 4) -> None:
        self.labels = labels
        self.classes_ = np.arange(labels)
        self.n_features_in_ = labels

    def fit(self, rows: np.ndarray, truth: np.ndarray) -> Given:
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return rows.argmax(axis=1)

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        return rows


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("labels", [2, 4])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_conformal_sets_are_those_of_mapie(level: float, labels: int, seed: int) -> None:
    probabilities, truth = drawn(seed, labels, count=150)
    unseen, _ = drawn(seed + 10, labels, count=300)
    mapie = SplitConformalClassifier(Given(labels), confidence_level=level, conformity_score="lac", prefit=True)
    _, theirs = mapie.conformalize(probabilities, truth).predict_set(unseen)
    threshold = calibration.conformal_threshold(probabilities, truth, level)
    np.testing.assert_array_equal(calibration.conformal_sets(unseen, threshold), theirs[:, :, 0])


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_conformal_sets_hold_the_truth_at_their_level_though_the_model_is_overconfident(level: float) -> None:
    held = []
    for seed in range(400):
        probabilities, truth = drawn(seed, count=259)
        threshold = calibration.conformal_threshold(probabilities[:59], truth[:59], level)
        sets = calibration.conformal_sets(probabilities[59:], threshold)
        held.append(sets[np.arange(200), truth[59:]].mean())
    # In expectation at least the level, and above it by at most 1 / (n + 1).
    assert level - 0.007 <= np.mean(held) <= level + 1 / 60 + 0.007


@pytest.mark.parametrize("likely", [0.3, 0.1, 0.7])
def test_conformal_sets_keep_their_promise_where_pairs_have_equal_probabilities(likely: float) -> None:
    probabilities = np.tile([likely, (1 - likely) * 0.75, (1 - likely) * 0.25], (50, 1))
    truth = np.zeros(50, dtype=int)
    threshold = calibration.conformal_threshold(probabilities, truth, 0.9)
    assert calibration.conformal_sets(probabilities, threshold)[:, 0].all()


@pytest.mark.parametrize(("count", "every"), [(8, True), (9, False)])
def test_too_few_pairs_to_promise_a_level_let_every_label_in(count: int, every: bool) -> None:
    # A level of 0.9 needs nine pairs: ⌈(9 + 1) · 0.9⌉ = 9, but ⌈(8 + 1) · 0.9⌉ = 9 is more than eight.
    probabilities = np.tile([0.875, 0.125], (count, 1))
    threshold = calibration.conformal_threshold(probabilities, np.zeros(count, dtype=int), 0.9)
    assert calibration.conformal_sets(np.array([[1.0, 0.0]]), threshold).all() == every


def test_a_higher_level_never_takes_a_label_out_and_a_set_may_be_empty() -> None:
    probabilities, truth = drawn(3)
    wide, narrow = (
        calibration.conformal_sets(probabilities, calibration.conformal_threshold(probabilities, truth, level))
        for level in (0.95, 0.5)
    )
    assert (wide >= narrow).all() and wide.sum() > narrow.sum()
    assert calibration.conformal_sets(np.array([[0.4, 0.3, 0.3]]), 0.5).sum() == 0
