"""Which words of a quote and of a claim answer to each other: exact stems first, then similar spellings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from claimstance.formulas import STEPS
from claimstance.lexicon import Reading
from claimstance.words import Words, mix

QUOTE, CLAIM = 0, 1

SIMILAR = 0.5
"""Dice similarity of character bigrams and trigrams from which two stems count as one word."""

_RESALT = np.uint64(0xA0761D6478BD642F)
LONGEST = (64, 24)
"""How many unmatched words of a quote and of a claim are compared by spelling; later ones stay unmatched."""


@dataclass(frozen=True)
class Spellings:
    """What stems are compared by, an entry a word: 64-bit sets of their character bigrams and trigrams, a hashed bit each
    (``grams``, two columns, uint64); how many bits both hold (``size``); and whether the word is compared at all, which
    numbers and single letters are not."""

    grams: np.ndarray
    size: np.ndarray
    comparable: np.ndarray


@dataclass(frozen=True)
class Alignment:
    """How the words of a batch of pairs meet; text ``2 i`` is the quote and ``2 i + 1`` the claim of pair ``i``.

    One entry a word: ``pair`` and ``side`` (QUOTE or CLAIM) say where it stands, ``exact`` whether the other side has
    its stem, ``similarity`` (0 to 1, in steps of 1/4,096) how near the most similar word of the other side is, ``aligned``
    whether it counts as met. One entry a pair: ``turned``, how many shared words stand with their opposite on the other side.
    """

    pair: np.ndarray
    side: np.ndarray
    exact: np.ndarray
    similarity: np.ndarray
    aligned: np.ndarray
    turned: np.ndarray


def align(words: Words, reading: Reading, spelling: Spellings, row: np.ndarray, pairs: int) -> Alignment:
    """Align both sides of ``pairs`` pairs; ``row`` says where in ``spelling`` each word stands."""
    pair, side = words.text >> 1, words.text & 1
    quoted = side == QUOTE
    key = mix(reading.stem + (pair.astype(np.uint64) << np.uint64(40)))
    exact = _shared(key, quoted)
    similarity = exact.astype(np.float64)
    left = np.flatnonzero(np.take(spelling.comparable, row) & ~exact)
    of_quote = np.take(quoted, left)
    quotes, claims = left[of_quote], left[~of_quote]
    quotes, claims = (
        first_of_each(at, pair, most) for at, most in ((quotes, LONGEST[QUOTE]), (claims, LONGEST[CLAIM]))
    )
    if quotes.size and claims.size:
        _compare_spellings(similarity, spelling, row, quotes, claims, pair)
    return Alignment(
        pair, side, exact, similarity, similarity >= SIMILAR, _turned(key, exact, side, reading, pair, pairs)
    )


def _shared(key: np.ndarray, quoted: np.ndarray) -> np.ndarray:
    """Say of each word whether its key stands in a quote and in a claim (bool).

    The claims' keys go into slots and the quotes' look for themselves there; keys that fell into one slot with another are
    tried again with other slots.
    """
    exact = np.zeros(key.size, dtype=bool)
    quotes, claims = np.flatnonzero(quoted), np.flatnonzero(~quoted)
    sought, left = np.take(key, quotes), np.take(key, claims)
    while claims.size and quotes.size:
        bits = (16 * claims.size).bit_length()
        shift = np.uint64(64 - bits)
        slot, looked = (left >> shift).view(np.int64), (sought >> shift).view(np.int64)
        slots, met = np.zeros(1 << bits, dtype=np.uint64), np.zeros(1 << bits, dtype=bool)
        slots[slot] = left
        hit = np.flatnonzero(np.take(slots, looked) == sought)
        exact[np.take(quotes, hit)] = True
        met[np.take(looked, hit)] = True
        placed = np.take(slots, slot) == left
        exact[claims[placed & np.take(met, slot)]] = True
        again = np.flatnonzero(~placed)
        claims, left = claims[again], left[again]
        if again.size:
            sought, left = mix(sought + _RESALT), mix(left + _RESALT)
    return exact


def _turned(
    key: np.ndarray, exact: np.ndarray, side: np.ndarray, reading: Reading, pair: np.ndarray, pairs: int
) -> np.ndarray:
    """Count in each pair the shared stems that stand for one word in the quote and for its opposite in the claim."""
    turned = np.zeros(pairs, dtype=np.int64)
    at = np.flatnonzero(exact & reading.kin)
    if at.size:
        _, first, like = np.unique(key[at], return_index=True, return_inverse=True)
        seen = np.zeros(first.size, dtype=np.uint8)
        np.bitwise_or.at(seen, like, (1 << (2 * side[at] + reading.opposite[at])).astype(np.uint8))
        np.add.at(turned, pair[at[first[(seen == 0b0110) | (seen == 0b1001)]]], 1)
    return turned


def first_of_each(at: np.ndarray, pair: np.ndarray, most: int) -> np.ndarray:
    """Return of the words ``at``, which are all of one side, at most so many of each pair."""
    if at.size <= most:
        return at
    pair = np.take(pair, at)
    return at[np.concatenate((np.ones(most, dtype=bool), pair[most:] != pair[:-most]))]


def crossed(quote_pair: np.ndarray, claim_pair: np.ndarray, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Set every claim word beside every quote word of its pair.

    Args:
        quote_pair, claim_pair: the pairs that some words of quotes and of claims belong to, ascending.
        pairs: how many pairs there are.

    Returns:
        The index of the quote word of every two, claim word after claim word, and how many each claim word has.
    """
    counts = np.bincount(quote_pair, minlength=pairs)
    width = np.take(counts, claim_pair)
    # From where the row of a claim word starts to where the words of its quote do.
    shift = np.take(np.cumsum(counts) - counts, claim_pair) - (np.cumsum(width) - width)
    quote = np.repeat(shift, width)
    quote += np.arange(quote.size)
    return quote, width


