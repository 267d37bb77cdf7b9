"""Matching statements: one to one, by the words that they share; and what two annotations agree on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from claimstance.predictor import Predictor
from evaluation.__main__ import main
from evaluation.articles import measure
from evaluation.gold import GoldArticle, GoldStatement
from evaluation.statements import Found, Span, agreement, found, match, same_speaker

TEXT = "أعلنت النقابة أن الشحنة وصلت. نفى الوزير وصول الشحنة إلى المرفأ. وأكد المدير ذلك."


def span(words: str) -> Span:
    return Span(TEXT.index(words), TEXT.index(words) + len(words))


def statement(words: str, **parts: object) -> GoldStatement:
    whole = {
        "kind": "indirect", "cue": "", "cue_start": None, "cue_class": "assert", "cue_negated": False, "mention": "",
        "speaker": "الوزير", "outlet": "", "parent": None, "stances": ("deny",),
    }  # fmt: skip
    return GoldStatement(*span(words), **{**whole, **parts})


def article(*statements: GoldStatement) -> GoldArticle:
    return GoldArticle("ar-1", "ar", "economy", TEXT, ("وصلت الشحنة",), (), statements)


def test_each_is_matched_once_with_what_shares_most_of_its_words() -> None:
    gold = [span("الشحنة وصلت"), span("وصول الشحنة إلى المرفأ")]
    given = [span("الوزير وصول الشحنة إلى المرفأ"), span("أن الشحنة وصلت"), span("وصول الشحنة")]
    assert match(TEXT, gold, given).pairs == ((0, 1), (1, 0))


def test_a_whole_paragraph_finds_nothing() -> None:
    whole = Span(0, len(TEXT))
    assert match(TEXT, [span("الشحنة وصلت")], [whole]).pairs == ()
    assert match(TEXT, [whole], [whole]).pairs == ((0, 0),)


def test_half_of_all_words_is_enough_and_less_is_not() -> None:
    gold = [span("الوزير وصول الشحنة إلى")]
    assert match(TEXT, gold, [span("الوزير وصول")]).pairs == ((0, 0),)
    assert match(TEXT, gold, [span("الوزير")]).pairs == ()


def test_nothing_on_a_side_matches_nothing() -> None:
    assert match(TEXT, [], [span("الشحنة")]).pairs == match(TEXT, [span("الشحنة")], []).pairs == ()
    assert found([]) == Found(0, 0, 0) and Found(0, 0, 0).f1 == 0.0


def test_counts_of_articles_are_added_up() -> None:
    some = match(TEXT, [span("الشحنة وصلت"), span("المدير")], [span("الشحنة وصلت")])
    total = found([some, some])
    assert total == Found(4, 2, 2)
    assert (total.precision, total.recall) == (1.0, 0.5) and total.f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("سالم الحاج", "وزير التموين، سالم الحاج", True),
        ("سالم الحاج", "سالم الحاج", True),
        ("سالم الحاج", "سالم", True),
        ("سالم الحاج", "سالم النجار", False),
        ("Dr Mara Lund", "Mara Lund", True),
    ],
)
def test_a_title_makes_no_other_speaker(one: str, other: str, same: bool) -> None:
    assert same_speaker(one, other) is same_speaker(other, one) is same


def test_annotations_agree_on_what_both_have() -> None:
    first = article(statement("الشحنة وصلت"), statement("وصول الشحنة إلى المرفأ"), statement("ذلك"))
    second = article(
        statement("أن الشحنة وصلت", kind="direct"),
        statement("وصول الشحنة إلى المرفأ", speaker="المدير", stances=("none",)),
    )
    result = agreement([first], [second])
    assert result.found == Found(3, 2, 2)
    assert (result.kind, result.cue_class, result.speaker, result.stances) == (0.5, 1.0, 0.5, 0.5)


def test_a_reading_is_judged_by_what_was_found(predictor: Predictor) -> None:
    whole = TEXT.split(". ")[1] + "."
    right = statement(whole, speaker="الوزير")
    never, unnamed = statement("أعلنت"), statement("وأكد المدير ذلك", speaker="unnamed")
    report = measure(predictor, [dataclasses.replace(article(right, unnamed), text=TEXT), article(never)])
    found_one, _, missed = report.readings
    assert found_one.exact and found_one.given.text == whole
    assert missed.given is None and not missed.exact and not missed.speaker and missed.of_given == ()
    assert len(missed.of_gold) == 1


def test_the_command_prints_every_kind_that_there_is(
    root: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["articles", str(model_folder), str(root / "data/articles/development")]) == 0
    shown = capsys.readouterr().out
    for word in ("direct", "mixed", "indirect", "nominal", "headline", "statements found: precision"):
        assert word in shown
    assert main(["articles", str(model_folder), str(root / "data")]) == 2
    assert "no annotated article" in capsys.readouterr().err
