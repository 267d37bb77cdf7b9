"""Features of (quote, claim) pairs, computed for whole batches: what training fits on and inference weighs.

A dense block says how much of each side the other covers, which cues stand where, and how the negations compose; hashed
sparse features name the words, the substitutions and the order of cues around the words that both sides share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from claimstance.alignment import CLAIM, QUOTE, Alignment, align
from claimstance.lexicon import CUE_CLASSES, FUNCTION, NUMBER, Lexicon, Reading, cue_bit
from claimstance.words import Words, mix, read_words

FEATURES = 1
"""Version of the features; raised whenever any pair gets other values."""

FAMILIES = ("overlap", "cues", "polarity", "words", "swaps", "grams", "outline", "bag")
"""Feature families that a model may use: coverage and numbers; cue counts; composed negation; words by side; pairs of
unmatched words; character 3- and 4-grams of unmatched words; the order of cues around shared words; the plain bag of
words of both texts, a baseline."""

SLOTS = 1 << 16
"""Number of slots that sparse features are hashed into."""

REGIONS = ("before", "ahead", "within", "behind", "after")
"""Where a word of the quote stands: before the focus clause; in it, ahead of, within or behind its aligned words; after."""

_TURNING = ("negator", "deny", "falsehood")
_RATIFYING = ("ratify", "truth", "evidence")
_OPEN = ("possible", "condition", "doubt", "ask", "interrogative", "silence")
_SWAPPED_WORDS = 4


@dataclass(frozen=True)
class Features:
    """Features of ``n`` pairs: ``dense`` (n × d, float32), and sparse ones as ``pair``, ``slot`` and ``value``, an entry
    each; entries of one pair and slot add up."""

    dense: np.ndarray
    pair: np.ndarray
    slot: np.ndarray
    value: np.ndarray


@dataclass(frozen=True)
class PairView:
    """One batch of pairs as the feature families see it: words, cues, alignment and the focus clause of each quote.

    ``content`` marks words that are neither function words nor negators; ``full_weight`` is the idf of every word and
    ``weight`` that of content words, 0 elsewhere; ``region`` is the index in REGIONS of each word of a quote;
    ``claim_turned`` (n) is the parity of the negations in each claim.
    """

    words: Words
    reading: Reading
    alignment: Alignment
    count: int
    content: np.ndarray
    weight: np.ndarray
    full_weight: np.ndarray
    region: np.ndarray
    claim_turned: np.ndarray

    def per_pair(self, chosen: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        """Sum ``values`` (1 each by default) of the chosen words (a mask) over each pair; returns n floats."""
        weights = None if values is None else values[chosen]
        return np.bincount(self.alignment.pair[chosen], weights=weights, minlength=self.count).astype(np.float64)

    def quoted(self) -> np.ndarray:
        return self.alignment.side == QUOTE

    def claimed(self) -> np.ndarray:
        return self.alignment.side == CLAIM


class FeatureExtractor:
    """Computes the features of pairs.

    Args:
        lexicon: the compiled word lists.
        idf: inverse document frequency of stems, 65,536 floats addressed by ``idf_slots``.
        families: which of FAMILIES to compute, each with the value of its sparse features; the larger, the more a
            regularised model relies on them.
    """

    def __init__(self, lexicon: Lexicon, idf: np.ndarray, families: Mapping[str, float]) -> None:
        self.lexicon = lexicon
        self.idf = idf
        self.families = {name: families[name] for name in FAMILIES if name in families}

    def __call__(self, quotes: Sequence[str], claims: Sequence[str]) -> Features:
        """Compute the features of pairs; an empty claim makes a model of quotes alone."""
        view = self.view(quotes, claims)
        dense = [np.empty((view.count, 0))]
        pairs, slots, values = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint64)], [np.empty(0)]
        for family, value in self.families.items():
            if family in _DENSE:
                dense.append(_DENSE[family](view))
            if family not in _SPARSE:
                continue
            for index, (pair, hashes) in enumerate(_SPARSE[family](view)):
                pairs.append(pair)
                slots.append(mix(hashes + _salt(FAMILIES.index(family) * 64 + index + 1)))
                values.append(np.full(pair.size, value))
        return Features(
            np.concatenate(dense, axis=1).astype(np.float32),
            np.concatenate(pairs),
            (np.concatenate(slots) >> np.uint64(48)).astype(np.int32),
            np.concatenate(values).astype(np.float32),
        )

    def view(self, quotes: Sequence[str], claims: Sequence[str]) -> PairView:
        """Read, align and weigh a batch of pairs."""
        texts = [text for both in zip(quotes, claims, strict=True) for text in both]
        words = read_words(texts)
        reading = self.lexicon.read(words)
        alignment = align(words, reading, len(quotes))
        content = (reading.classes & np.uint32(FUNCTION | cue_bit("negator"))) == 0
        full_weight = self.idf[idf_slots(reading)]
        weight = np.where(content, full_weight, np.float32(0))
        turning = reading.has(*_TURNING) & (alignment.side == CLAIM)
        claim_turned = np.bincount(alignment.pair[turning], minlength=len(quotes)) & 1
        return PairView(
            words=words,
            reading=reading,
            alignment=alignment,
            count=len(quotes),
            content=content,
            weight=weight,
            full_weight=full_weight,
            region=_regions(words, alignment, weight, len(quotes)),
            claim_turned=claim_turned,
        )


def _salt(number: int) -> np.uint64:
    return np.uint64(number * 0xA0761D6478BD642F % (1 << 64))


def idf_slots(reading: Reading) -> np.ndarray:
    """Return where each word's inverse document frequency stands in the idf table."""
    return (reading.stem >> np.uint64(48)).astype(np.int64)


