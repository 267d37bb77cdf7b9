"""Cue words by class, function words, number words and opposites: word lists as data, looked up for whole batches.

The lists live in ``data/lexicons/*.yaml``, are copied into every exported bundle, and are read there by this module.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from claimstance.errors import ClaimstanceError, did_you_mean
from claimstance.words import Words, mix, read_words, spelling_hash

CUE_CLASSES = (
    "assert",
    "ratify",
    "deny",
    "allege",
    "doubt",
    "ask",
    "likely",
    "possible",
    "condition",
    "interrogative",
    "truth",
    "falsehood",
    "evidence",
    "contrast",
    "silence",
    "source",
    "instead",
    "negator",
)
"""Every class of cue words, in the order of the bits of ``Reading.classes``."""

FUNCTION = 1 << len(CUE_CLASSES)
NUMBER = FUNCTION << 1
_STARTS_PHRASE = NUMBER << 1
LONGEST_PHRASE = 4
_SECTIONS = ("language", "version", "inflection", "cues", "function_words", "exceptions", "numbers", "opposites")
_CUE_KEYS = ("about", "words", "verbs", "nouns")


def cue_bit(name: str) -> int:
    """Return the bit of a cue class in ``Reading.classes``."""
    return 1 << CUE_CLASSES.index(name)


def cue_bits(*names: str) -> int:
    """Return the bits of some cue classes together."""
    return sum(map(cue_bit, names))


@dataclass(frozen=True)
class Reading:
    """What the lexicon says of each word of a batch; all arrays have one entry a word.

    ``classes``: bits of cue classes, FUNCTION and NUMBER (uint32; 0 for words no list holds, and for the later words of
    a phrase). ``lemma``: which entry was found, 0 for none. ``stem``: the stem hash, where a number word is the number
    itself and both words of an opposite pair are one. ``paired``: the word is of such a pair; ``opposite``: it is the
    second of one; ``kin``: its stem is that of such a pair, whether the word is listed or not.
    """

    classes: np.ndarray
    lemma: np.ndarray
    stem: np.ndarray
    paired: np.ndarray
    opposite: np.ndarray
    kin: np.ndarray

    def has(self, *names: str) -> np.ndarray:
        """Say for each word whether it is a cue of one of these classes (bool)."""
        return (self.classes & cue_bits(*names)) != 0


class Entries(NamedTuple):
    """Where the words of a batch stand in the lists, each by itself: its ``row``, which is the lexicon's ``absent`` for a word
    that no list holds; its hash as spelled, by which a phrase goes on; and the hash by which a phrase opens with it."""

    row: np.ndarray
    spelled: np.ndarray
    opening: np.ndarray


class Lexicon:
    """The compiled word lists of one or more languages.

    Args:
        sources: one mapping a language, as it stands in ``data/lexicons/<language>.yaml``.

    Raises:
        ClaimstanceError: a section or a cue class is unknown, or a phrase is longer than four words.
    """

    def __init__(self, sources: Sequence[Mapping[str, Any]]) -> None:
        self.sources = [dict(source) for source in sources]
        entries: dict[str, tuple[int, int]] = {}
        canonical: dict[str, tuple[str, bool]] = {}
        lemmas = itertools.count(1)
        for source in self.sources:
            _check_sections(source)
            for name, bits, forms in _cue_entries(source):
                lemma = next(lemmas)
                for form in forms:
                    if not isinstance(form, str):
                        raise ClaimstanceError(f"lexicon entry {form!r} of {name!r} is not a text; put it in quotes")
                    earlier = entries.get(form, (0, 0))
                    entries[form] = (earlier[0] | bits, earlier[1] or lemma)
            for value, forms in (source.get("numbers") or {}).items():
                for form in forms:
                    entries[form] = (entries.get(form, (0, 0))[0] | NUMBER, next(lemmas))
                    canonical[form] = (str(value), False)
            for sides in source.get("opposites") or []:
                if len(sides) != 2 or not all(isinstance(side, list) and side for side in sides):
                    raise ClaimstanceError(f"opposites {sides!r} are not two lists of words")
                first, second = sides
                for side, forms in enumerate((first, second)):
                    for form in forms:
                        entries.setdefault(form, (0, 0))
                        canonical[form] = (first[0], bool(side))
        for source in self.sources:
            entries |= dict.fromkeys(source.get("exceptions") or (), (0, 0))
        self._compile(entries, canonical)

    def _compile(self, entries: dict[str, tuple[int, int]], canonical: dict[str, tuple[str, bool]]) -> None:
        forms = list(entries)
        words = read_words(forms)
        lengths = np.diff(words.first)
        if forms and (lengths.max() > LONGEST_PHRASE or lengths.min() == 0):
            wrong = forms[int(np.argmax((lengths > LONGEST_PHRASE) | (lengths == 0)))]
            raise ClaimstanceError(f"lexicon entry {wrong!r} has no word or more than {LONGEST_PHRASE}")
        spelled = spelling_hash(words, words.start, words.stop)
        table: dict[int, list[int]] = {}
        self._continuing = np.unique(np.delete(spelled, words.first[:-1]))
        for index, form in enumerate(forms):
            span = spelled[words.first[index] : words.first[index + 1]]
            row = table.setdefault(int(_phrase_hash(span)), [0, 0, 0, 0])
            row[0] |= entries[form][0]
            row[1] = row[1] or entries[form][1]
            if form in canonical:
                stand_in, row[3] = canonical[form][0], int(canonical[form][1])
                row[2] = int(read_words([stand_in]).stem[0])
            if span.size > 1:
                table.setdefault(int(span[0]), [0, 0, 0, 0])[0] |= _STARTS_PHRASE
        keys = sorted(table)
        self._keys = np.array(keys, dtype=np.uint64)
        self._classes = np.array([table[key][0] for key in keys] + [0], dtype=np.uint32)
        self._lemmas = np.array([table[key][1] for key in keys] + [0], dtype=np.uint32)
        self._stems = np.array([table[key][2] for key in keys] + [0], dtype=np.uint64)
        self._opposites = np.array([table[key][3] for key in keys] + [0], dtype=bool)
        number = (self._classes & np.uint32(NUMBER)) != 0
        self._paired_stems = np.unique(self._stems[(self._stems != 0) & ~number])
        self._filled = np.zeros(1 << 16, dtype=bool)
        self._filled[self._keys >> np.uint64(48)] = True

    @property
    def absent(self) -> int:
        """The row of every word that no list holds."""
        return self._keys.size

    def _find(self, hashes: np.ndarray) -> np.ndarray:
        """Return the row of each hash; ``absent``, which is all zero, where no list holds it."""
        rows = np.full(hashes.size, self.absent, dtype=np.int32)
        # A table of the top bits turns nine words of ten away before the search.
        maybe = np.flatnonzero(np.take(self._filled, hashes >> np.uint64(48)))
        found = np.minimum(np.searchsorted(self._keys, hashes[maybe]), max(self.absent - 1, 0))
        if self.absent:
            rows[maybe] = np.where(self._keys[found] == hashes[maybe], found, self.absent)
        return rows

    def read(self, words: Words) -> Reading:
        """Look every word and phrase of a batch up; a longer phrase hides the words inside it.

        A word is tried as spelled, then without a conjunction, then without its other proclitics.
        """
        entries = self.entries(words)
        opens, continues = self.opens_phrase(entries.row), self.continues_phrase(entries.spelled)
        at, row = self.phrases(entries, opens, continues, words.text, words.first)
        entries.row[at] = row
        return self.reading(entries.row, words.stem, words.number)

    def entries(self, words: Words) -> Entries:
        """Look every word up by itself."""
        spelled = spelling_hash(words, words.start, words.stop)
        attached = words.start + _is_conjunction(words)
        without_conjunction = spelling_hash(words, attached, words.stop)
        bare = spelling_hash(words, words.stem_bounds[0], words.stop)
        rows = self._find(spelled)
        opening = spelled.copy()
        for variant in (without_conjunction, bare):
            missing = np.flatnonzero((rows == self.absent) & (variant != spelled))
            found = self._find(variant[missing])
            if variant is bare:
                # A short function word is found inside too many names: «البلدية» is not «لديه».
                found[(self._classes[found] & np.uint32(_STARTS_PHRASE - 1)) == FUNCTION] = self.absent
            rows[missing] = found
            opening[missing] = np.where(found < self.absent, variant[missing], opening[missing])
        return Entries(rows, spelled, opening)

    def reading(self, rows: np.ndarray, stem: np.ndarray, number: np.ndarray) -> Reading:
        """Return what the rows of words say of them, words that have these stem hashes and are numbers in digits or not."""
        stems = np.take(self._stems, rows)
        classes = np.take(self._classes, rows) & np.uint32(_STARTS_PHRASE - 1)
        stem = np.where(stems != 0, stems, stem)
        return Reading(
            classes=classes | number * np.uint32(NUMBER),
            lemma=np.take(self._lemmas, rows),
            stem=stem,
            paired=(stems != 0) & ((classes & np.uint32(NUMBER)) == 0),
            opposite=np.take(self._opposites, rows),
            kin=np.isin(stem, self._paired_stems),
        )

    def opens_phrase(self, rows: np.ndarray) -> np.ndarray:
        """Say which rows are of words that some phrase begins with (bool)."""
        return (np.take(self._classes, rows) & np.uint32(_STARTS_PHRASE)) != 0

    def continues_phrase(self, spelled: np.ndarray) -> np.ndarray:
        """Say which words, by their hash as spelled, stand in some phrase behind its first word (bool)."""
        return np.isin(spelled, self._continuing)

    def phrases_of_one(self, opening: int, following: Sequence[int]) -> list[tuple[int, int]]:
        """Find the phrases that begin with one word.

        Args:
            opening: the hash by which a phrase opens with it.
            following: those of the words behind it as spelled.

        Returns:
            For each phrase how many words it has beside the first, and its row.
        """
        found, hashes = [], np.array([opening], dtype=np.uint64)
        for extra, spelled in enumerate(following, start=1):
            hashes = _continued(hashes, np.array([spelled], dtype=np.uint64))
            row = int(self._find(hashes)[0])
            if row < self.absent:
                found.append((extra, row))
        return found

    def phrases(
        self, entries: Entries, opens: np.ndarray, continues: np.ndarray, text: np.ndarray, first: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the phrases of a batch.

        Args:
            entries: where each word stands by itself.
            opens, continues: what ``opens_phrase`` and ``continues_phrase`` say of each word.
            text: the index of each word's text.
            first: the bounds of each text's words.

        Returns:
            The words whose row is another for a phrase, and that row: the phrase's where one begins, ``absent`` inside.
        """
        starts = np.flatnonzero(opens[:-1] & continues[1:])
        hashes = entries.opening[starts]
        matches = []
        for extra in range(1, LONGEST_PHRASE):
            inside = first[text[starts] + 1] > starts + extra
            starts, hashes = starts[inside], hashes[inside]
            hashes = _continued(hashes, entries.spelled[starts + extra])
            found = self._find(hashes)
            hit = found < self.absent
            matches.append((extra, starts[hit], found[hit]))
        taken = np.zeros(text.size, dtype=bool)
        changed, rows = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int32)]
        # Of two that overlap, the longer counts, or else the earlier, and the other hides nothing.
        for extra, starts, found in reversed(matches):
            steps = np.arange(extra + 1)
            while starts.size:
                free = ~taken[starts[:, None] + steps].any(axis=1)
                starts, found = starts[free], found[free]
                ahead = np.diff(starts, prepend=-LONGEST_PHRASE) > extra
                inside = starts[ahead, None] + steps
                taken[inside] = True
                changed += [inside[:, 0], inside[:, 1:].ravel()]
                rows += [found[ahead], np.full(ahead.sum() * extra, self.absent, dtype=np.int32)]
                starts, found = starts[~ahead], found[~ahead]
        return np.concatenate(changed), np.concatenate(rows)


