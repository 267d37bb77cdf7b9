"""Words of a batch: bounds, clauses, light stems and hashes against plain code, one text or one word at a time."""

from __future__ import annotations

from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest

from claimstance.records import Pair, read_pairs
from claimstance.text import CLAUSE_MARK, DIGIT, LETTER, QUESTION_MARK, fold
from claimstance.words import Words, read_words, spelling_hash, word_spans

HARD = ["", "\0", "٠١٢", "😀", "!؟", "ا", "كوفيد19", "19كوفيد 12.5%", "\ud83d", "و", "ال", "\u064b", "؟ نعم. لا؛ ربما"]
HARD += ["ﺧﺒﺮ １２ و٣٫٥", "‘نفى’ «الخَبَرَ»…", "\u202bأن\u202c 👩‍👩‍👧 Cafe\u0301"]
LONG_SUFFIXES = ("ات", "ون", "ين", "ان", "ها", "هم", "هن", "نا", "وا", "يه", "ته", "تي", "es", "ed", "ly")


@pytest.fixture(scope="module")
def texts(few_pairs: list[Pair], root: Path) -> list[str]:
    english = [pair for pair in read_pairs(root / "data/train.jsonl") if pair.lang == "en"][:100]
    return [text for pair in (*few_pairs, *english) for text in (pair.quote, pair.claim)] + HARD


@pytest.fixture(scope="module")
def words(texts: list[str]) -> Words:
    return read_words(texts)


def plain_stem(word: str) -> str:
    """Stem one folded word."""

    def without(word: str, heads: tuple[str, ...], at_least: int, length: int | None = None) -> str:
        head = next((head for head in heads if word.startswith(head)), None)
        cut = length or len(head or "")
        return word[cut:] if head and len(word) >= cut + at_least else word

    word = without(word, ("و", "ف"), 4)
    word = without(word, ("لل",), 3)
    word = without(word, ("بال", "لال", "كال"), 5, length=1)
    word = without(word, ("ال",), 3)
    word = without(word, ("و", "ف"), 4)
    word = without(word, ("ب", "ل", "ك"), 4)
    if word.endswith(LONG_SUFFIXES) and len(word) >= 5:
        return word[:-2]
    if word.endswith(tuple("هياتكsى")) and len(word) >= 4:
        return word[:-1]
    return word


def plain_words(text: str) -> list[tuple[str, bool, int]]:
    """Split one text: the spelling of each word, whether it is a number, and how many marks stand before it."""
    units, kinds = fold([text])
    found, marks = [], 0
    runs = groupby(zip(units.tolist(), kinds.tolist(), strict=True), key=lambda unit: unit[1])
    for kind, run in runs:
        run = list(run)
        if kind in (LETTER, DIGIT):
            found.append(("".join(chr(unit) for unit, _ in run), kind == DIGIT, marks))
        elif kind in (CLAUSE_MARK, QUESTION_MARK):
            marks += len(run)
    return found


def spans(words: Words, start: np.ndarray, stop: np.ndarray) -> list[str]:
    return ["".join(map(chr, words.units[a:b].tolist())) for a, b in zip(start, stop, strict=True)]


def test_each_text_splits_as_it_does_plainly(texts: list[str], words: Words) -> None:
    assert words.first[0] == 0
    assert words.first[-1] == words.count
    for index, text in enumerate(texts):
        here = range(words.first[index], words.first[index + 1])
        spelled = [words.spelled(at) for at in here]
        assert list(zip(spelled, words.number[list(here)].tolist(), strict=True)) == [w[:2] for w in plain_words(text)]
        assert set(words.text[list(here)].tolist()) <= {index}


def test_a_clause_ends_at_its_mark_and_at_the_end_of_a_text(texts: list[str], words: Words) -> None:
    last = -1
    for index, text in enumerate(texts):
        clauses = words.clause[words.first[index] : words.first[index + 1]]
        if not clauses.size:
            continue
        assert clauses[0] > last
        marks = [before for *_, before in plain_words(text)]
        assert (clauses - clauses[0]).tolist() == [before - marks[0] for before in marks]
        last = clauses[-1]


def test_question_marks_are_counted_by_text(texts: list[str], words: Words) -> None:
    assert words.text_questions.tolist() == [text.count("?") + text.count("؟") for text in texts]


