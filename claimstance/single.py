"""Scores of one pair at a time, without the cost of calling arrays for it.

Pieces of text between spaces are remembered with their words, since news repeats them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from claimstance import formulas
from claimstance.families import CELLS, CUE_KINDS, RUNS, SWAPPED_WORDS, run_hash, run_symbol, swap_hash
from claimstance.features import MEANINGS, WEIGHED, FeatureExtractor, slots_of
from claimstance.lexicon import LONGEST_PHRASE
from claimstance.one_pair import OnePair, Side, Word
from claimstance.text import needs_composing
from claimstance.vocabulary import WordTable
from claimstance.words import read_words

LONGEST_PAIR = 1_000
"""Characters of quote and claim together from which on a batch of one is as fast."""

_MOST_PIECES, _MOST_TEXTS = 1 << 14, 1 << 10


class _Piece(NamedTuple):
    """What stands between two spaces: its words, the number of each one's clause, marks that end clauses and that ask, and
    whether it may be read otherwise together with the rest of its text."""

    words: list[Word]
    clauses: list[int]
    marks: int
    questions: int
    needs_composing: bool


class _Memory:
    """What was read so far, in words of one table of the vocabulary."""

    def __init__(self, table: WordTable) -> None:
        self.table = table
        self.pieces: dict[str, _Piece] = {}
        self.words: dict[int, Word] = {}
        self.sides: dict[str, Side] = {}
        self.phrases: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        self.in_phrases: dict[tuple[int, int], Word] = {}

    def forget(self) -> None:
        """Begin anew, so that what is remembered stays bounded."""
        for known in (self.pieces, self.words, self.sides, self.phrases, self.in_phrases):
            known.clear()


class _Moved(Exception):
    """The vocabulary has begun another table."""


class SingleScorer:
    """Weighs the features of one pair.

    Args:
        extractor: computes the features of batches; none of its families may need a thesaurus.
        dense, intercept, sparse, cells: the weights of a linear model (d × k, k, SLOTS × k, and those of each family's cells).
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        dense: np.ndarray,
        intercept: np.ndarray,
        sparse: np.ndarray,
        cells: Mapping[str, np.ndarray],
    ) -> None:
        self._extractor, self._vocabulary = extractor, extractor.vocabulary
        self._dense, self._intercept, self._sparse = dense, intercept, sparse
        self._cells = cells
        self._known_cells: dict[str, dict[tuple[int, ...], list[float]]] = {family: {} for family in cells}
        self._runs: dict[tuple[int, ...], list[float]] = {}
        self._memory = _Memory(self._vocabulary.table)

    @staticmethod
    def serves(extractor: FeatureExtractor) -> bool:
        """Say whether the families of an extractor can be had of one pair at a time."""
        return not set(MEANINGS) & set(extractor.families)

    def __call__(self, quote: str, claim: str) -> np.ndarray | None:
        """Return the scores of a pair (k), None where a batch of one is the way: it is long, or holds rare forms of letters."""
        if len(quote) + len(claim) > LONGEST_PAIR:
            return None
        memory = self._memory
        try:
            sides = self._read(memory, quote, claim)
        except _Moved:
            self._memory = _Memory(self._vocabulary.table)
            return None
        return self._weigh(memory.table, OnePair(*sides)) if sides is not None else None

    def _weigh(self, table: WordTable, pair: OnePair) -> np.ndarray:
        """Add up what features weigh: numbers by label for the sparse ones, an array for the dense ones."""
        columns: list[float] = []
        weights = [word.weights[state] or self._weigh_word(table, word, state) for word, state in pair.states()]
        for family, value in self._extractor.values.items():
            if family in _DENSE:
                columns += _DENSE[family](pair)
            if family in self._cells:
                weights.append(self._weigh_cells(family, tuple(_CELL_PARTS[family](pair))))
            if family == "swaps":
                weights.append((value * np.take(self._sparse, _swaps(pair), axis=0).sum(axis=0)).tolist())
            if family == "outline":
                weights += [self._runs.get(run) or self._weigh_run(run, value) for run in pair.runs()]
                weights += [
                    word.weights[state] or self._weigh_word(table, word, state) for word, state in pair.cue_places()
                ]
        scores = self._intercept + formulas.rounded(np.array(columns, dtype=np.float64)) @ self._dense
        return scores + [sum(of_label) for of_label in zip(*weights, strict=True)] if weights else scores

    def _weigh_cells(self, family: str, parts: tuple[int, ...]) -> list[float]:
        known = self._known_cells[family].get(parts)
        if known is None:
            if len(self._known_cells[family]) >= _MOST_PIECES:
                self._known_cells[family].clear()
            rows = CELLS[family][0].rows_of_one(parts)
            known = self._known_cells[family][parts] = np.take(self._cells[family], rows, axis=0).sum(axis=0).tolist()
        return known

    def _weigh_word(self, table: WordTable, word: Word, state: int) -> list[float]:
        values = word.weights[state] = table.values[word.row].reshape(WEIGHED, -1)[state].tolist()
        return values

    def _weigh_run(self, run: tuple[int, ...], value: float) -> list[float]:
        if len(self._runs) >= _MOST_PIECES:
            self._runs.clear()
        *lowest, parity = run
        hashes = run_hash([run_symbol(np.array([bits])) for bits in lowest], np.array([parity]))
        slot = slots_of("outline", CUE_KINDS + RUNS.index(len(lowest)), hashes)
        weights = self._runs[run] = (value * self._sparse[slot[0]]).tolist()
        return weights

    def _read(self, memory: _Memory, *texts: str) -> list[Side] | None:
        """Read texts piece by piece; None where a piece may be read otherwise together with the others."""
        sides = {text: memory.sides.get(text) for text in texts}
        parts = {text: text.split(" ") for text, side in sides.items() if side is None}
        pieces = self._pieces(memory, parts.values())
        for text, each in parts.items():
            side = self._put_together(memory, [pieces[part] for part in each])
            if side is None:
                return None
            if len(memory.sides) >= _MOST_TEXTS:
                memory.sides.clear()
            sides[text] = memory.sides[text] = side
        return [sides[text] for text in texts]

    def _pieces(self, memory: _Memory, parts: Iterable[list[str]]) -> dict[str, _Piece]:
        """Return pieces by how they are written, and remember those that are new."""
        found = {part: memory.pieces.get(part) for each in parts for part in each}
        new = [part for part, piece in found.items() if piece is None]
        if new:
            if len(memory.pieces) + len(new) > _MOST_PIECES:
                memory.forget()
            found |= self._learn(memory, new)
        return found

    def _put_together(self, memory: _Memory, pieces: list[_Piece]) -> Side | None:
        words: list[Word] = []
        clauses: list[int] = []
        marks = questions = 0
        opens = in_phrases = False
        for piece in pieces:
            if piece.needs_composing:
                return None
            for word in piece.words:
                if opens and word.continues:
                    in_phrases = True
                opens = word.opens
                words.append(word)
            clauses += [marks + clause for clause in piece.clauses] if marks else piece.clauses
            marks += piece.marks
            questions += piece.questions
        return Side(self._with_phrases(memory, words) if in_phrases else words, clauses, questions)

    def _learn(self, memory: _Memory, parts: list[str]) -> dict[str, _Piece]:
        """Read pieces of text, each by itself."""
        words = read_words(parts)
        rows = _same_table(memory, self._vocabulary.look_up(words, phrases=False)).tolist()
        # The clauses of a batch are numbered through, with one mark more at the end of each text.
        before = np.cumsum(words.text_marks + 1) - (words.text_marks + 1)
        clauses, learned = (words.clause - before[words.text]).tolist(), {}
        for index, part in enumerate(parts):
            here = range(words.first[index], words.first[index + 1])
            found = [self._word(memory, rows[at], part, at - here.start) for at in here]
            marks, questions = int(words.text_marks[index]), int(words.text_questions[index])
            piece = _Piece(found, [clauses[at] for at in here], marks, questions, needs_composing(part))
            learned[part] = memory.pieces[part] = piece
        return learned

    def _word(self, memory: _Memory, row: int, part: str, index: int) -> Word:
        word = memory.words.get(row)
        if word is None:
            word = memory.words[row] = Word(memory.table, row, part, index)
        return word

    def _with_phrases(self, memory: _Memory, words: list[Word]) -> list[Word]:
        """Put the phrases of a text in place of its words: of two that overlap the longer, or else the earlier."""
        found = []
        for at, (word, following) in enumerate(itertools.pairwise(words)):
            if word.opens and following.continues:
                window = words[at : at + LONGEST_PHRASE]
                rows = tuple([each.row for each in window])
                if rows not in memory.phrases:
                    spelled = [each.spelled for each in window[1:]]
                    memory.phrases[rows] = self._vocabulary.lexicon.phrases_of_one(word.opening, spelled)
                found += [(-extra, at, entry) for extra, entry in memory.phrases[rows]]
        words, taken = list(words), set()
        for extra, at, entry in sorted(found):
            inside = range(at, at - extra + 1)
            if taken.isdisjoint(inside):
                taken.update(inside)
                for index in inside:
                    row = entry if index == at else self._vocabulary.lexicon.absent
                    words[index] = self._in_phrase(memory, words[index], row)
        return words

    def _in_phrase(self, memory: _Memory, word: Word, entry: int) -> Word:
        known = memory.in_phrases.get((word.row, entry))
        if known is None:
            words, chosen = read_words([word.piece]), np.array([word.index])
            found = self._vocabulary.look_up_in_phrases(words, chosen, np.array([entry], dtype=np.int32))
            row = int(_same_table(memory, found)[0])
            known = self._word(memory, row, word.piece, word.index)
            memory.in_phrases[word.row, entry] = known
        return known


def _same_table(memory: _Memory, found: tuple[WordTable, np.ndarray]) -> np.ndarray:
    table, rows = found
    if table is not memory.table:
        raise _Moved
    return rows


def _swaps(pair: OnePair) -> np.ndarray:
    sides = (itertools.islice(pair.unmet(side), SWAPPED_WORDS) for side in range(2))
    quote, claim = (np.array([word.stem for word in words], dtype=np.uint64) for words in sides)
    return slots_of("swaps", 0, swap_hash(quote, claim[:, None])).ravel()


_DENSE = {
    "overlap": lambda pair: formulas.overlap(pair.kinds, pair.numbers, formulas.NUMBERS),
    "cues": OnePair.cues,
    "polarity": lambda pair: formulas.polarity(pair.composition, pair.content_coverage),
}
_CELL_PARTS = {
    "overlap": lambda pair: formulas.overlap_steps(pair.kinds, formulas.NUMBERS),
    "polarity": lambda pair: formulas.polarity_bits(pair.composition),
}
