"""Contrasts: what becomes of two pairs of a group, of swapped sides, and of claims of another event."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from claimstance.predictor import Prediction, Predictor
from claimstance.records import LABELS
from evaluation import metrics
from evaluation.contrasts import OUTCOMES, Contrasts, examine_contrasts
from evaluation.scoring import ANNOTATIONS, LabelledPairs, Scores, read_labelled, score_model

BOTH_RIGHT, SAME, ABSTAINED, EXCHANGED, OTHERWISE = OUTCOMES


class Scripted:
    """A model that says what it is told to, and keeps what it was asked."""

    def __init__(
        self,
        answer: Callable[[str, str], str],
        labels: tuple[str, ...] = LABELS,
        abstain_label: str = "none",
        inputs: str = "pair",
    ) -> None:
        self.answer, self.asked = answer, cast(list[tuple[str, str]], [])
        self.manifest = SimpleNamespace(labels=labels, abstain_label=abstain_label, inputs=inputs)

    def predict(self, pairs: list[tuple[str, str]]) -> list[Prediction]:
        self.asked += pairs
        given = [self.answer(quote, claim) for quote, claim in pairs]
        return [Prediction(label if label != self.manifest.abstain_label else None, 0.5, {}) for label in given]


def pairs_of(labels: list[str], events: list[str], groups: list[str], languages: list[str]) -> LabelledPairs:
    """Pairs whose texts, ``قول 0`` and ``زعم 0``, tell their number."""
    count = len(labels)
    empty = [""] * count
    numbers = [str(number) for number in range(count)]
    slices = dict.fromkeys(ANNOTATIONS, empty) | {"lang": languages}
    quotes, claims = [f"قول {number}" for number in numbers], [f"زعم {number}" for number in numbers]
    return LabelledPairs(numbers, quotes, claims, labels, events, groups, empty, slices)


def examined(model: Scripted, pairs: LabelledPairs, predicted: list[str] | None = None, seed: int = 0) -> Contrasts:
    """Examine with what the model says of the pairs, or is said to have said."""
    labels = model.manifest.labels
    given = predicted or [model.answer(*pair) for pair in zip(pairs.quotes, pairs.claims, strict=True)]
    truth, said = (np.array([labels.index(label) for label in column]) for column in (pairs.labels, given))
    nothing = np.zeros(len(pairs))
    scores = Scores(labels, truth, said, np.zeros((len(pairs), 4)), nothing, nothing.astype(bool), {}, {})
    return examine_contrasts(cast(Predictor, model), scores, pairs, seed)


def number_of(text: str) -> int:
    return int(text.split()[1])


def one_group(truth: list[str], predicted: list[str], model: Scripted | None = None) -> Contrasts:
    count = len(truth)
    pairs = pairs_of(truth, ["حدث"] * count, ["مجموعة"] * count, ["ar"] * count)
    return examined(model or Scripted(lambda quote, claim: "assert"), pairs, predicted)


@pytest.mark.parametrize(
    ("truth", "predicted", "outcome"),
    [
        ("assert deny", "assert deny", BOTH_RIGHT),
        ("confirm none", "confirm none", BOTH_RIGHT),
        ("assert deny", "deny deny", SAME),
        ("assert none", "none none", SAME),
        ("assert deny", "none none", SAME),
        ("assert deny", "none deny", ABSTAINED),
        ("assert deny", "confirm none", ABSTAINED),
        ("assert none", "none assert", ABSTAINED),
        ("assert deny", "deny assert", EXCHANGED),
        ("assert deny", "confirm deny", OTHERWISE),
        ("assert deny", "deny confirm", OTHERWISE),
        ("assert none", "deny none", OTHERWISE),  # abstaining on the second was right
    ],
)
def test_two_pairs_of_a_group_have_one_outcome_in_either_order(truth: str, predicted: str, outcome: str) -> None:
    for step in (1, -1):
        found = one_group(truth.split()[::step], predicted.split()[::step])
        assert found.outcomes == dict.fromkeys(OUTCOMES, 0) | {outcome: 1}
        assert (found.groups, found.all_right) == (1, int(outcome == BOTH_RIGHT))


def test_a_model_that_never_abstains_has_no_outcome_of_abstaining() -> None:
    labels = ("agree", "disagree", "other")
    model = Scripted(lambda quote, claim: "agree", labels, abstain_label="")
    found = one_group(["agree", "disagree"], ["other", "disagree"], model)
    assert found.outcomes[OTHERWISE] == 1 and found.outcomes[ABSTAINED] == 0


def test_every_two_of_a_group_with_different_labels_count_and_pairs_without_a_group_do_not() -> None:
    truth = ["assert", "deny", "confirm", "assert", "assert", "assert", "deny"]
    said = ["assert", "deny", "deny", "assert", "deny", "none", "none"]
    groups = ["أ", "أ", "أ", "ب", "ب", "", ""]
    pairs = pairs_of(truth, ["حدث"] * 7, groups, ["ar"] * 7)
    found = examined(Scripted(lambda quote, claim: "assert"), pairs, said)
    # Group أ: right beside right, right beside wrong, and the two that are both denied; ب has one label throughout.
    assert found.outcomes == dict.fromkeys(OUTCOMES, 0) | {BOTH_RIGHT: 1, OTHERWISE: 1, SAME: 1}
    assert (found.groups, found.all_right) == (2, 0)


EVENTS = ["قمة", "قمة", "هدنة", "هدنة", "زلزال", "summit", "summit", "strike", "scrutin"]
LANGUAGES = ["ar", "ar", "ar", "ar", "ar", "en", "en", "en", "fr"]


def of_other_events(model: Scripted, seed: int = 0) -> tuple[Contrasts, list[tuple[int, int]]]:
    """Examine nine pairs; returns also which quote met which claim of another event."""
    pairs = pairs_of(["deny"] * 9, EVENTS, [""] * 9, LANGUAGES)
    found = examined(model, pairs, seed=seed)
    met = [pair for pair in model.asked if pair[0].startswith("قول")]
    return found, [(number_of(quote), number_of(claim)) for quote, claim in met]


@pytest.mark.parametrize("seed", range(20))
def test_a_claim_of_another_event_is_never_of_the_same_event_and_always_of_the_same_language(seed: int) -> None:
    _, met = of_other_events(Scripted(lambda quote, claim: "none"), seed)
    # The French quote is left out: its language has no other event.
    assert [quote for quote, _ in met] == list(range(8))
    assert all(EVENTS[quote] != EVENTS[claim] and LANGUAGES[quote] == LANGUAGES[claim] for quote, claim in met)


def test_claims_of_another_event_are_drawn_by_the_seed() -> None:
    draws = [of_other_events(Scripted(lambda quote, claim: "none"), seed)[1] for seed in (0, 0, 1, 2)]
    assert draws[0] == draws[1]
    assert any(draw != draws[0] for draw in draws[2:])


def test_the_share_of_quotes_on_which_the_model_abstains_is_told_where_claims_are_of_another_event() -> None:
    silent_on = {0, 3, 7}

    def answer(quote: str, claim: str) -> str:
        met = quote.startswith("قول") and number_of(quote) != number_of(claim)
        return "none" if met and number_of(quote) in silent_on else "deny"

    found, met = of_other_events(Scripted(answer))
    assert len(met) == 8 and found.other_event_abstained == 3 / 8


def test_languages_need_not_be_known_for_claims_of_another_event() -> None:
    model = Scripted(lambda quote, claim: "none")
    examined(model, pairs_of(["deny"] * 4, ["قمة", "قمة", "هدنة", "هدنة"], [""] * 4, [""] * 4))
    met = [(number_of(quote) // 2, number_of(claim) // 2) for quote, claim in model.asked if quote.startswith("قول")]
    assert len(met) == 4 and all(quote != claim for quote, claim in met)


def test_swapping_quote_and_claim_counts_the_predictions_that_stay() -> None:
    def answer(quote: str, claim: str) -> str:
        """The same in either order for three pairs of nine."""
        return "confirm" if quote.startswith("قول") or number_of(quote) % 3 == 0 else "none"

    found, _ = of_other_events(Scripted(answer))
    assert found.swap_unchanged == 3 / 9


@pytest.mark.parametrize("inputs", ["quote", "claim"])
def test_a_model_that_reads_one_side_is_asked_about_neither(inputs: str) -> None:
    model = Scripted(lambda quote, claim: "deny", inputs=inputs)
    found, _ = of_other_events(model)
    assert (found.swap_unchanged, found.other_event_abstained, model.asked) == (None, None, [])


def test_claims_of_another_event_are_not_asked_of_a_model_that_never_abstains_or_on_pairs_of_one_event() -> None:
    never, _ = of_other_events(Scripted(lambda quote, claim: "deny", LABELS, abstain_label=""))
    one_event = one_group(["assert", "deny"], ["assert", "deny"])
    for found in (never, one_event):
        assert found.other_event_abstained is None and found.swap_unchanged is not None


def test_a_real_model_is_examined_as_it_predicts(predictor: Predictor, small_corpus: Path) -> None:
    pairs = read_labelled(small_corpus / "validation.jsonl", predictor)
    scores = score_model(predictor, pairs)
    found = examine_contrasts(predictor, scores, pairs)
    assert found.groups > 0
    assert found.all_right / found.groups == pytest.approx(scores.figures[metrics.CONTRAST_ALL_RIGHT])
    swapped = score_model(predictor, dataclasses.replace(pairs, quotes=pairs.claims, claims=pairs.quotes))
    assert found.swap_unchanged == pytest.approx(np.mean(swapped.predicted == scores.predicted))
    assert found == examine_contrasts(predictor, scores, pairs)
