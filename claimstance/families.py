"""The feature families: what each computes of a batch of pairs.

A family has dense features, cells (sparse features that every pair has one of), sparse features that words have by
themselves, and others, or some of these. Hashes become slots in ``claimstance.features``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from claimstance import formulas
from claimstance.alignment import CLAIM, crossed, first_of_each
from claimstance.lexicon import CUE_CLASSES, FUNCTION
from claimstance.view import REGIONS, PairView
from claimstance.words import Words, mix

STATES = 6
"""In how many ways a word may be met (``PairView.state``)."""

QUOTE_LEFT, QUOTE_NEAR, _, CLAIM_LEFT, CLAIM_NEAR, CLAIM_EXACT = range(STATES)
MOST_CUES, MOST_QUESTIONS = 3, 2
"""Cues of one class and question marks are counted up to so many."""

SWAPPED_WORDS = 4
"""Unmatched words of each side that are crossed with the other side's."""


class WordKind(NamedTuple):
    """Sparse features that a word has by itself, if it is in one of some ``states`` (of ``PairView.state``): ``hashes`` gives
    for some of the words, with the stem of every word, the index of the word and the hash of each feature."""

    states: tuple[int, ...]
    hashes: Callable[[Words, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


RUNS = (2, 3, 4)
"""Lengths of runs of cues and words met."""

_MET = np.uint64(1 << 40)

PLACES = 2 * len(REGIONS)
CUE_KINDS = 3
"""In how many places a cue may stand (``cue_places``), and how many kinds of features it has there (``cue_hashes``)."""

_CUES = np.uint32(FUNCTION - 1)


class Hashed(NamedTuple):
    """Sparse features of one ``kind`` of a family, an entry each: the ``pair``, a hash, and arrays of the words that each is
    made of (``owners``)."""

    kind: int
    pair: np.ndarray
    hashes: np.ndarray
    owners: tuple[np.ndarray, ...]


def _overlap(view: PairView) -> np.ndarray:
    """Coverage of each side by the other, in content words and in all words; numbers that agree or clash."""
    columns = formulas.overlap((view.content_met, view.all_met), view.numbers, formulas.ARRAYS)
    return formulas.rounded(np.array(columns, dtype=np.float64))


def _overlap_steps(view: PairView) -> list[np.ndarray]:
    return formulas.overlap_steps((view.content_met, view.all_met), formulas.ARRAYS)


def cue_words(view: PairView) -> tuple[np.ndarray, np.ndarray]:
    """Return each word that is a cue and the index in CUE_CLASSES of its class; a word of two classes stands twice."""
    classes = view.reading.classes & _CUES
    word = np.flatnonzero(classes != 0)
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
    coverage = view.content_met[CLAIM].coverage
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


def _swaps(view: PairView) -> list[Hashed]:
    """Each of the first four unmatched words of the quote crossed with each of the claim's."""
    alignment, sides = view.alignment, []
    for state in (QUOTE_LEFT, CLAIM_LEFT):
        left = np.flatnonzero(view.state == state)
        sides.append(first_of_each(left, alignment.pair, SWAPPED_WORDS))
    quotes, claims = sides
    quote, width = crossed(np.take(alignment.pair, quotes), np.take(alignment.pair, claims), view.count)
    quote, claim = np.take(quotes, quote), np.repeat(claims, width)
    stem = view.reading.stem
    return [Hashed(0, alignment.pair[quote], swap_hash(stem[quote], stem[claim]), (quote, claim))]


def swap_hash(quote: np.ndarray, claim: np.ndarray) -> np.ndarray:
    """Hash stems of quotes set beside stems of claims."""
    return mix(quote + claim * np.uint64(3))


def cue_places(view: PairView) -> tuple[np.ndarray, np.ndarray]:
    """Return the cues of quotes and the place of each: twice its region, and 1 more where the claim is turned."""
    at = np.flatnonzero(((view.reading.classes & _CUES) != 0) & view.quoted)
    return at, 2 * view.regions(at) + np.take(view.claim_turned, np.take(view.alignment.pair, at))


def lowest_cue(classes: np.ndarray) -> np.ndarray:
    """Return the bit of the first cue class of each word, 0 for a word of none (uint32)."""
    cues = classes & _CUES
    return cues & (~cues + np.uint32(1))


def cue_hashes(classes: np.ndarray, lemma: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hash cues by their class and place, their lemma and place, and their lemma and whether the claim is turned."""
    lemma, place = mix(lemma.astype(np.uint64)), place.astype(np.uint64)
    placed = place + np.uint64(1)
    return mix(lowest_cue(classes).astype(np.uint64)) + placed, lemma + placed, lemma + (place & np.uint64(1))


def _outline(view: PairView) -> list[Hashed]:
    """Runs of cues and aligned words in the quote, against the claim's parity."""
    classes = lowest_cue(view.reading.classes)
    at = np.flatnonzero(((classes > 0) | (view.alignment.aligned & (view.weight > 0))) & view.quoted)
    lowest, pair = np.take(classes, at), np.take(view.alignment.pair, at)
    if at.size:
        repeats = (lowest[1:] == 0) & (lowest[:-1] == 0) & (pair[1:] == pair[:-1])
        keep = np.flatnonzero(np.concatenate(([True], ~repeats)))
        at, pair, lowest = at[keep], pair[keep], lowest[keep]
    symbol, parity, kinds = run_symbol(lowest), view.claim_turned, []
    for index, length in enumerate(RUNS):
        size = max(at.size - length + 1, 0)
        whole = np.flatnonzero(pair[:size] == pair[at.size - size :])
        places = [whole + step for step in range(length)]
        hashes = run_hash([symbol[place] for place in places], parity[pair[whole]])
        kinds.append(Hashed(CUE_KINDS + index, pair[whole], hashes, tuple(at[place] for place in places)))
    return kinds


def run_hash(symbols: Sequence[np.ndarray], parity: np.ndarray) -> np.ndarray:
    """Hash runs of symbols, as ``run_symbol`` gives them, by the claim's parity."""
    hashes, *others = symbols
    for other in others:
        hashes = mix(hashes + other * np.uint64(3))
    return hashes + parity.astype(np.uint64)


def run_symbol(lowest: np.ndarray) -> np.ndarray:
    """Return what stands in runs for cues (the bits of their classes) and for words met (0)."""
    return mix(np.where(lowest > 0, lowest.astype(np.uint64), _MET))


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


def _relation_cells(view: PairView) -> list[Hashed]:
    """Each related pair of words by how it is related and by the set that relates it."""
    links = view.relations
    cell = mix(links.group.astype(np.uint64) * np.uint64(4) + links.relation.astype(np.uint64) + np.uint64(1))
    return [Hashed(0, view.alignment.pair[links.quote], cell, (links.quote, links.claim))]


def _senses(view: PairView) -> list[Hashed]:
    """What words mean that the other side has neither by stem nor by a synonym, by side."""
    senses = view.senses
    unmet = ~(view.alignment.exact | view.relations.same)[senses.word]
    cell = mix((senses.group << 13 | senses.member).astype(np.uint64) + np.uint64(1))
    families = []
    for kind, side in enumerate((view.quoted, view.claimed)):
        chosen = np.flatnonzero(unmet & side[senses.word])
        word = senses.word[chosen]
        families.append(Hashed(kind, view.alignment.pair[word], cell[chosen], (word,)))
    return families


def nothing(view: PairView) -> list[Hashed]:
    return []


DENSE = {"overlap": _overlap, "cues": _cues, "polarity": _polarity, "relations": _relations}
CELLS = {
    "overlap": (formulas.OVERLAP_CELLS, _overlap_steps),
    "polarity": (formulas.POLARITY_CELLS, _polarity_bits),
}
OF_PAIRS = {"swaps": _swaps, "outline": _outline, "relations": _relation_cells, "senses": _senses}
OF_CUES = ("outline",)
"""The families that have what ``cue_hashes`` gives."""

OF_WORDS = {
    "words": tuple(
        WordKind(states, _stems) for states in ((QUOTE_LEFT, QUOTE_NEAR), (CLAIM_LEFT, CLAIM_NEAR), (CLAIM_EXACT,))
    ),
    "grams": tuple(WordKind((state,), _grams(length)) for state in (QUOTE_LEFT, CLAIM_LEFT) for length in (3, 4)),
    "bag": (WordKind(tuple(range(STATES)), _stems),),
}
