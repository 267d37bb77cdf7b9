"""The behavioural suite: the shipped cases are sound, bad ones are named, and a model is judged on what it can be asked."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from claimstance.records import STANCES, Pair, read_json_lines, read_pairs
from claimstance.text import fold
from claimstance.words import read_words
from evaluation.behaviour import (
    CASES,
    DIRECTED,
    INVARIANCES,
    KINDS,
    Behaviour,
    Case,
    Verdict,
    examine_behaviour,
    read_cases,
)

SAME_TEXT = ("hamza", "diacritics", "tatweel", "digits", "bidi", "letter_case")
SAME_WORDS = ("alef", "punctuation")
GOOD = {
    "id": "ar-1",
    "lang": "ar",
    "kind": "denied",
    "quote": "أكد الوزير الخبر",
    "claim": "صح الخبر",
    "stance": "confirm",
    "after": {"quote": "نفى الوزير الخبر"},
    "expected": ["deny"],
}
SAME = {**GOOD, "id": "ar-2", "kind": "hamza", "after": {"quote": "اكد الوزير الخبر"}}
del SAME["expected"]


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return read_cases()


@pytest.fixture(scope="module")
def pair_given(predictor: Predictor, few_pairs: list[Pair]) -> dict[str, tuple[str, str]]:
    """A pair to which the small model gives each label, ``none`` where it abstains."""
    predictions = predictor.predict(few_pairs)
    given = {p.stance or "none": (pair.quote, pair.claim) for pair, p in zip(few_pairs, predictions, strict=True)}
    assert set(given) == {*STANCES, "none"}
    return given


def relabelled(predictor: Predictor, labels: tuple[str, ...], abstain: str, **manifest: Any) -> Predictor:
    """The model with other labels for its first columns; it abstains only where it has a label for that."""
    bundle, width = predictor.bundle, len(labels)
    threshold = bundle.manifest.threshold if abstain else 0.0
    fields = {"labels": labels, "abstain_label": abstain, "threshold": threshold, **manifest}
    weights = {"dense": bundle.dense[:, :width], "sparse": bundle.sparse[:, :width]}
    return Predictor(dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, **fields), **weights))


def case_of(kind: str, pair: tuple[str, str], changed: tuple[str, str], stance: str, *expected: str) -> Case:
    return Case(f"{kind}-{stance}", "ar", kind, *pair, stance, *changed, expected)


def write(folder: Path, name: str, *rows: dict[str, Any]) -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_shipped_cases_are_many_mostly_arabic_and_of_every_kind(cases: list[Case]) -> None:
    languages = Counter(case.lang for case in cases)
    assert len(cases) >= 300 and set(languages) == {"ar", "en"} and languages["ar"] > len(cases) / 2
    assert {case.kind for case in cases} == set(KINDS)
    assert {case.kind for case in cases if case.lang == "ar"} == set(KINDS) - {"letter_case"}
    assert min(Counter(case.kind for case in cases).values()) >= 8
    for kind in KINDS:
        assert len({case.stance for case in cases if case.kind == kind}) >= 2, kind


def test_every_shipped_case_is_read_and_no_id_or_pair_stands_twice(cases: list[Case]) -> None:
    rows = [row for path in CASES.glob("*.jsonl") for _, row in read_json_lines(path)]
    assert sorted(row["id"] for row in rows) == sorted({case.id for case in cases})
    changes = {(case.quote, case.claim, case.after_quote, case.after_claim) for case in cases}
    assert len(changes) == len(cases)


def test_no_shipped_case_is_a_pair_of_the_corpus(cases: list[Case], root: Path) -> None:
    quotes = {
        pair.quote for name in ("train", "validation", "test") for pair in read_pairs(root / f"data/{name}.jsonl")
    }
    assert not [case.id for case in cases if case.quote in quotes or case.after_quote in quotes]


@pytest.mark.parametrize("kind", SAME_TEXT)
def test_a_change_of_spelling_folds_to_the_same_text(cases: list[Case], kind: str) -> None:
    for case in (case for case in cases if case.kind == kind):
        before, after = (fold(texts) for texts in ((case.quote, case.claim), (case.after_quote, case.after_claim)))
        assert [part.tolist() for part in before] == [part.tolist() for part in after], case.id


@pytest.mark.parametrize("kind", [*SAME_TEXT, *SAME_WORDS])
def test_a_change_of_spelling_keeps_every_word(cases: list[Case], kind: str) -> None:
    for case in (case for case in cases if case.kind == kind):
        before, after = (
            read_words(texts) for texts in ((case.quote, case.claim), (case.after_quote, case.after_claim))
        )
        assert before.stem.tolist() == after.stem.tolist(), case.id


def test_the_shipped_changes_are_of_the_kind_that_they_say(cases: list[Case]) -> None:
    for case in cases:
        if case.kind in ("hedged", "conditional"):
            assert case.expected == ("none",), case.id
        if case.kind in DIRECTED:
            assert case.stance not in case.expected, case.id
        if case.kind in ("denied", "affirmed_not", "double_negation", "hedged", "conditional"):
            assert case.quote != case.after_quote, case.id
        if case.kind == "negated_claim":
            assert case.claim != case.after_claim and "deny" in (case.stance, *case.expected), case.id


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": " "}, "id is missing or empty"),
        ({"lang": None}, "lang is missing or empty"),
        ({"quote": ""}, "quote is missing or empty"),
        ({"claim": 7}, "claim is missing or empty"),
        ({"stance": ["deny"]}, "stance is missing or empty"),
        ({"kind": "denid"}, "kind 'denid' is not one of hamza, alef,"),
        ({"kind": "denid"}, "did you mean 'denied'?"),
        ({"stance": "denny"}, "label 'denny' is not one of assert, deny, confirm, none (did you mean 'deny'?)"),
        ({"expected": ["denny"]}, "label 'denny' is not one of"),
        ({"expected": ["deny", None]}, "label None is not one of"),
        ({"expected": "deny"}, "expected names the labels"),
        ({"expected": []}, "expected names the labels"),
        ({"expected": None}, "expected names the labels"),
        ({"expected": 5}, "expected"),
        ({"kind": "hamza"}, "left out of an invariance"),
        ({"kind": "hamza", "expected": None}, "expected"),
        ({"after": {"quote": GOOD["quote"]}}, "after changes nothing"),
        ({"after": {}}, "after is no object"),
        ({"after": "نفى الوزير"}, "after is no object"),
        ({"after": {"quotes": "نفى"}}, "after is no object"),
        ({"after": {"quote": 5}}, "after has an empty side"),
        ({"after": {"quote": " "}}, "after has an empty side"),
        ({"after": {"claim": None}}, "after has an empty side"),
        ({"expcted": ["deny"]}, "unknown field 'expcted', expected id, lang,"),
        ({"id": "ar-2"}, "id 'ar-2' stands at"),
    ],
)
def test_a_malformed_case_is_named_with_its_line(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = write(tmp_path, "ar.jsonl", SAME, {**GOOD, **change})
    with pytest.raises(ClaimstanceError) as caught:
        read_cases(tmp_path)
    assert str(caught.value).startswith(f"{path}:2: ") and words in str(caught.value)


@pytest.mark.parametrize("field", ["id", "lang", "kind", "quote", "claim", "stance", "after", "expected"])
def test_a_case_without_a_field_is_named_with_its_line(tmp_path: Path, field: str) -> None:
    path = write(tmp_path, "ar.jsonl", SAME, {name: value for name, value in GOOD.items() if name != field})
    with pytest.raises(ClaimstanceError) as caught:
        read_cases(tmp_path)
    assert str(caught.value).startswith(f"{path}:2: {field}")


def test_cases_are_read_of_every_file_and_an_id_stands_once_in_all(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", GOOD)
    second = write(tmp_path, "b.jsonl", SAME)
    first, same = read_cases(tmp_path)
    assert (first.after_quote, first.after_claim, first.expected) == (GOOD["after"]["quote"], GOOD["claim"], ("deny",))
    assert (same.id, same.expected) == ("ar-2", ())
    write(tmp_path, "b.jsonl", {**SAME, "id": GOOD["id"]})
    with pytest.raises(ClaimstanceError, match=r"stands at .*a\.jsonl:1") as caught:
        read_cases(tmp_path)
    assert str(caught.value).startswith(f"{second}:1: ")
    second.write_bytes(b"{\n")
    with pytest.raises(ClaimstanceError, match="broken JSON") as caught:
        read_cases(tmp_path)
    assert str(caught.value).startswith(f"{second}:1: ")


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClaimstanceError, match="no case"):
        read_cases(tmp_path)


@pytest.mark.parametrize(("before", "after"), list(itertools.product([*STANCES, "none"], repeat=2)))
def test_an_invariance_passes_by_equality_and_a_directed_change_by_both_labels(
    predictor: Predictor, pair_given: dict[str, tuple[str, str]], before: str, after: str
) -> None:
    pair, changed = pair_given[before], pair_given[after]
    asked, expected = [], []
    for stance in (*STANCES, "none"):
        asked.append(case_of("hamza", pair, changed, stance))
        expected.append(before == after)
        for kind, labels in (("denied", ["deny"]), ("hedged", ["none"]), ("double_negation", ["confirm", "assert"])):
            asked.append(case_of(kind, pair, changed, stance, *labels))
            expected.append(before == stance and after in labels)
    found = examine_behaviour(predictor, asked)
    assert [(v.case, v.before, v.after) for v in found.verdicts] == [(case, before, after) for case in asked]
    assert [verdict.passed for verdict in found.verdicts] == expected
    assert found.failures == [verdict for verdict in found.verdicts if not verdict.passed]
    assert found.not_asked == 0


def test_the_verdicts_are_those_of_what_the_model_predicts(predictor: Predictor, cases: list[Case]) -> None:
    found = examine_behaviour(predictor, cases)
    assert [verdict.case for verdict in found.verdicts] == cases
    for verdict in found.verdicts[::20]:
        case = verdict.case
        said = predictor.predict([(case.quote, case.claim), (case.after_quote, case.after_claim)])
        assert [verdict.before, verdict.after] == [prediction.stance or "none" for prediction in said]
    assert all(verdict.passed for verdict in found.verdicts if verdict.case.kind in SAME_TEXT)
    assert sum(total for _, total in found.by_kind.values()) == len(cases)
    assert list(found.by_kind) == list(KINDS)


@pytest.mark.parametrize(
    ("labels", "abstain"),
    [
        (("agree", "disagree", "unsure", "unrelated"), "unrelated"),
        (("agree", "disagree"), ""),
        (("assert", "deny", "confirm"), ""),
        (("assert", "deny", "query", "none"), "none"),
        (("deny", "none"), "none"),
    ],
)
def test_a_model_is_asked_directed_changes_between_its_own_labels_alone(
    predictor: Predictor, cases: list[Case], labels: tuple[str, ...], abstain: str
) -> None:
    found = examine_behaviour(relabelled(predictor, labels, abstain), cases)
    asked = {verdict.case.id for verdict in found.verdicts}
    for case in cases:
        can_be = case.kind in INVARIANCES or {case.stance, *case.expected} <= set(labels)
        assert (case.id in asked) == can_be, case.id
    assert found.not_asked == len(cases) - len(asked)
    assert {label for verdict in found.verdicts for label in (verdict.before, verdict.after)} <= set(labels)
    assert all(verdict.passed for verdict in found.verdicts if verdict.case.kind in SAME_TEXT)
    if not asked & {case.id for case in cases if case.kind in DIRECTED}:
        assert math.isnan(found.pass_rate(DIRECTED))


@pytest.mark.parametrize("side", ["quote", "claim"])
def test_a_model_of_one_side_is_asked_only_where_that_side_changes(
    predictor: Predictor, cases: list[Case], side: str
) -> None:
    reader = relabelled(predictor, predictor.manifest.labels, "none", inputs=side)
    found = examine_behaviour(reader, cases)
    changing = [case for case in cases if getattr(case, side) != getattr(case, f"after_{side}")]
    assert [verdict.case for verdict in found.verdicts] == changing
    assert 0 < len(changing) < len(cases) and found.not_asked == len(cases) - len(changing)


def test_a_pass_rate_is_a_mean_over_kinds_that_were_asked() -> None:
    case = case_of("hamza", ("أ", "ب"), ("ا", "ب"), "deny")

    def verdicts(kind: str, passed: int, failed: int) -> list[Verdict]:
        asked = dataclasses.replace(case, kind=kind)
        return [Verdict(asked, "deny", "deny", True)] * passed + [Verdict(asked, "deny", "none", False)] * failed

    table = (("hedged", 1, 3), ("tatweel", 90, 10), ("hamza", 1, 1))
    found = Behaviour(tuple(verdict for row in table for verdict in verdicts(*row)), 5)
    assert list(found.by_kind.items()) == [("hamza", (1, 2)), ("tatweel", (90, 100)), ("hedged", (1, 4))]
    assert found.pass_rate(INVARIANCES) == pytest.approx((0.5 + 0.9) / 2)
    assert found.pass_rate(DIRECTED) == pytest.approx(0.25)
    assert found.pass_rate(KINDS) == pytest.approx((0.5 + 0.9 + 0.25) / 3)
    assert math.isnan(found.pass_rate(["country"]))
    assert math.isnan(Behaviour((), 5).pass_rate(KINDS))