def _regions(words: Words, alignment: Alignment, weight: np.ndarray, count: int) -> np.ndarray:
    """Place every word relative to the focus clause: the clause of the quote that covers most of the claim."""
    region = np.zeros(words.count, dtype=np.int64)
    if not words.count:
        return region
    met = np.flatnonzero((alignment.side == QUOTE) & alignment.aligned & (weight > 0))
    if not met.size:
        return region
    clause = words.clause[met]
    covered = np.bincount(clause, weights=weight[met])
    pair = alignment.pair[met]
    best = np.zeros(count)
    np.maximum.at(best, pair, covered[clause])
    in_focus = met[covered[clause] >= best[pair]]
    focus_pair, index = np.unique(alignment.pair[in_focus], return_index=True)
    focus_clause = np.full(count, -1)
    focus_clause[focus_pair] = words.clause[in_focus[index]]
    in_focus = met[clause == focus_clause[pair]]
    first, last = np.full(count, -1), np.full(count, -1)
    last[alignment.pair[in_focus]] = in_focus
    first[alignment.pair[in_focus][::-1]] = in_focus[::-1]
    position = np.arange(words.count)
    first, last = first[alignment.pair], last[alignment.pair]
    focus = focus_clause[alignment.pair]
    inside = 1 + (position >= first).astype(np.int64) + (position > last)
    region = np.where(words.clause < focus, 0, np.where(words.clause > focus, 4, inside))
    return np.where(focus < 0, 0, region)


def _overlap(view: PairView) -> np.ndarray:
    """Coverage of each side by the other, in content words and in all words; numbers that agree or clash."""
    columns = []
    for counted, weight in _measures(view):
        quote, claim = (_coverage(view, side & counted, weight) for side in (view.quoted(), view.claimed()))
        shares = [(quote[name], claim[name]) for name in ("exact", "aligned", "similar", "weighted")]
        columns += [*quote.values(), *claim.values()]
        columns += [share * share for both in shares for share in both]
        columns += [of_quote * of_claim for of_quote, of_claim in shares]
        columns += [np.minimum(*shares[-1]), np.maximum(*shares[-1])]
    numbers = (view.reading.classes & np.uint32(NUMBER)) != 0
    exact = view.alignment.exact
    quote_only, claim_only = (view.per_pair(side & numbers & ~exact) for side in (view.quoted(), view.claimed()))
    shared = view.per_pair(view.quoted() & numbers & exact)
    clash = (quote_only > 0) & (claim_only > 0)
    columns += [quote_only, claim_only, shared, clash, quote_only > 0, claim_only > 0, shared > 0]
    return np.column_stack(columns)


def _measures(view: PairView) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return which words count (a mask) and their weight, twice: content words alone, and all words."""
    return [(view.content, view.weight), (np.ones_like(view.content), view.full_weight)]


def _coverage(view: PairView, counted: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
    """Say how much of the counted words of one side the other covers, n floats each."""
    alignment = view.alignment
    size, aligned = view.per_pair(counted), view.per_pair(counted & alignment.aligned)
    heaviest = np.zeros(view.count)
    left = np.flatnonzero(counted & ~alignment.aligned)
    np.maximum.at(heaviest, alignment.pair[left], weight[left])
    return {
        "exact": _share(view.per_pair(counted & alignment.exact), size),
        "aligned": _share(aligned, size),
        "similar": _share(view.per_pair(counted, alignment.similarity), size),
        "weighted": _weighted_coverage(view, counted, weight),
        "size": np.log1p(size),
        "unmatched": np.log1p(size - aligned),
        "whole": aligned == size,
        "heaviest_unmatched": heaviest,
    }


def _weighted_coverage(view: PairView, counted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The idf-weighted share of counted words that the other side has, by similarity."""
    return _share(view.per_pair(counted, weight * view.alignment.similarity), view.per_pair(counted, weight))


