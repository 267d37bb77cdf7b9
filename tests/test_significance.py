"""Intervals know that pairs of one event are alike; McNemar's test equals published examples."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from evaluation.metrics import confusion_matrix, macro_f1
from evaluation.significance import confusions_by_cluster, drawn, interval, macro_f1_draws, mcnemar


def alike(seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Truth, predictions and events: twenty events of thirty pairs, each event nearly all right or nearly all wrong."""
    random = np.random.default_rng(seed)
    truth = random.integers(3, size=600)
    event = np.repeat(np.arange(20), 30)
    right = random.random(600) < np.where(event % 2, 0.95, 0.3)
    return truth, np.where(right, truth, (truth + 1) % 3), [f"حدث-{number}" for number in event]


def bounds(truth: np.ndarray, predicted: np.ndarray, clusters: list[str], seed: int = 0) -> tuple[float, float]:
    """The interval of macro-F1 over three labels."""
    by_cluster = confusions_by_cluster(truth, predicted, 3, clusters)
    return interval(macro_f1_draws(by_cluster, [0, 1, 2], seed=seed))


def width(of: tuple[float, float]) -> float:
    return of[1] - of[0]


def test_each_event_has_the_confusion_of_its_pairs_in_the_order_of_names() -> None:
    truth, predicted, events = alike()
    counts = confusions_by_cluster(truth, predicted, 3, events)
    names = sorted(set(events))
    assert counts.shape == (20, 3, 3)
    for name, ours in zip(names, counts, strict=True):
        member = np.array(events) == name
        theirs = sklearn.metrics.confusion_matrix(truth[member], predicted[member], labels=[0, 1, 2])
        np.testing.assert_array_equal(ours, theirs)


def test_the_interval_is_wider_by_event_than_by_pair_where_events_differ() -> None:
    truth, predicted, events = alike()
    by_pair = bounds(truth, predicted, [str(number) for number in range(600)])
    assert width(bounds(truth, predicted, events)) > 2 * width(by_pair)


def test_the_interval_is_no_wider_by_event_than_by_pair_where_events_are_as_mixed_as_all() -> None:
    truth, predicted, _ = alike()
    mixed = [f"حدث-{number}" for number in np.random.default_rng(1).integers(60, size=600)]
    by_pair = bounds(truth, predicted, [str(number) for number in range(600)])
    assert width(bounds(truth, predicted, mixed)) == pytest.approx(width(by_pair), rel=0.25)


def test_with_every_pair_an_event_the_interval_is_the_plain_bootstrap_of_scipy() -> None:
    right = np.random.default_rng(0).random(150) < 0.7
    draws = drawn(np.stack((right, ~right), axis=1).astype(int))
    theirs = scipy.stats.bootstrap((right,), np.mean, method="percentile", n_resamples=4000, rng=0).confidence_interval
    assert interval(draws[:, 0] / draws.sum(axis=1)) == pytest.approx(tuple(theirs), abs=0.012)


def test_the_interval_agrees_with_drawing_events_one_by_one() -> None:
    truth, predicted, events = alike()
    random, names, event = np.random.default_rng(5), sorted(set(events)), np.array(events)
    figures = []
    for _ in range(400):
        rows = np.concatenate([np.flatnonzero(event == name) for name in random.choice(names, size=len(names))])
        figures.append(sklearn.metrics.f1_score(truth[rows], predicted[rows], average="macro"))
    assert bounds(truth, predicted, events) == pytest.approx(np.quantile(figures, (0.025, 0.975)), abs=0.03)


def test_the_spread_of_draws_is_the_cluster_robust_standard_error() -> None:
    # Of a mean over k equal clusters: the deviation of cluster means, divided by √k.
    truth, predicted, _ = alike()
    right = np.stack((truth == predicted, truth != predicted), axis=1).reshape(20, 30, 2).sum(axis=1)
    shares = drawn(right, draws=20_000)[:, 0] / 600
    assert shares.std() == pytest.approx((right[:, 0] / 30).std() / np.sqrt(20), rel=0.03)


