"""Scoring an exported model: figures agree with what it predicts, bad pairs are named, the command reports both."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics

from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from claimstance.records import write_json_lines
from evaluation import metrics
from evaluation.__main__ import main
from evaluation.scoring import LabelledPairs, Scores, read_labelled, score_model


@pytest.fixture(scope="module")
def pairs(predictor: Predictor, small_corpus: Path) -> LabelledPairs:
    return read_labelled(small_corpus / "validation.jsonl", predictor)


@pytest.fixture(scope="module")
def scores(predictor: Predictor, pairs: LabelledPairs) -> Scores:
    return score_model(predictor, pairs, [("assert", "deny")])


def given(predictor: Predictor, pairs: LabelledPairs) -> list[str]:
    """What the model says of each pair, ``none`` where it abstains."""
    predictions = predictor.predict(list(zip(pairs.quotes, pairs.claims, strict=True)))
    return [prediction.stance or "none" for prediction in predictions]


def test_figures_are_those_of_what_the_model_predicts(
    predictor: Predictor, pairs: LabelledPairs, scores: Scores
) -> None:
    said, labels = given(predictor, pairs), list(scores.labels)
    theirs = sklearn.metrics.precision_recall_fscore_support(pairs.labels, said, labels=labels, zero_division=0)
    for name, values in zip(("precision", "recall", "f1"), theirs[:3], strict=True):
        for label, value in zip(labels, values, strict=True):
            assert scores.figures[f"{name}_{label}"] == pytest.approx(value)
    assert scores.figures[metrics.ACCURACY] == pytest.approx(sklearn.metrics.accuracy_score(pairs.labels, said))
    np.testing.assert_array_equal(scores.confusion, sklearn.metrics.confusion_matrix(pairs.labels, said, labels=labels))


def test_macro_f1_is_over_the_stances_and_over_each_subset_asked_for(
    predictor: Predictor, pairs: LabelledPairs, scores: Scores
) -> None:
    said = given(predictor, pairs)
    for name, labels in (("macro_f1", ["assert", "deny", "confirm"]), ("assert_deny_macro_f1", ["assert", "deny"])):
        expected = sklearn.metrics.f1_score(pairs.labels, said, labels=labels, average="macro")
        assert scores.figures[name] == pytest.approx(expected)
        low, high = scores.interval[name]
        assert low <= expected <= high


def test_abstaining_everywhere_covers_nothing_and_scores_nothing(predictor: Predictor, pairs: LabelledPairs) -> None:
    manifest = dataclasses.replace(predictor.manifest, threshold=1.1)
    silent = Predictor(dataclasses.replace(predictor.bundle, manifest=manifest))
    scores = score_model(silent, pairs)
    assert (scores.figures[metrics.COVERAGE], scores.figures[metrics.MACRO_F1]) == (0, 0)
    assert scores.figures["recall_none"] == 1
    loud = score_model(predictor, pairs)
    assert loud.figures[metrics.COVERAGE] == np.mean([stance != "none" for stance in given(predictor, pairs)])
    # Confidence is judged by the likeliest stance, taken or not, so that abstaining changes nothing about it.
    for name in (metrics.CALIBRATION_ERROR, metrics.RISK_COVERAGE_AREA, metrics.BRIER):
        assert scores.figures[name] == loud.figures[name]


def test_probabilities_are_those_of_the_predictor_and_scored_by_brier(
    predictor: Predictor, pairs: LabelledPairs, scores: Scores
) -> None:
    np.testing.assert_array_equal(scores.probabilities, predictor.probabilities(pairs.quotes, pairs.claims))
    expected = sklearn.metrics.brier_score_loss(
        scores.truth, scores.probabilities, labels=range(len(scores.labels)), scale_by_half=False
    )
    assert scores.figures[metrics.BRIER] == pytest.approx(expected)
    stances = scores.probabilities[:, :3]
    np.testing.assert_array_equal(scores.confidence, stances.max(axis=1))
    np.testing.assert_array_equal(scores.correct, stances.argmax(axis=1) == scores.truth)


def test_intervals_are_drawn_by_event(predictor: Predictor, pairs: LabelledPairs, scores: Scores) -> None:
    alone = dataclasses.replace(pairs, events=[str(number) for number in range(len(pairs))])
    assert score_model(predictor, alone).interval["macro_f1"] != scores.interval["macro_f1"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"quote": "نفى", "stance": "deny"}, "claim is missing or empty"),
        ({"quote": " ", "claim": "وصلت", "stance": "deny"}, "quote is missing or empty"),
        ({"quote": "نفى", "claim": "وصلت"}, "stance is missing or empty"),
        ({"quote": 7, "claim": "وصلت", "stance": "deny"}, "quote is missing or empty"),
        ({"quote": "نفى", "claim": "وصلت", "stance": "denny"}, "did you mean 'deny'?"),
    ],
)
def test_a_bad_row_is_named_with_its_line(
    tmp_path: Path, predictor: Predictor, row: dict[str, Any], expected: str
) -> None:
    path = tmp_path / "pairs.jsonl"
    write_json_lines(path, [{"quote": "أكد", "claim": "وصلت", "stance": "confirm"}, row])
    with pytest.raises(ClaimstanceError) as caught:
        read_labelled(path, predictor)
    assert str(caught.value).startswith(f"{path}:2: ") and expected in str(caught.value)


def test_rows_without_an_event_are_events_of_their_own(tmp_path: Path, predictor: Predictor) -> None:
    path = tmp_path / "pairs.jsonl"
    row = {"quote": "نفى الوزير", "claim": "وصلت الشحنة", "stance": "deny"}
    write_json_lines(path, [row, row, {**row, "event": "قصة"}, {**row, "event": "قصة"}])
    read = read_labelled(path, predictor)
    assert len(set(read.events)) == 3 and len(set(read.ids)) == 4


@pytest.mark.parametrize("empty", [None, ""])
def test_rows_whose_event_is_empty_are_events_of_their_own(
    tmp_path: Path, predictor: Predictor, empty: str | None
) -> None:
    """A table cannot leave a field of some rows out, only its cell empty."""
    rows = [
        {"quote": "نفى الوزير", "claim": "وصلت", "stance": "deny", "event": event} for event in (empty, empty, "قصة")
    ]
    write_json_lines(tmp_path / "pairs.jsonl", rows)
    assert len(set(read_labelled(tmp_path / "pairs.jsonl", predictor).events)) == 3


def test_a_table_under_other_names_reads_as_the_json_lines_do(
    tmp_path: Path, predictor: Predictor, pairs: LabelledPairs
) -> None:
    names = {"quote": "s1", "claim": "s2", "stance": "الموقف", "event": "story"}
    path = tmp_path / "pairs.csv"
    with open(path, "w", encoding="utf-8-sig", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["id", "lang", *names.values(), "زائد"])
        texts = (pairs.quotes, pairs.claims, pairs.labels, pairs.events)
        writer.writerows(zip(pairs.ids, pairs.slices["lang"], *texts, pairs.ids, strict=True))
    read = read_labelled(path, predictor, names)
    for field in ("ids", "quotes", "claims", "labels", "events"):
        assert getattr(read, field) == getattr(pairs, field)
    assert read.slices["lang"] == pairs.slices["lang"] and set(read.slices["topic"]) == {""}
    mapped, plain = (score_model(predictor, given).figures for given in (read, pairs))
    assert mapped == {name: plain[name] for name in mapped}
    with pytest.raises(
        ClaimstanceError, match=r"pairs\.csv:2: quote is missing .* map other names with --columns quote="
    ):
        read_labelled(path, predictor)


def test_a_model_of_quotes_alone_is_scored_without_claims(tmp_path: Path, predictor: Predictor) -> None:
    manifest = dataclasses.replace(predictor.manifest, inputs="quote")
    reader = Predictor(dataclasses.replace(predictor.bundle, manifest=manifest))
    rows = [{"quote": "نفى الوزير", "stance": "deny"}, {"quote": "أكد الوزير", "stance": "confirm", "claim": "وصلت"}]
    write_json_lines(tmp_path / "pairs.jsonl", rows)
    scores = score_model(reader, read_labelled(tmp_path / "pairs.jsonl", reader))
    np.testing.assert_array_equal(scores.probabilities, reader.probabilities(["نفى الوزير", "أكد الوزير"], ["", ""]))


def test_the_command_prints_every_label_and_the_headline(
    model_folder: Path, small_corpus: Path, scores: Scores, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(model_folder), str(small_corpus / "validation.jsonl")]) == 0
    shown = capsys.readouterr().out
    for label in scores.labels:
        assert label in shown
    assert f"macro_f1 {scores.figures['macro_f1']:.3f}" in shown
    assert f"accuracy {scores.figures['accuracy']:.3f}" in shown
    assert "by event" in shown


@pytest.mark.parametrize("missing", ["model", "pairs"])
def test_the_command_exits_2_naming_what_is_missing(
    model_folder: Path, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    model, pairs = str(model_folder), str(small_corpus / "validation.jsonl")
    nowhere = str(tmp_path / "nowhere")
    assert main([nowhere, pairs] if missing == "model" else [model, nowhere]) == 2
    error = capsys.readouterr().err
    assert nowhere in error and error.startswith("evaluation: error: ") and error.count("\n") == 1
