"""One pair as the feature families see it, in plain numbers: what ``claimstance.view`` is for a batch.

Words, formulas and hashes are the same as there, and so is every value, bit for bit; arrays of one pair would cost more to call
than the pair is work.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from claimstance import formulas
from claimstance.alignment import CLAIM, LONGEST, QUOTE, SIMILAR
from claimstance.families import MOST_CUES, MOST_QUESTIONS, RUNS, STATES
from claimstance.lexicon import CUE_CLASSES, FUNCTION, NUMBER
from claimstance.view import COMPOSING, NO_CONTENT, OPEN, RATIFYING, TURNING
from claimstance.vocabulary import WordTable

_SIMILAR = SIMILAR * formulas.STEPS


class Word:
    """What is known of one word, as plain numbers; ``grams`` joins both sets of its spelling, ``cues`` are the indices of its
    cue classes, ``piece`` and ``index`` say where it was read, ``weights`` what a model weighs it with in each state, once
    that was asked."""

    __slots__ = (
        "classes", "comparable", "content", "continues", "cues", "grams", "idf", "index", "kin", "lemma", "lowest",
        "number", "opening", "opens", "opposite", "paired", "piece", "row", "size", "spelled", "stem",
        "weight", "weights",
    )  # fmt: skip

    def __init__(self, table: WordTable, row: int, idf: np.ndarray, piece: str, index: int) -> None:
        reading, spelling = table.reading, table.spelling
        self.row, self.piece, self.index = row, piece, index
        self.stem, self.lemma, self.classes = (
            int(column[row]) for column in (reading.stem, reading.lemma, reading.classes)
        )
        self.paired, self.opposite, self.kin = (
            bool(column[row]) for column in (reading.paired, reading.opposite, reading.kin)
        )
        bigrams, trigrams = spelling.grams[row].tolist()
        self.grams, self.size = bigrams << 64 | trigrams, int(spelling.size[row])
        self.comparable = bool(spelling.comparable[row])
        self.opens, self.continues = bool(table.opens[row]), bool(table.continues[row])
        self.opening, self.spelled = int(table.opening[row]), int(table.spelled[row])
        self.idf = float(idf[self.stem >> 48])
        self.content = not self.classes & NO_CONTENT
        self.weight = self.idf if self.content else 0.0
        self.number = bool(self.classes & NUMBER)
        cues = self.classes & (FUNCTION - 1)
        self.lowest = cues & -cues
        self.weights: list[list[float] | None] = [None] * STATES
        self.cues = [index for index in range(len(CUE_CLASSES)) if cues >> index & 1]


class Side(NamedTuple):
    """The words of a quote or a claim, the running number of each one's clause, and how many question marks it has."""

    words: list[Word]
    clauses: list[int]
    questions: int


