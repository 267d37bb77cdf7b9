"""Features of (quote, claim) pairs, computed for whole batches: what training fits on and inference weighs.

A dense block says how much of each side the other covers, which cues stand where, and how the negations compose; hashed
sparse features name the words, the substitutions and the order of cues around the words that both sides share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from claimstance.alignment import CLAIM, QUOTE, align
from claimstance.lexicon import CUE_CLASSES, FUNCTION, Lexicon, Reading
from claimstance.meanings import NO_THESAURUS, Thesaurus, relate
from claimstance.view import PairView, share
from claimstance.words import mix, read_words

FEATURES = 1
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

_SWAPPED_WORDS = 4


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


_Hashed = list[tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]]


class FeatureExtractor:
    """Computes the features of pairs.

    Args:
        lexicon: the compiled word lists.
        idf: inverse document frequency of stems, 65,536 floats addressed by ``idf_slots``.
        families: which of FAMILIES to compute, each with the value of its sparse features; the larger, the more a
            regularised model relies on them.
        thesaurus: the word sets that the families of MEANINGS need.
    """

    def __init__(
        self, lexicon: Lexicon, idf: np.ndarray, families: Mapping[str, float], thesaurus: Thesaurus | None = None
    ) -> None:
        self.lexicon = lexicon
        self.idf = idf
        self.families = {name: families[name] for name in FAMILIES if name in families}
        self.thesaurus = thesaurus if thesaurus is not None and set(MEANINGS) & set(self.families) else NO_THESAURUS

    def __call__(self, quotes: Sequence[str], claims: Sequence[str]) -> Features:
        """Compute the features of pairs; an empty claim makes a model of quotes alone."""
        view = self.view(quotes, claims)
        dense = [np.empty((view.count, 0)), *(block for _, block in self.dense_blocks(view))]
        pairs, slots, values = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int32)], [np.empty(0)]
        for family, entries in self.sparse_entries(view):
            pairs.append(entries.pair)
            slots.append(entries.slot)
            values.append(np.full(entries.pair.size, self.families[family]))
        return Features(
            np.concatenate(dense, axis=1).astype(np.float32),
            np.concatenate(pairs),
            np.concatenate(slots),
            np.concatenate(values).astype(np.float32),
        )

    def dense_blocks(self, view: PairView) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each family's dense features (n × its width), in the order of ``Features.dense``."""
        for family in self.families:
            if family in _DENSE:
                yield family, _DENSE[family](view)

    def sparse_entries(self, view: PairView) -> Iterator[tuple[str, Entries]]:
        """Yield each family's sparse features; a family may have several kinds, each with slots of its own."""
        for family in self.families:
            for index, (pair, hashes, owners) in enumerate(_SPARSE.get(family, _nothing)(view)):
                slots = mix(hashes + _salt(FAMILIES.index(family) * 64 + index + 1)) >> np.uint64(48)
                yield family, Entries(pair, slots.astype(np.int32), owners)

    def view(self, quotes: Sequence[str], claims: Sequence[str]) -> PairView:
        """Read, align and weigh a batch of pairs."""
        words = read_words([text for both in zip(quotes, claims, strict=True) for text in both])
        reading = self.lexicon.read(words)
        alignment, senses = align(words, reading, len(quotes)), self.thesaurus.read(words)
        idf = self.idf[idf_slots(reading)]
        return PairView(words, reading, alignment, len(quotes), idf, senses, relate(senses, alignment))


def _salt(number: int) -> np.uint64:
    return np.uint64(number * 0xA0761D6478BD642F % (1 << 64))


def idf_slots(reading: Reading) -> np.ndarray:
    """Return where each word's inverse document frequency stands in the idf table."""
    return (reading.stem >> np.uint64(48)).astype(np.int64)


def _overlap(view: PairView) -> np.ndarray:
    """Coverage of each side by the other, in content words and in all words; numbers that agree or clash."""
    blocks = []
    for coverage in (view.content_coverage, view.full_coverage):
        shares = np.stack((coverage.exact, coverage.aligned, coverage.similar, coverage.weighted))
        sizes = np.log1p(np.stack((coverage.size, coverage.unaligned)))
        sides = np.concatenate((shares, sizes, np.stack((coverage.unaligned == 0, coverage.heaviest))))
        blocks += [sides[..., QUOTE], sides[..., CLAIM]]
        blocks.append(np.swapaxes(shares, 1, 2).reshape(2 * len(shares), view.count) ** 2)
        blocks.append(shares[..., QUOTE] * shares[..., CLAIM])
        blocks.append(np.stack((coverage.weighted.min(axis=1), coverage.weighted.max(axis=1))))
    alone, shared = view.numbers
    quote_only, claim_only, both = alone[:, QUOTE], alone[:, CLAIM], shared[:, QUOTE]
    clash = (quote_only > 0) & (claim_only > 0)
    blocks.append(np.stack((quote_only, claim_only, both, clash, quote_only > 0, claim_only > 0, both > 0)))
    return np.concatenate(blocks).T