def _overlap_cells(view: PairView) -> list[tuple[np.ndarray, np.ndarray]]:
    """Name how many words stay unmatched and how much is covered, in steps, singly and both sides jointly."""
    alignment, every, cells = view.alignment, np.arange(view.count), []
    for counted, weight in _measures(view):
        unaligned, inexact, covered = [], [], []
        for side in (view.quoted(), view.claimed()):
            here = side & counted
            unaligned.append(np.minimum(view.per_pair(here & ~alignment.aligned), 6))
            inexact.append(np.minimum(view.per_pair(here & ~alignment.exact), 6))
            covered.append(np.floor(np.minimum(_weighted_coverage(view, here, weight), 0.999) * 6))
        cells += [unaligned, inexact, covered, *([steps] for steps in (*unaligned, *covered))]
    return [(every, _packed(cell)) for cell in cells]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1e-9) * (whole > 0)


def _cues(view: PairView) -> np.ndarray:
    """Counts of every cue class on each side and their difference, and of the quote's cues by region."""
    classes, pair = view.reading.classes, view.alignment.pair
    found = np.flatnonzero(classes & np.uint32(FUNCTION - 1))
    counts = {}
    for side, name in ((QUOTE, "quote"), (CLAIM, "claim")):
        here = found[view.alignment.side[found] == side]
        table = np.zeros((view.count, len(CUE_CLASSES)))
        for bit in range(len(CUE_CLASSES)):
            cue = here[(classes[here] >> np.uint32(bit)) & 1 > 0]
            table[:, bit] = np.bincount(pair[cue], minlength=view.count)
        counts[name] = np.minimum(table, 3)
    questions = view.words.text_questions.reshape(view.count, 2)
    quote, claim = counts["quote"], counts["claim"]
    return np.column_stack((quote, claim, quote - claim, np.minimum(questions, 2)))


@dataclass(frozen=True)
class Composition:
    """Parities (0 or 1) of the negations of n quotes: in the focus clause, within its aligned words, ahead of them, in
    the whole quote; and whether anything ratifies or leaves open, in the focus clause and anywhere."""

    focus: np.ndarray
    within: np.ndarray
    ahead: np.ndarray
    anywhere: np.ndarray
    ratified_focus: np.ndarray
    ratified: np.ndarray
    open_focus: np.ndarray
    open: np.ndarray


def compose(view: PairView) -> Composition:
    """Count what turns, ratifies and leaves open in each quote; words met with their opposite turn as well."""
    quoted = view.quoted()
    in_focus = quoted & (view.region >= 1) & (view.region <= 3)
    turning = view.reading.has(*_TURNING)
    ratifying, leaving_open = view.reading.has(*_RATIFYING), view.reading.has(*_OPEN)
    turned = view.alignment.turned

    def parity(where: np.ndarray) -> np.ndarray:
        return (view.per_pair(turning & where).astype(np.int64) + turned) & 1

    def present(cue: np.ndarray, where: np.ndarray) -> np.ndarray:
        return (view.per_pair(cue & where) > 0).astype(np.int64)

    return Composition(
        focus=parity(in_focus),
        within=parity(quoted & (view.region == 2)),
        ahead=parity(quoted & (view.region <= 2)),
        anywhere=parity(quoted),
        ratified_focus=present(ratifying, in_focus),
        ratified=present(ratifying, quoted),
        open_focus=present(leaving_open, in_focus),
        open=present(leaving_open, quoted),
    )


def _polarity(view: PairView) -> np.ndarray:
    """Signs: parity of the negations in the quote × parity in the claim (±1), plain and weighed by coverage."""
    parts = compose(view)
    coverage = _weighted_coverage(view, view.claimed() & view.content, view.weight)
    columns = [1.0 - 2.0 * view.claim_turned, view.alignment.turned]
    for parity in (parts.focus, parts.within, parts.ahead, parts.anywhere):
        sign = 1.0 - 2.0 * (parity ^ view.claim_turned)
        columns += [sign, sign * coverage, sign * parts.ratified, sign * parts.open, sign * parts.ratified_focus]
    columns += [parts.ratified_focus, parts.ratified, parts.open_focus, parts.open]
    return np.column_stack(columns)


