"""Which words of a quote and of a claim answer to each other: exact stems first, then similar spellings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from claimstance.lexicon import Reading
from claimstance.words import Words, mix

QUOTE, CLAIM = 0, 1

SIMILAR = 0.5
"""Dice similarity of character bigrams and trigrams from which two stems count as one word."""

_LONGEST = (64, 24)
"""How many unmatched words of a quote and of a claim are compared by spelling; later ones stay unmatched."""


@dataclass(frozen=True)
class Alignment:
    """How the words of a batch of pairs meet; text ``2 i`` is the quote and ``2 i + 1`` the claim of pair ``i``.

    One entry a word: ``pair`` and ``side`` (QUOTE or CLAIM) say where it stands, ``exact`` whether the other side has
    its stem, ``similarity`` (0 to 1) how near the most similar word of the other side is, ``aligned`` whether it
    counts as met. One entry a pair: ``turned``, how many shared words stand with their opposite on the other side.
    """

    pair: np.ndarray
    side: np.ndarray
    exact: np.ndarray
    similarity: np.ndarray
    aligned: np.ndarray
    turned: np.ndarray


def align(words: Words, reading: Reading, pairs: int) -> Alignment:
    """Align both sides of ``pairs`` pairs."""
    pair, side = words.text >> 1, words.text & 1
    exact, turned = _match_stems(pair, side, reading, pairs)
    similarity = exact.astype(np.float32)
    left = np.flatnonzero(~exact & ~words.number & (words.stem_stop - words.stem_start > 1))
    similarity[left] = _compare_spellings(words, left, pair, side, pairs)
    return Alignment(pair, side, exact, similarity, similarity >= SIMILAR, turned)


def _match_stems(pair: np.ndarray, side: np.ndarray, reading: Reading, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Find stems that stand on both sides of a pair by one sort: the runs of equal keys are the distinct stems."""
    exact = np.zeros(pair.size, dtype=bool)
    turned = np.zeros(pairs, dtype=np.int64)
    if not pair.size:
        return exact, turned
    keys = mix(reading.stem + (pair.astype(np.uint64) << np.uint64(40)))
    order = np.argsort(keys)
    keys = keys[order]
    run_starts = np.concatenate(([0], np.flatnonzero(keys[1:] != keys[:-1]) + 1))
    lengths = np.diff(run_starts, append=keys.size)
    seen_as = (1 << (2 * side + reading.opposite)).astype(np.uint8)
    seen = np.bitwise_or.reduceat(seen_as[order], run_starts)
    shared = ((seen & 0b0011) > 0) & ((seen & 0b1100) > 0)
    exact[order] = np.repeat(shared, lengths)
    flips = run_starts[(seen == 0b0110) | (seen == 0b1001)]
    np.add.at(turned, pair[order[flips]], 1)
    return exact, turned


def _compare_spellings(words: Words, left: np.ndarray, pair: np.ndarray, side: np.ndarray, pairs: int) -> np.ndarray:
    """Return for each word in ``left`` its similarity to the most similar left-over word of the other side."""
    best = np.zeros(left.size, dtype=np.float32)
    if not left.size:
        return best
    group = words.text[left]
    rank = np.arange(left.size) - np.searchsorted(group, group)
    quotes = np.flatnonzero((side[left] == QUOTE) & (rank < _LONGEST[QUOTE]))
    claims = np.flatnonzero((side[left] == CLAIM) & (rank < _LONGEST[CLAIM]))
    # Every claim word is set beside every quote word of its pair: a row of `quote` and `claim` for each two.
    first = np.searchsorted(pair[left[quotes]], np.arange(pairs + 1))
    width = np.diff(first)[pair[left[claims]]]
    claim = np.repeat(claims, width)
    start = np.cumsum(width) - width
    quote = quotes[np.arange(claim.size) - np.repeat(start - first[pair[left[claims]]], width)]
    if not claim.size:
        return best
    bigrams, trigrams = _signatures(words, left)
    sizes = np.bitwise_count(bigrams).astype(np.uint16) + np.bitwise_count(trigrams)
    both = np.bitwise_count(bigrams[quote] & bigrams[claim]) + np.bitwise_count(trigrams[quote] & trigrams[claim])
    dice = 2 * both.astype(np.float32) / np.maximum(sizes[quote] + sizes[claim], 1)
    met = np.flatnonzero(width)
    best[claims[met]] = np.maximum.reduceat(dice, start[met])
    np.maximum.at(best, quote, dice)
    return best


def _signatures(words: Words, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return 64-bit sets of the character bigrams and trigrams of each chosen stem, one hashed bit a gram."""
    units = np.pad(words.units.astype(np.uint32), (0, 2))
    pairs_of = units[:-2] * np.uint32(0x9E3779B1) + units[1:-1] * np.uint32(0x85EBCA77)
    triples_of = pairs_of + units[2:] * np.uint32(0xC2B2AE3D)
    start, stop = words.stem_start[chosen], words.stem_stop[chosen]
    signatures = []
    for grams, length in ((pairs_of, 2), (triples_of, 3)):
        bits = np.uint64(1) << (grams >> np.uint32(26)).astype(np.uint64)
        bounds = np.column_stack((start, np.maximum(stop - length + 1, start + 1))).ravel()
        sets = np.bitwise_or.reduceat(bits, bounds)[::2]
        signatures.append(np.where(stop - start >= length, sets, np.uint64(0)))
    return signatures[0], signatures[1]