def _compare_spellings(
    similarity: np.ndarray,
    spelling: Spellings,
    row: np.ndarray,
    quotes: np.ndarray,
    claims: np.ndarray,
    pair: np.ndarray,
) -> None:
    """Put the similarity of left-over words to the most similar one of the other side in its place."""
    quote, width = crossed(np.take(pair, quotes), np.take(pair, claims), int(pair[-1]) + 1)
    rows, other_rows = np.take(row, quotes), np.take(row, claims)
    common = np.take(np.take(spelling.grams, rows, axis=0), quote, axis=0)
    common &= np.repeat(np.take(spelling.grams, other_rows, axis=0), width, axis=0)
    found = np.bitwise_count(common)
    bits = found[:, 0] + found[:, 1]
    some = np.flatnonzero(bits != 0)
    quote, claim = np.take(quote, some), np.take(np.repeat(np.arange(claims.size), width), some)
    size = np.take(np.take(spelling.size, rows), quote) + np.take(np.take(spelling.size, other_rows), claim)
    dice = np.rint(2 * STEPS * np.take(bits, some).astype(np.float64) / size) / STEPS
    np.maximum.at(similarity, np.take(quotes, quote), dice)
    np.maximum.at(similarity, np.take(claims, claim), dice)


def spellings(words: Words) -> Spellings:
    """Say what the stems of words are compared by."""
    units = np.pad(words.units.astype(np.uint32), (0, 2))
    pairs_of = units[:-2] * np.uint32(0x9E3779B1) + units[1:-1] * np.uint32(0x85EBCA77)
    triples_of = pairs_of + units[2:] * np.uint32(0xC2B2AE3D)
    start, stop = words.stem_bounds
    sets = []
    for grams, length in ((pairs_of, 2), (triples_of, 3)):
        bits = np.uint64(1) << (grams >> np.uint32(26)).astype(np.uint64)
        bounds = np.column_stack((start, np.maximum(stop - length + 1, start + 1))).ravel()
        found = np.bitwise_or.reduceat(bits, bounds)[::2] if bounds.size else np.empty(0, dtype=np.uint64)
        sets.append(np.where(stop - start >= length, found, np.uint64(0)))
    size = sum(np.bitwise_count(each).astype(np.int64) for each in sets)
    return Spellings(np.stack(sets, axis=1), size, ~words.number & (stop - start > 1))
