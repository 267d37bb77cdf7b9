"""Slices: each part is counted and scored alone, and a part too small for macro-F1 says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics

from claimstance.predictor import Predictor
from claimstance.records import LABELS, Pair, write_json_lines
from evaluation.scoring import ANNOTATIONS, LabelledPairs, Scores, read_labelled, score_model
from evaluation.slices import LENGTH, Slice, slices_of

STANCES = [0, 1, 2]


def table(rows: list[tuple[str, str, str]], words: list[int] | None = None, **slices: list[str]) -> list[Slice]:
    """Slice pairs given as (true label, predicted label, event), with quotes of so many words."""
    lengths = words or [3] * len(rows)
    truth, predicted = (np.array([LABELS.index(row[side]) for row in rows]) for side in (0, 1))
    empty = [""] * len(rows)
    pairs = LabelledPairs(
        ids=[str(number) for number in range(len(rows))],
        quotes=[" ".join(["قال"] * count) for count in lengths],
        claims=["انسحب الوفد."] * len(rows),
        labels=[row[0] for row in rows],
        events=[row[2] for row in rows],
        contrasts=empty,
        speakers=empty,
        slices={name: slices.get(name, empty) for name in ANNOTATIONS},
    )
    none = np.zeros(len(rows))
    scores = Scores(LABELS, truth, predicted, np.zeros((len(rows), 4)), none, none.astype(bool), {}, {})
    return slices_of(scores, pairs, STANCES)


def test_a_part_has_the_counts_and_the_accuracy_of_its_own_pairs() -> None:
    rows = [
        ("assert", "assert", "a"),
        ("deny", "assert", "a"),
        ("none", "none", "b"),
        ("none", "deny", "b"),
        ("confirm", "confirm", "c"),
        ("deny", "none", "d"),
    ]
    arabic, english = table(rows, lang=["ar", "ar", "ar", "ar", "ar", "en"])
    assert (arabic.dimension, arabic.value, arabic.pairs, arabic.events) == ("language", "ar", 5, 3)
    assert arabic.accuracy == pytest.approx(3 / 5)  # abstaining rightly counts as right
    assert arabic.interval[0] <= arabic.accuracy <= arabic.interval[1]
    assert (english.value, english.pairs, english.events, english.accuracy) == ("en", 1, 1, 0)


@pytest.mark.parametrize(("denials", "scored"), [(4, False), (5, True)])
def test_macro_f1_needs_five_pairs_of_each_stance_in_the_part(denials: int, scored: bool) -> None:
    stances = ["assert"] * 6 + ["deny"] * denials + ["confirm"] * 5 + ["none"]
    predicted = ["assert", "deny"] * 3 + ["deny"] * denials + ["confirm"] * 4 + ["none", "assert"]
    rows = [(*both, str(number)) for number, both in enumerate(zip(stances, predicted, strict=True))]
    rows += [("deny", "deny", "other")] * 9
    given = [*["news"] * len(stances), *["sport"] * 9]
    part = next(part for part in table(rows, topic=given) if part.value == "news")
    if scored:
        theirs = sklearn.metrics.f1_score(stances, predicted, labels=["assert", "deny", "confirm"], average="macro")
        assert part.macro_f1 == pytest.approx(theirs)
    else:
        assert part.macro_f1 is None


def test_the_interval_of_a_part_is_by_event() -> None:
    # Ten events, half wholly right and half wholly wrong, beside the same pairs each of an event of its own.
    right = [("assert", "assert" if number % 2 else "deny") for number in np.repeat(np.arange(10), 20)]
    by_event = table([(*row, str(number // 20)) for number, row in enumerate(right)], genre=["x"] * 199 + ["y"])[0]
    by_pair = table([(*row, str(number)) for number, row in enumerate(right)], genre=["x"] * 199 + ["y"])[0]
    assert by_event.accuracy == by_pair.accuracy
    assert np.diff(by_event.interval) > 2 * np.diff(by_pair.interval)


def test_a_field_that_is_unknown_or_the_same_for_all_makes_no_parts() -> None:
    rows = [("assert", "assert", "a"), ("deny", "deny", "b"), ("deny", "deny", "c")]
    parts = table(rows, lang=["ar"] * 3, topic=["news", "", "news"], genre=["speech", "", "release"])
    assert [(part.dimension, part.value, part.pairs) for part in parts] == [
        ("genre", "release", 1),
        ("genre", "speech", 1),
    ]


def test_the_largest_part_comes_first_and_reporting_verbs_are_told_in_words() -> None:
    parts = table([("assert", "assert", "a")] * 5, form=["reported", "bare", "bare", "reported", "bare"])
    assert [(part.dimension, part.value, part.pairs) for part in parts] == [
        ("reporting verb", "without (bare speech)", 3),
        ("reporting verb", "with", 2),
    ]


def test_quotes_are_told_apart_by_length_from_short_to_long() -> None:
    counts = [39, 40, 14, 15, 24, 25, 1, 300]
    parts = table([("assert", "assert", "a")] * 8, words=counts)
    assert {part.dimension for part in parts} == {LENGTH}
    assert [(part.value, part.pairs) for part in parts] == [
        ("up to 14 words", 2),
        ("15 to 24", 2),
        ("25 to 39", 2),
        ("40 and more", 2),
    ]


def test_a_file_without_a_field_is_not_cut_by_it_and_one_with_it_is(
    tmp_path: Path, predictor: Predictor, few_pairs: list[Pair]
) -> None:
    rows = [pair.to_dict() for pair in few_pairs]
    missing = [{name: value for name, value in row.items() if name not in ("topic", "form")} for row in rows]
    dimensions = []
    for name, given in (("whole", rows), ("missing", missing)):
        path = tmp_path / f"{name}.jsonl"
        write_json_lines(path, given)
        pairs = read_labelled(path, predictor)
        parts = slices_of(score_model(predictor, pairs), pairs, STANCES)
        assert sum(part.pairs for part in parts if part.dimension == LENGTH) == len(rows)
        dimensions.append({part.dimension for part in parts})
    assert {"topic", "reporting verb"} <= dimensions[0]
    assert dimensions[1] == dimensions[0] - {"topic", "reporting verb"}