def test_intervals_by_event_hold_the_true_figure_about_as_often_as_they_say_and_those_by_pair_far_less() -> None:
    random = np.random.default_rng(0)
    holds = {"event": 0, "pair": 0}
    for seed in range(120):
        ease = random.beta(2, 2, size=40)
        right = random.random((40, 15)) < ease[:, None]
        for name, rows in (("event", right.sum(axis=1)), ("pair", right.ravel().astype(int))):
            low, high = interval(drawn(rows, draws=400, seed=seed) / right.size)
            holds[name] += low <= 0.5 <= high
    assert 0.89 <= holds["event"] / 120 <= 0.99
    assert holds["pair"] / 120 < 0.8


def test_the_interval_holds_the_figure_and_is_the_same_for_the_same_seed() -> None:
    truth, predicted, events = alike()
    low, high = bounds(truth, predicted, events)
    assert low < macro_f1(confusion_matrix(truth, predicted, 3), [0, 1, 2]) < high
    assert (low, high) == bounds(truth, predicted, events)
    assert (low, high) != bounds(truth, predicted, events, seed=1)


def test_equal_seeds_draw_the_same_events_for_two_models() -> None:
    truth, predicted, events = alike()
    first = confusions_by_cluster(truth, predicted, 3, events)
    sizes = first.sum(axis=(1, 2)) * np.arange(1, 21)
    # Every draw is of whole events: what is drawn of a model with each event counted twice is exactly twice as much.
    np.testing.assert_array_equal(drawn(2 * first, seed=7), 2 * drawn(first, seed=7))
    np.testing.assert_array_equal(drawn(sizes, seed=7), drawn(np.stack((sizes, sizes), axis=1), seed=7)[:, 1])
    assert (drawn(sizes, seed=7) != drawn(sizes, seed=8)).any()


def test_the_gain_of_a_model_that_errs_on_the_same_events_is_surer_than_unpaired_intervals_say() -> None:
    truth, predicted, events = alike()
    better = predicted.copy()
    better[::40] = truth[::40]
    first, second = (confusions_by_cluster(truth, labels, 3, events) for labels in (predicted, better))
    paired = macro_f1_draws(second, [0, 1, 2]) - macro_f1_draws(first, [0, 1, 2])
    unpaired = macro_f1_draws(second, [0, 1, 2], seed=1) - macro_f1_draws(first, [0, 1, 2])
    assert interval(paired)[0] > 0 > interval(unpaired)[0]
    np.testing.assert_array_equal(macro_f1_draws(first, [0, 1]) - macro_f1_draws(first.copy(), [0, 1]), 0)


def test_a_perfect_model_has_an_interval_of_no_width() -> None:
    truth = np.tile(np.arange(3), 30)
    assert bounds(truth, truth, [str(number // 9) for number in range(90)]) == (1.0, 1.0)


def test_draws_without_any_pair_are_left_out_of_an_interval() -> None:
    values = np.linspace(0, 1, 201)
    with_gaps = np.insert(values, [0, 50, 201], np.nan)
    assert interval(with_gaps) == interval(values) == pytest.approx((0.025, 0.975))


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (12, 3, 0.0352),  # fon.hum.uva.nl/Service/Statistics/McNemars_test.html
        (12, 5, 0.1435),  # stat-tools.xyz/mcnemar?alpha=0.05&b=12&c=5
        (11, 1, 2 * (1 + 12) / 2**12),
        (5, 0, 2 / 2**5),
        (4, 4, 1.0),
        (0, 0, 1.0),
    ],
)
@pytest.mark.parametrize("both", [0, 40])
def test_mcnemar_of_published_and_worked_examples(first: int, second: int, p: float, both: int) -> None:
    of_first = np.repeat([True, False, True, False], [first, second, both, both])
    of_second = np.repeat([False, True, True, False], [first, second, both, both])
    test, turned = mcnemar(of_first, of_second), mcnemar(of_second, of_first)
    assert (test.only_first, test.only_second) == (turned.only_second, turned.only_first) == (first, second)
    assert test.p == turned.p == pytest.approx(p, abs=5e-5)
