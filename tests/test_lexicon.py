"""The lexicon: whole-batch look-ups against a plain longest-match scan, and what the word lists must tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from claimstance.errors import ClaimstanceError
from claimstance.lexicon import CUE_CLASSES, FUNCTION, NUMBER, Lexicon, cue_bit
from claimstance.records import Pair, read_pairs
from claimstance.words import Words, read_words

Phrase = tuple[str, ...]


def plain_key(word: str) -> str:
    """Return the spelling that a word is looked up by: only a final alef maksura is told from yeh."""
    return word[:-1].replace("ى", "ي") + word[-1:]


def plain_forms(source: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield the bits and the spelling of every form of one word list."""
    endings = source.get("inflection", {})
    for name, content in source["cues"].items():
        bit = 1 << CUE_CLASSES.index(name)
        forms = [*content.get("words", ())]
        for noun in content.get("nouns", ()):
            forms += [noun, *(noun + ending for ending in endings["noun_endings"])]
        for verb in content.get("verbs", ()):
            objects = ["", *endings.get("object_pronouns", ())]
            forms += map("".join, product(verb.get("past", ()), endings["past_endings"], objects))
            present = (endings["present_prefixes"], verb.get("present", ()), endings["present_endings"], objects)
            forms += map("".join, product(*present))
            forms += map("".join, product(endings["present_prefixes"], verb.get("jussive", ()), objects))
        yield from ((bit, form) for form in forms)
    yield from ((FUNCTION, form) for form in source["function_words"])
    yield from ((NUMBER, form) for forms in source["numbers"].values() for form in forms)
    yield from ((0, form) for pair in source["opposites"] for forms in pair for form in forms)


def plain_table(lexicon: Lexicon) -> dict[Phrase, int]:
    """Return the bits of every phrase; 0 for words that only start one, are opposites, or are excepted."""
    forms = [entry for source in lexicon.sources for entry in plain_forms(source)]
    excepted = [(0, form) for source in lexicon.sources for form in source.get("exceptions", ())]
    words, table = read_words([form for _, form in forms + excepted]), {}
    for index, (bits, _) in enumerate(forms + excepted):
        phrase = tuple(plain_key(words.spelled(at)) for at in range(words.first[index], words.first[index + 1]))
        table[phrase] = table.get(phrase, 0) | bits if index < len(forms) else 0
    for phrase in [phrase for phrase in table if len(phrase) > 1]:
        table.setdefault(phrase[:1], 0)
    return table


def plain_classes(table: dict[Phrase, int], words: list[str], bare: list[str], numbers: list[bool]) -> list[int]:
    """Scan one text from its first word on for the longest entry; its later words say nothing of their own."""
    classes, at = [NUMBER * number for number in numbers], 0
    while at < len(words):
        without_conjunction = words[at][1:] if words[at][0] in "وف" and len(words[at]) > 1 else words[at]
        tried = [(form,) for form in (words[at], without_conjunction)]
        if table.get((bare[at],)) != FUNCTION:
            tried.append((bare[at],))
        first = next((form for form in tried if form in table), tried[0])
        lengths = [n for n in (4, 3, 2, 1) if at + n <= len(words) and (*first, *words[at + 1 : at + n]) in table]
        length = lengths[0] if lengths else 1
        classes[at] |= table.get((*first, *words[at + 1 : at + length]), 0)
        at += length
    return classes


def bare_spelling(words: Words, index: int) -> str:
    return "".join(map(chr, words.units[words.stem_bounds[0][index] : words.stop[index]].tolist()))


def names(lexicon: Lexicon, text: str) -> list[set[str]]:
    """Return the cue classes of each word of a text."""
    classes = lexicon.read(read_words([text])).classes
    return [{name for name in CUE_CLASSES if int(bits) & cue_bit(name)} for bits in classes]


def test_a_batch_reads_as_a_plain_scan_does(lexicon: Lexicon, few_pairs: list[Pair], root: Path) -> None:
    english = [pair for pair in read_pairs(root / "data/train.jsonl") if pair.lang == "en"][:200]
    texts = [text for pair in (*few_pairs, *english) for text in (pair.quote, pair.claim)]
    table, words = plain_table(lexicon), read_words(texts)
    classes, wrong = lexicon.read(words).classes, []
    for index, text in enumerate(texts):
        here = range(words.first[index], words.first[index + 1])
        expected = plain_classes(
            table,
            [plain_key(words.spelled(at)) for at in here],
            [plain_key(bare_spelling(words, at)) for at in here],
            words.number[list(here)].tolist(),
        )
        if classes[list(here)].tolist() != expected:
            wrong.append(text)
    assert wrong == []
    assert (classes != 0).mean() > 0.2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("لم تنف الوزارة", [{"silence"}, set(), set()]),
        ("لم تنفذ الوزارة", [{"negator"}, set(), set()]),
        ("نفى", [{"deny"}]),
        ("ونفت الوزارة", [{"deny"}, set()]),
        ("وأكدت", [{"ratify"}]),
        ("أُكَّدَ", [{"ratify"}]),
        ("لا صحة للخبر", [{"falsehood"}, set(), set()]),
        ("ولا صحة للخبر", [{"falsehood"}, set(), set()]),
        ("لا", [{"negator"}]),
        ("بالتأكيد", [{"ratify"}]),
        ("Not TRUE", [{"falsehood"}, set()]),
        ("They did not deny it", [set(), {"silence"}, set(), set(), set()]),
        ("didn't", [{"negator"}]),
    ],
)
def test_words_and_phrases_have_their_classes(lexicon: Lexicon, text: str, expected: list[set[str]]) -> None:
    assert names(lexicon, text) == expected


