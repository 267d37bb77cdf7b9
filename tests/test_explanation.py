"""Explanations: contributions add up to the prediction, words stand as written, occlusion is leaving a word out."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from claimstance.explanation import COVERAGE, QUESTIONS, START, Explanation, explain
from claimstance.features import FAMILIES
from claimstance.predictor import Predictor
from claimstance.records import Pair, read_pairs
from claimstance.words import read_words
from training.config import Config
from training.corpus import load_corpus
from training.models import fit

Texts = list[tuple[str, str]]
CLAIM = "وصلت شحنة قمح ملوثة إلى المرفأ."
HARD: Texts = [
    ("", ""),
    ("…؟!", CLAIM),
    ("؟", "هل؟ هل؟؟؟"),
    (" \u200f ", "\u064b"),
    ("😀 نفى 👩‍👩‍👧 الخبر ✅", "الخبر 😀"),
    ("نَفَى الوَزِيرُ وُصُولَ الشُّحْنَةِ", "وَصَلَت الشُّحنةُ"),
    ("ﻧﻔﻰ ﺍﻟﻮﺯﻳﺮ ﻭﺻﻮﻝ ﺍﻟﺸﺤﻨﺔ １２", "وصلت الشحنة 12"),
    (unicodedata.normalize("NFD", "أكّد المسؤول أنّ الأنباء صحيحة"), "الأنباء صحيحة"),
    ("لا لا لا لا لا نفى نفى نفى نفى", "لا لم لن ليس"),
    ("لم أقل إنه رفض؛ بل قبل. هل تسأل؟", "رفض الوزير"),
    ("ارتفاع الأسعار ليس صحيحا", "انخفاض الأسعار"),
    ("1,200 و١٬٢٠٠٫٥ شخص", "ألف ومئتا شخص؟"),
    ("He didn’t deny it; “true”, he said — 12.5%", "It's true?"),
]
MODELS: dict[str, dict[str, Any]] = {
    "quotes alone": {"inputs": "quote"},
    "claims alone": {"inputs": "claim"},
    **{f"{family} alone": {"families": {family: 0.7}} for family in FAMILIES},
}


@pytest.fixture(scope="module")
def corpus_texts(few_pairs: list[Pair], root: Path) -> Texts:
    english = [pair for pair in read_pairs(root / "data/train.jsonl") if pair.lang == "en"][:60]
    return [(pair.quote, pair.claim) for pair in (*few_pairs, *english)]


@pytest.fixture(scope="module")
def trained(small_config: Config) -> Callable[..., Predictor]:
    """Train the small model with some keys of its section changed."""
    splits = load_corpus(small_config).splits

    def train(**model: Any) -> Predictor:
        content = small_config.model_dump()
        config = Config.model_validate({**content, "model": {**content["model"], **model}})
        return Predictor(fit(config, splits["train"], splits["validation"], {}).bundle)

    return train


def centred(rows: np.ndarray) -> np.ndarray:
    return rows - rows.mean(axis=-1, keepdims=True)


def log_odds(predictor: Predictor, quote: str, claim: str) -> np.ndarray:
    """The log of each probability against the labels' mean log, as users would get it."""
    (prediction,) = predictor.predict([(quote, claim or " ")])
    return centred(np.log(list(prediction.probabilities.values())))


def total(found: Explanation) -> np.ndarray:
    return sum(found.parts.values()) + sum(word.push for word in found.words)


def assert_adds_up(predictor: Predictor, texts: Texts) -> None:
    for quote, claim in texts:
        found = explain(predictor, quote, claim)
        np.testing.assert_allclose(found.scores, log_odds(predictor, quote, claim), atol=1e-4)
        np.testing.assert_allclose(total(found), found.scores, atol=1e-4, err_msg=f"{quote} | {claim}")


def test_contributions_add_up_to_the_prediction_of_every_pair(predictor: Predictor, corpus_texts: Texts) -> None:
    assert_adds_up(predictor, corpus_texts + HARD)


@pytest.mark.parametrize("name", MODELS)
def test_contributions_add_up_for_models_of_one_side_and_of_one_family(
    trained: Callable[..., Predictor], corpus_texts: Texts, name: str
) -> None:
    assert_adds_up(trained(**MODELS[name]), corpus_texts[::18] + HARD)


