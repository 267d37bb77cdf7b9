"""A batch of pairs as the feature families see it: words, cues, alignment, coverage, and how negations compose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from claimstance.alignment import CLAIM, QUOTE, Alignment
from claimstance.formulas import ARRAYS, Composition, Met, Numbers
from claimstance.lexicon import FUNCTION, NUMBER, Reading, cue_bits
from claimstance.meanings import Relations, Senses
from claimstance.vocabulary import WordTable
from claimstance.words import Words

REGIONS = ("before", "ahead", "within", "behind", "after")
"""Where a word of the quote stands: before the focus clause; in it, ahead of, within or behind its aligned words; after."""

NO_CONTENT = FUNCTION | cue_bits("negator")
TURNING = cue_bits("negator", "deny", "falsehood")
RATIFYING = cue_bits("ratify", "truth", "evidence")
OPEN = cue_bits("possible", "condition", "doubt", "ask", "interrogative", "silence")
COMPOSING = TURNING | RATIFYING | OPEN
"""The bits of the classes whose words are no content, and of the cue classes that ``Composition`` is made of."""


@dataclass(frozen=True)
class PairView:
    """One batch of ``count`` pairs; text ``2 i`` of ``words`` is the quote of pair ``i`` and text ``2 i + 1`` its claim.

    ``table`` and ``row`` say where in a vocabulary each word stands. ``idf`` is the inverse document frequency of each word, in
    steps of 1/1,024; ``senses`` and ``relations`` are what a thesaurus says of them.
    """

    words: Words
    reading: Reading
    alignment: Alignment
    count: int
    table: WordTable
    row: np.ndarray
    idf: np.ndarray
    senses: Senses
    relations: Relations

    @cached_property
    def content(self) -> np.ndarray:
        """Which words are neither function words nor negators (bool)."""
        return (self.reading.classes & NO_CONTENT) == 0

    @cached_property
    def weight(self) -> np.ndarray:
        """The idf of content words, 0 for the others."""
        return self.idf * self.content

    @cached_property
    def quoted(self) -> np.ndarray:
        """Which words stand in a quote (bool)."""
        return self.alignment.side == QUOTE

    @cached_property
    def claimed(self) -> np.ndarray:
        """Which words stand in a claim (bool)."""
        return self.alignment.side == CLAIM

    @cached_property
    def state(self) -> np.ndarray:
        """How each word is met: three times its side, and 0 where nothing answers to it, 1 something similar, 2 its stem."""
        return 3 * self.alignment.side + self.alignment.aligned + self.alignment.exact

    @cached_property
    def turning(self) -> np.ndarray:
        """Which words turn a statement round (bool); one met with its opposite or with itself is counted there instead."""
        return ((self.reading.classes & TURNING) != 0) & ~(self.reading.paired & self.alignment.exact)

    @cached_property
    def claim_turned(self) -> np.ndarray:
        """The parity of the negations in each claim (n)."""
        return np.bincount(self.alignment.pair[self.turning & self.claimed], minlength=self.count) & 1

    @cached_property
    def _spoken(self) -> tuple[np.ndarray, np.ndarray]:
        """Which texts have words, and where these start."""
        spoken = np.flatnonzero(np.diff(self.words.first))
        return spoken, self.words.first[spoken]

    def sums(self, *rows: np.ndarray) -> np.ndarray:
        """Sum values of words over each text: m rows of one value a word give m × n × 2, quote and claim.

        The values are multiples of a power of two, so that the sums are exact whatever the order.
        """
        sums, (spoken, start) = np.zeros((len(rows), 2 * self.count)), self._spoken
        if spoken.size:
            for index, row in enumerate(rows):
                sums[index, spoken] = np.add.reduceat(row.astype(np.float64, copy=False), start)
        return sums.reshape(len(rows), self.count, 2)

    def largest(self, values: np.ndarray) -> np.ndarray:
        """The largest value of a word in each text (n × 2), 0 where there is none."""
        largest, (spoken, start) = np.zeros(2 * self.count), self._spoken
        if spoken.size:
            largest[spoken] = np.maximum.reduceat(values, start)
        return largest.reshape(self.count, 2)

    @cached_property
    def content_met(self) -> tuple[Met, Met]:
        """How much of each side the other meets, counted over content words."""
        return self._met(self.content, self.weight)

    @cached_property
    def all_met(self) -> tuple[Met, Met]:
        """How much of each side the other meets, counted over all words."""
        return self._met(None, self.idf)

    def _met(self, counted: np.ndarray | None, weight: np.ndarray) -> tuple[Met, Met]:
        alignment, similarity = self.alignment, self.alignment.similarity
        exact, aligned = alignment.exact, alignment.aligned
        if counted is None:
            similar, size = similarity, np.ones(self.words.count)
        else:
            exact, aligned, similar, size = exact & counted, aligned & counted, similarity * counted, counted
        sums = self.sums(size, exact, aligned, similar, weight, weight * similarity)
        heaviest = self.largest(weight * ~alignment.aligned)
        return tuple(Met.of(ARRAYS, *(row[:, side] for row in sums), heaviest[:, side]) for side in (QUOTE, CLAIM))

    @cached_property
    def numbers(self) -> Numbers:
        """How many numbers stand on one side alone and on both (n each)."""
        at = np.flatnonzero((self.reading.classes & NUMBER) != 0)
        side, exact = self.alignment.side[at], self.alignment.exact[at]
        which = np.where(exact, 2 + side, side)
        counts = np.bincount(4 * self.alignment.pair[at] + which, minlength=4 * self.count).reshape(self.count, 4)
        return Numbers(counts[:, 0], counts[:, 1], counts[:, 2])

    @cached_property
    def _focus(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The clause of each pair's quote that covers most of the claim, and its first and last aligned words (n each; -1)."""
        words, alignment = self.words, self.alignment
        met = np.flatnonzero(self.quoted & alignment.aligned & (self.weight > 0))
        clause, pair = np.take(words.clause, met), np.take(alignment.pair, met)
        covered = np.bincount(clause, weights=np.take(self.weight, met))[clause]
        best = np.zeros(self.count)
        np.maximum.at(best, pair, covered)
        in_best = np.flatnonzero(covered >= best[pair])
        focus = np.full(self.count, -1)
        # Of equally good clauses the first is the focus: later assignments win, so they go in from the end.
        focus[pair[in_best][::-1]] = clause[in_best][::-1]
        in_focus = met[clause == focus[pair]]
        first, last = np.full(self.count, -1), np.full(self.count, -1)
        last[alignment.pair[in_focus]] = in_focus
        first[alignment.pair[in_focus][::-1]] = in_focus[::-1]
        return focus, first, last

    def regions(self, at: np.ndarray) -> np.ndarray:
        """The index in REGIONS of some words of quotes (their indices); the focus clause is the one that covers most of the
        claim, and where none covers any, all words stand before it."""
        pair, clause = self.alignment.pair[at], self.words.clause[at]
        focus, first, last = (np.take(each, pair) for each in self._focus)
        inside = 1 + (at >= first).astype(np.int64) + (at > last)
        region = np.where(clause < focus, 0, np.where(clause > focus, 4, inside))
        return np.where(focus < 0, 0, region)

    @cached_property
    def composition(self) -> Composition:
        """Count what turns, ratifies and leaves open in each quote; words met with their opposite turn as well."""
        at = np.flatnonzero(self.quoted & ((self.reading.classes & COMPOSING) != 0))
        pair, region = self.alignment.pair[at], self.regions(at)
        turning, here = np.take(self.turning, at), self.reading.classes[at]
        ratifying, leaving_open = (here & RATIFYING) != 0, (here & OPEN) != 0
        in_focus = (region >= 1) & (region <= 3)

        def count(chosen: np.ndarray) -> np.ndarray:
            return np.bincount(pair[chosen], minlength=self.count)

        turns = (turning & in_focus, turning & (region == 2), turning & (region <= 2), turning)
        flags = (ratifying & in_focus, ratifying, leaving_open & in_focus, leaving_open)
        return Composition(
            *((count(each) + self.alignment.turned) & 1 for each in turns),
            *(np.minimum(count(each), 1) for each in flags),
            claim=self.claim_turned,
            turned=self.alignment.turned,
        )