class OnePair:
    """One pair as the feature families see it; ``exact`` and ``aligned`` say of the words of quote and claim how they are met,
    ``similarity`` how near, in steps of 1/4,096."""

    def __init__(self, quote: Side, claim: Side) -> None:
        self.sides = quote, claim
        self.words = quote.words, claim.words
        shared = {word.stem for word in quote.words} & {word.stem for word in claim.words}
        self.exact = tuple([word.stem in shared for word in words] for words in self.words)
        self.similarity = tuple([formulas.STEPS if exact else 0 for exact in each] for each in self.exact)
        self._compare_spellings()
        self.aligned = tuple([steps >= _SIMILAR for steps in each] for each in self.similarity)
        self.kinds = tuple(zip(*(self._met(side) for side in (QUOTE, CLAIM)), strict=True))
        self.claim_turned = sum(self._turning(CLAIM)) & 1

    def _compare_spellings(self) -> None:
        quotes, claims = (
            [at for at, word in enumerate(words) if word.comparable and not exact[at]][:most]
            for words, exact, most in zip(self.words, self.exact, LONGEST, strict=True)
        )
        of_quote, of_claim = self.similarity
        others = [(at, self.words[CLAIM][at].grams, self.words[CLAIM][at].size) for at in claims]
        for at in quotes:
            word = self.words[QUOTE][at]
            grams, size = word.grams, word.size
            for other, other_grams, other_size in others:
                common = grams & other_grams
                if common:
                    steps = round(2 * formulas.STEPS * common.bit_count() / (size + other_size))
                    if steps > of_quote[at]:
                        of_quote[at] = steps
                    if steps > of_claim[other]:
                        of_claim[other] = steps

    def _met(self, side: int) -> tuple[formulas.Met, formulas.Met]:
        """Count how one side is met, over content words and over all."""
        size = exact = aligned = similar = content = 0
        content_exact = content_aligned = content_similar = 0
        whole = covered = weight = content_covered = heaviest = content_heaviest = 0.0
        for word, is_exact, steps in zip(self.words[side], self.exact[side], self.similarity[side], strict=True):
            met, idf = steps >= _SIMILAR, word.idf
            size += 1
            exact += is_exact
            aligned += met
            similar += steps
            whole += idf
            covered += idf * steps
            if word.content:
                content += 1
                content_exact += is_exact
                content_aligned += met
                content_similar += steps
                weight += idf
                content_covered += idf * steps
                if not met and idf > content_heaviest:
                    content_heaviest = idf
            if not met and idf > heaviest:
                heaviest = idf
        steps = formulas.STEPS
        return (
            formulas.Met(
                content,
                content_exact,
                content_aligned,
                content_similar / steps,
                weight,
                content_covered / steps,
                content_heaviest,
            ),
            formulas.Met(size, exact, aligned, similar / steps, whole, covered / steps, heaviest),
        )

    def _turning(self, side: int) -> list[bool]:
        return [
            bool(word.classes & TURNING) and not (word.paired and exact)
            for word, exact in zip(self.words[side], self.exact[side], strict=True)
        ]

    @property
    def content_coverage(self) -> float:
        """How much of the claim's content words the quote covers (0 to 1)."""
        return self.kinds[0][CLAIM].shares(formulas.NUMBERS)[-1]

    @cached_property
    def numbers(self) -> formulas.Numbers:
        alone = [
            sum(word.number and not exact for word, exact in zip(words, met, strict=True))
            for words, met in zip(self.words, self.exact, strict=True)
        ]
        return formulas.Numbers(*alone, sum(word.number for word in self.words[QUOTE]) - alone[QUOTE])

    @cached_property
    def _focus(self) -> tuple[int, int, int]:
        """The clause of the quote that covers most of the claim, and its first and last aligned words; -1 for none."""
        covered: dict[int, float] = {}
        met = [
            (at, clause, word.weight)
            for at, (word, clause, aligned) in enumerate(
                zip(self.words[QUOTE], self.sides[QUOTE].clauses, self.aligned[QUOTE], strict=True)
            )
            if aligned and word.weight > 0
        ]
        for _, clause, weight in met:
            covered[clause] = covered.get(clause, 0.0) + weight
        if not covered:
            return -1, -1, -1
        focus = max(covered, key=covered.__getitem__)
        inside = [at for at, clause, _ in met if clause == focus]
        return focus, inside[0], inside[-1]

    def region(self, at: int) -> int:
        """The index in REGIONS of a word of the quote."""
        focus, first, last = self._focus
        clause = self.sides[QUOTE].clauses[at]
        if focus < 0 or clause < focus:
            return 0
        return 4 if clause > focus else 1 + (at >= first) + (at > last)

    @cached_property
    def composition(self) -> formulas.Composition:
        turns, flags = [0] * 4, [0] * 4
        turning = self._turning(QUOTE)
        for at, word in enumerate(self.words[QUOTE]):
            if word.classes & COMPOSING:
                region = self.region(at)
                in_focus = 1 <= region <= 3
                if turning[at]:
                    for scope, inside in enumerate((in_focus, region == 2, region <= 2, True)):
                        turns[scope] += inside
                for flag, bits in ((0, RATIFYING), (2, OPEN)):
                    if word.classes & bits:
                        flags[flag] |= in_focus
                        flags[flag + 1] = 1
        turned = self._turned()
        return formulas.Composition(
            *((count + turned) & 1 for count in turns), *map(int, flags), claim=self.claim_turned, turned=turned
        )

    def _turned(self) -> int:
        seen: dict[int, int] = {}
        for side, (words, exact) in enumerate(zip(self.words, self.exact, strict=True)):
            for word, met in zip(words, exact, strict=True):
                if word.kin and met:
                    seen[word.stem] = seen.get(word.stem, 0) | 1 << (2 * side + word.opposite)
        return sum(found in (0b0110, 0b1001) for found in seen.values())

    def states(self) -> Iterator[tuple[Word, int]]:
        """Yield every word with its state."""
        for side, words in enumerate(self.words):
            first = 3 * side
            for word, aligned, exact in zip(words, self.aligned[side], self.exact[side], strict=True):
                yield word, first + aligned + exact

    def unmet(self, side: int) -> list[Word]:
        """Return the words of one side that nothing answers to."""
        return [word for word, aligned in zip(self.words[side], self.aligned[side], strict=True) if not aligned]

    def cues(self) -> list[float]:
        """Counts of every cue class on each side and their difference, and of question marks."""
        counts = [[0] * len(CUE_CLASSES) for _ in self.words]
        for of_side, words in zip(counts, self.words, strict=True):
            for word in words:
                for cue in word.cues:
                    of_side[cue] = min(of_side[cue] + 1, MOST_CUES)
        quote, claim = counts
        difference = [one - other for one, other in zip(quote, claim, strict=True)]
        return [*quote, *claim, *difference, *(min(side.questions, MOST_QUESTIONS) for side in self.sides)]

    def outline(self) -> Iterator[tuple]:
        """Name what the family ``outline`` has of the quote: cues by place, and runs of cues and words met."""
        run: list[int] = []
        parity = self.claim_turned
        for at, (word, aligned) in enumerate(zip(self.words[QUOTE], self.aligned[QUOTE], strict=True)):
            if word.lowest:
                yield "cue", word.lowest, word.lemma, self.region(at), parity
            elif not (aligned and word.weight > 0) or run[-1:] == [0]:
                continue
            run.append(word.lowest)
        for length in RUNS:
            for first in range(len(run) - length + 1):
                yield "run", *run[first : first + length], parity
