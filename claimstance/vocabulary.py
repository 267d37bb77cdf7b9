"""What is known of each word by itself, worked out once a word and then looked up: the memory of a model in use."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from claimstance.alignment import Spellings, spellings
from claimstance.lexicon import Entries, Lexicon, Reading
from claimstance.words import Words, mix

ROWS = 1 << 15
"""Words that are remembered, about ten megabytes; after that many different ones remembering starts afresh."""

_NONE = -1
_IN_PHRASE = np.uint64(0xE7037ED1A0B428DB)

WordValues = Callable[[Words, Reading], np.ndarray]
"""What a model wants to know of words beside (m × its width, float64), from the words and their reading."""


class WordTable:
    """Rows of words, in the order in which they were met; a row is never altered, so a reader may go on with what it has found.

    Every array has a row a word. ``entry``, ``spelled``, ``opening``: where the word stands in the lexicon by itself;
    ``opens``, ``continues``: whether a phrase begins with it, or goes on with it; ``reading``: what the lexicon says of it;
    ``spelling``: what its stem is compared by; ``idf``: its inverse document frequency; ``values``: what the model asks beside.
    """

    def __init__(self, rows: int, width: int) -> None:
        self.rows, self.size = rows, 0
        flags = {name: np.zeros(rows, dtype=bool) for name in ("paired", "opposite", "kin")}
        bits = {name: np.zeros(rows, dtype=np.uint32) for name in ("classes", "lemma")}
        self.reading = Reading(stem=np.zeros(rows, dtype=np.uint64), **bits, **flags)
        size, comparable = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=bool)
        self.spelling = Spellings(np.zeros((rows, 2), dtype=np.uint64), size, comparable)
        self.entry = np.zeros(rows, dtype=np.int32)
        self.opens, self.continues = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool)
        self.spelled, self.opening, self._key = (np.zeros(rows, dtype=np.uint64) for _ in range(3))
        self.idf, self.values = np.zeros(rows), np.zeros((rows, width))
        bits = (4 * rows).bit_length()
        self._slots, self._shift = np.full(1 << bits, _NONE, dtype=np.int32), np.uint64(64 - bits)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Return the row of each key, _NONE for one that has none."""
        slot = (keys >> self._shift).astype(np.int64)
        row = np.take(self._slots, slot)
        astray = np.flatnonzero((np.take(self._key, row) != keys) & (row != _NONE))
        while astray.size:
            slot[astray] = (slot[astray] + 1) & (self._slots.size - 1)
            found = row[astray] = self._slots[slot[astray]]
            astray = astray[(self._key[found] != keys[astray]) & (found != _NONE)]
        return row

    def add(self, keys: np.ndarray) -> np.ndarray:
        """Give keys that are new and different a row each, which is still to be filled."""
        rows = np.arange(self.size, self.size + keys.size)
        self._key[rows] = keys
        slot, left = (keys >> self._shift).astype(np.int64), np.arange(keys.size)
        while left.size:
            free = left[self._slots[slot[left]] == _NONE]
            self._slots[slot[free]] = rows[free]
            left = left[self._slots[slot[left]] != rows[left]]
            slot[left] = (slot[left] + 1) & (self._slots.size - 1)
        self.size += keys.size
        return rows


class Vocabulary:
    """Remembers words. Threads take turns.

    Args:
        lexicon: the word lists.
        idf: gives the inverse document frequency of words by their reading.
        values: what is wanted of words beside, if anything.
        width: of the values.
        rows: words remembered at most, unless one batch has more.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        idf: Callable[[Reading], np.ndarray],
        values: WordValues | None = None,
        width: int = 0,
        rows: int = ROWS,
    ) -> None:
        self.lexicon, self._idf, self._values, self._width, self._rows_at_most = lexicon, idf, values, width, rows
        self._lock = threading.Lock()
        self.table = WordTable(rows, width)

    def look_up(self, words: Words, *, phrases: bool = True) -> tuple[WordTable, np.ndarray]:
        """Return a table and the row in it of each word of a batch: the word's, or of the phrase it begins or stands in."""
        return self._rows(words, lambda: self._rows_of(words, phrases))

    def look_up_in_phrases(self, words: Words, chosen: np.ndarray, entry: np.ndarray) -> tuple[WordTable, np.ndarray]:
        """Return a table and the row in it of some words (their indices) that have these lexicon rows for a phrase."""
        return self._rows(words, lambda: self._rows_in_phrases(words, chosen, entry))

    def _rows(self, words: Words, find: Callable[[], np.ndarray | None]) -> tuple[WordTable, np.ndarray]:
        with self._lock:
            while (rows := find()) is None:
                self.table = WordTable(max(self._rows_at_most, 2 * words.count), self._width)
            return self.table, rows

    def _rows_of(self, words: Words, phrases: bool) -> np.ndarray | None:
        """Return the row of each word, None if the table has no room for them."""
        table = self.table
        rows = self._known(words, np.arange(words.count), words.key, None)
        if rows is None or not phrases:
            return rows
        opens, continues = np.take(table.opens, rows), np.take(table.continues, rows)
        if (opens[:-1] & continues[1:]).any():
            entries = Entries(*(np.take(column, rows) for column in (table.entry, table.spelled, table.opening)))
            changed, entry = self.lexicon.phrases(entries, opens, continues, words.text, words.first)
            found = self._rows_in_phrases(words, changed, entry)
            if found is None:
                return None
            rows[changed] = found
        return rows

    def _rows_in_phrases(self, words: Words, chosen: np.ndarray, entry: np.ndarray) -> np.ndarray | None:
        keys = mix(words.key[chosen] + (entry.astype(np.uint64) + np.uint64(1)) * _IN_PHRASE)
        return self._known(words, chosen, keys, entry)

    def _known(self, words: Words, chosen: np.ndarray, keys: np.ndarray, entry: np.ndarray | None) -> np.ndarray | None:
        """Return the rows of some words, working out those that are new: by themselves, or with an ``entry`` that each has for
        a phrase."""
        table = self.table
        rows = table.find(keys)
        new = np.flatnonzero(rows == _NONE)
        if new.size:
            different, first = np.unique(keys[new], return_index=True)
            if table.size + different.size > table.rows:
                return None
            first = new[first]
            self._work_out(table.add(different), words.only(chosen[first]), None if entry is None else entry[first])
            rows[new] = table.find(keys[new])
        return rows

    def _work_out(self, rows: np.ndarray, words: Words, entry: np.ndarray | None) -> None:
        table = self.table
        if entry is None:
            entry, table.spelled[rows], table.opening[rows] = self.lexicon.entries(words)
            table.entry[rows], table.opens[rows] = entry, self.lexicon.opens_phrase(entry)
            table.continues[rows] = self.lexicon.continues_phrase(table.spelled[rows])
        reading = self.lexicon.reading(entry, words.stem, words.number)
        for columns, found in ((table.reading, reading), (table.spelling, spellings(words))):
            for name, values in vars(found).items():
                getattr(columns, name)[rows] = values
        table.idf[rows] = self._idf(reading)
        if self._values is not None:
            table.values[rows] = self._values(words, reading)