def _is_conjunction(words: Words) -> np.ndarray:
    unit = np.take(words.units, words.start)
    return ((unit == ord("و")) | (unit == ord("ف"))) & (words.stop - words.start > 1)


def _phrase_hash(spelled: np.ndarray) -> np.uint64:
    hashes = spelled[:1]
    for index in range(1, spelled.size):
        hashes = _continued(hashes, spelled[index : index + 1])
    return hashes[0]


def _continued(hashes: np.ndarray, following: np.ndarray) -> np.ndarray:
    return mix(hashes + following * np.uint64(3))


def _check_sections(source: Mapping[str, Any]) -> None:
    for section in source:
        if section not in _SECTIONS:
            raise ClaimstanceError(
                f"lexicon section {section!r} is not one of {', '.join(_SECTIONS)}{did_you_mean(section, _SECTIONS)}"
            )
    for name, content in (source.get("cues") or {}).items():
        if name not in CUE_CLASSES:
            raise ClaimstanceError(
                f"cue class {name!r} is not one of {', '.join(CUE_CLASSES)}{did_you_mean(name, CUE_CLASSES)}"
            )
        for key in content:
            if key not in _CUE_KEYS:
                raise ClaimstanceError(
                    f"key {key!r} of cue class {name!r} is not one of {', '.join(_CUE_KEYS)}"
                    f"{did_you_mean(key, _CUE_KEYS)}"
                )


