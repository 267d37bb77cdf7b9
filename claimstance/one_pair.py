"""One pair as the feature families see it, in plain numbers: what ``claimstance.view`` is for a batch.

Words, formulas and hashes are the same as there, and so is every value, bit for bit; arrays of one pair would cost more to call
than the pair is work.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import cached_property

from claimstance import formulas
from claimstance.alignment import CLAIM, LONGEST, QUOTE, SIMILAR
from claimstance.families import MOST_CUES, MOST_QUESTIONS, PLACES, RUNS, STATES
from claimstance.lexicon import CUE_CLASSES, FUNCTION, NUMBER
from claimstance.view import COMPOSING, NO_CONTENT, OPEN, RATIFYING, TURNING
from claimstance.vocabulary import WordTable

_SIMILAR = SIMILAR * formulas.STEPS
_TWICE = 2 * formulas.STEPS
_CONTENT, _IDF, _WEIGHT = map(operator.attrgetter, ("content", "idf", "weight"))


class Word:
    """What is known of one word, as plain numbers; ``grams`` joins both sets of its spelling, ``cues`` are the indices of its
    cue classes, ``piece`` and ``index`` say where it was read, ``weights`` what a model weighs it with in each state, once
    that was asked."""

    __slots__ = (
        "classes", "comparable", "content", "continues", "cues", "grams", "idf", "index", "kin", "lemma", "lowest",
        "number", "opening", "opens", "opposite", "paired", "piece", "row", "size", "spelled", "stem",
        "weight", "weights",
    )  # fmt: skip

    def __init__(self, table: WordTable, row: int, piece: str, index: int) -> None:
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
        self.idf = float(table.idf[row])
        self.content = not self.classes & NO_CONTENT
        self.weight = self.idf if self.content else 0.0
        self.number = bool(self.classes & NUMBER)
        cues = self.classes & (FUNCTION - 1)
        self.lowest = cues & -cues
        self.weights: list[list[float] | None] = [None] * (STATES + PLACES)
        self.cues = [index for index in range(len(CUE_CLASSES)) if cues >> index & 1]


class Side:
    """A quote or a claim: its words, the running number of each one's clause, how many question marks it has; and what can be
    said of it without the other side. Words are named by their index."""

    __slots__ = (
        "clauses", "comparable", "composing", "content", "counts", "cues", "kin", "numbers", "questions", "stems",
        "weight", "whole", "words",
    )  # fmt: skip

    def __init__(self, words: list[Word], clauses: list[int], questions: int) -> None:
        self.words, self.clauses, self.questions = words, clauses, questions
        self.stems = {word.stem for word in words}
        self.comparable = [at for at, word in enumerate(words) if word.comparable]
        self.composing = [at for at, word in enumerate(words) if word.classes & COMPOSING]
        self.cues = [at for at, word in enumerate(words) if word.lowest]
        self.numbers = [at for at, word in enumerate(words) if word.number]
        self.kin = [at for at, word in enumerate(words) if word.kin]
        self.content = sum(map(_CONTENT, words))
        self.whole, self.weight = sum(map(_IDF, words)), sum(map(_WEIGHT, words))
        self.counts = [0] * len(CUE_CLASSES)
        for at in self.cues:
            for cue in words[at].cues:
                self.counts[cue] = min(self.counts[cue] + 1, MOST_CUES)


class OnePair:
    """One pair as the feature families see it.

    ``near`` says of the words of quote and of claim that have anything like them on the other side how near it is, in steps of
    1/4,096; ``exact`` which have their stem there.
    """

    def __init__(self, quote: Side, claim: Side) -> None:
        self.sides = quote, claim
        shared = quote.stems & claim.stems
        self.exact = tuple(
            {at for at, word in enumerate(side.words) if word.stem in shared} if shared else set()
            for side in self.sides
        )
        self.near = tuple(dict.fromkeys(exact, formulas.STEPS) for exact in self.exact)
        self._compare_spellings()
        self.kinds = tuple(zip(*(self._met(side) for side in (QUOTE, CLAIM)), strict=True))
        self.turning = self._turning(QUOTE)
        self.claim_turned = len(self._turning(CLAIM)) & 1

    def _compare_spellings(self) -> None:
        quotes, claims = (
            [(at, side.words[at].grams, side.words[at].size) for at in side.comparable if at not in exact][:most]
            for side, exact, most in zip(self.sides, self.exact, LONGEST, strict=True)
        )
        of_quote, of_claim = self.near
        for at, grams, size in quotes:
            for other, other_grams, other_size in claims:
                common = grams & other_grams
                if common:
                    steps = round(_TWICE * common.bit_count() / (size + other_size))
                    if steps > of_quote.get(at, 0):
                        of_quote[at] = steps
                    if steps > of_claim.get(other, 0):
                        of_claim[other] = steps

    def _met(self, which: int) -> tuple[formulas.Met, formulas.Met]:
        """Count how one side is met, over content words and over all."""
        side, near, exact = self.sides[which], self.near[which], self.exact[which]
        words = side.words
        aligned = similar = content_exact = content_aligned = content_similar = 0
        covered = content_covered = 0.0
        for at, steps in near.items():
            word = words[at]
            met = steps >= _SIMILAR
            aligned += met
            similar += steps
            covered += word.idf * steps
            if word.content:
                content_exact += at in exact
                content_aligned += met
                content_similar += steps
                content_covered += word.idf * steps
        unmet = [word for at, word in enumerate(words) if near.get(at, 0) < _SIMILAR]
        heaviest = max([word.idf for word in unmet], default=0.0)
        content_heaviest = max([word.weight for word in unmet], default=0.0)
        return (
            formulas.Met.of(
                formulas.NUMBERS,
                side.content,
                content_exact,
                content_aligned,
                content_similar / formulas.STEPS,
                side.weight,
                content_covered / formulas.STEPS,
                content_heaviest,
            ),
            formulas.Met.of(
                formulas.NUMBERS,
                len(words),
                len(exact),
                aligned,
                similar / formulas.STEPS,
                side.whole,
                covered / formulas.STEPS,
                heaviest,
            ),
        )

    def _turning(self, which: int) -> set[int]:
        """Return the words that turn a statement round; one met with its opposite or with itself is counted there instead."""
        side, exact = self.sides[which], self.exact[which]
        return {
            at
            for at in side.composing
            if side.words[at].classes & TURNING and not (side.words[at].paired and at in exact)
        }

    @property
    def content_coverage(self) -> float:
        """How much of the claim's content words the quote covers (0 to 1)."""
        return self.kinds[0][CLAIM].coverage

    @property
    def numbers(self) -> formulas.Numbers:
        """How many numbers stand on one side alone and on both."""
        quote, claim = (
            sum(at not in exact for at in side.numbers) for side, exact in zip(self.sides, self.exact, strict=True)
        )
        return formulas.Numbers(quote, claim, len(self.sides[QUOTE].numbers) - quote)

    @cached_property
    def _focus(self) -> tuple[int, int, int]:
        """The clause of the quote that covers most of the claim, and its first and last aligned words; -1 for none."""
        words, clauses = self.sides[QUOTE].words, self.sides[QUOTE].clauses
        met = sorted(at for at, steps in self.near[QUOTE].items() if steps >= _SIMILAR and words[at].weight > 0)
        covered: dict[int, float] = {}
        for at in met:
            covered[clauses[at]] = covered.get(clauses[at], 0.0) + words[at].weight
        if not covered:
            return -1, -1, -1
        focus = max(covered, key=covered.__getitem__)
        inside = [at for at in met if clauses[at] == focus]
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
        """Count what turns, ratifies and leaves open in the quote; words met with their opposite turn as well."""
        turned = self._turned()
        focus = within = ahead = anywhere = turned
        ratified_focus = ratified = open_focus = leaves_open = 0
        for at in self.sides[QUOTE].composing:
            classes, region = self.sides[QUOTE].words[at].classes, self.region(at)
            in_focus = 1 <= region <= 3
            if at in self.turning:
                focus, within, ahead, anywhere = (
                    focus + in_focus,
                    within + (region == 2),
                    ahead + (region <= 2),
                    anywhere + 1,
                )
            if classes & RATIFYING:
                ratified_focus, ratified = ratified_focus | in_focus, 1
            if classes & OPEN:
                open_focus, leaves_open = open_focus | in_focus, 1
        parities = (count & 1 for count in (focus, within, ahead, anywhere))
        flags = ratified_focus, ratified, open_focus, leaves_open
        return formulas.Composition(*parities, *flags, claim=self.claim_turned, turned=turned)

    def _turned(self) -> int:
        seen: dict[int, int] = {}
        for which, (side, exact) in enumerate(zip(self.sides, self.exact, strict=True)):
            for at in side.kin:
                if at in exact:
                    word = side.words[at]
                    seen[word.stem] = seen.get(word.stem, 0) | 1 << (2 * which + word.opposite)
        return sum(found in (0b0110, 0b1001) for found in seen.values())

    def states(self) -> Iterator[tuple[Word, int]]:
        """Yield every word with its state."""
        for which, (side, near, exact) in enumerate(zip(self.sides, self.near, self.exact, strict=True)):
            left = 3 * which
            for at, word in enumerate(side.words):
                yield word, left + (near[at] >= _SIMILAR) + (at in exact) if at in near else left

    def unmet(self, which: int) -> Iterator[Word]:
        """Yield the words of one side that nothing answers to."""
        near = self.near[which]
        return (word for at, word in enumerate(self.sides[which].words) if near.get(at, 0) < _SIMILAR)

    def cues(self) -> list[float]:
        """Counts of every cue class on each side and their difference, and of question marks."""
        quote, claim = self.sides
        difference = [one - other for one, other in zip(quote.counts, claim.counts, strict=True)]
        return [
            *quote.counts,
            *claim.counts,
            *difference,
            *(min(side.questions, MOST_QUESTIONS) for side in self.sides),
        ]

    def cue_places(self) -> Iterator[tuple[Word, int]]:
        """Yield the cues of the quote, each with what its place is weighed as."""
        for at in self.sides[QUOTE].cues:
            yield self.sides[QUOTE].words[at], STATES + 2 * self.region(at) + self.claim_turned

    def runs(self) -> Iterator[tuple[int, ...]]:
        """Yield the runs of cues (the bits of their classes) and words met (0) in the quote, each with the claim's parity."""
        symbols: list[int] = []
        near = self.near[QUOTE]
        for at, word in enumerate(self.sides[QUOTE].words):
            if word.lowest or (near.get(at, 0) >= _SIMILAR and word.weight and symbols[-1:] != [0]):
                symbols.append(word.lowest)
        for length in RUNS:
            for first in range(len(symbols) - length + 1):
                yield (*symbols[first : first + length], self.claim_turned)
