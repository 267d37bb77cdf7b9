"""Leaks between splits: what is planted is found, and what is merely about the same things is not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from claimstance.errors import ClaimstanceError
from claimstance.records import Pair, read_pairs
from training.leakage import BOUND, Certificate, certificate, nearest, skeleton_duplicates

Splits = dict[str, list[Pair]]


@pytest.fixture(scope="module")
def corpus(root: Path) -> Splits:
    """The splits as they are."""
    return {name: read_pairs(root / f"data/{name}.jsonl") for name in ("train", "validation", "test")}


@pytest.fixture(scope="module")
def small(corpus: Splits) -> Splits:
    """40 events of the training split and 10 of the test split."""
    return {name: _of_events(corpus[name], count) for name, count in (("train", 40), ("test", 10))}


def _of_events(pairs: list[Pair], count: int) -> list[Pair]:
    events = set(list(dict.fromkeys(pair.event for pair in pairs))[:count])
    return [pair for pair in pairs if pair.event in events]


def planted(pairs: list[Pair], **changes: str) -> tuple[Pair, list[Pair]]:
    """Return a record of another event and the pairs with it."""
    pair = dataclasses.replace(pairs[0], **{"id": "planted-01", "event": "planted", **changes})
    return pair, [*pairs, pair]


TEMPLATE = (
    "نفى المتحدث باسم وزارة {} في بيان أن تكون الحكومة قد وافقت على شراء {} {}، وقال إن ما نشرته صحيفة «{}» "
    "لا أساس له من الصحة وإن الوزارة لم تتلق أي طلب من هذا النوع حتى الآن."
)


def test_a_copy_is_found_first(small: Splits) -> None:
    source = small["train"][57]
    copy, test = planted(small["test"], quote=source.quote, claim=source.claim)
    best, after = nearest(small["train"], test, 2)
    assert (best.first.quote, best.second) == (source.quote, copy)
    assert best.written == best.similarity == 1
    assert after.similarity < BOUND


def test_spelling_and_marks_hide_nothing(small: Splits) -> None:
    source = next(pair for pair in small["train"] if pair.lang == "ar" and "أ" in pair.quote)
    disguised = source.quote.replace("أ", "ا").replace("،", " - ").replace(".", " ") + "!"
    copy, test = planted(small["test"], quote=disguised, claim=source.claim)
    (best,) = nearest(small["train"], test, 1)
    assert best.second == copy and best.written > 0.95


def test_a_filled_template_is_found_by_its_skeleton(small: Splits) -> None:
    first, train = planted(small["train"], quote=TEMPLATE.format("الزرنيخ", 30, "قاطرة", "الشذرات"), claim="ا ب ج")
    second, test = planted(
        small["test"],
        quote=TEMPLATE.format("البلاتين", "٤٥٠", "غواصتين نوويتين", "مرايا الضحى"),
        claim="د ه و",
        event="other",
    )
    (best,) = nearest(train, test, 1)
    assert (best.first, best.second) == (first, second)
    assert best.skeleton > 0.8 > best.written
    assert [(match.first, match.second) for match in skeleton_duplicates([*train, *test])] == [(first, second)]


def test_a_long_quotation_is_no_title(small: Splits) -> None:
    said = 'The minister said: "{}"'
    _, train = planted(small["train"], quote=said.format("we never signed any paper with that company at all"))
    _, test = planted(small["test"], quote=said.format("my mother still lives beside the river you are asking about"))
    assert all(match.similarity < BOUND for match in nearest(train, test, 1, of="quote"))


def test_one_quote_with_several_claims_is_no_duplicate_of_itself(small: Splits) -> None:
    again = [dataclasses.replace(pair, id=f"{pair.id}-again", claim="شيء آخر") for pair in small["train"]]
    assert skeleton_duplicates([*small["train"], *again]) == skeleton_duplicates(small["train"]) == []


def test_nearest_gives_one_match_for_two_events_most_similar_first(small: Splits) -> None:
    matches = nearest(small["train"], small["test"], 25)
    events = [(match.first.event, match.second.event) for match in matches]
    assert len(events) == len(set(events)) == 25
    similarities = [match.similarity for match in matches]
    assert similarities == sorted(similarities, reverse=True)
    assert matches[:5] == nearest(small["train"], small["test"], 5)


def test_nearest_does_not_mind_the_sides(small: Splits) -> None:
    there = {(m.first.id, m.second.id): m.similarity for m in nearest(small["train"], small["test"], 3)}
    back = {(m.second.id, m.first.id): m.similarity for m in nearest(small["test"], small["train"], 3)}
    assert there == back


def test_nothing_to_compare_is_no_match(small: Splits) -> None:
    wordless = [dataclasses.replace(small["test"][0], quote="؟!", claim="…")]
    assert nearest(small["train"], wordless) == nearest([], []) == nearest(wordless, []) == []
    assert nearest(small["train"], small["test"], 0) == skeleton_duplicates([]) == []


def test_certificate_counts_and_finds_nothing(small: Splits) -> None:
    found = certificate(small, BOUND)
    assert found.pairs == {name: len(rows) for name, rows in small.items()}
    assert found.events == {"train": 40, "test": 10}
    assert not found.shared_events and not found.shared_ids
    assert len(found.nearest) == 10 and found.nearest[0].splits == ("train", "test")
    assert found.problems == []


def problems_of(small: Splits, **changes: str) -> tuple[Certificate, list[str]]:
    _, test = planted(small["test"], **changes)
    found = certificate({"train": small["train"], "test": test})
    return found, found.problems


def test_a_shared_event_and_id_are_problems(small: Splits) -> None:
    source = small["train"][3]
    found, problems = problems_of(small, id=source.id, event=source.event)
    assert found.shared_ids == {source.id: ("train", "test")}
    assert found.shared_events == {source.event: ("train", "test")}
    assert problems[:2] == [
        f"event {source.event!r} is in train and in test, expected in one split only; move all its pairs to one file",
        f"id {source.id!r} is in train and in test, expected in one split only; move all its pairs to one file",
    ]


def test_a_near_pair_is_a_problem(small: Splits) -> None:
    source = small["train"][3]
    _, problems = problems_of(small, quote=source.quote + " Once more.")
    assert len(problems) == 1 and "quote and claim of " in problems[0]
    assert "'planted-01' in test are alike to 0." in problems[0] and "expected below 0.30" in problems[0]


def test_a_shared_claim_is_a_problem_though_the_quotes_differ(small: Splits) -> None:
    source = small["train"][3]
    found, problems = problems_of(small, claim=source.claim.rstrip(".") + " .")
    assert found.nearest_claims[0].written == 1
    assert len(problems) == 1 and problems[0].startswith("claim of ")
    assert f"claim of {found.nearest_claims[0].first.id!r} in train and of 'planted-01' in test" in problems[0]


def test_every_match_from_the_bound_on_is_given(small: Splits) -> None:
    copies = [dataclasses.replace(pair, id=f"c-{pair.id}", event=f"c-{pair.event}") for pair in small["train"]]
    found = certificate({"train": small["train"], "test": copies}, count=1)
    assert len(found.nearest) >= 40 and len(found.problems) == len(found.nearest) + len(found.nearest_claims)


def test_an_empty_split_is_a_problem(small: Splits) -> None:
    assert certificate({**small, "validation": []}).problems == ["split validation holds no pair, expected some"]


@pytest.mark.parametrize("bound", [0, -1, 1.01, float("nan")])
def test_wrong_bounds_are_named(bound: float, small: Splits) -> None:
    with pytest.raises(ClaimstanceError, match=f"bound is {bound}, expected a similarity above 0"):
        certificate(small, bound)
    with pytest.raises(ClaimstanceError, match="such as 0"):
        skeleton_duplicates(small["test"], bound)


def test_wrong_requests_are_named(small: Splits) -> None:
    with pytest.raises(ClaimstanceError, match=r"1 splits \(test\), expected two or more"):
        certificate({"test": small["test"]})
    with pytest.raises(ClaimstanceError, match=r"part 'quotes' is not one of pair, quote, claim .did you mean 'quote'"):
        nearest(small["train"], small["test"], of="quotes")


def test_the_corpus_repeats_no_quote_across_events(corpus: Splits) -> None:
    found = certificate(corpus)
    assert not found.shared_events and not found.shared_ids
    assert found.nearest[0].similarity < BOUND
    assert skeleton_duplicates([pair for rows in corpus.values() for pair in rows]) == []