def test_every_word_stems_as_it_does_plainly(words: Words) -> None:
    spelled = spans(words, words.start, words.stop)
    expected = [word if number else plain_stem(word) for word, number in zip(spelled, words.number, strict=True)]
    assert spans(words, *words.stem_bounds) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("الوزارة", "وزارة"),
        ("للوزارة", "وزارة"),
        ("والوزارة", "بالوزارة"),
        ("المقاتلين", "مقاتلون"),
        ("نفى", "نفي"),
        ("أكدت", "اكد"),
        ("١٢٬٠٠٠", "12000"),
        ("reports", "Reported"),
    ],
)
def test_forms_of_one_word_share_a_stem(one: str, other: str) -> None:
    stems = read_words([one, other]).stem
    assert stems[0] == stems[1]


@pytest.mark.parametrize(("one", "other"), [("نفى", "نفذ"), ("12", "120"), ("01", "1"), ("كتب", "تبك"), ("ا", "اا")])
def test_different_words_keep_different_stems(one: str, other: str) -> None:
    stems = read_words([one, other]).stem
    assert stems[0] != stems[1]


def test_stems_and_hashes_are_one_to_one_wherever_a_word_stands(words: Words) -> None:
    spelled = [stem.replace("ى", "ي") for stem in spans(words, *words.stem_bounds)]
    both = set(zip(spelled, words.stem.tolist(), strict=True))
    assert len(both) == len({stem for stem, _ in both}) == len({value for _, value in both}) > 1000


def test_a_hash_does_not_depend_on_the_position_of_its_word() -> None:
    """Also far beyond the powers that are kept ready for small batches."""
    words = read_words(["نفى", "ب " * 100_000 + "نفى", "نفى"])
    at = [int(words.first[1]) - 1, int(words.first[2]) - 1, words.count - 1]
    assert len(set(words.stem[at].tolist())) == 1
    assert len(set(spelling_hash(words, words.start[at], words.stop[at]).tolist())) == 1


def test_a_final_alef_maksura_is_told_from_yeh_as_spelled() -> None:
    words = read_words(["نفى نفي نفى"])
    hashes = spelling_hash(words, words.start, words.stop)
    assert hashes[0] == hashes[2] != hashes[1]


def test_grams_with_equal_letters_hash_alike() -> None:
    words = read_words(["كتاب", "مكتاب كتب"])
    grams = words.gram_hashes(np.array([words.start[0], words.start[1] + 1, words.start[2]]), 3)
    assert grams[0] == grams[1] != grams[2]


def test_word_spans_bound_every_word_as_written(texts: list[str]) -> None:
    for text in texts:
        as_read, bounds = word_spans(text)
        written = [as_read[start:stop] for start, stop in bounds]
        again = [[spelled for spelled, *_ in plain_words(word)] for word in written]
        assert again == [[spelled] for spelled, *_ in plain_words(text)], text
        assert all(first[1] <= second[0] for first, second in pairwise(bounds))


@pytest.mark.parametrize(
    ("text", "as_written"),
    [
        ("نَفَى «الوَزِيرُ»، ١٬٢٠٠٫٥ شخصٍ.", ["نَفَى", "الوَزِيرُ", "١٬٢٠٠٫٥", "شخصٍ"]),
        ("كوفيد19 😀 أُجّـــل", ["كوفيد", "19", "أُجّـــل"]),
        ("ﺍﻟﻌﺮﺑﻴﺔ ﻻ", ["العربية", "لا"]),
        ("DIDN’T deny; café 1,200", ["DIDN’T", "deny", "café", "1,200"]),
        ("\udcff خبر\ude00 عاجل", ["خبر", "عاجل"]),
        ("…😀!؟", []),
        ("", []),
    ],
)
def test_a_word_is_cut_out_with_its_marks(text: str, as_written: list[str]) -> None:
    as_read, bounds = word_spans(text)
    assert [as_read[start:stop] for start, stop in bounds] == as_written


@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["\0", "!", "😀"]])
def test_texts_without_words_have_no_words(texts: list[str]) -> None:
    words = read_words(texts)
    assert words.count == 0
    assert words.first.tolist() == [0] * (len(texts) + 1)
    assert words.text_questions.tolist() == [0] * len(texts)
