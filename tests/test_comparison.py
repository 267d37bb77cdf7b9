"""Two models on the same pairs: what is said of them, how sure it is, and which models cannot be compared."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics

from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from evaluation import metrics
from evaluation.comparison import Comparison, compare
from evaluation.page import comparison_page, write_comparison
from evaluation.scoring import LabelledPairs, read_labelled, score_model

NAMES = ["macro_f1", "accuracy", "f1_assert", "f1_deny", "f1_confirm", "f1_none", "macro_f1_ar"]


def changed(predictor: Predictor, **manifest: object) -> Predictor:
    """The same model with another manifest."""
    new = dataclasses.replace(predictor.manifest, **manifest)
    return Predictor(dataclasses.replace(predictor.bundle, manifest=new))


def scaled(predictor: Predictor, name: str, label: int, push: float) -> Predictor:
    """The same model, pushed towards one label."""
    dense = predictor.bundle.dense.copy()
    dense[-1, label] += push
    manifest = dataclasses.replace(predictor.manifest, name=name)
    return Predictor(dataclasses.replace(predictor.bundle, dense=dense, manifest=manifest))


def reordered(predictor: Predictor, name: str) -> Predictor:
    """The same model with the label of no stance first."""
    order = [3, 0, 1, 2]
    bundle = predictor.bundle
    manifest = dataclasses.replace(bundle.manifest, name=name, labels=tuple(bundle.manifest.labels[at] for at in order))
    return Predictor(
        dataclasses.replace(bundle, dense=bundle.dense[:, order], sparse=bundle.sparse[:, order], manifest=manifest)
    )


@pytest.fixture(scope="module")
def pairs(predictor: Predictor, small_corpus: Path) -> LabelledPairs:
    return read_labelled(small_corpus / "validation.jsonl", predictor)


@pytest.fixture(scope="module")
def alone(pairs: LabelledPairs) -> LabelledPairs:
    """The same pairs, each an event of its own."""
    return dataclasses.replace(pairs, events=[str(number) for number in range(len(pairs))])


@pytest.fixture(scope="module")
def stubborn(predictor: Predictor) -> Predictor:
    """A model that asserts nearly always."""
    return scaled(predictor, "stubborn", 0, 5.0)


@pytest.fixture(scope="module")
def comparison(predictor: Predictor, stubborn: Predictor, pairs: LabelledPairs) -> Comparison:
    return compare(stubborn, predictor, pairs, "pairs.jsonl")


def test_a_model_compared_with_itself_differs_by_exactly_nothing(predictor: Predictor, pairs: LabelledPairs) -> None:
    found = compare(predictor, Predictor(predictor.bundle), pairs, "pairs.jsonl")
    assert [row.name for row in found.rows] == NAMES
    for row in found.rows:
        assert (row.gain, row.interval, row.sure) == (0.0, (0.0, 0.0), 0.5)
    assert found.mcnemar == (0, 0, 1.0)
    assert found.verdict == "small (first) and small (second) label these pairs alike."


def test_figures_and_gains_are_those_of_both_models(
    comparison: Comparison, predictor: Predictor, stubborn: Predictor, pairs: LabelledPairs
) -> None:
    first, second = score_model(stubborn, pairs), score_model(predictor, pairs)
    for row in comparison.rows:
        name = "macro_f1" if row.name == metrics.of_language("ar") else row.name
        assert (row.first, row.second) == pytest.approx((first.figures[name], second.figures[name]))
        assert row.gain == pytest.approx(row.second - row.first)
        assert row.interval[0] <= row.gain <= row.interval[1] and 0 <= row.sure <= 1
    expected = (int((first.right & ~second.right).sum()), int((~first.right & second.right).sum()))
    assert comparison.mcnemar[:2] == expected
    assert (comparison.pairs, comparison.events) == (len(pairs), len(set(pairs.events)))


def test_intervals_are_of_the_difference_on_the_same_draws(predictor: Predictor, pairs: LabelledPairs) -> None:
    # Two models that nearly always agree: drawn apart, each one's own spread would hide how little they differ.
    nearly = scaled(predictor, "nearly", 0, 0.05)
    row = compare(predictor, nearly, pairs, "pairs.jsonl").macro_f1
    low, high = score_model(predictor, pairs).interval["macro_f1"]
    assert row.interval[1] - row.interval[0] < (high - low) / 2


def test_intervals_are_drawn_by_event(
    comparison: Comparison, predictor: Predictor, stubborn: Predictor, alone: LabelledPairs
) -> None:
    assert compare(stubborn, predictor, alone, "pairs.jsonl").macro_f1.interval != comparison.macro_f1.interval


def test_the_sentence_names_the_better_model_wherever_it_stands(
    comparison: Comparison, predictor: Predictor, stubborn: Predictor, pairs: LabelledPairs
) -> None:
    row = comparison.macro_f1
    assert row.sure >= 0.975 and row.interval[0] > 0
    lead = f"small is better than stubborn by {100 * row.gain:.1f} points of macro-F1"
    bounds = f"(95 % interval {100 * row.interval[0]:+.1f} to {100 * row.interval[1]:+.1f}, by event)"
    test = comparison.mcnemar
    counts = f"stubborn alone is right on {test.only_first} pairs, small alone on {test.only_second}"
    said = " ".join(comparison.verdict.split())
    assert said.startswith(f"{lead} {bounds}, and surely so") and counts in said
    turned = compare(predictor, stubborn, pairs, "pairs.jsonl")
    assert turned.macro_f1.gain == -row.gain
    assert turned.macro_f1.interval == pytest.approx((-row.interval[1], -row.interval[0]))
    said = " ".join(turned.verdict.split())
    assert said.startswith(f"{lead} {bounds}, and surely so")
    assert f"small alone is right on {test.only_second} pairs, stubborn alone on {test.only_first}" in said


def test_a_small_lead_is_called_no_difference(predictor: Predictor, pairs: LabelledPairs) -> None:
    nearly = scaled(predictor, "nearly", 0, 0.3)
    found = compare(predictor, nearly, pairs, "pairs.jsonl")
    row = found.macro_f1
    assert row.interval[0] <= 0 <= row.interval[1] and row.gain != 0
    ahead, behind = ("nearly", "small") if row.gain > 0 else ("small", "nearly")
    said = " ".join(found.verdict.split())
    assert said.startswith(
        f"No difference can be told: {ahead} is ahead of {behind} by {abs(100 * row.gain):.1f} points"
    )
    assert f"leads in only {max(row.sure, 1 - row.sure):.1%} of the draws" in said


def test_level_figures_of_different_predictions_are_called_neither_alike_nor_a_lead(comparison: Comparison) -> None:
    level = dataclasses.replace(comparison.macro_f1, second=comparison.macro_f1.first, gain=0.0, interval=(-0.1, 0.1))
    level = dataclasses.replace(level, sure=0.5)
    said = dataclasses.replace(comparison, rows=(level, *comparison.rows[1:])).verdict
    assert "alike" not in said and "better" not in said and "ahead" not in said


def test_labels_in_another_order_are_renumbered(predictor: Predictor, pairs: LabelledPairs) -> None:
    turned = reordered(predictor, "turned")
    both = [(quote, claim) for quote, claim in zip(pairs.quotes, pairs.claims, strict=True)]
    assert [one.stance for one in turned.predict(both)] == [one.stance for one in predictor.predict(both)]
    for first, second in ((predictor, turned), (turned, predictor)):
        found = compare(first, second, pairs, "pairs.jsonl")
        assert all(row.gain == 0 and row.interval == (0, 0) for row in found.rows)
        assert "label these pairs alike" in found.verdict


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ("agree", "disagree", "discuss", "none")},
        {"labels": ("assert", "deny", "ratify", "none")},
        {"abstain_label": ""},
    ],
    ids=["other-task", "one-label", "no-abstention"],
)
def test_models_of_other_labels_are_refused(
    predictor: Predictor, pairs: LabelledPairs, changes: dict[str, object]
) -> None:
    other = changed(predictor, name="other", **changes)
    with pytest.raises(ClaimstanceError, match="only models of the same labels can be compared") as caught:
        compare(predictor, other, pairs, "pairs.jsonl")
    for model in (predictor, other):
        assert f"{model.manifest.name} has " in str(caught.value)
        assert ", ".join(model.manifest.labels) in str(caught.value)


def test_page_and_json_say_the_same_and_the_same_again(tmp_path: Path, comparison: Comparison) -> None:
    for number in range(2):
        write_comparison(comparison, tmp_path / str(number))
    for name in ("comparison.html", "comparison.json"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()
    body = json.loads((tmp_path / "0/comparison.json").read_text(encoding="utf-8"))
    assert body["verdict"] == comparison.verdict and [row["name"] for row in body["rows"]] == NAMES
    assert body["mcnemar"]["only_first"] == comparison.mcnemar.only_first
    page = " ".join(comparison_page(comparison).split())
    assert " ".join(comparison.verdict.split()).replace("'", "&#39;") in page
    for row in comparison.rows:
        assert f"<td>{row.name}<" in page and f"{row.gain:+.3f}" in page
    assert len(re.findall("<svg", page)) == 1


def test_accuracy_counts_abstention_as_a_label(
    comparison: Comparison, predictor: Predictor, pairs: LabelledPairs
) -> None:
    said = predictor.predict(list(zip(pairs.quotes, pairs.claims, strict=True)))
    given = [prediction.stance or "none" for prediction in said]
    accuracy = next(row for row in comparison.rows if row.name == "accuracy")
    assert accuracy.second == pytest.approx(sklearn.metrics.accuracy_score(pairs.labels, given))
    assert np.isfinite(accuracy.interval).all()