def test_contributions_add_up_for_two_labels(predictor: Predictor, corpus_texts: Texts) -> None:
    manifest = dataclasses.replace(predictor.manifest, labels=("agree", "disagree"), abstain_label="", threshold=0.0)
    weights = {"dense": predictor.bundle.dense[:, :2], "sparse": predictor.bundle.sparse[:, :2]}
    binary = Predictor(dataclasses.replace(predictor.bundle, manifest=manifest, **weights))
    assert_adds_up(binary, corpus_texts[::12] + HARD)
    assert explain(binary, *corpus_texts[0]).labels == ("agree", "disagree")


def test_contributions_add_up_also_where_a_probability_is_too_small_to_write(predictor: Predictor) -> None:
    weights = {"dense": predictor.bundle.dense * 400, "sparse": predictor.bundle.sparse * 400}
    sure = Predictor(dataclasses.replace(predictor.bundle, **weights))
    once, found = (explain(model, "نفى الوزير وصول الشحنة", CLAIM) for model in (predictor, sure))
    assert min(found.prediction.probabilities.values()) == 0
    np.testing.assert_allclose(total(found), 400 * total(once), rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(total(found), found.scores, rtol=1e-4, atol=1e-2)


def test_an_explanation_is_of_the_prediction_that_users_get(predictor: Predictor, corpus_texts: Texts) -> None:
    for method in ("contributions", "occlusion"):
        explained = [explain(predictor, *pair, method=method).prediction for pair in corpus_texts[:20]]
        assert explained == predictor.predict(corpus_texts[:20])


def test_words_stand_as_written_in_reading_order_quote_first(predictor: Predictor, corpus_texts: Texts) -> None:
    for quote, claim in corpus_texts + HARD[:6]:
        found = explain(predictor, quote, claim)
        counts = np.diff(read_words([quote, claim]).first).tolist()
        assert [word.side for word in found.words] == ["quote"] * counts[0] + ["claim"] * counts[1]
        for side, text in (("quote", quote), ("claim", claim)):
            words = [word for word in found.words if word.side == side]
            assert [word.start for word in words] == sorted({word.start for word in words})
            for word in words:
                assert text[word.start :].startswith(word.text)


@pytest.mark.parametrize(
    ("quote", "shown"),
    [
        ("نَفَى «الوَزِيرُ»، 😀 وُصُولَ الشُّحْنَةِ.", ["نَفَى", "الوَزِيرُ", "وُصُولَ", "الشُّحْنَةِ"]),
        ("تضرّر ١٬٢٠٠ منزل، وأُجّلت 3 مباريات", ["تضرّر", "١٬٢٠٠", "منزل", "وأُجّلت", "3", "مباريات"]),
        ("كـــتاب\u200f الوزارة", ["كـــتاب", "الوزارة"]),
        ("ﻧﻔﻰ ﺍﻟﻮﺯﻳﺮ", ["نفى", "الوزير"]),
        ("He DIDN’T deny the Café's 12.5%", ["He", "DIDN’T", "deny", "the", "Café's", "12.5"]),
        ("\udcff نفى الوزير", ["نفى", "الوزير"]),
    ],
)
def test_a_word_is_shown_with_its_marks_and_capitals(predictor: Predictor, quote: str, shown: list[str]) -> None:
    assert [word.text for word in explain(predictor, quote, CLAIM).words if word.side == "quote"] == shown


@pytest.mark.parametrize(
    ("quote", "claim", "verb"),
    [
        ("نفى الوزير وصول الشحنة إلى المرفأ", "وصلت الشحنة إلى المرفأ", "نفى"),
        ("نَفَت المتحدثة باسم البلدية إغلاق السوق القديم", "أغلقت البلدية السوق القديم", "نَفَت"),
        ("The minister denied that the shipment arrived", "The shipment arrived", "denied"),
    ],
)
def test_a_verb_of_denial_pushes_towards_deny(predictor: Predictor, quote: str, claim: str, verb: str) -> None:
    for method in ("contributions", "occlusion"):
        found = explain(predictor, quote, claim, method)
        assert verb in [word.text for word in found.strongest("deny", count=3)]
        assert verb not in [word.text for word in found.strongest("assert", count=99)]


def test_a_bag_of_words_gives_each_word_what_it_says_alone(
    trained: Callable[..., Predictor], corpus_texts: Texts
) -> None:
    bag = trained(inputs="quote", families={"bag": 1.0})
    nothing = explain(bag, "", "")
    assert not nothing.words
    for quote, _ in corpus_texts[:20]:
        found = explain(bag, quote, "")
        np.testing.assert_allclose(found.parts[START], nothing.scores, atol=1e-5)
        np.testing.assert_allclose(found.parts[COVERAGE], 0, atol=1e-5)
        for word in found.words:
            np.testing.assert_allclose(word.push, explain(bag, word.text, "").scores - nothing.scores, atol=1e-4)


def test_a_count_of_cues_is_shared_by_the_cues_of_its_side_alone(trained: Callable[..., Predictor]) -> None:
    cues = trained(families={"cues": 1.0})
    found = explain(cues, "نفى الوزير ثم نفت الوزارة؟", "نفى كتاب")
    first, second, of_claim = (word for word in found.words if word.text in ("نفى", "نفت"))
    np.testing.assert_allclose(first.push, second.push)
    assert np.abs(first.push - of_claim.push).max() > 0.01
    plain = [word.push for word in found.words if word.text in ("الوزير", "الوزارة", "كتاب")]
    np.testing.assert_allclose(plain, 0, atol=1e-9)
    without = explain(cues, "نفى الوزير ثم نفت الوزارة", "نفى كتاب")
    np.testing.assert_allclose(found.parts[QUESTIONS], found.scores - without.scores, atol=1e-4)
    assert np.abs(without.parts[QUESTIONS]).max() < 1e-9 < np.abs(found.parts[QUESTIONS]).max()


@pytest.mark.parametrize("pair", [*HARD[4:6], *HARD[8:], ("نفى نفى الخبر", "الخبر")], ids=range(8))
def test_occlusion_is_what_leaving_the_word_out_changes(predictor: Predictor, pair: tuple[str, str]) -> None:
    found = explain(predictor, *pair, method="occlusion")
    assert found.parts == {} and found.words
    for word in found.words:
        texts = dict(zip(("quote", "claim"), pair, strict=True))
        whole = texts[word.side]
        texts[word.side] = whole[: word.start] + whole[word.start + len(word.text) :]
        expected = log_odds(predictor, *pair) - log_odds(predictor, texts["quote"], texts["claim"])
        np.testing.assert_allclose(word.push, expected, atol=1e-9)


@pytest.mark.parametrize("method", ["contributions", "occlusion"])
@pytest.mark.parametrize(
    ("inputs", "sides"), [("quote", {"quote"}), ("claim", {"claim"}), ("pair", {"quote", "claim"})]
)
def test_only_words_that_the_model_reads_are_explained(
    predictor: Predictor, method: str, inputs: str, sides: set[str]
) -> None:
    manifest = dataclasses.replace(predictor.manifest, inputs=inputs)
    reader = Predictor(dataclasses.replace(predictor.bundle, manifest=manifest))
    found = explain(reader, "نفى الوزير الخبر", "صدر الخبر", method)
    assert {word.side for word in found.words} == sides


def test_the_strongest_words_come_first_and_only_those_that_push_so(predictor: Predictor, corpus_texts: Texts) -> None:
    for quote, claim in corpus_texts[:30]:
        found = explain(predictor, quote, claim)
        for label, against in (("deny", None), ("confirm", "deny")):
            pushes = [found.towards(word.push, label, against) for word in found.strongest(label, against, count=99)]
            everything = [found.towards(word.push, label, against) for word in found.words]
            assert pushes == sorted((push for push in everything if push > 0), reverse=True)
            assert len(found.strongest(label, against, count=2)) == min(2, len(pushes))
        deny, confirm = (found.labels.index(label) for label in ("deny", "confirm"))
        push = found.words[0].push
        assert found.towards(push, "deny", "confirm") == pytest.approx(push[deny] - push[confirm])