def _cue_entries(source: Mapping[str, Any]) -> Iterator[tuple[str, int, Iterable[str]]]:
    """Yield the class, its bits and all inflected forms of every entry of one language."""
    inflection = source.get("inflection") or {}
    for name, content in (source.get("cues") or {}).items():
        for word in content.get("words", ()):
            yield name, cue_bit(name), (word,)
        for noun in content.get("nouns", ()):
            yield name, cue_bit(name), [noun, *(noun + ending for ending in inflection.get("noun_endings", ()))]
        for verb in content.get("verbs", ()):
            yield name, cue_bit(name), _verb_forms(verb, inflection)
    for word in source.get("function_words") or ():
        yield "function", FUNCTION, (word,)


def _verb_forms(verb: Mapping[str, Sequence[str]], inflection: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Inflect a verb: past stems take endings, present stems person prefixes and endings, jussive stems prefixes alone."""
    objects = ("", *inflection.get("object_pronouns", ()))
    needed = {
        "past": ("past_endings",),
        "present": ("present_prefixes", "present_endings"),
        "jussive": ("present_prefixes",),
    }
    for tense, rules in needed.items():
        for rule in rules:
            if tense in verb and rule not in inflection:
                raise ClaimstanceError(f"a verb has {tense} stems, but the inflection has no {rule}; add them")
    for stem in verb.get("past", ()):
        for ending, pronoun in itertools.product(inflection["past_endings"], objects):
            yield stem + ending + pronoun
    for stem in verb.get("present", ()):
        for prefix, ending, pronoun in itertools.product(
            inflection["present_prefixes"], inflection["present_endings"], objects
        ):
            yield prefix + stem + ending + pronoun
    for stem in verb.get("jussive", ()):
        for prefix, pronoun in itertools.product(inflection["present_prefixes"], objects):
            yield prefix + stem + pronoun
    yield from verb.get("forms", ())
