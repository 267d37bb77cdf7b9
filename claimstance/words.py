"""Words of a batch of texts, as arrays: bounds, light stems and hashes, without a Python object a word."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from claimstance.text import ALEF_MAKSURA, CLAUSE_MARK, DIGIT, END, QUESTION_MARK, fold, fold_with_origins

_BASE = np.uint64(0x9E3779B97F4A7C15)
_BASE_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
_MAKSURA_SALT = np.uint64(0xD6E8FEB86659FD93)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_SHIFT = np.uint64(32)


@dataclass(frozen=True)
class Words:
    """The words and numbers of ``texts`` texts, in reading order; all arrays have one entry a word.

    ``start`` and ``stop`` bound a word in ``units``, ``number`` says whether it is one in digits. ``text`` is the index of
    the text, ``clause`` the running number of the clause over the whole batch. ``first`` (``texts`` + 1 entries) bounds the
    words of each text; ``text_marks`` counts the marks in it that end a clause, ``text_questions`` those of a question.
    """

    units: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    number: np.ndarray
    text: np.ndarray
    clause: np.ndarray
    first: np.ndarray
    text_marks: np.ndarray
    text_questions: np.ndarray

    @property
    def count(self) -> int:
        return self.start.size

    @cached_property
    def key(self) -> np.ndarray:
        """The hash of each word's units (uint64): words of one key are alike in all that does not ask where they stand."""
        return span_hash(_prefix_sums(self.units), self.start, self.stop)

    @cached_property
    def prefix_sums(self) -> np.ndarray:
        """Sums that hash any span of ``units`` (one entry more than these), in which yeh and alef maksura are one letter."""
        # Yeh is the code point after alef maksura, so this addition makes them one.
        return _prefix_sums(self.units + (self.units == ALEF_MAKSURA) + np.uint64(1))

    @cached_property
    def stem_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each word's light stem starts and stops in ``units``."""
        return _stem_bounds(self.units, self.start, self.stop, self.number)

    @cached_property
    def stem(self) -> np.ndarray:
        """The hash of each word's light stem (uint64), in which yeh and alef maksura are one letter."""
        return span_hash(self.prefix_sums, *self.stem_bounds)

    def gram_hashes(self, start: np.ndarray, length: int) -> np.ndarray:
        """Hash the ``length`` code units from each ``start`` (uint64)."""
        return span_hash(self.prefix_sums, start, start + length)

    def spelled(self, index: int) -> str:
        """Return one word in its normalised spelling."""
        return self.units[self.start[index] : self.stop[index]].tobytes().decode("utf-16-le", "surrogatepass")

    def only(self, chosen: np.ndarray) -> Words:
        """Return some of the words (their indices), each as a text of its own."""
        length = self.stop[chosen] - self.start[chosen]
        stop = np.cumsum(length + 1) - 1
        start = stop - length
        units = np.zeros(int(stop[-1]) + 1 if chosen.size else 1, dtype=np.uint16)
        inside = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        units[np.repeat(start, length) + inside] = self.units[np.repeat(self.start[chosen], length) + inside]
        each = np.arange(chosen.size)
        none = np.zeros(chosen.size, dtype=np.int64)
        return Words(units, start, stop, self.number[chosen], each, each, np.arange(chosen.size + 1), none, none)


def read_words(texts: Sequence[str]) -> Words:
    """Split a batch of texts into words."""
    units, kinds = fold(texts)
    lexical = kinds * (kinds <= DIGIT)
    change = np.flatnonzero(lexical[1:] != lexical[:-1]) + 1
    edges = np.concatenate(([0], change)) if lexical.size and lexical[0] else change
    # A word ends where the next run begins; the last unit of a batch is always an END, so that run exists.
    begins = np.flatnonzero(np.take(lexical, edges) > 0)
    start, stop = np.take(edges, begins), np.take(edges, begins + 1)
    mark = kinds >= CLAUSE_MARK
    marks = np.flatnonzero(mark)
    kind_of_mark = np.take(kinds, marks)
    last_mark = np.flatnonzero(kind_of_mark == END)
    questions = np.cumsum(kind_of_mark == QUESTION_MARK)
    first = np.concatenate(([0], np.searchsorted(start, marks[last_mark])))
    return Words(
        units=units,
        start=start,
        stop=stop,
        number=np.take(kinds, start) == DIGIT,
        text=np.repeat(np.arange(len(texts)), np.diff(first)),
        clause=np.take(np.cumsum(mark, dtype=np.int32), start),
        first=first,
        text_marks=np.diff(last_mark, prepend=-1) - 1,
        text_questions=np.diff(questions[last_mark], prepend=0),
    )


