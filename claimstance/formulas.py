"""Features of a pair as a whole, as formulas over what was counted in it: for arrays of n pairs, and for the numbers of one.

Both give the same values, bit for bit: counts are whole numbers, similarities and weights multiples of a power of two, so that
their sums are exact in any order; and every feature is rounded to a multiple of 1/4,096 in the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

STEPS = 4096
"""Similarities and features are in steps of 1/4,096."""

_LARGEST_COUNT = 4095
_LOGS = np.log1p(np.arange(_LARGEST_COUNT + 1))
_LOGS_OF_ONE = _LOGS.tolist()
_NO_LESS = 1e-9
_MOST_NUMBERS = 99
_MOST_UNMET = 6
_CELL_BASE = 8
_SMALL_PRODUCT = 1 << 17
"""Multiplications up to which OpenBLAS stays in the thread that calls it; its own bound is twice as high."""

Value = Any
"""A number, or an array of one a pair."""


class Operations(NamedTuple):
    """What formulas need beside arithmetic, and what differs between numbers and arrays of them."""

    least: Callable[[Value, Value], Value]
    most: Callable[[Value, Value], Value]
    whole: Callable[[Value], Value]
    log1p: Callable[[Value], Value]


def _logs_of_counts(counts: np.ndarray) -> np.ndarray:
    return np.take(_LOGS, counts.astype(np.int64), mode="clip")


def _log_of_count(count: int) -> float:
    return _LOGS_OF_ONE[min(count, _LARGEST_COUNT)]


ARRAYS = Operations(np.minimum, np.maximum, np.floor, _logs_of_counts)
NUMBERS = Operations(min, max, int, _log_of_count)


class Met(NamedTuple):
    """How much of one side of a pair the other meets, counted over some of its words.

    ``size``: how many count; ``inexact``, ``unmet``: how many of them have not their stem, or nothing that counts as met, on
    the other side; ``heaviest``: the largest idf among the unmet; ``shares``: of ``size`` what is exact, what counts as met,
    and the sum of similarities, and of the sum of idf that of idf × similarity; 0 of 0.
    """

    size: Value
    inexact: Value
    unmet: Value
    heaviest: Value
    shares: tuple[Value, Value, Value, Value]

    @property
    def coverage(self) -> Value:
        """The last of the shares."""
        return self.shares[-1]

    @classmethod
    def of(
        cls,
        use: Operations,
        size: Value,
        exact: Value,
        aligned: Value,
        similar: Value,
        whole: Value,
        covered: Value,
        heaviest: Value,
    ) -> Met:
        """Make it of the numbers of words that count, are exact, count as met; the sums of similarities, of idf and of idf ×
        similarity; and ``heaviest``."""
        some, whole = use.most(size, _NO_LESS), use.most(whole, _NO_LESS)
        shares = exact / some, aligned / some, similar / some, covered / whole
        return cls(size, size - exact, size - aligned, heaviest, shares)


class Numbers(NamedTuple):
    """How many numbers stand in the quote alone, in the claim alone, and in the quote with the claim having them too."""

    quote: Value
    claim: Value
    both: Value


class Composition(NamedTuple):
    """How negations compose in a quote, 0 or 1 each.

    Parities of what turns a statement round: in the focus clause, within its aligned words, up to their end, in the
    whole quote; whether anything ratifies or leaves open, in the focus clause and anywhere; the parity of the ``claim``; and,
    a count, how many shared words stand with their opposite on the other side (``turned``).
    """

    focus: Value
    within: Value
    ahead: Value
    anywhere: Value
    ratified_focus: Value
    ratified: Value
    open_focus: Value
    open: Value
    claim: Value
    turned: Value

    @property
    def scopes(self) -> tuple[Value, Value, Value, Value]:
        return self.focus, self.within, self.ahead, self.anywhere

    @property
    def flags(self) -> tuple[Value, Value, Value, Value]:
        return self.ratified_focus, self.ratified, self.open_focus, self.open


Sides = tuple[Met, Met]


def overlap(kinds: Sequence[Sides], numbers: Numbers, use: Operations) -> list[Value]:
    """Coverage of quote and claim by each other, by each kind of counting; and numbers that agree or clash."""
    columns: list[Value] = []
    for sides in kinds:
        for met in sides:
            columns += (*met.shares, use.log1p(met.size), use.log1p(met.unmet), met.unmet == 0, met.heaviest)
        quote, claim = (met.shares for met in sides)
        columns += [part * part for both in zip(quote, claim, strict=True) for part in both]
        columns += [one * other for one, other in zip(quote, claim, strict=True)]
        columns += [use.least(quote[-1], claim[-1]), use.most(quote[-1], claim[-1])]
    counts = [use.least(count, _MOST_NUMBERS) for count in numbers]
    some = [count > 0 for count in counts]
    return [*columns, *counts, some[0] & some[1], *some]


def overlap_steps(kinds: Sequence[Sides], use: Operations) -> list[Value]:
    """How many words are not met, in steps, and how much is covered, in sixths: what OVERLAP_CELLS are made of."""
    steps = []
    for sides in kinds:
        steps += [use.least(met.unmet, _MOST_UNMET) for met in sides]
        steps += [use.least(met.inexact, _MOST_UNMET) for met in sides]
        steps += [use.whole(use.least(met.coverage, 0.999) * 6) for met in sides]
    return steps


def polarity(parts: Composition, coverage: Value) -> list[Value]:
    """Signs: parity of the negations in the quote × parity in the claim (±1), plain and weighed by the claim's coverage."""
    columns = [1.0 - 2.0 * parts.claim, parts.turned]
    for parity in parts.scopes:
        sign = 1.0 - 2.0 * (parity ^ parts.claim)
        columns += [sign, sign * coverage, sign * parts.ratified, sign * parts.open, sign * parts.ratified_focus]
    return [*columns, *parts.flags]


