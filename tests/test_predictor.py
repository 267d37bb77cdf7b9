"""Predictions: the same for every way of asking, exact in any batch, and whole for any text."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from claimstance.bundle import read_bundle
from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from claimstance.records import LABELS, Pair

CLAIM = "وصلت شحنة قمح ملوثة إلى مرفأ السلام"


def test_records_tuples_and_generators_are_labelled_alike(predictor: Predictor, few_pairs: list[Pair]) -> None:
    pairs = few_pairs[:40]
    from_records = predictor.predict(pairs)
    assert from_records == predictor.predict([(pair.quote, pair.claim) for pair in pairs])
    assert from_records == predictor.predict((pair.quote, pair.claim) for pair in pairs)
    assert from_records == predictor.predict(iter(pairs))
    assert predictor.predict([]) == []


def test_a_batch_gives_each_pair_exactly_what_it_gets_alone(predictor: Predictor, few_pairs: list[Pair]) -> None:
    alone = [prediction for pair in few_pairs for prediction in predictor.predict([pair])]
    assert predictor.predict(few_pairs) == alone
    # More pairs than one chunk holds, and a text longer than a chunk's characters in their midst.
    long = ("نفى المدير ذلك. " * 30_000, CLAIM)
    many = predictor.predict([*few_pairs, long, *few_pairs[::-1], *few_pairs, *few_pairs])
    assert many == alone + predictor.predict([long]) + alone[::-1] + alone + alone


def test_a_loaded_model_predicts_what_another_load_of_it_predicts(
    model_folder: Path, predictor: Predictor, few_pairs: list[Pair]
) -> None:
    assert Predictor.load(str(model_folder)).predict(few_pairs) == predictor.predict(few_pairs)


def test_probabilities_name_every_label_and_sum_to_one(predictor: Predictor, few_pairs: list[Pair]) -> None:
    for prediction in predictor.predict(few_pairs):
        assert tuple(prediction.probabilities) == LABELS
        assert math.isclose(sum(prediction.probabilities.values()), 1, abs_tol=1e-12)
        assert all(0 <= value <= 1 for value in prediction.probabilities.values())
        stances = {label: value for label, value in prediction.probabilities.items() if label != "none"}
        assert prediction.confidence == max(stances.values())
        if prediction.confidence >= predictor.manifest.threshold:
            assert stances[prediction.stance] == prediction.confidence
        else:
            assert prediction.stance is None


def test_a_model_fitted_on_stances_tells_them_apart(predictor: Predictor, few_pairs: list[Pair]) -> None:
    stances = [pair for pair in few_pairs if pair.stance != "none"]
    right = [
        prediction.stance == pair.stance for prediction, pair in zip(predictor.predict(stances), stances, strict=True)
    ]
    assert np.mean(right) > 0.7


def test_below_the_threshold_no_stance_is_taken_and_none_is_never_one(model_folder: Path) -> None:
    bundle = read_bundle(model_folder)
    predictor = Predictor(dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, threshold=0.5)))
    table = np.array([[0.5, 0.3, 0.1, 0.1], [0.49, 0.3, 0.1, 0.11], [0.0, 0.05, 0.05, 0.9], [0.1, 0.1, 0.6, 0.2]])
    predictions = predictor.decide(table)
    assert [prediction.stance for prediction in predictions] == ["assert", None, None, "confirm"]
    assert [prediction.confidence for prediction in predictions] == [0.5, 0.49, 0.05, 0.6]


def test_a_model_of_quotes_alone_reads_no_claim(model_folder: Path, few_pairs: list[Pair]) -> None:
    bundle = read_bundle(model_folder)
    predictor = Predictor(dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, inputs="quote")))
    quotes = [pair.quote for pair in few_pairs[:20]]
    assert predictor.predict(quotes) == predictor.predict(few_pairs[:20])
    assert predictor.predict(quotes) == predictor.predict((quote, "ادعاء آخر") for quote in quotes)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("نفى الوزير ذلك", "no claim"),
        (("نفى الوزير ذلك", ""), "no claim"),
        (("نفى الوزير ذلك",), "expected a Pair"),
        (["نفى الوزير ذلك", CLAIM], "expected a Pair"),
        (("نفى الوزير ذلك", None), "expected a Pair"),
        (None, "expected a Pair"),
    ],
)
def test_what_is_no_pair_is_refused_by_its_number(predictor: Predictor, wrong: object, words: str) -> None:
    with pytest.raises(ClaimstanceError, match=rf"^pair 1 .*{words}"):
        predictor.predict([("قال", CLAIM), wrong])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("نفى \ud800 الوزير", id="lone surrogate"),
        pytest.param("\udcff", id="nothing but a lone surrogate"),
        pytest.param("نفى\0الوزير\0", id="NUL"),
        pytest.param("\0", id="nothing but NUL"),
        pytest.param("كلمة أخرى " * 100_000, id="a megabyte of words"),
        pytest.param("ن" * 1_000_000, id="a megabyte in one word"),
        pytest.param("\u064b" * 1_000_000, id="a megabyte of vowel signs"),
        pytest.param("12" * 500_000, id="a megabyte of digits"),
        pytest.param("…؟!", id="no word at all"),
        pytest.param("🙂👍🏽", id="beyond the basic plane"),
        pytest.param("", id="nothing"),
    ],
)
def test_any_text_is_labelled_and_disturbs_no_neighbour(predictor: Predictor, few_pairs: list[Pair], text: str) -> None:
    pair = few_pairs[0]
    before, odd, odd_claim, after = predictor.predict([pair, (text, CLAIM), (pair.quote, text or "x"), pair])
    for prediction in (odd, odd_claim):
        assert math.isclose(sum(prediction.probabilities.values()), 1, abs_tol=1e-12)
    assert [before] == [after] == predictor.predict([pair])
