"""Alignment: shared stems against plain sets, and similar spellings against signatures kept as Python ints."""

from __future__ import annotations

import random
import string
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from claimstance.alignment import CLAIM, QUOTE, SIMILAR, Alignment, align, spellings
from claimstance.formulas import STEPS
from claimstance.lexicon import Lexicon, Reading
from claimstance.records import Pair, read_pairs
from claimstance.words import Words, read_words

Texts = list[tuple[str, str]]
LONGEST = {QUOTE: 64, CLAIM: 24}
HARD: Texts = [
    ("", ""),
    ("", "نفى الوزير"),
    ("نفى الوزير", ""),
    ("٠١٢ 12", "012 13"),
    ("😀", "\0"),
    ("و ب ل", "و ك"),
    ("ارتفاع انخفاض", "انخفاض"),
    (
        " ".join(string.ascii_lowercase[i // 26] * 3 + string.ascii_lowercase[i % 26] for i in range(90)),
        "zzzz aaab dddm",
    ),
    ("aaab", " ".join("q" * 3 + string.ascii_lowercase[i % 26] * 2 + "xyz"[i // 26] for i in range(30)) + " aaac"),
]


@pytest.fixture(scope="module")
def texts(few_pairs: list[Pair], root: Path) -> Texts:
    english = [pair for pair in read_pairs(root / "data/train.jsonl") if pair.lang == "en"][:100]
    return [(pair.quote, pair.claim) for pair in (*few_pairs, *english)] + HARD


def aligned(lexicon: Lexicon, texts: Texts) -> tuple[Words, Reading, Alignment]:
    words = read_words([text for pair in texts for text in pair])
    reading = lexicon.read(words)
    return words, reading, align(words, reading, spellings(words), np.arange(words.count), len(texts))


@cache
def plain_signature(stem: str, length: int) -> int:
    signature = 0
    for at in range(len(stem) - length + 1):
        gram = [ord(char) for char in stem[at : at + length]]
        mixed = sum(unit * by for unit, by in zip(gram, (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D), strict=False))
        signature |= 1 << (mixed % (1 << 32) >> 26)
    return signature


def plain_similarity(one: str, other: str) -> float:
    """Dice similarity of two stems: shared bits of bigrams and trigrams, twice, among the bits of both."""
    ones, others = ([plain_signature(stem, length) for length in (2, 3)] for stem in (one, other))
    both = sum((a & b).bit_count() for a, b in zip(ones, others, strict=True))
    return 2 * both / max(sum(bits.bit_count() for bits in (*ones, *others)), 1)


def test_a_batch_aligns_as_each_pair_does_plainly(lexicon: Lexicon, texts: Texts) -> None:
    words, reading, alignment = aligned(lexicon, texts)
    for index in range(len(texts)):
        sides = [range(words.first[2 * index + side], words.first[2 * index + side + 1]) for side in (QUOTE, CLAIM)]
        stems = [{int(reading.stem[at]) for at in side} for side in sides]
        left = []
        for side, here in enumerate(sides):
            span = slice(here.start, here.stop)
            assert (alignment.pair[span] == index).all()
            assert (alignment.side[span] == side).all()
            assert alignment.exact[span].tolist() == [int(reading.stem[at]) in stems[1 - side] for at in here]
            compared = [
                (at, "".join(map(chr, words.units[words.stem_bounds[0][at] : words.stem_bounds[1][at]].tolist())))
                for at in here
                if not alignment.exact[at]
                and not words.number[at]
                and words.stem_bounds[1][at] - words.stem_bounds[0][at] > 1
            ]
            left.append(compared[: LONGEST[side]])
        expected = {at: float(alignment.exact[at]) for here in sides for at in here}
        for side in (QUOTE, CLAIM):
            for at, stem in left[side]:
                expected[at] = max((plain_similarity(stem, other) for _, other in left[1 - side]), default=0.0)
        every = list(expected)
        np.testing.assert_allclose(alignment.similarity[every], list(expected.values()), rtol=0, atol=0.501 / STEPS)
    assert 0.05 < alignment.exact.mean() < 0.8
    assert ((alignment.similarity > 0) & ~alignment.exact).mean() > 0.1


def test_aligned_means_similar_enough(lexicon: Lexicon, texts: Texts) -> None:
    alignment = aligned(lexicon, texts)[2]
    assert np.array_equal(alignment.aligned, alignment.similarity >= SIMILAR)
    assert alignment.aligned[alignment.exact].all()


@pytest.mark.parametrize(
    ("quote", "claim"),
    [
        ("نفى", "نفي"),
        ("المسؤولون", "مسؤول"),
        ("مقاتلين", "المقاتلون"),
        ("أُعلِن", "اعلن"),
        ("١٬٢٠٠", "1200"),
        ("خمسون", "٥٠"),
        ("ارتفاع", "انخفاض"),
        ("مسؤوليات", "مسؤولية"),
        ("announcement", "announcing"),
    ],
)
def test_words_that_answer_to_each_other_align(lexicon: Lexicon, quote: str, claim: str) -> None:
    assert aligned(lexicon, [(quote, claim)])[2].aligned.all()


@pytest.mark.parametrize(("quote", "claim"), [("1200", "1201"), ("12", "120"), ("كتاب", "وزير"), ("و", "ب")])
def test_other_words_and_near_numbers_do_not_align(lexicon: Lexicon, quote: str, claim: str) -> None:
    assert not aligned(lexicon, [(quote, claim)])[2].aligned.any()


@pytest.mark.parametrize(
    ("quote", "claim", "turned"),
    [
        ("انخفاض الأسعار", "ارتفاع الأسعار", 1),
        ("ارتفاع الأسعار", "انخفاض الأسعار", 1),
        ("انخفاض الأسعار", "تراجع الأسعار", 0),
        ("ارتفاع ثم انخفاض", "انخفاض", 0),
        ("انخفاض الأسعار وإغلاق السوق", "ارتفاع الأسعار وفتح السوق", 2),
        ("Prices fell", "Prices rose", 1),
        ("انخفاض", "", 0),
    ],
)
def test_a_word_that_meets_its_opposite_turns(lexicon: Lexicon, quote: str, claim: str, turned: int) -> None:
    assert aligned(lexicon, [(quote, claim)])[2].turned.tolist() == [turned]


def test_a_word_meets_only_words_of_its_own_pair(lexicon: Lexicon) -> None:
    alignment = aligned(lexicon, [("وزير", "كتاب"), ("كتاب", "وزير")])[2]
    assert not alignment.exact.any()


def test_pairs_align_alike_alone_and_in_a_batch(lexicon: Lexicon, texts: Texts) -> None:
    words, _, batch = aligned(lexicon, texts)
    for index, pair in enumerate(texts):
        here = slice(words.first[2 * index], words.first[2 * index + 2])
        alone = aligned(lexicon, [pair])[2]
        for name in ("exact", "similarity", "aligned"):
            assert np.array_equal(getattr(alone, name), getattr(batch, name)[here])
        assert alone.turned[0] == batch.turned[index]


@pytest.mark.parametrize("length", [5, 200, 1000, 20_000])
def test_similarity_is_a_share_however_long_the_words(lexicon: Lexicon, length: int) -> None:
    letters = random.Random(0)
    quote, claim = ("".join(letters.choices(string.ascii_lowercase, k=length)) for _ in range(2))
    similarity = aligned(lexicon, [(quote, claim)])[2].similarity
    assert ((similarity >= 0) & (similarity <= 1)).all()


def test_a_spelling_is_more_similar_the_more_it_shares(lexicon: Lexicon) -> None:
    words = ["announcements", "announcer", "annoying", "zebra"]
    found = [float(aligned(lexicon, [("announcement", word)])[2].similarity[0]) for word in words]
    assert all(nearer > farther for nearer, farther in pairwise(found))
