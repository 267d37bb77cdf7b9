"""Error analysis: wrong stances with the surest first and what drove them, and labels that the model doubts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from claimstance.explanation import explain
from claimstance.predictor import Predictor
from evaluation.mistakes import confident_mistakes, doubted_labels
from evaluation.scoring import LabelledPairs, Scores, read_labelled, score_model

ALL = 1000


@pytest.fixture(scope="module")
def pairs(predictor: Predictor, small_corpus: Path) -> LabelledPairs:
    return read_labelled(small_corpus / "validation.jsonl", predictor)


@pytest.fixture(scope="module")
def scores(predictor: Predictor, pairs: LabelledPairs) -> Scores:
    return score_model(predictor, pairs)


@pytest.fixture(scope="module")
def believed(predictor: Predictor, small_corpus: Path) -> LabelledPairs:
    """The training pairs, each with the label that the model gives it most probability."""
    pairs = read_labelled(small_corpus / "train.jsonl", predictor)
    likeliest = predictor.probabilities(pairs.quotes, pairs.claims).argmax(axis=1)
    return dataclasses.replace(pairs, labels=[predictor.manifest.labels[index] for index in likeliest.tolist()])


def with_threshold(predictor: Predictor, threshold: float) -> Predictor:
    manifest = dataclasses.replace(predictor.manifest, threshold=threshold)
    return Predictor(dataclasses.replace(predictor.bundle, manifest=manifest))


def test_every_wrong_stance_is_listed_the_surest_first(
    predictor: Predictor, pairs: LabelledPairs, scores: Scores
) -> None:
    predictions = predictor.predict(list(zip(pairs.quotes, pairs.claims, strict=True)))
    expected = {
        index: (label, prediction.stance, pytest.approx(prediction.confidence))
        for index, (label, prediction) in enumerate(zip(pairs.labels, predictions, strict=True))
        if prediction.stance is not None and prediction.stance != label
    }
    mistakes = confident_mistakes(predictor, scores, pairs, ALL)
    assert {m.index: (m.truth, m.predicted, m.confidence) for m in mistakes} == expected
    assert len(mistakes) == len(expected) > 5
    confidences = [mistake.confidence for mistake in mistakes]
    assert confidences == sorted(confidences, reverse=True)
    fewer = confident_mistakes(predictor, scores, pairs, 3)
    assert [mistake.index for mistake in fewer] == [mistake.index for mistake in mistakes[:3]]


def test_a_stance_on_a_pair_without_one_is_a_mistake_and_an_abstention_never_is(
    predictor: Predictor, pairs: LabelledPairs
) -> None:
    bold = with_threshold(predictor, 0.0)
    mistakes = confident_mistakes(bold, score_model(bold, pairs), pairs, ALL)
    assert "none" in {mistake.truth for mistake in mistakes}
    assert "none" not in {mistake.predicted for mistake in mistakes}
    for threshold in (0.6, 1.1):
        shy = with_threshold(predictor, threshold)
        left = confident_mistakes(shy, score_model(shy, pairs), pairs, ALL)
        assert [m.index for m in left] == [m.index for m in mistakes if m.confidence >= threshold]


def test_a_model_that_never_abstains_has_mistakes_too(predictor: Predictor, pairs: LabelledPairs) -> None:
    labels = tuple(f"label {number}" for number in range(4))
    manifest = dataclasses.replace(predictor.manifest, labels=labels, abstain_label="", threshold=0.0)
    other = Predictor(dataclasses.replace(predictor.bundle, manifest=manifest))
    renamed = dict(zip(predictor.manifest.labels, labels, strict=True))
    named = dataclasses.replace(pairs, labels=[renamed[label] for label in pairs.labels])
    likeliest = other.probabilities(pairs.quotes, pairs.claims).argmax(axis=1)
    wrong = {index for index, label in enumerate(named.labels) if labels[likeliest[index]] != label}
    assert {mistake.index for mistake in confident_mistakes(other, score_model(other, named), named, ALL)} == wrong


def test_pushes_are_those_of_the_explanation_from_the_truth_to_the_prediction(
    predictor: Predictor, pairs: LabelledPairs, scores: Scores
) -> None:
    for mistake in confident_mistakes(predictor, scores, pairs):
        found = explain(predictor, pairs.quotes[mistake.index], pairs.claims[mistake.index])
        truth, predicted = (scores.labels.index(label) for label in (mistake.truth, mistake.predicted))

        def gain(push: np.ndarray, truth: int = truth, predicted: int = predicted) -> float:
            return float(push[predicted] - push[truth])

        assert mistake.parts == pytest.approx({name: gain(push) for name, push in found.parts.items()})
        gains = [gain(word.push) for word in found.words]
        shown = [push for _, push in mistake.words]
        assert shown == pytest.approx(sorted((value for value in gains if value > 0), reverse=True)[:8])
        places = {(word.side, word.start): (word.text, gain(word.push)) for word in found.words}
        for word, push in mistake.words:
            assert places[word.side, word.start] == (word.text, pytest.approx(push))
        log = np.log(scores.probabilities[mistake.index])
        assert sum(mistake.parts.values()) + sum(gains) == pytest.approx(log[predicted] - log[truth], abs=1e-3)


def test_planted_wrong_labels_are_doubted_first(predictor: Predictor, believed: LabelledPairs) -> None:
    clean = score_model(predictor, believed)
    planted = np.argsort(-clean.probabilities.max(axis=1))[[0, 20, 40]].tolist()
    labels = list(believed.labels)
    for index in planted:
        labels[index] = clean.labels[int(clean.probabilities[index].argmin())]
    scores = score_model(predictor, dataclasses.replace(believed, labels=labels))
    doubts = doubted_labels(scores, ALL)
    assert {doubt.index for doubt in doubts[:3]} == set(planted)
    for doubt in doubts[:3]:
        assert (doubt.label, doubt.likelier) == (labels[doubt.index], believed.labels[doubt.index])


def test_labels_that_the_model_gives_itself_are_not_doubted(predictor: Predictor, believed: LabelledPairs) -> None:
    assert doubted_labels(score_model(predictor, believed), ALL) == []


def test_doubts_are_ranked_and_nothing_is_dropped(predictor: Predictor, pairs: LabelledPairs, scores: Scores) -> None:
    truth, probabilities = scores.truth.copy(), scores.probabilities.copy()
    doubts = doubted_labels(scores, ALL)
    assert doubts and len({doubt.index for doubt in doubts}) == len(doubts) < len(pairs)
    for doubt in doubts:
        row = scores.probabilities[doubt.index]
        assert doubt.label == pairs.labels[doubt.index] != doubt.likelier == scores.labels[int(row.argmax())]
        assert doubt.quality == pytest.approx(row[scores.labels.index(doubt.label)])
    qualities = [doubt.quality for doubt in doubts]
    assert qualities == sorted(qualities)
    assert doubted_labels(scores, 2) == doubts[:2]
    np.testing.assert_array_equal(scores.truth, truth)
    np.testing.assert_array_equal(scores.probabilities, probabilities)


def test_nothing_is_doubted_where_a_label_has_no_pair(predictor: Predictor, pairs: LabelledPairs) -> None:
    none = dataclasses.replace(pairs, labels=["deny" for _ in pairs.labels])
    assert doubted_labels(score_model(predictor, none), ALL) == []
