"""Composition: every figure of the card on made corpora with known shares, and the labels before adjudication."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from claimstance.errors import RecordError
from claimstance.lexicon import Lexicon
from claimstance.records import LABELS, Pair, write_json_lines
from training.composition import (
    ANNOTATORS,
    HARD_CASES,
    Annotations,
    Figure,
    agreement_of,
    figures_of,
    read_annotations,
)

CLAIM = "وصلت شحنة قمح ملوثة إلى مرفأ السلام"
GENRES = ("agency", "statement", "interview", "press_conference", "court_filing", "official_post", "roundup")
STANCES = ("assert", "deny", "confirm") * 3 + ("none",) * 2


def made(number: int) -> Pair:
    """One pair of a corpus that keeps every figure: a quarter English, two in five bare and in contrast groups."""
    event = number // 10
    return Pair(
        id=f"p{number}",
        event=f"e{event}",
        topic=f"t{event % 10}",
        lang="ar" if event % 4 else "en",
        claim=CLAIM,
        quote=f"ث{number} " + "كلام " * (39 if number % 4 == 0 else 4),
        speaker="وزير الاقتصاد",
        stance=STANCES[number % 11],
        genre=GENRES[number % 7],
        pattern=HARD_CASES[number % 19],
        form="bare" if number % 5 < 2 else "reported",
        contrast=f"c{event}" if number % 5 < 2 else "",
    )


@pytest.fixture(scope="module")
def sound() -> list[Pair]:
    """A corpus that keeps every figure, just large enough."""
    return [made(number) for number in range(3000)]


def figures(pairs: list[Pair], lexicon: Lexicon) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures_of(pairs, lexicon)}


def test_every_figure_is_the_share_that_was_made(sound: list[Pair], lexicon: Lexicon) -> None:
    found = {name: figure.value for name, figure in figures(sound, lexicon).items()}
    assert found == pytest.approx(
        {
            "pairs": 3000,
            "events": 300,
            "Arabic": 0.75,
            "topics": 10,
            "largest topic": 0.1,
            "labelled assert": 819 / 3000,
            "labelled deny": 819 / 3000,
            "labelled confirm": 818 / 3000,
            "labelled none": 544 / 3000,
            "pairs in contrast groups": 0.4,
            "quotes without a reporting verb": 0.4,
            "quotes of 40 to 80 words": 0.25,
            "stances in other words than the claim's": 1.0,
            "rarest hard case (question_condition)": 157,
            "genres": 7,
        }
    )
    assert all(figure.kept for figure in figures(sound, lexicon).values())


def only(name: str, value: str, places: Callable[[int], bool]) -> Callable[[list[Pair]], list[Pair]]:
    """Give one field another value in the pairs at some places."""
    return lambda pairs: [replace(pair, **{name: value}) if places(at) else pair for at, pair in enumerate(pairs)]


def kept_to(field: str, limit: int, value: str, other: str) -> Callable[[list[Pair]], list[Pair]]:
    """Leave a value to the first few pairs that have it, and give the others another."""

    def change(pairs: list[Pair]) -> list[Pair]:
        have = [pair.id for pair in pairs if getattr(pair, field) == value]
        lose = set(have[limit:])
        return [replace(pair, **{field: other}) if pair.id in lose else pair for pair in pairs]

    return change


@pytest.mark.parametrize(
    ("change", "short"),
    [
        (lambda pairs: pairs[:-1], {"pairs"}),
        (only("event", "e0", lambda at: at >= 2990), {"events"}),
        (only("lang", "ar", lambda at: at < 1000), {"Arabic"}),
        (only("lang", "en", lambda at: at < 300), {"Arabic"}),
        (only("topic", "t8", lambda at: at // 10 % 10 == 9), {"topics"}),
        (only("topic", "t0", lambda at: at < 400), {"largest topic"}),
        (kept_to("stance", 749, "assert", "confirm"), {"labelled assert"}),
        (kept_to("stance", 749, "confirm", "deny"), {"labelled confirm"}),
        (kept_to("stance", 700, "deny", "none"), {"labelled deny", "labelled none"}),
        (kept_to("stance", 449, "none", "deny"), {"labelled none", "labelled deny"}),
        (only("contrast", "", lambda at: at % 5 == 0), {"pairs in contrast groups"}),
        (kept_to("form", 999, "bare", "reported"), {"quotes without a reporting verb"}),
        (kept_to("pattern", 24, "evidence", "doubt"), {"rarest hard case (evidence)"}),
        (only("quote", "نعم", lambda at: at % 12 == 0), {"quotes of 40 to 80 words"}),
        (
            only("quote", f"أعلنت النقابة: {CLAIM}", lambda at: at % 40 > 12),
            {"stances in other words than the claim's"},
        ),
        (kept_to("genre", 0, "roundup", "agency"), {"genres"}),
    ],
)
def test_a_figure_that_falls_short_is_not_kept_and_the_others_are(
    sound: list[Pair], lexicon: Lexicon, change: Callable[[list[Pair]], list[Pair]], short: set[str]
) -> None:
    found = figures(change(sound), lexicon)
    missed = {name for name, figure in found.items() if not figure.kept}
    assert missed == short


@pytest.mark.parametrize(("words", "long"), [(39, 0), (40, 1), (80, 1), (81, 0)])
def test_long_quotes_have_40_to_80_words(lexicon: Lexicon, words: int, long: float) -> None:
    quote = "قال الوزير، " + "نعم " * (words - 2)
    assert figures([replace(made(1), quote=quote)], lexicon)["quotes of 40 to 80 words"].value == long


def test_a_quote_that_meets_several_claims_of_its_event_counts_once_among_the_quotes(lexicon: Lexicon) -> None:
    bare = [replace(made(0), id=f"b{number}", claim=f"{CLAIM} {number}") for number in range(3)]
    other = replace(made(0), id="o", quote="قال المدير إن القمح سليم", form="reported")
    found = figures([*bare, other], lexicon)
    assert found["pairs"].value == 4
    assert found["quotes without a reporting verb"].value == 0.5
    assert found["quotes of 40 to 80 words"].value == 0.5


@pytest.mark.parametrize(
    ("claim", "quote", "paraphrased"),
    [
        (CLAIM, "دخلت المرفأ باخرة محملة بالحبوب الفاسدة", True),
        (CLAIM, "أعلنت النقابة أن شحنة قمح ملوثة وصلت إلى مرفأ السلام", False),
        (
            "Tainted wheat reached the port of Salam",
            "The grain that was unloaded on Monday had mould all over it",
            True,
        ),
        ("Tainted wheat reached the port of Salam", "Yes, tainted wheat did reach the port of Salam", False),
    ],
)
def test_a_stance_in_other_words_shares_few_content_words_with_the_claim(
    lexicon: Lexicon, claim: str, quote: str, paraphrased: bool
) -> None:
    stance = replace(made(0), claim=claim, quote=quote, stance="assert")
    # A pair without a stance counts on neither side, whatever its words.
    without = [replace(made(9), id=f"n{number}", stance="none", quote=CLAIM) for number in range(3)]
    assert figures([stance, *without], lexicon)["stances in other words than the claim's"].value == paraphrased


@pytest.mark.parametrize(
    ("value", "least", "most", "kept", "wanted"),
    [
        (0.7, 0.7, 0.8, True, "at least 70.0% and at most 80.0%"),
        (0.8, 0.7, 0.8, True, "at least 70.0% and at most 80.0%"),
        (0.81, 0.7, 0.8, False, "at least 70.0% and at most 80.0%"),
        (0.69, 0.7, None, False, "at least 70.0%"),
        (0.21, None, 0.2, False, "at most 20.0%"),
        (0.0, None, None, True, ""),
        (math.nan, 0.85, None, False, "at least 85.0%"),
    ],
)
def test_a_figure_is_kept_within_its_bounds(
    value: float, least: float | None, most: float | None, kept: bool, wanted: str
) -> None:
    figure = Figure("حصة", value, least=least, most=most)
    assert (figure.kept, figure.wanted) == (kept, wanted)


# Annotations


def given(pair: str, labels: Iterable[str], adjudicated: str = "") -> list[dict[str, Any]]:
    """The lines of one pair, author first."""
    rows = [
        {"pair": pair, "annotator": annotator, "label": label, "rule": "report"}
        for annotator, label in zip(ANNOTATORS, labels, strict=False)
    ]
    return rows + ([{"pair": pair, "annotator": "adjudicated", "label": adjudicated}] if adjudicated else [])


@pytest.fixture
def three() -> dict[str, Pair]:
    """Three pairs: assert, deny, confirm."""
    return {pair.id: pair for pair in map(made, range(3))}


def sound_rows() -> list[dict[str, Any]]:
    return [
        *given("p0", ("assert",) * 3),
        *given("p1", ("assert", "deny", "none"), "deny"),
        *given("p2", ("confirm",) * 3),
    ]


def test_the_table_has_the_authors_label_first_whatever_the_order_of_the_lines(
    three: dict[str, Pair], tmp_path: Path
) -> None:
    path = tmp_path / "annotations.jsonl"
    write_json_lines(path, sound_rows()[::-1])
    read = read_annotations(path, three)
    assert read.pairs == ("p0", "p1", "p2")
    assert [[LABELS[label] for label in row] for row in read.table] == [
        ["assert"] * 3,
        ["assert", "deny", "none"],
        ["confirm"] * 3,
    ]


@pytest.mark.parametrize(
    ("rows", "where", "message"),
    [
        (given("p9", ("assert",)), ":1", "pair 'p9' is not in the corpus"),
        ([{"pair": "p0", "label": "deny"}], ":1", "annotator None is not one of author, annotator-1, annotator-2"),
        (
            [*sound_rows(), {"pair": "p0", "annotator": "محرر", "label": "deny"}],
            ":11",
            "annotator 'محرر' is not one of author, annotator-1, annotator-2, adjudicated",
        ),
        (
            [{"pair": "p0", "annotator": "author", "label": label} for label in ("deny", "assert")],
            ":2",
            "author has labelled 'p0' already",
        ),
        (given("p0", ("denies",)), ":1", "label 'denies' is not one of assert, deny, confirm, none"),
        ([{"pair": "p0", "annotator": "author"}], ":1", "label None is not one of assert, deny, confirm, none"),
        (given("p0", ("assert", "assert")), "", "pair 'p0' has no label by annotator-2"),
        (sound_rows()[:7], "", "pair 'p2' has no label by author"),
        (sound_rows()[1:], "", "pair 'p0' has no label by author"),
        (given("p0", ("deny",) * 3), "", "pair 'p0' came to deny, but the corpus says assert"),
        (given("p0", ("assert",) * 3, "none"), "", "pair 'p0' came to none, but the corpus says assert"),
        (given("p0", ("assert", "assert", "deny")), "", "pair 'p0' came to None, but the corpus says assert"),
        ([{"pair": ["p0"], "annotator": "author", "label": "assert"}], ":1", "pair ['p0'] is not in the corpus"),
        ([{"pair": "p0", "annotator": {}, "label": "assert"}], ":1", "annotator {} is not one of author"),
    ],
)
def test_wrong_annotations_are_named(
    three: dict[str, Pair], tmp_path: Path, rows: list[dict[str, Any]], where: str, message: str
) -> None:
    path = tmp_path / "annotations.jsonl"
    write_json_lines(path, rows)
    with pytest.raises(RecordError) as caught:
        read_annotations(path, three)
    assert str(caught.value).startswith(f"{path}{where}: {message}")


def agreement(patterns: Iterable[str], labels: Iterable[str]) -> dict[str, Figure]:
    """Agreement over one pair a pattern and a word of labels, such as ``aad`` for assert, assert, deny."""
    pairs = [replace(made(number), pattern=pattern) for number, pattern in enumerate(patterns)]
    table = [["adcn".index(letter) for letter in word] for word in labels]
    annotations = Annotations(tuple(pair.id for pair in pairs), np.array(table))
    return {figure.name: figure for figure in agreement_of(annotations, {pair.id: pair for pair in pairs})}


def test_agreement_is_of_all_three_and_of_the_two_who_saw_no_label() -> None:
    found = agreement(["doubt"] * 4, ["ddd", "add", "ccc", "nnn"])
    assert found["α, the two blind annotators"].value == 1
    # 12 labels: a 1, d 5, c 3, n 3; o_aa = 0, o_dd = 4: 1 − 11 · 2 / (144 − 44)
    assert found["α, author and both annotators"].value == pytest.approx(0.78)
    assert not found["α, author and both annotators"].kept
    assert found["α of confirm against the rest"].value == 1
    assert found["α of assert against the rest"].value < found["α of deny against the rest"].value < 1


@pytest.mark.parametrize("agreed", ["dcn", "ddd"], ids=["of several labels", "of one label"])
@pytest.mark.parametrize(("first", "second"), [("affirm", "doubt"), ("doubt", "affirm")])
def test_the_least_agreed_pattern_is_the_one_that_annotators_differ_on(agreed: str, first: str, second: str) -> None:
    found = agreement([first] * 3 + [second] * 3, [letter * 3 for letter in agreed] + ["ddd", "dca", "ccc"])
    assert f"α of the least agreed pattern ({second})" in found
