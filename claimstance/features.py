"""Features of (quote, claim) pairs, computed for whole batches: what training fits on and inference weighs.

A dense block says how much of each side the other covers, which cues stand where, and how the negations compose; hashed
sparse features name the words, the substitutions and the order of cues around the words that both sides share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from claimstance.alignment import align
from claimstance.families import (
    CELLS,
    DENSE,
    OF_CUES,
    OF_PAIRS,
    OF_WORDS,
    PLACES,
    STATES,
    cue_hashes,
    cue_places,
    lowest_cue,
    nothing,
)
from claimstance.lexicon import Lexicon, Reading
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


WEIGHED = STATES + PLACES
"""How often each word is weighed: once a state that it may be in and once a place that a cue may stand in."""

_IDF_STEPS, _VALUE_STEPS = 1024, 4096
_SALT = np.uint64(0xA0761D6478BD642F)


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
        self.values = {
            name: max(round(value * _VALUE_STEPS), 1) / _VALUE_STEPS for name, value in self.families.items()
        }
        self.thesaurus = thesaurus if thesaurus is not None and set(MEANINGS) & set(self.families) else NO_THESAURUS
        self.cell_slots = {name: _cell_slots(name) for name in self.families if name in CELLS}
        self._weights = weights
        width = 0 if weights is None else WEIGHED * weights.shape[1]
        self.vocabulary = Vocabulary(lexicon, self._idf_of, self._weigh_words if width else None, width)

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
            if family in DENSE:
                yield family, DENSE[family](view)

    def sparse_entries(self, view: PairView) -> Iterator[tuple[str, Entries]]:
        """Yield each family's sparse features; a family may have several kinds, each with slots of its own."""
        every = np.arange(view.count)
        for family in self.families:
            for index, (states, hashes_of) in enumerate(OF_WORDS.get(family, ())):
                chosen = np.flatnonzero(np.isin(view.state, states))
                owner, hashes = hashes_of(view.words, view.reading.stem, chosen)
                yield family, Entries(view.alignment.pair[owner], slots_of(family, index, hashes), (owner,))
            if family in CELLS:
                for slots in self.cell_slots[family][self.cell_rows(view, family)]:
                    yield family, Entries(every, slots, ())
            if family in OF_CUES:
                cue, place = cue_places(view)
                hashes = cue_hashes(view.reading.classes[cue], view.reading.lemma[cue], place)
                for index, each in enumerate(hashes):
                    yield family, Entries(view.alignment.pair[cue], slots_of(family, index, each), (cue,))
            for entries in self.pair_entries(view, family):
                yield family, entries

    def pair_entries(self, view: PairView, family: str) -> Iterator[Entries]:
        """Yield the sparse features of a family that neither a word has by itself nor every pair has one of."""
        for kind, pair, hashes, owners in OF_PAIRS.get(family, nothing)(view):
            yield Entries(pair, slots_of(family, kind, hashes), owners)

    def cell_rows(self, view: PairView, family: str) -> np.ndarray:
        """Return the rows in ``cell_slots`` of a family's features that every pair has one of (cells × n)."""
        cells, parts_of = CELLS[family]
        return cells.rows(np.array(parts_of(view), dtype=np.float64))

    def word_scores(self, view: PairView) -> np.ndarray:
        """Return the weights of the features that words have by themselves, added up over each pair (n × k)."""
        labels = self._weights.shape[1]
        table = view.table.values.reshape(-1, labels)
        values = np.take(table, WEIGHED * view.row + view.state, axis=0)
        if set(OF_CUES) & set(self.families):
            cue, place = cue_places(view)
            values[cue] += np.take(table, WEIGHED * view.row[cue] + STATES + place, axis=0)
        scores, bounds = np.zeros((view.count, labels)), view.words.first[::2]
        spoken = np.flatnonzero(np.diff(bounds))
        if spoken.size:
            scores[spoken] = np.add.reduceat(values, bounds[spoken], axis=0)
        return scores

    def _idf_of(self, reading: Reading) -> np.ndarray:
        return np.rint(self.idf[idf_slots(reading)].astype(np.float64) * _IDF_STEPS) / _IDF_STEPS

    def _weigh_words(self, words: Words, reading: Reading) -> np.ndarray:
        """Return what each word's features weigh in each state and, of a cue, in each place (m × WEIGHED · k)."""
        every, labels = np.arange(words.count), self._weights.shape[1]
        values = np.zeros((words.count, WEIGHED, labels))
        for family, value in self.values.items():
            for index, (states, hashes_of) in enumerate(OF_WORDS.get(family, ())):
                owner, hashes = hashes_of(words, reading.stem, every)
                weights = np.take(self._weights, slots_of(family, index, hashes), axis=0) * value
                sums = np.stack([np.bincount(owner, weights=row, minlength=words.count) for row in weights.T], axis=1)
                values[:, states] += sums[:, None]
            cue = np.flatnonzero(lowest_cue(reading.classes)) if family in OF_CUES else every[:0]
            if cue.size:
                place = np.arange(PLACES)[:, None]
                for index, each in enumerate(cue_hashes(reading.classes[cue], reading.lemma[cue], place)):
                    slots = slots_of(family, index, np.broadcast_to(each, (PLACES, cue.size)))
                    values[cue, STATES:] += np.take(self._weights, slots, axis=0).swapaxes(0, 1) * value
        return values.reshape(words.count, -1)

    def view(self, quotes: Sequence[str], claims: Sequence[str]) -> PairView:
        """Read, align and weigh a batch of pairs."""
        words = read_words([text for both in zip(quotes, claims, strict=True) for text in both])
        table, row = self.vocabulary.look_up(words)
        reading = Reading(**{name: np.take(column, row) for name, column in vars(table.reading).items()})
        alignment, senses = align(words, reading, table.spelling, row, len(quotes)), self.thesaurus.read(words)
        idf = np.take(table.idf, row)
        return PairView(words, reading, alignment, len(quotes), table, row, idf, senses, relate(senses, alignment))


def _cell_slots(family: str) -> np.ndarray:
    """Return the slot of each combination of each of a family's cells."""
    cell, number = np.array(list(CELLS[family][0].numbers()), dtype=np.uint64).T
    return slots_of(family, cell, mix(number))


def slots_of(family: str, index: int | np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Return the slots of hashed features, the kind of this index among a family's."""
    number = np.asarray(index + (FAMILIES.index(family) * 64 + 1)).astype(np.uint64)
    return (mix(hashes + number * _SALT) >> np.uint64(48)).astype(np.int64)


def idf_slots(reading: Reading) -> np.ndarray:
    """Return where each word's inverse document frequency stands in the idf table."""
    return (reading.stem >> np.uint64(48)).astype(np.int64)