def polarity_bits(parts: Composition) -> list[Value]:
    """Parities of the quote with the claim's, what ratifies and leaves open, and parities alone, for POLARITY_CELLS."""
    return [*(parity ^ parts.claim for parity in parts.scopes), *parts.flags, *parts.scopes, parts.claim]


class Cells:
    """Which parts of a pair are seen together, so that a linear model has each combination of their values.

    Args:
        cells: the parts of each cell, by their index.
        levels: values that a part has, from 0 on.
    """

    def __init__(self, cells: Sequence[Sequence[int]], levels: int) -> None:
        self.cells, self._levels = cells, levels
        self._first = [0, *itertools.accumulate(levels ** len(cell) for cell in cells)]
        self._strides = np.zeros((len(cells), 1 + max(map(max, cells))))
        for index, cell in enumerate(cells):
            for place, part in enumerate(reversed(cell)):
                self._strides[index, part] = levels**place

    def numbers(self) -> Iterator[tuple[int, int]]:
        """Yield for every row its cell and the number of its combination."""
        for index, cell in enumerate(self.cells):
            for values in itertools.product(range(self._levels), repeat=len(cell)):
                number = 0
                for value in values:
                    number = number * _CELL_BASE + value + 1
                yield index, number

    def rows(self, parts: np.ndarray) -> np.ndarray:
        """Return the row of each cell (cells × n) for parts of n pairs (parts × n)."""
        return product(parts.T, self._strides.T).T.astype(np.int64) + np.array(self._first[:-1])[:, None]

    def rows_of_one(self, parts: Sequence[int]) -> list[int]:
        """Return the row of each cell for the parts of one pair."""
        rows = []
        for first, cell in zip(self._first, self.cells, strict=False):
            row = 0
            for part in cell:
                row = row * self._levels + parts[part]
            rows.append(first + row)
        return rows


_OF_ONE_KIND = ((0, 1), (2, 3), (4, 5), (0,), (1,), (4,), (5,))
OVERLAP_CELLS = Cells(
    [[6 * kind + step for step in cell] for kind in range(2) for cell in _OF_ONE_KIND], levels=_MOST_UNMET + 1
)
"""Which of ``overlap_steps`` are seen together."""

POLARITY_CELLS = Cells([*([scope, 4, 5, 6, 7] for scope in range(4)), [0, 1, 2, 3], [8, 9, 10, 11, 12, 5, 7]], levels=2)
"""Which of ``polarity_bits`` are seen together."""


def product(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the matrix product of n rows with weights, some rows at a time: for more, BLAS starts threads, and in several
    processes at once these wait for each other longer than they work."""
    found = np.empty((len(rows), weights.shape[1]))
    step = max(_SMALL_PRODUCT // max(weights.size, 1), 1)
    for start in range(0, len(rows), step):
        np.matmul(rows[start : start + step], weights, out=found[start : start + step])
    return found


def rounded(features: np.ndarray) -> np.ndarray:
    """Round features to multiples of 1/4,096."""
    return np.rint(features * STEPS) / STEPS
