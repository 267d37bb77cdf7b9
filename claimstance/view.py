"""A batch of pairs as the feature families see it: words, cues, alignment, coverage, and how negations compose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from claimstance.alignment import CLAIM, QUOTE, Alignment
from claimstance.lexicon import FUNCTION, NUMBER, Reading, cue_bit
from claimstance.meanings import Relations, Senses
from claimstance.words import Words

REGIONS = ("before", "ahead", "within", "behind", "after")
"""Where a word of the quote stands: before the focus clause; in it, ahead of, within or behind its aligned words; after."""

_TURNING = ("negator", "deny", "falsehood")
_RATIFYING = ("ratify", "truth", "evidence")
_OPEN = ("possible", "condition", "doubt", "ask", "interrogative", "silence")
COMPOSING = (*_TURNING, *_RATIFYING, *_OPEN)
"""The cue classes that ``Composition`` is made of."""


@dataclass(frozen=True)
class Coverage:
    """How much of each side of n pairs the other covers; every array is n × 2, quote and claim.

    ``size``: words that count. ``exact``, ``aligned``, ``similar``: the share of them whose stem the other side has,
    that count as met, and by similarity; ``weighted``: by similarity, each word with its idf. ``inexact`` and
    ``unaligned``: how many have no such partner. ``heaviest``: the largest idf among the unaligned.
    """

    size: np.ndarray
    exact: np.ndarray
    aligned: np.ndarray
    similar: np.ndarray
    weighted: np.ndarray
    inexact: np.ndarray
    unaligned: np.ndarray
    heaviest: np.ndarray


@dataclass(frozen=True)
class Composition:
    """How negations compose in n quotes, 0 or 1 each.

    Parities of what turns a statement round: in the focus clause, within its aligned words, up to their end, in the
    whole quote; and whether anything ratifies or leaves open, in the focus clause and anywhere.
    """

    focus: np.ndarray
    within: np.ndarray
    ahead: np.ndarray
    anywhere: np.ndarray
    ratified_focus: np.ndarray
    ratified: np.ndarray
    open_focus: np.ndarray
    open: np.ndarray


@dataclass(frozen=True)
class PairView:
    """One batch of ``count`` pairs; text ``2 i`` of ``words`` is the quote of pair ``i`` and text ``2 i + 1`` its claim.

    ``idf`` is the inverse document frequency of each word; ``senses`` and ``relations`` are what a thesaurus says of them.
    """

    words: Words
    reading: Reading
    alignment: Alignment
    count: int
    idf: np.ndarray
    senses: Senses
    relations: Relations

    @cached_property
    def content(self) -> np.ndarray:
        """Which words are neither function words nor negators (bool)."""
        return (self.reading.classes & np.uint32(FUNCTION | cue_bit("negator"))) == 0

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
    def turning(self) -> np.ndarray:
        """Which words turn a statement round (bool); one met with its opposite or with itself is counted there instead."""
        return self.reading.has(*_TURNING) & ~(self.reading.paired & self.alignment.exact)

    @cached_property
    def claim_turned(self) -> np.ndarray:
        """The parity of the negations in each claim (n)."""
        return np.bincount(self.alignment.pair[self.turning & self.claimed], minlength=self.count) & 1

    def sums(self, *rows: np.ndarray) -> np.ndarray:
        """Sum values of words over each text: m rows of one value a word give m × n × 2, quote and claim.

        Values are added one after another in reading order, so that a text's sum is the same in every batch.
        """
        sums = np.empty((len(rows), 2 * self.count))
        for index, row in enumerate(rows):
            sums[index] = np.bincount(self.words.text, weights=row, minlength=2 * self.count)
        return sums.reshape(len(rows), self.count, 2)

    def largest(self, values: np.ndarray) -> np.ndarray:
        """The largest value of a word in each text (n × 2), 0 where there is none."""
        largest = np.zeros(2 * self.count)
        spoken = np.flatnonzero(np.diff(self.words.first))
        if spoken.size:
            largest[spoken] = np.maximum.reduceat(values, self.words.first[spoken])
        return largest.reshape(self.count, 2)

    @cached_property
    def content_coverage(self) -> Coverage:
        """Coverage counted over content words."""
        return self._coverage(self.content, self.weight)

    @cached_property
    def full_coverage(self) -> Coverage:
        """Coverage counted over all words."""
        return self._coverage(np.ones(self.words.count), self.idf)

    def _coverage(self, counted: np.ndarray, weight: np.ndarray) -> Coverage:
        alignment = self.alignment
        similarity = alignment.similarity
        size, exact, aligned, similar, whole, met = self.sums(
            counted,
            counted * alignment.exact,
            counted * alignment.aligned,
            counted * similarity,
            weight,
            weight * similarity,
        )
        return Coverage(
            size=size,
            exact=share(exact, size),
            aligned=share(aligned, size),
            similar=share(similar, size),
            weighted=share(met, whole),
            inexact=size - exact,
            unaligned=size - aligned,
            heaviest=self.largest(weight * counted * ~alignment.aligned),
        )

    @cached_property
    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """How many numbers each side has alone, and how many the other has too (n × 2 each)."""
        number = (self.reading.classes & np.uint32(NUMBER)) != 0
        alone, shared = self.sums(number & ~self.alignment.exact, number & self.alignment.exact)
        return alone, shared

    @cached_property
    def region(self) -> np.ndarray:
        """The index in REGIONS of each word of a quote; its focus clause is the one that covers most of the claim."""
        words, alignment = self.words, self.alignment
        met = np.flatnonzero(self.quoted & alignment.aligned & (self.weight > 0))
        if not met.size:
            return np.zeros(words.count, dtype=np.int64)
        clause, pair = words.clause[met], alignment.pair[met]
        covered = np.bincount(clause, weights=self.weight[met])[clause]
        best = np.zeros(self.count)
        np.maximum.at(best, pair, covered)
        in_best = np.flatnonzero(covered >= best[pair])
        focus_clause = np.full(self.count, -1)
        # Of equally good clauses the first is the focus: later assignments win, so they go in from the end.
        focus_clause[pair[in_best][::-1]] = clause[in_best][::-1]
        in_focus = met[clause == focus_clause[pair]]
        first, last = np.full(self.count, -1), np.full(self.count, -1)
        last[alignment.pair[in_focus]] = in_focus
        first[alignment.pair[in_focus][::-1]] = in_focus[::-1]
        position = np.arange(words.count)
        inside = 1 + (position >= first[alignment.pair]).astype(np.int64) + (position > last[alignment.pair])
        focus = focus_clause[alignment.pair]
        region = np.where(words.clause < focus, 0, np.where(words.clause > focus, 4, inside))
        return np.where(focus < 0, 0, region)

    @cached_property
    def composition(self) -> Composition:
        """Count what turns, ratifies and leaves open in each quote; words met with their opposite turn as well."""
        in_focus = (self.region >= 1) & (self.region <= 3)
        turning = self.turning
        ratifying, leaving_open = self.reading.has(*_RATIFYING), self.reading.has(*_OPEN)
        counts = self.sums(
            turning & in_focus,
            turning & (self.region == 2),
            turning & (self.region <= 2),
            turning,
            ratifying & in_focus,
            ratifying,
            leaving_open & in_focus,
            leaving_open,
        )[:, :, QUOTE].astype(np.int64)
        parities = (counts[:4] + self.alignment.turned) & 1
        return Composition(*parities, *np.minimum(counts[4:], 1))


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, and 0 where there is no whole."""
    return part / np.maximum(whole, 1e-9) * (whole > 0)