def _overlap_cells(view: PairView) -> _Hashed:
    """Name how many words stay unmatched and how much is covered, in steps, singly and both sides jointly."""
    every, cells = np.arange(view.count), []
    for coverage in (view.content_coverage, view.full_coverage):
        unaligned, inexact = np.minimum(coverage.unaligned, 6).T, np.minimum(coverage.inexact, 6).T
        covered = np.floor(np.minimum(coverage.weighted, 0.999) * 6).T
        cells += [unaligned, inexact, covered, *([steps] for steps in (*unaligned, *covered))]
    return [(every, _packed(cell), ()) for cell in cells]


def cue_words(view: PairView) -> tuple[np.ndarray, np.ndarray]:
    """Return each word that is a cue and the index in CUE_CLASSES of its class; a word of two classes stands twice."""
    classes = view.reading.classes & np.uint32(FUNCTION - 1)
    found = np.flatnonzero(classes)
    word, cue = np.nonzero((classes[found, None] >> np.arange(len(CUE_CLASSES), dtype=np.uint32)) & np.uint32(1))
    return found[word], cue


def _cues(view: PairView) -> np.ndarray:
    """Counts of every cue class on each side and their difference, and of question marks."""
    word, cue = cue_words(view)
    cell = view.words.text[word] * len(CUE_CLASSES) + cue
    counts = np.bincount(cell, minlength=view.count * 2 * len(CUE_CLASSES)).reshape(view.count, 2, len(CUE_CLASSES))
    counts = np.minimum(counts, 3).astype(float)
    quote, claim = counts[:, QUOTE], counts[:, CLAIM]
    questions = view.words.text_questions.reshape(view.count, 2)
    return np.concatenate((quote, claim, quote - claim, np.minimum(questions, 2)), axis=1)


def _polarity(view: PairView) -> np.ndarray:
    """Signs: parity of the negations in the quote × parity in the claim (±1), plain and weighed by coverage."""
    parts = view.composition
    coverage = view.content_coverage.weighted[:, CLAIM]
    columns = [1.0 - 2.0 * view.claim_turned, view.alignment.turned]
    for parity in (parts.focus, parts.within, parts.ahead, parts.anywhere):
        sign = 1.0 - 2.0 * (parity ^ view.claim_turned)
        columns += [sign, sign * coverage, sign * parts.ratified, sign * parts.open, sign * parts.ratified_focus]
    columns += [parts.ratified_focus, parts.ratified, parts.open_focus, parts.open]
    return np.stack(columns, axis=1)


def _polarity_cells(view: PairView) -> _Hashed:
    """Name each combination of composed parities, ratifying and leaving open, so that a linear model sees them jointly."""
    parts, every = view.composition, np.arange(view.count)
    flags = [parts.ratified_focus, parts.ratified, parts.open_focus, parts.open]
    scopes = [parts.focus, parts.within, parts.ahead, parts.anywhere]
    cells = [[scope ^ view.claim_turned, *flags] for scope in scopes]
    cells.append([scope ^ view.claim_turned for scope in scopes])
    cells.append([*scopes, view.claim_turned, parts.ratified, parts.open])
    return [(every, _packed(cell), ()) for cell in cells]


def _packed(bits: list[np.ndarray]) -> np.ndarray:
    packed = np.zeros(bits[0].size, dtype=np.uint64)
    for bit in bits:
        packed = packed * np.uint64(8) + bit.astype(np.uint64) + np.uint64(1)
    return mix(packed)


def _words(view: PairView) -> _Hashed:
    """Stems by where they stand: in the quote alone, in the claim alone, in both."""
    alignment, stem = view.alignment, view.reading.stem
    chosen = (
        np.flatnonzero(view.quoted & ~alignment.exact),
        np.flatnonzero(view.claimed & ~alignment.exact),
        np.flatnonzero(view.claimed & alignment.exact),
    )
    return [(alignment.pair[at], stem[at], (at,)) for at in chosen]