def _polarity_cells(view: PairView) -> list[tuple[np.ndarray, np.ndarray]]:
    """Name each combination of composed parities, ratifying and leaving open, so that a linear model sees them jointly."""
    parts, every = compose(view), np.arange(view.count)
    flags = [parts.ratified_focus, parts.ratified, parts.open_focus, parts.open]
    scopes = [parts.focus, parts.within, parts.ahead, parts.anywhere]
    cells = [[scope ^ view.claim_turned, *flags] for scope in scopes]
    cells.append([scope ^ view.claim_turned for scope in scopes])
    cells.append([*scopes, view.claim_turned, parts.ratified, parts.open])
    return [(every, _packed(cell)) for cell in cells]


def _packed(bits: list[np.ndarray]) -> np.ndarray:
    packed = np.zeros(bits[0].size, dtype=np.uint64)
    for bit in bits:
        packed = packed * np.uint64(8) + bit.astype(np.uint64) + np.uint64(1)
    return mix(packed)


def _words(view: PairView) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stems by where they stand: in the quote alone, in the claim alone, in both."""
    alignment, stem = view.alignment, view.reading.stem
    chosen = (
        np.flatnonzero(view.quoted() & ~alignment.exact),
        np.flatnonzero(view.claimed() & ~alignment.exact),
        np.flatnonzero(view.claimed() & alignment.exact),
    )
    return [(alignment.pair[at], stem[at]) for at in chosen]


def _bag(view: PairView) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(view.alignment.pair, view.reading.stem)]


def _swaps(view: PairView) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each of the first four unmatched words of the quote crossed with each of the claim's."""
    grids = []
    for side in (view.quoted(), view.claimed()):
        left = np.flatnonzero(side & ~view.alignment.aligned)
        pair = view.alignment.pair[left]
        rank = np.arange(left.size) - np.searchsorted(pair, pair)
        chosen = rank < _SWAPPED_WORDS
        grid = np.zeros((view.count, _SWAPPED_WORDS), dtype=np.uint64)
        grid[pair[chosen], rank[chosen]] = view.reading.stem[left[chosen]]
        grids.append(grid)
    quote, claim = grids
    crossed = mix(quote[:, :, None] + claim[:, None, :] * np.uint64(3))
    pair, row, column = np.nonzero((quote != 0)[:, :, None] & (claim != 0)[:, None, :])
    return [(pair, crossed[pair, row, column])]


def _grams(view: PairView) -> list[tuple[np.ndarray, np.ndarray]]:
    """Character 3- and 4-grams of unmatched stems, by side."""
    words, families = view.words, []
    for side in (view.quoted(), view.claimed()):
        left = np.flatnonzero(side & ~view.alignment.aligned & ~words.number)
        for length in (3, 4):
            grams = np.maximum(words.stem_stop[left] - words.stem_start[left] - length + 1, 0)
            offset = np.arange(grams.sum()) - np.repeat(np.cumsum(grams) - grams, grams)
            start = np.repeat(words.stem_start[left], grams) + offset
            families.append((np.repeat(view.alignment.pair[left], grams), words.gram_hashes(start, length)))
    return families


def _outline(view: PairView) -> list[tuple[np.ndarray, np.ndarray]]:
    """The order of cues around aligned words in the quote, and each cue by region, all against the claim's parity."""
    classes = view.reading.classes & np.uint32(FUNCTION - 1)
    lowest = (classes & (~classes + np.uint32(1))).astype(np.uint64)
    met = view.alignment.aligned & (view.weight > 0)
    symbol = np.where(lowest > 0, lowest, np.where(met, np.uint64(1 << 40), np.uint64(0)))
    at = np.flatnonzero((symbol > 0) & view.quoted())
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
        (cue_pair, mix(lowest[cue]) + placed),
        (cue_pair, mix(view.reading.lemma[cue].astype(np.uint64)) + placed),
        (cue_pair, mix(view.reading.lemma[cue].astype(np.uint64)) + claim[cue_pair]),
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
        families.append((pair[:size][whole], hashes[whole] + claim[pair[:size][whole]]))
    return families


_DENSE = {"overlap": _overlap, "cues": _cues, "polarity": _polarity}
_SPARSE = {
    "overlap": _overlap_cells,
    "polarity": _polarity_cells,
    "words": _words,
    "swaps": _swaps,
    "grams": _grams,
    "outline": _outline,
    "bag": _bag,
}
