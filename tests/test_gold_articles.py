"""The project's annotated articles: annotations fit their texts, no claim is in both halves, the card tells what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evaluation.gold import KINDS, GoldArticle, read_gold
from evaluation.statements import agreement

HALVES = ("development", "held_out")


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "data/articles"


@pytest.fixture(scope="module")
def halves(folder: Path) -> dict[str, list[GoldArticle]]:
    return {half: read_gold(folder / half) for half in HALVES}


def test_both_halves_have_every_kind_in_both_languages(halves: dict[str, list[GoldArticle]]) -> None:
    ids = [article.id for articles in halves.values() for article in articles]
    assert len(ids) == len(set(ids))
    for articles in halves.values():
        for lang in ("ar", "en"):
            kinds = {each.kind for article in articles if article.lang == lang for each in article.statements}
            assert kinds == set(KINDS)
        assert all(5 <= len(article.statements) <= 20 and article.furniture for article in articles)


def test_no_claim_is_in_both_halves(halves: dict[str, list[GoldArticle]]) -> None:
    first, second = ({claim for article in articles for claim in article.claims} for articles in halves.values())
    assert not first & second


def test_the_card_says_how_many_there_are_and_how_far_two_annotations_agree(
    folder: Path, halves: dict[str, list[GoldArticle]]
) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    everything = [article for articles in halves.values() for article in articles]
    again = [article for half in HALVES for article in read_gold(folder / "second" / half, folder / half)]
    for lang in ("ar", "en"):
        here = [article for article in everything if article.lang == lang]
        both = {article.id: article for article in again if article.lang == lang}
        found = agreement([article for article in here if article.id in both], list(both.values()))
        shares = (found.found.f1, found.kind, found.cue_class, found.speaker, found.stances)
        cells = [
            lang,
            len(here),
            sum(len(article.statements) for article in here),
            len(both),
            *(f"{s:.3f}" for s in shares),
        ]
        assert re.search(r"\| " + r" \| ".join(map(str, cells)) + r" \|", card), cells