def test_a_verb_and_a_word_that_differ_in_their_last_letter_are_told_apart() -> None:
    lexicon = Lexicon([{"language": "ar", "cues": {"deny": {"words": ["نفى"]}, "truth": {"words": ["نفي"]}}}])
    assert names(lexicon, "نفى نفي") == [{"deny"}, {"truth"}]


SMALL = {
    "language": "en",
    "cues": {
        "deny": {"words": ["red", "red green", "red green blue cyan"]},
        "truth": {"words": ["green", "blue", "cyan"]},
        "ask": {"words": ["blue cyan pink"]},
    },
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("red green", [{"deny"}, set()]),
        ("red green blue", [{"deny"}, set(), {"truth"}]),
        ("red green blue cyan", [{"deny"}, set(), set(), set()]),
        ("red green red green", [{"deny"}, set(), {"deny"}, set()]),
        ("red blue", [{"deny"}, {"truth"}]),
    ],
)
def test_a_longer_phrase_hides_its_words(text: str, expected: list[set[str]]) -> None:
    assert names(Lexicon([SMALL]), text) == expected


def test_a_phrase_never_runs_into_the_next_text() -> None:
    classes = Lexicon([SMALL]).read(read_words(["red", "green"])).classes
    assert classes.tolist() == [cue_bit("deny"), cue_bit("truth")]


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("ما إذا صح الخبر", {"condition", "truth"}),
        ("عار من دون شك", {"truth", "doubt"}),
        ("is it said", {"assert", "source"}),
        ("were it is said", {"assert", "source"}),
    ],
)
def test_a_phrase_that_is_not_counted_hides_nothing(lexicon: Lexicon, text: str, last: set[str]) -> None:
    """Where two phrases overlap, the words of the one that gives way are read as they stand, or the other gives way."""
    found = names(lexicon, text)
    assert sum(bool(classes & last) for classes in found[1:]) > 0, found


@pytest.mark.parametrize(
    ("written", "value"),
    [("ثلاثة", "3"), ("أحد عشر", "11"), ("وخمسون", "50"), ("ألفين", "2000"), ("٣", "3"), ("Twelve", "12")],
)
def test_a_number_word_is_its_number(lexicon: Lexicon, written: str, value: str) -> None:
    word, number = lexicon.read(read_words([written])), lexicon.read(read_words([value]))
    assert word.stem[0] == number.stem[0]
    assert int(word.classes[0]) & int(number.classes[0]) & NUMBER


@pytest.mark.parametrize(("one", "other"), [("ارتفاع", "انخفاض"), ("صعود", "تراجع"), ("rose", "fell")])
def test_opposites_share_a_stem_and_one_is_marked(lexicon: Lexicon, one: str, other: str) -> None:
    reading = lexicon.read(read_words([one, other]))
    assert reading.stem[0] == reading.stem[1]
    assert reading.opposite.tolist() == [False, True]


def test_inflected_forms_of_a_verb_are_one_entry(lexicon: Lexicon) -> None:
    lemma = lexicon.read(read_words(["نفى نفت ينفي وسينفون تنفيه أكد"])).lemma
    assert len(set(lemma[:5].tolist())) == 1
    assert lemma[0] != lemma[5]
    assert lemma[0] != 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"ceus": {}}, "did you mean 'cues'"),
        ({"cues": {"denny": {"words": ["لا"]}}}, "did you mean 'deny'"),
        ({"cues": {"deny": {"word": ["لا"]}}}, "did you mean 'words'"),
        ({"cues": {"deny": {"words": [False]}}}, "put it in quotes"),
        ({"cues": {"deny": {"words": ["a b c d e"]}}}, "'a b c d e'"),
        ({"cues": {"deny": {"words": ["ok", "!"]}}}, "'!'"),
    ],
)
def test_a_wrong_word_list_is_refused_with_a_way_out(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ClaimstanceError, match=message):
        Lexicon([source])


def test_an_excepted_spelling_is_no_cue_whatever_else_makes_it_one(lexicon: Lexicon) -> None:
    excepted = [form for source in lexicon.sources for form in source.get("exceptions", ())]
    assert [form for form in excepted if names(lexicon, form) != [set()]] == []


def test_without_word_lists_nothing_is_found() -> None:
    words = read_words(["لا 12 نعم"])
    reading = Lexicon([]).read(words)
    assert reading.classes.tolist() == [0, NUMBER, 0]
    assert np.array_equal(reading.stem, words.stem)
