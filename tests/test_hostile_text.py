"""Texts that nobody means well by: no crash, sound probabilities, neighbours unchanged, and time linear in length."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pytest

from claimstance.article import read_statements
from claimstance.explanation import explain
from claimstance.lexicon import Lexicon
from claimstance.predictor import Prediction, Predictor
from claimstance.text import fold, fold_with_origins
from claimstance.words import read_words, word_spans

MILLION = 1_000_000
CLAIM = "وصلت شحنة القمح إلى المرفأ وارتفعت الأسعار"
NEIGHBOURS = [("نفى الوزير وصول الشحنة", CLAIM), ("أكد المدير أن الشحنة وصلت", CLAIM), ("انخفضت الأسعار", CLAIM)]


def repeated(piece: str) -> Callable[[int], str]:
    return lambda length: (piece * (length // len(piece) + 1))[:length]


def different_words(length: int) -> str:
    """As many different words as fit, of eight letters each."""
    numbers = np.arange(length // 9)
    letters = (numbers[:, None] // 28 ** np.arange(8) + numbers[:, None]) % 26
    return " ".join("".join(map(chr, row)) for row in (letters + 0x0627).tolist())


SINGLE = {
    "space": " ",
    "Latin letter": "x",
    "Arabic letter": "ن",
    "alef": "ا",
    "digit": "5",
    "Arabic digit": "٥",
    "point": ".",
    "comma": ",",
    "question mark": "؟",
    "opening quote mark": "«",
    "straight quote mark": '"',
    "apostrophe": "'",
    "newline": "\n",
    "vowel mark": "\u064b",
    "hamza mark": "\u0655",
    "Latin mark": "\u0301",
    "kashida": "\u0640",
    "emoji": "😀",
    "first half of a character": "\ud800",
    "second half of a character": "\udc00",
    "NUL": "\0",
    "bidi override": "\u202e",
    "presentation form": "\ufefb",
}
"""Characters that a whole text is made of."""

HOSTILE: dict[str, Callable[[int], str]] = {
    **{f"only {name}": repeated(character) for name, character in SINGLE.items()},
    # One character that stands for eighteen.
    "ligature": lambda length: repeated("\ufdfa")(length // 18),
    "marks on one letter": lambda length: "ن" + repeated("\u064b")(length),
    "marks in the wrong order": lambda length: "ن" + repeated("\u0655\u0653\u064b\u0323\u0301")(length),
    "a word without end": repeated("نكذبxفي"),
    "letters and spaces": repeated("ن "),
    "letters and points": repeated("ن."),
    "grouped numbers": repeated("1,"),
    "decimals": repeated("1.5 "),
    "one cue": repeated("نفى "),
    "one phrase": repeated("لا صحة "),
    "a word with an opposite": repeated("ارتفع انخفض "),
    "unclosed quote marks": repeated("«قال ذلك "),
    "abbreviations": repeated("Mr. د. "),
    "points and quote marks": repeated(".»»»”"),
    "spaces and lines": repeated(" \n\t\r"),
    "different words": different_words,
    "two scripts": repeated("نx"),
}


WHOLE = {
    *(f"only {name}" for name in SINGLE),
    "ligature",
    "marks on one letter",
    "a word without end",
    "different words",
}
"""Those of which a million characters are tried; the others are a word every few characters, and a quarter does."""


@pytest.fixture(scope="module")
def answers(every_family: Predictor) -> list[Prediction]:
    return every_family.predict(NEIGHBOURS)


def check(prediction: Prediction) -> None:
    values = list(prediction.probabilities.values())
    assert all(math.isfinite(value) and 0 <= value <= 1 for value in values)
    assert math.isclose(sum(values), 1, abs_tol=1e-9)


@pytest.mark.parametrize("what", HOSTILE)
def test_very_long_texts_are_answered_and_change_no_neighbour(
    every_family: Predictor, answers: list[Prediction], what: str
) -> None:
    text = HOSTILE[what](MILLION if what in WHOLE else MILLION // 4)
    first, hostile, *others = every_family.predict([NEIGHBOURS[0], (text, CLAIM), *NEIGHBOURS[1:]])
    assert [first, *others] == answers
    check(hostile)
    (alone,) = every_family.predict([(text, CLAIM)])
    assert alone == hostile


@pytest.mark.parametrize("what", HOSTILE)
def test_it_may_stand_in_the_claim_too(every_family: Predictor, answers: list[Prediction], what: str) -> None:
    text = HOSTILE[what](MILLION // 10)
    both, claimed, *others = every_family.predict([(text, text), (NEIGHBOURS[0][0], text), *NEIGHBOURS])
    assert others == answers
    check(both)
    check(claimed)


@pytest.mark.parametrize("what", HOSTILE)
def test_explanations_statements_and_words_come_through(every_family: Predictor, what: str) -> None:
    text = HOSTILE[what](MILLION // 20)
    words, (as_read, spans) = read_words([text, text]), word_spans(text)
    assert words.first.tolist() == [0, len(spans), 2 * len(spans)]
    assert all(0 <= start < stop <= len(as_read) for start, stop in (*spans[:1], *spans[-1:]))
    found = explain(every_family, text, CLAIM)
    check(found.prediction)
    assert len(found.words) == len(spans) + len(word_spans(CLAIM)[1])
    assert np.isfinite(found.scores).all() and all(np.isfinite(word.push).all() for word in found.words)
    for statement in read_statements(text, every_family.lexicon):
        assert statement.text == text[statement.start : statement.stop]


def test_nothing_at_all_is_answered(every_family: Predictor) -> None:
    for text in ("", *SINGLE.values()):
        (prediction,) = every_family.predict([(text, CLAIM)])
        check(prediction)
        assert explain(every_family, text, CLAIM).prediction == prediction
        assert read_statements(text, every_family.lexicon) == []


MOST_GROWTH = 8
LEAST_S = 0.02


def seconds(work: Callable[[], object], times: int = 3) -> float:
    """The processor's time, which other programs do not lengthen, of the best of some times."""
    best = math.inf
    for _ in range(times):
        before = time.process_time()
        work()
        best = min(best, time.process_time() - before)
    return best