def _bag(view: PairView) -> _Hashed:
    return [(view.alignment.pair, view.reading.stem, (np.arange(view.words.count),))]


def _swaps(view: PairView) -> _Hashed:
    """Each of the first four unmatched words of the quote crossed with each of the claim's."""
    grids = []
    for side in (view.quoted, view.claimed):
        left = np.flatnonzero(side & ~view.alignment.aligned)
        pair = view.alignment.pair[left]
        rank = np.arange(left.size) - np.searchsorted(pair, pair)
        chosen = rank < _SWAPPED_WORDS
        grid = np.full((view.count, _SWAPPED_WORDS), -1)
        grid[pair[chosen], rank[chosen]] = left[chosen]
        grids.append(grid)
    quote, claim = grids
    pair, row, column = np.nonzero((quote >= 0)[:, :, None] & (claim >= 0)[:, None, :])
    quote, claim = quote[pair, row], claim[pair, column]
    stem = view.reading.stem
    return [(pair, mix(stem[quote] + stem[claim] * np.uint64(3)), (quote, claim))]


def _grams(view: PairView) -> _Hashed:
    """Character 3- and 4-grams of unmatched stems, by side."""
    words, families = view.words, []
    for side in (view.quoted, view.claimed):
        left = np.flatnonzero(side & ~view.alignment.aligned & ~words.number)
        for length in (3, 4):
            grams = np.maximum(words.stem_stop[left] - words.stem_start[left] - length + 1, 0)
            offset = np.arange(grams.sum()) - np.repeat(np.cumsum(grams) - grams, grams)
            start = np.repeat(words.stem_start[left], grams) + offset
            owner = np.repeat(left, grams)
            families.append((view.alignment.pair[owner], words.gram_hashes(start, length), (owner,)))
    return families


def _outline(view: PairView) -> _Hashed:
    """The order of cues around aligned words in the quote, and each cue by region, all against the claim's parity."""
    classes = view.reading.classes & np.uint32(FUNCTION - 1)
    lowest = (classes & (~classes + np.uint32(1))).astype(np.uint64)
    met = view.alignment.aligned & (view.weight > 0)
    symbol = np.where(lowest > 0, lowest, np.where(met, np.uint64(1 << 40), np.uint64(0)))
    at = np.flatnonzero((symbol > 0) & view.quoted)
    pair = view.alignment.pair[at]
    if at.size:
        repeats = (symbol[at][1:] == symbol[at][:-1]) & (pair[1:] == pair[:-1]) & (symbol[at][1:] == np.uint64(1 << 40))
        keep = np.concatenate(([True], ~repeats))
        at, pair = at[keep], pair[keep]
    claim = view.claim_turned.astype(np.uint64)
    cue = at[lowest[at] > 0]
    cue_pair = view.alignment.pair[cue]
    placed = view.region[cue].astype(np.uint64) * np.uint64(2) + claim[cue_pair] + np.uint64(1)
    families = [
        (cue_pair, mix(lowest[cue]) + placed, (cue,)),
        (cue_pair, mix(view.reading.lemma[cue].astype(np.uint64)) + placed, (cue,)),
        (cue_pair, mix(view.reading.lemma[cue].astype(np.uint64)) + claim[cue_pair], (cue,)),
    ]
    run = mix(symbol[at])
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
    shares = np.stack((share(covered, whole), share(answering, whole)))
    blocks = [*counts, *(counts > 0), opposed, apart, *shares, *shares**2]
    blocks += [np.log1p(unanswered), unanswered == 0, view.largest(weight * left)]
    both = (counts > 0).all(axis=2)
    turned = view.composition.anywhere ^ view.claim_turned ^ (counts[1, :, CLAIM].astype(np.int64) & 1)
    sign = 1.0 - 2.0 * turned
    columns = [*both[1:], *shares.prod(axis=2), sign, *(sign * shares[..., CLAIM])]
    return np.concatenate((*blocks, np.stack(columns, axis=1)), axis=1)


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
_SPARSE = {
    "overlap": _overlap_cells,
    "polarity": _polarity_cells,
    "words": _words,
    "swaps": _swaps,
    "grams": _grams,
    "outline": _outline,
    "bag": _bag,
    "relations": _relation_cells,
    "senses": _senses,
}
