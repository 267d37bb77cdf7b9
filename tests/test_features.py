"""Pair features: every family against plain code over one pair, and what must not change the features of a pair."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from claimstance.features import FAMILIES, SLOTS, FeatureExtractor, Features
from claimstance.formulas import STEPS
from claimstance.lexicon import CUE_CLASSES, FUNCTION, NUMBER, Lexicon, cue_bit
from claimstance.meanings import Thesaurus
from claimstance.records import Pair, read_pairs
from claimstance.view import REGIONS, PairView

Texts = list[tuple[str, str]]
HARD: Texts = [
    ("", ""),
    ("", "نفى الوزير الخبر"),
    ("نفى الوزير الخبر", ""),
    ("٠١٢", "12"),
    ("😀\ud83d؟؟؟", "\0هل؟"),
    ("لا لا لا لا لا", "لم لا"),
    ("لم أقل إنه رفض", "رفض الوزير"),
    ("مسؤول. نفى. قال؛ كتاب", "كتاب مسؤول"),
]
TURNING = {"negator", "deny", "falsehood"}
RATIFYING = {"ratify", "truth", "evidence"}
OPEN = {"possible", "condition", "doubt", "ask", "interrogative", "silence"}


@dataclass(frozen=True)
class Word:
    """One word of a pair as the plain code below sees it."""

    stem: str
    stem_id: int
    lemma: int
    cues: frozenset[str]
    turns: bool
    content: bool
    number: bool
    digits: bool
    exact: bool
    aligned: bool
    similarity: float
    idf: float
    clause: int

    @property
    def met(self) -> bool:
        return self.aligned and self.content


@dataclass(frozen=True)
class Plain:
    """One pair, plainly."""

    quote: list[Word]
    claim: list[Word]
    questions: tuple[int, int]
    turned: int

    @property
    def claim_parity(self) -> int:
        return sum(word.turns for word in self.claim) % 2

    def regions(self) -> list[str]:
        """Place the words of the quote around the first clause that covers most of the claim."""
        covered: dict[int, float] = {}
        for word in self.quote:
            if word.met:
                covered[word.clause] = covered.get(word.clause, 0.0) + word.idf
        if not covered:
            return ["before"] * len(self.quote)
        focus = max(covered, key=lambda clause: covered[clause])
        met = [at for at, w in enumerate(self.quote) if w.clause == focus and w.met]
        placed = []
        for at, word in enumerate(self.quote):
            if word.clause != focus:
                placed.append("before" if word.clause < focus else "after")
            else:
                placed.append("ahead" if at < met[0] else "behind" if at > met[-1] else "within")
        return placed

    def composed(self) -> dict[str, int]:
        """Compose the negations of the quote by scope, and say what ratifies and leaves open."""
        here = list(zip(self.quote, self.regions(), strict=True))
        scopes = {"focus": REGIONS[1:4], "within": REGIONS[2:3], "ahead": REGIONS[:3], "anywhere": REGIONS}
        turns = [(word.turns, region) for word, region in here]
        parts = {name: (sum(t for t, r in turns if r in scope) + self.turned) % 2 for name, scope in scopes.items()}
        for name, cues in (("ratified", RATIFYING), ("open", OPEN)):
            parts[name] = int(any(word.cues & cues for word in self.quote))
            parts[name + "_focus"] = int(any(word.cues & cues for word, region in here if region in scopes["focus"]))
        return parts


def plainly(view: PairView) -> list[Plain]:
    words, reading, alignment = view.words, view.reading, view.alignment

    def word(at: int) -> Word:
        classes = int(reading.classes[at])
        cues = frozenset(name for name in CUE_CLASSES if classes & cue_bit(name))
        return Word(
            stem="".join(map(chr, words.units[words.stem_bounds[0][at] : words.stem_bounds[1][at]].tolist())),
            stem_id=int(reading.stem[at]),
            lemma=int(reading.lemma[at]),
            cues=cues,
            turns=bool(cues & TURNING) and not (reading.paired[at] and alignment.exact[at]),
            content=not classes & (FUNCTION | cue_bit("negator")),
            number=bool(classes & NUMBER),
            digits=bool(words.number[at]),
            exact=bool(alignment.exact[at]),
            aligned=bool(alignment.aligned[at]),
            similarity=float(alignment.similarity[at]),
            idf=float(view.idf[at]),
            clause=int(words.clause[at]),
        )

    pairs = []
    for index in range(view.count):
        first, middle, last = words.first[2 * index : 2 * index + 3]
        questions = (int(words.text_questions[2 * index]), int(words.text_questions[2 * index + 1]))
        turned = int(alignment.turned[index])
        pairs.append(Plain([*map(word, range(first, middle))], [*map(word, range(middle, last))], questions, turned))
    return pairs


def plain_coverage(words: list[Word], content: bool) -> list[float]:
    words = [word for word in words if word.content or not content]
    if not words:
        return [0, 0, 0, 0, 0, 0, True, 0]
    left = [word for word in words if not word.aligned]
    return [
        sum(word.exact for word in words) / len(words),
        1 - len(left) / len(words),
        sum(word.similarity for word in words) / len(words),
        sum(float(np.float32(word.idf) * np.float32(word.similarity)) for word in words)
        / sum(word.idf for word in words),
        math.log1p(len(words)),
        math.log1p(len(left)),
        not left,
        max((word.idf for word in left), default=0.0),
    ]


def plain_overlap(pair: Plain) -> list[float]:
    columns: list[float] = []
    for content in (True, False):
        quote, claim = plain_coverage(pair.quote, content), plain_coverage(pair.claim, content)
        columns += quote + claim
        columns += [part**2 for both in zip(quote[:4], claim[:4], strict=True) for part in both]
        columns += [one * other for one, other in zip(quote[:4], claim[:4], strict=True)]
        columns += [min(quote[3], claim[3]), max(quote[3], claim[3])]
    only = [sum(word.number and not word.exact for word in side) for side in (pair.quote, pair.claim)]
    shared = sum(word.number and word.exact for word in pair.quote)
    return [*columns, *only, shared, all(only), only[0] > 0, only[1] > 0, shared > 0]


def plain_cues(pair: Plain) -> list[float]:
    counts = [Counter(cue for word in side for cue in word.cues) for side in (pair.quote, pair.claim)]
    quote, claim = ([min(count[name], 3) for name in CUE_CLASSES] for count in counts)
    return [*quote, *claim, *np.subtract(quote, claim), *(min(count, 2) for count in pair.questions)]


def plain_polarity(pair: Plain) -> list[float]:
    parts, coverage = pair.composed(), plain_coverage(pair.claim, content=True)[3]
    columns = [(-1) ** pair.claim_parity, pair.turned]
    for scope in ("focus", "within", "ahead", "anywhere"):
        sign = (-1) ** (parts[scope] + pair.claim_parity)
        columns += [sign * by for by in (1, coverage, parts["ratified"], parts["open"], parts["ratified_focus"])]
    return [*columns, *(parts[name] for name in ("ratified_focus", "ratified", "open_focus", "open"))]


def names_of_words(pair: Plain) -> Iterator[tuple]:
    yield from (("quote", word.stem_id) for word in pair.quote if not word.exact)
    yield from (("claim", word.stem_id) for word in pair.claim if not word.exact)
    yield from (("both", word.stem_id) for word in pair.claim if word.exact)


def names_of_swaps(pair: Plain) -> Iterator[tuple]:
    quote, claim = ([word.stem_id for word in side if not word.aligned][:4] for side in (pair.quote, pair.claim))
    yield from ((one, other) for other in claim for one in quote)


def names_of_grams(pair: Plain) -> Iterator[tuple]:
    for side, words in (("quote", pair.quote), ("claim", pair.claim)):
        for length in (3, 4):
            for word in words:
                if not word.aligned and not word.digits:
                    stem = word.stem.replace("ى", "ي")
                    yield from ((side, stem[at : at + length]) for at in range(len(stem) - length + 1))


def names_of_overlap(pair: Plain) -> Iterator[tuple]:
    for content in (True, False):
        sides = [[word for word in side if word.content or not content] for side in (pair.quote, pair.claim)]
        unaligned = [min(sum(not word.aligned for word in side), 6) for side in sides]
        inexact = [min(sum(not word.exact for word in side), 6) for side in sides]
        covered = [int(min(plain_coverage(side, content)[3], 0.999) * 6) for side in sides]
        cells = [unaligned, inexact, covered, *([step] for step in (*unaligned, *covered))]
        yield from ((content, kind, *cell) for kind, cell in enumerate(cells))


def names_of_polarity(pair: Plain) -> Iterator[tuple]:
    parts, parity = pair.composed(), pair.claim_parity
    scopes = [parts[name] for name in ("focus", "within", "ahead", "anywhere")]
    flags = [parts[name] for name in ("ratified_focus", "ratified", "open_focus", "open")]
    yield from ((kind, scope ^ parity, *flags) for kind, scope in enumerate(scopes))
    yield ("all", *(scope ^ parity for scope in scopes))
    yield ("apart", *scopes, parity, flags[1], flags[3])


def names_of_outline(pair: Plain) -> Iterator[tuple]:
    def lowest(word: Word) -> str:
        return next((name for name in CUE_CLASSES if name in word.cues), "")

    parity = pair.claim_parity
    cues = [(word, region) for word, region in zip(pair.quote, pair.regions(), strict=True) if word.cues]
    yield from (("class", lowest(word), region, parity) for word, region in cues)
    yield from (("lemma", word.lemma, region, parity) for word, region in cues)
    yield from (("lemma anywhere", word.lemma, parity) for word, _ in cues)
    outline: list[str] = []
    for word in pair.quote:
        symbol = lowest(word) or ("met" if word.met else "")
        if symbol and not (symbol == "met" and outline[-1:] == ["met"]):
            outline.append(symbol)
    for length in (2, 3, 4):
        yield from ((*outline[at : at + length], parity) for at in range(len(outline) - length + 1))


DENSE = {"overlap": plain_overlap, "cues": plain_cues, "polarity": plain_polarity}
SPARSE = {
    "overlap": names_of_overlap,
    "polarity": names_of_polarity,
    "words": names_of_words,
    "swaps": names_of_swaps,
    "grams": names_of_grams,
    "bag": lambda pair: ((word.stem_id,) for word in pair.quote + pair.claim),
    "outline": names_of_outline,
}


@pytest.fixture(scope="module")
def texts(few_pairs: list[Pair], root: Path) -> Texts:
    english = [pair for pair in read_pairs(root / "data/train.jsonl") if pair.lang == "en"][:100]
    return [(pair.quote, pair.claim) for pair in (*few_pairs, *english)] + HARD


@pytest.fixture(scope="module")
def idf() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.5, 6, 1 << 16).astype(np.float32)


@pytest.fixture(scope="module")
def extractor(lexicon: Lexicon, idf: np.ndarray, thesaurus: Thesaurus) -> FeatureExtractor:
    return FeatureExtractor(lexicon, idf, dict.fromkeys(FAMILIES, 0.5), thesaurus)


@pytest.fixture(scope="module")
def plain(extractor: FeatureExtractor, texts: Texts) -> list[Plain]:
    return plainly(extractor.view(*columns(texts)))


def columns(texts: Texts) -> tuple[list[str], list[str]]:
    return [quote for quote, _ in texts], [claim for _, claim in texts]


def of_pair(features: Features, index: int) -> tuple[list[float], list[tuple[int, float]]]:
    """Return the dense values and the sorted sparse entries of one pair."""
    here = features.pair == index
    entries = zip(features.slot[here].tolist(), features.value[here].tolist(), strict=True)
    return features.dense[index].tolist(), sorted(entries)


@pytest.mark.parametrize("family", DENSE)
def test_dense_features_are_those_of_each_pair_plainly(
    lexicon: Lexicon, idf: np.ndarray, texts: Texts, plain: list[Plain], family: str
) -> None:
    dense = FeatureExtractor(lexicon, idf, {family: 1.0})(*columns(texts)).dense
    np.testing.assert_allclose(dense, [DENSE[family](pair) for pair in plain], rtol=0, atol=0.501 / STEPS)


@pytest.mark.parametrize("family", SPARSE)
def test_sparse_features_name_what_each_pair_has_plainly(
    lexicon: Lexicon, idf: np.ndarray, texts: Texts, plain: list[Plain], family: str
) -> None:
    """Every name has one slot, whichever pair it is in, and no more names share a slot than chance makes."""
    features = FeatureExtractor(lexicon, idf, {family: 0.25})(*columns(texts))
    assert set(features.value.tolist()) == {0.25}
    assert 0 <= features.slot.min() <= features.slot.max() < SLOTS
    slots: dict[tuple, int] = {}
    for index, pair in enumerate(plain):
        here = features.slot[features.pair == index].tolist()
        for name, slot in zip(SPARSE[family](pair), here, strict=True):
            assert slots.setdefault(name, slot) == slot
    assert len(slots) > 50
    assert len(set(slots.values())) > 0.97 * SLOTS * -math.expm1(-len(slots) / SLOTS)


def test_words_stand_around_the_focus_clause_as_plainly(
    extractor: FeatureExtractor, texts: Texts, plain: list[Plain]
) -> None:
    view = extractor.view(*columns(texts))
    expected = [region for pair in plain for region in pair.regions()]
    assert [REGIONS[region] for region in view.regions(np.flatnonzero(view.quoted))] == expected
    assert set(expected) == set(REGIONS)


@pytest.mark.parametrize(
    ("quote", "claim", "sign"),
    [
        ("أرسلت الوزارة المقاتلين", "أرسلت الوزارة المقاتلين", 1),
        ("لم ترسل الوزارة المقاتلين", "أرسلت الوزارة المقاتلين", -1),
        ("أرسلت الوزارة المقاتلين", "لم ترسل الوزارة المقاتلين", -1),
        ("لم ترسل الوزارة المقاتلين", "لم ترسل الوزارة المقاتلين", 1),
        ("نفى أن الوزارة لم ترسل المقاتلين", "أرسلت الوزارة المقاتلين", 1),
        ("انخفاض الأسعار", "ارتفاع الأسعار", -1),
        ("لا انخفاض في الأسعار", "ارتفاع الأسعار", 1),
        ("The ministry did not send fighters", "The ministry sent fighters", -1),
        ("Prices fell", "Prices rose", -1),
        ("رفضت الحكومة الخطة", "قبلت الحكومة الخطة", -1),
        ("قبلت الحكومة الخطة", "رفضت الحكومة الخطة", -1),
        ("براءة المتهم", "إدانة المتهم", -1),
        ("غياب الوزير", "حضور الوزير", -1),
        ("The committee rejected the plan", "The committee approved the plan", -1),
    ],
)
def test_negations_compose_to_the_sign_of_quote_and_claim(
    extractor: FeatureExtractor, quote: str, claim: str, sign: int
) -> None:
    view = extractor.view([quote], [claim])
    assert (-1) ** int(view.composition.anywhere[0] ^ view.claim_turned[0]) == sign


def test_a_negation_in_another_clause_leaves_the_focus_alone(extractor: FeatureExtractor) -> None:
    view = extractor.view(["لا أعرف أحدا؛ أرسلت الوزارة المقاتلين؛ ولم ننته"], ["أرسلت الوزارة المقاتلين"])
    parts = view.composition
    assert (parts.focus[0], parts.within[0]) == (0, 0)
    assert parts.open_focus[0] == 0 < parts.open[0]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("نَفَى المسؤولُ، أنَّ ١٬٢٠٠ شخصٍ", "نفى المسؤول، ان 1200 شخص"),
        ("\u200fأعلن\u200e الـــوزير", "اعلن الوزير"),
        ("didn’t SEND", "didnt send"),
    ],
)
def test_spellings_that_mean_the_same_have_the_same_features(
    extractor: FeatureExtractor, written: str, meant: str
) -> None:
    claim = "أعلن الوزير أن 1200 شخص؛ send"
    assert of_pair(extractor([written], [claim]), 0) == of_pair(extractor([meant], [claim]), 0)


def test_a_pair_has_exactly_the_same_features_alone_and_in_any_batch(extractor: FeatureExtractor, texts: Texts) -> None:
    batch = extractor(*columns(texts))
    order = np.random.default_rng(0).permutation(len(texts)).tolist()
    shuffled = extractor(*columns([texts[index] for index in order]))
    for place, index in enumerate(order):
        expected = of_pair(extractor(*columns([texts[index]])), 0)
        assert of_pair(batch, index) == expected
        assert of_pair(shuffled, place) == expected


@pytest.mark.parametrize("quote", ["x² ﬁn ½ قال", "نعم？ ١", "قال ر\u064a\u0654يس", "𝟏٢"])
def test_the_spelling_of_another_pair_changes_nothing(extractor: FeatureExtractor, quote: str) -> None:
    alone, beside = extractor([quote], ["قال"]), extractor([quote, "ﻻ ﺍﻟﻌﺮﺑﻴﺔ"], ["قال", "لا"])
    assert of_pair(alone, 0) == of_pair(beside, 0)


def test_an_empty_batch_has_no_features(extractor: FeatureExtractor, texts: Texts) -> None:
    features = extractor([], [])
    assert features.dense.shape == (0, extractor(*columns(texts[:1])).dense.shape[1])
    assert features.pair.size == features.slot.size == features.value.size == 0


@pytest.mark.parametrize(
    "make",
    [lambda n: "ب" * n, lambda n: "ب" + "\u0301\u0323" * (n // 2), lambda n: "لا كتاب " * (n // 8), lambda n: "؟." * n],
    ids=["one letter", "combining marks", "words", "marks"],
)
def test_extraction_takes_time_linear_in_length(extractor: FeatureExtractor, make: Callable[[int], str]) -> None:
    """Eight times the text: eight times as long were linear, 64 times quadratic."""

    def seconds(size: int) -> float:
        began = time.process_time()
        extractor([make(size)], ["كتاب"])
        return time.process_time() - began

    assert min(seconds(1 << 20) / seconds(1 << 17) for _ in range(4)) < 32