def growth(work: Callable[[str], object], short: str, long: str) -> float:
    """How many times as long the longer text takes; what takes no time to speak of is not measured closely."""
    if (once := seconds(lambda: work(long), times=1)) < LEAST_S * MOST_GROWTH:
        return once / LEAST_S
    return seconds(lambda: work(long)) / max(seconds(lambda: work(short)), LEAST_S)


WORK: dict[str, tuple[int, Callable[[Predictor, str], object]]] = {
    "predict": (80_000, lambda predictor, text: predictor.predict([(text, text)])),
    "explain": (12_000, lambda predictor, text: explain(predictor, text, CLAIM)),
    "statements": (40_000, lambda predictor, text: read_statements(text, predictor.lexicon)),
    "words": (100_000, lambda predictor, text: word_spans(text)),
    "folding": (200_000, lambda predictor, text: (fold([text]), fold_with_origins(text))),
}


@pytest.mark.parametrize("work", WORK)
def test_four_times_the_text_takes_four_times_as_long(every_family: Predictor, work: str) -> None:
    length, do = WORK[work]
    grown = {
        name: growth(lambda text: do(every_family, text), make(length // 4), make(length))
        for name, make in HOSTILE.items()
    }
    assert {name: times for name, times in grown.items() if times >= MOST_GROWTH} == {}


def test_an_article_of_many_sentences_takes_time_by_sentence(lexicon: Lexicon) -> None:
    sentence, counts = "وقال الوزير إن ذلك صحيح. ", (100, 400)
    assert len(read_statements(sentence * counts[1], lexicon)) == counts[1]
    short, long = (sentence * count for count in counts)
    assert growth(lambda text: read_statements(text, lexicon), short, long) < MOST_GROWTH
