"""Features of (quote, claim) pairs, computed for whole batches: what training fits on and inference weighs.

A dense block says how much of each side the other covers, which cues stand where, and how the negations compose; hashed
sparse features name the words, the substitutions and the order of cues around the words that both sides share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from claimstance import formulas
from claimstance.alignment import CLAIM, align, crossed, first_of_each
from claimstance.lexicon import CUE_CLASSES, FUNCTION, Lexicon, Reading
from claimstance.meanings import NO_THESAURUS, Thesaurus, relate
from claimstance.view import PairView
from claimstance.vocabulary import Vocabulary
from claimstance.words import Words, mix, read_words

FEATURES = 2
"""Version of the features; raised whenever any pair gets other values."""

FAMILIES = ("overlap", "cues", "polarity", "words", "swaps", "grams", "outline", "bag", "relations", "senses")
"""Feature families that a model may use: coverage and numbers; cue counts; composed negation; words by side; pairs of
unmatched words; character 3- and 4-grams of unmatched words; the order of cues around shared words; the plain bag of
words of both texts, a baseline; and, of a thesaurus, synonyms, opposites and members of one kind on the two sides, and what
unmatched words mean, by side."""

MEANINGS = ("relations", "senses")
"""The families that a thesaurus is needed for."""

SLOTS = 1 << 16
"""Number of slots that sparse features are hashed into."""

_SALT = np.uint64(0xA0761D6478BD642F)
SWAPPED_WORDS = 4


_STATES = 6
_QUOTE_LEFT, _QUOTE_NEAR, _, _CLAIM_LEFT, _CLAIM_NEAR, _CLAIM_EXACT = range(_STATES)
_IDF_STEPS, _STEPS = 1024, 4096
MOST_CUES, MOST_QUESTIONS = 3, 2
"""Cues of one class and question marks are counted up to so many."""


@dataclass(frozen=True)
class Features:
    """Features of ``n`` pairs: ``dense`` (n × d, float32), and sparse ones as ``pair``, ``slot`` and ``value``, an entry
    each; entries of one pair and slot add up."""

    dense: np.ndarray
    pair: np.ndarray
    slot: np.ndarray
    value: np.ndarray


class Entries(NamedTuple):
    """Sparse features of one kind, an entry each: ``pair``, ``slot``, and ``owners``, arrays of the words that each is
    made of; none where it is of the pair as a whole."""

    pair: np.ndarray
    slot: np.ndarray
    owners: tuple[np.ndarray, ...]


class WordKind(NamedTuple):
    """Sparse features that a word has by itself, if it is in one of some ``states`` (of ``PairView.state``): ``hashes`` gives
    for some of the words, with the stem of every word, the index of the word and the hash of each feature."""

    states: tuple[int, ...]
    hashes: Callable[[Words, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


_Hashed = list[tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]]


class FeatureExtractor:
    """Computes the features of pairs.

    Args:
        lexicon: the compiled word lists.
        idf: inverse document frequency of stems, 65,536 floats addressed by ``idf_slots``.
        families: which of FAMILIES to compute, each with the value of its sparse features; the larger, the more a
            regularised model relies on them.
        thesaurus: the word sets that the families of MEANINGS need.
        weights: what a model weighs the slots with (SLOTS × k), if ``word_scores`` is wanted.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        idf: np.ndarray,
        families: Mapping[str, float],
        thesaurus: Thesaurus | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        self.lexicon = lexicon
        self.idf = idf
        self.families = {name: families[name] for name in FAMILIES if name in families}
        self.values = {name: max(round(value * _STEPS), 1) / _STEPS for name, value in self.families.items()}
        self.thesaurus = thesaurus if thesaurus is not None and set(MEANINGS) & set(self.families) else NO_THESAURUS
        self.cell_slots = {name: _cell_slots(name) for name in self.families if name in _CELLS}
        self._idf = np.rint(idf.astype(np.float64) * _IDF_STEPS) / _IDF_STEPS
        self._weights = weights
        width = 0 if weights is None else _STATES * weights.shape[1]
        self.vocabulary = Vocabulary(lexicon, self._weigh_words if width else None, width)

    def __call__(self, quotes: Sequence[str], claims: Sequence[str]) -> Features:
        """Compute the features of pairs; an empty claim makes a model of quotes alone."""
        view = self.view(quotes, claims)
        pairs, slots, values = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int32)], [np.empty(0)]
        for family, entries in self.sparse_entries(view):
            pairs.append(entries.pair)
            slots.append(entries.slot.astype(np.int32))
            values.append(np.full(entries.pair.size, self.values[family]))
        return Features(
            self.dense(view).astype(np.float32),
            np.concatenate(pairs),
            np.concatenate(slots),
            np.concatenate(values).astype(np.float32),
        )

    def dense(self, view: PairView) -> np.ndarray:
        """Return the dense features of pairs (n × d, float64)."""
        blocks = [block for _, block in self.dense_blocks(view)]
        return np.concatenate([np.empty((0, view.count)), *blocks]).T

    def dense_blocks(self, view: PairView) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each family's dense features (its width × n), in the order of the columns of ``dense``."""
        for family in self.families:
            if family in _DENSE:
                yield family, _DENSE[family](view)

    def sparse_entries(self, view: PairView) -> Iterator[tuple[str, Entries]]:
        """Yield each family's sparse features; a family may have several kinds, each with slots of its own."""
        every = np.arange(view.count)
        for family in self.families:
            for index, (states, hashes_of) in enumerate(_OF_WORDS.get(family, ())):
                chosen = np.flatnonzero(np.isin(view.state, states))
                owner, hashes = hashes_of(view.words, view.reading.stem, chosen)
                yield family, Entries(view.alignment.pair[owner], _slots(family, index, hashes), (owner,))
            if family in _CELLS:
                for slots in self.cell_slots[family][self.cell_rows(view, family)]:
                    yield family, Entries(every, slots, ())
            for entries in self.pair_entries(view, family):
                yield family, entries

    def pair_entries(self, view: PairView, family: str) -> Iterator[Entries]:
        """Yield the sparse features of a family that neither a word has by itself nor every pair has one of."""
        for index, (pair, hashes, owners) in enumerate(_SPARSE.get(family, _nothing)(view)):
            yield Entries(pair, _slots(family, index, hashes), owners)

    def cell_rows(self, view: PairView, family: str) -> np.ndarray:
        """Return the rows in ``cell_slots`` of a family's features that every pair has one of (cells × n)."""
        cells, parts_of = _CELLS[family]
        return cells.rows(np.array(parts_of(view), dtype=np.float64))

    def word_scores(self, view: PairView) -> np.ndarray:
        """Return the weights of the sparse features that words have by themselves, added up over each pair (n × k)."""
        labels = self._weights.shape[1]
        values = np.take(view.table.values.reshape(-1, labels), _STATES * view.row + view.state, axis=0)
        scores, bounds = np.zeros((view.count, labels)), view.words.first[::2]
        spoken = np.flatnonzero(np.diff(bounds))
        if spoken.size:
            scores[spoken] = np.add.reduceat(values, bounds[spoken], axis=0)
        return scores

    def _weigh_words(self, words: Words, reading: Reading) -> np.ndarray:
        """Return for each word what its features weigh in each state that it may be in (m × states · k)."""
        every, labels = np.arange(words.count), self._weights.shape[1]
        values = np.zeros((words.count, _STATES, labels))
        for family, value in self.values.items():
            for index, (states, hashes_of) in enumerate(_OF_WORDS.get(family, ())):
                owner, hashes = hashes_of(words, reading.stem, every)
                weights = self._weights[_slots(family, index, hashes)] * value
                sums = np.stack([np.bincount(owner, weights=row, minlength=words.count) for row in weights.T], axis=1)
                values[:, states] += sums[:, None]
        return values.reshape(words.count, -1)

    def view(self, quotes: Sequence[str], claims: Sequence[str]) -> PairView:
        """Read, align and weigh a batch of pairs."""
        words = read_words([text for both in zip(quotes, claims, strict=True) for text in both])
        table, row = self.vocabulary.look_up(words)
        reading = Reading(**{name: np.take(column, row) for name, column in vars(table.reading).items()})
        alignment, senses = align(words, reading, table.spelling, row, len(quotes)), self.thesaurus.read(words)
        idf = np.take(self._idf, idf_slots(reading))
        return PairView(words, reading, alignment, len(quotes), table, row, idf, senses, relate(senses, alignment))