def word_spans(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return one text as it is read and the bounds in it of each word of ``read_words``, vowel marks included."""
    as_read, origin = fold_with_origins(text)
    words = read_words([text])
    spans = []
    for start, last in zip(origin[words.start].tolist(), origin[words.stop - 1].tolist(), strict=True):
        stop = last + 1
        while stop < len(as_read) and unicodedata.category(as_read[stop]) == "Mn":
            stop += 1
        spans.append((start, stop))
    return as_read, spans


def spelling_hash(words: Words, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Hash spans of ``words.units`` as spelled: a final alef maksura differs from yeh («نفى» is not «نفي»)."""
    hashes = span_hash(words.prefix_sums, start, stop)
    last = np.take(words.units, np.maximum(stop - 1, 0))
    return np.where((last == ALEF_MAKSURA) & (stop > start), hashes ^ _MAKSURA_SALT, hashes)


def span_hash(prefix_sums: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Hash spans of code units by content alone, wherever they stand (uint64)."""
    inverse = _powers(prefix_sums.size)[1]
    return mix((np.take(prefix_sums, stop) - np.take(prefix_sums, start)) * np.take(inverse, start))


def mix(hashes: np.ndarray) -> np.ndarray:
    """Spread the bits of 64-bit hashes (the finaliser of MurmurHash3, shortened to one round)."""
    hashes = (hashes ^ (hashes >> _SHIFT)) * _MIX
    return hashes ^ (hashes >> _SHIFT)


def _prefix_sums(values: np.ndarray) -> np.ndarray:
    """Return the sums of ``value × base^position`` before each unit (modulo 2^64), one entry more than ``values``."""
    sums = np.zeros(values.size + 1, dtype=np.uint64)
    sums[1:] = values
    sums[1:] *= _powers(values.size)[0][: values.size]
    return np.cumsum(sums, out=sums)


def _powers(size: int) -> tuple[np.ndarray, np.ndarray]:
    return _powers_up_to(max(1 << 18, 1 << size.bit_length()))


@functools.lru_cache(maxsize=2)
def _powers_up_to(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the powers of the hash base and of its inverse modulo 2^64."""
    powers = np.ones((2, size), dtype=np.uint64)
    known, step = 1, np.array([[_BASE], [_BASE_INVERSE]])
    while known < size:
        # The next as many powers are those known times the power that comes next.
        np.multiply(powers[:, :known], step, out=powers[:, known : 2 * known])
        known, step = 2 * known, step * step
    return powers[0], powers[1]


def _unit_set(letters: str) -> np.ndarray:
    members = np.zeros(1 << 16, dtype=bool)
    members[[ord(letter) for letter in letters]] = True
    return members


_CONJUNCTIONS = _unit_set("وف")
_PREPOSITIONS = _unit_set("بلك")
_LONG_SUFFIXES = tuple(
    _pair for _pair in ("ات", "ون", "ين", "ان", "ها", "هم", "هن", "نا", "وا", "يه", "ته", "تي", "es", "ed", "ly")
)
_SHORT_SUFFIXES = _unit_set("هياتكs")
_LONG_CODES = np.array(sorted(ord(pair[0]) << 16 | ord(pair[1]) for pair in _LONG_SUFFIXES), dtype=np.int64)
_MIN_STEM = 3


def _stem_bounds(
    units: np.ndarray, start: np.ndarray, stop: np.ndarray, number: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Strip conjunction, preposition, article and endings, never below three letters; numbers stay whole.

    A radical taken for a clitic («وزير» → «زير») costs little, since it is taken from both texts alike: after an
    article the conjunction rule is tried again, so that «الوزارة» and «وزارة» meet.
    """
    start, stop = start.copy(), stop.copy()
    letters = ~number

    def unit(offset: int) -> np.ndarray:
        return units[np.minimum(start + offset, units.size - 1)]

    def strip(length: int, where: np.ndarray, rest: int) -> None:
        start[letters & where & (stop - start >= length + rest)] += length

    def strip_article() -> None:
        strip(2, (unit(0) == ord("ا")) & (unit(1) == ord("ل")), _MIN_STEM)

    strip(1, _CONJUNCTIONS[unit(0)], 4)
    strip(2, (unit(0) == ord("ل")) & (unit(1) == ord("ل")), _MIN_STEM)
    strip(1, _PREPOSITIONS[unit(0)] & (unit(1) == ord("ا")) & (unit(2) == ord("ل")), 5)
    strip_article()
    strip(1, _CONJUNCTIONS[unit(0)], 4)
    strip(1, _PREPOSITIONS[unit(0)], 4)

    tail = (units[stop - 2].astype(np.int64) << 16) | units[stop - 1]
    found = np.minimum(np.searchsorted(_LONG_CODES, tail), _LONG_CODES.size - 1)
    long = letters & (_LONG_CODES[found] == tail) & (stop - start >= 2 + _MIN_STEM)
    stop[long] -= 2
    last = units[stop - 1]
    short = letters & ~long & (_SHORT_SUFFIXES[last] | (last == ALEF_MAKSURA)) & (stop - start >= 1 + _MIN_STEM)
    stop[short] -= 1
    return start, stop