def _cell_slots(family: str) -> np.ndarray:
    """Return the slot of each combination of each of a family's cells."""
    cell, number = np.array(list(_CELLS[family][0].numbers()), dtype=np.uint64).T
    return _slots(family, cell, mix(number))


def _slots(family: str, index: int | np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Return the slots of hashed features, the kind of this index among a family's."""
    number = np.asarray(index + (FAMILIES.index(family) * 64 + 1)).astype(np.uint64)
    return (mix(hashes + number * _SALT) >> np.uint64(48)).astype(np.int64)


def idf_slots(reading: Reading) -> np.ndarray:
    """Return where each word's inverse document frequency stands in the idf table."""
    return (reading.stem >> np.uint64(48)).astype(np.int64)


def _overlap(view: PairView) -> np.ndarray:
    """Coverage of each side by the other, in content words and in all words; numbers that agree or clash."""
    columns = formulas.overlap((view.content_met, view.all_met), view.numbers, formulas.ARRAYS)
    return formulas.rounded(np.array(columns, dtype=np.float64))


def _overlap_steps(view: PairView) -> list[np.ndarray]:
    return formulas.overlap_steps((view.content_met, view.all_met), formulas.ARRAYS)


def cue_words(view: PairView) -> tuple[np.ndarray, np.ndarray]:
    """Return each word that is a cue and the index in CUE_CLASSES of its class; a word of two classes stands twice."""
    classes = view.reading.classes & np.uint32(FUNCTION - 1)
    word = np.flatnonzero(classes)
    classes = classes[word]
    words, cues = [word[:0]], [word[:0]]
    while word.size:
        lowest = classes & (~classes + np.uint32(1))
        words.append(word)
        cues.append(np.bitwise_count(lowest - np.uint32(1)).astype(np.int64))
        classes = classes ^ lowest
        word, classes = word[classes > 0], classes[classes > 0]
    return np.concatenate(words), np.concatenate(cues)


def _cues(view: PairView) -> np.ndarray:
    """Counts of every cue class on each side and their difference, and of question marks."""
    word, cue = cue_words(view)
    classes, alignment = len(CUE_CLASSES), view.alignment
    cell = (alignment.side[word] * classes + cue) * view.count + alignment.pair[word]
    counts = np.bincount(cell, minlength=2 * classes * view.count).reshape(2, classes, view.count)
    quote, claim = np.minimum(counts, MOST_CUES).astype(np.float64)
    questions = view.words.text_questions.reshape(view.count, 2).T
    return np.concatenate((quote, claim, quote - claim, np.minimum(questions, MOST_QUESTIONS)))


def _polarity(view: PairView) -> np.ndarray:
    """Signs: parity of the negations in the quote × parity in the claim (±1), plain and weighed by coverage."""
    coverage = view.content_met[CLAIM].shares(formulas.ARRAYS)[-1]
    return formulas.rounded(np.array(formulas.polarity(view.composition, coverage), dtype=np.float64))


def _polarity_bits(view: PairView) -> list[np.ndarray]:
    return formulas.polarity_bits(view.composition)


def _stems(words: Words, stem: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return chosen, stem[chosen]


def _grams(length: int) -> Callable[[Words, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return what gives the character grams, so long, of light stems that are no numbers in digits."""

    def grams(words: Words, stem: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chosen = chosen[~words.number[chosen]]
        first, stop = (bound[chosen] for bound in words.stem_bounds)
        count = np.maximum(stop - first - length + 1, 0)
        offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return np.repeat(chosen, count), words.gram_hashes(np.repeat(first, count) + offset, length)

    return grams


def _swaps(view: PairView) -> _Hashed:
    """Each of the first four unmatched words of the quote crossed with each of the claim's."""
    alignment, sides = view.alignment, []
    for state in (_QUOTE_LEFT, _CLAIM_LEFT):
        left = np.flatnonzero(view.state == state)
        sides.append(first_of_each(left, alignment.pair, SWAPPED_WORDS))
    quotes, claims = sides
    quote, width = crossed(np.take(alignment.pair, quotes), np.take(alignment.pair, claims), view.count)
    quote, claim = np.take(quotes, quote), np.repeat(claims, width)
    stem = view.reading.stem
    return [(alignment.pair[quote], swap_hash(stem[quote], stem[claim]), (quote, claim))]


def swap_hash(quote: np.ndarray, claim: np.ndarray) -> np.ndarray:
    """Hash stems of quotes set beside stems of claims."""
    return mix(quote + claim * np.uint64(3))


def _outline(view: PairView) -> _Hashed:
    """The order of cues around aligned words in the quote, and each cue by region, all against the claim's parity."""
    classes = view.reading.classes & np.uint32(FUNCTION - 1)
    met = view.alignment.aligned & (view.weight > 0)
    at = np.flatnonzero(((classes > 0) | met) & view.quoted)
    classes, pair = classes[at], view.alignment.pair[at]
    lowest = (classes & (~classes + np.uint32(1))).astype(np.uint64)
    symbol = np.where(lowest > 0, lowest, np.uint64(1 << 40))
    if at.size:
        repeats = (lowest[1:] == 0) & (lowest[:-1] == 0) & (pair[1:] == pair[:-1])
        keep = np.concatenate(([True], ~repeats))
        at, pair, lowest, symbol = at[keep], pair[keep], lowest[keep], symbol[keep]
    claim = view.claim_turned.astype(np.uint64)
    is_cue = lowest > 0
    cue, cue_pair = at[is_cue], pair[is_cue]
    placed = view.regions(cue).astype(np.uint64) * np.uint64(2) + claim[cue_pair] + np.uint64(1)
    lemma = mix(view.reading.lemma[cue].astype(np.uint64))
    families = [
        (cue_pair, mix(lowest[is_cue]) + placed, (cue,)),
        (cue_pair, lemma + placed, (cue,)),
        (cue_pair, lemma + claim[cue_pair], (cue,)),
    ]
    run = mix(symbol)
    for length in (2, 3, 4):
        if at.size < length:
            break
        size = at.size - length + 1
        hashes = run[:size].copy()
        for step in range(1, length):
            hashes = mix(hashes + run[step : step + size] * np.uint64(3))
        whole = pair[:size] == pair[length - 1 :]
        owners = tuple(at[step : step + size][whole] for step in range(length))
        families.append((pair[:size][whole], hashes[whole] + claim[pair[:size][whole]], owners))
    return families


def _relations(view: PairView) -> np.ndarray:
    """How much of each side has a synonym, an opposite or another member of its kind on the other side; coverage with these
    counted as met; and the sign of the opposites and negations of a pair."""
    relations, content, weight = view.relations, view.content, view.weight
    met = view.alignment.aligned | relations.same
    answered = met | relations.opposed | relations.apart
    left = content & ~answered
    *counts, opposed, apart, whole, covered, answering, unanswered = view.sums(
        relations.same,
        relations.opposed,
        relations.apart,
        weight * relations.opposed,
        weight * relations.apart,
        weight,
        weight * met,
        weight * answered,
        left,
    )
    counts = np.minimum(counts, 4)
    shares = np.stack((covered, answering)) / np.maximum(whole, 1e-9)
    blocks = [*counts, *(counts > 0), opposed, apart, *shares, *shares**2]
    blocks += [np.log1p(unanswered), unanswered == 0, view.largest(weight * left)]
    both = (counts > 0).all(axis=2)
    turned = view.composition.anywhere ^ view.claim_turned ^ (counts[1, :, CLAIM].astype(np.int64) & 1)
    sign = 1.0 - 2.0 * turned
    columns = [*both[1:], *shares.prod(axis=2), sign, *(sign * shares[..., CLAIM])]
    return formulas.rounded(np.concatenate((*blocks, np.stack(columns, axis=1)), axis=1).T)


def _relation_cells(view: PairView) -> _Hashed:
    """Each related pair of words by how it is related and by the set that relates it."""
    links = view.relations
    cell = mix(links.group.astype(np.uint64) * np.uint64(4) + links.relation.astype(np.uint64) + np.uint64(1))
    return [(view.alignment.pair[links.quote], cell, (links.quote, links.claim))]


def _senses(view: PairView) -> _Hashed:
    """What words mean that the other side has neither by stem nor by a synonym, by side."""
    senses = view.senses
    unmet = ~(view.alignment.exact | view.relations.same)[senses.word]
    cell = mix((senses.group << 13 | senses.member).astype(np.uint64) + np.uint64(1))
    families = []
    for side in (view.quoted, view.claimed):
        chosen = np.flatnonzero(unmet & side[senses.word])
        word = senses.word[chosen]
        families.append((view.alignment.pair[word], cell[chosen], (word,)))
    return families


def _nothing(view: PairView) -> _Hashed:
    return []


_DENSE = {"overlap": _overlap, "cues": _cues, "polarity": _polarity, "relations": _relations}
_CELLS = {
    "overlap": (formulas.OVERLAP_CELLS, _overlap_steps),
    "polarity": (formulas.POLARITY_CELLS, _polarity_bits),
}
_SPARSE = {"swaps": _swaps, "outline": _outline, "relations": _relation_cells, "senses": _senses}
_OF_WORDS = {
    "words": tuple(
        WordKind(states, _stems) for states in ((_QUOTE_LEFT, _QUOTE_NEAR), (_CLAIM_LEFT, _CLAIM_NEAR), (_CLAIM_EXACT,))
    ),
    "grams": tuple(WordKind((state,), _grams(length)) for state in (_QUOTE_LEFT, _CLAIM_LEFT) for length in (3, 4)),
    "bag": (WordKind(tuple(range(_STATES)), _stems),),
}
