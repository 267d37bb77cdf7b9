"""Arabic and English normalisation, as one table over UTF-16 code units.

The table says for every code unit what it becomes and of which kind it is, so that a whole batch of texts is
normalised by looking it up once. Training and inference share it; a bundle records ``NORMALISATION`` and a reader of
another version refuses it.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Sequence

import numpy as np

NORMALISATION = 1
"""Version of the rules in this module; raised whenever any text comes out differently."""

SPACE, LETTER, DIGIT, DELETED, CLAUSE_MARK, QUESTION_MARK, SEPARATOR, POINT, END, COMPATIBILITY = range(10)
"""Kinds of code units. SEPARATOR groups thousands and POINT marks decimals where both neighbours are digits, and both
end a clause elsewhere; COMPATIBILITY units stand in a text that needs NFKC first; END closes a text."""

ALEF_MAKSURA = 0x0649

_UNITS = 1 << 16
_FOLDED = {
    **dict.fromkeys("أإآٱٲٳ", "ا"),
    **dict.fromkeys("ؤئ", "ء"),
    "ة": "ه",
    "ۃ": "ه",
    "ھ": "ه",
    "ہ": "ه",
    "ی": "ي",
    "ک": "ك",
    "ڪ": "ك",
    "ڤ": "ف",
    "پ": "ب",
    "چ": "ج",
    "گ": "ك",
}
_CLAUSE_MARKS = ";:!…؛\n\r\u2028\u2029"
_QUESTION_MARKS = "?؟"
_SEPARATORS = ",،٬"
_POINTS = ".٫"
_FIRST_MARK, _LAST_MARK = 0x0653, 0x0655  # madda and hamza, which compose with a letter
_DELETED = "'’‘ʼ`´"


@functools.cache
def unit_table() -> tuple[np.ndarray, np.ndarray]:
    """Return (folded, kinds), two arrays of 65,536: the code unit that each becomes (uint16) and its kind (uint8)."""
    folded = np.arange(_UNITS, dtype=np.uint16)
    kinds = np.full(_UNITS, SPACE, dtype=np.uint8)
    for unit in range(_UNITS):
        category = unicodedata.category(chr(unit))
        if category[0] == "L":
            kinds[unit] = LETTER
        elif category == "Nd":
            kinds[unit] = DIGIT
            folded[unit] = ord("0") + unicodedata.digit(chr(unit))
        elif category in ("Mn", "Me", "Cf"):
            kinds[unit] = DELETED
    for units, kind in (
        (_CLAUSE_MARKS, CLAUSE_MARK),
        (_QUESTION_MARKS, QUESTION_MARK),
        (_SEPARATORS, SEPARATOR),
        (_POINTS, POINT),
        (_DELETED + "\u0640", DELETED),
        ("\0", END),
    ):
        kinds[[ord(unit) for unit in units]] = kind
    letters = np.flatnonzero(kinds == LETTER)
    for unit in letters[(letters < 0x0590) | ((letters >= 0x1E00) & (letters < 0x2000))]:
        plain = unicodedata.normalize("NFD", chr(unit).lower())[0]
        folded[unit] = ord(plain) if len(plain) == 1 else unit
    for source, target in _FOLDED.items():
        folded[ord(source)] = ord(target)
    kinds[_FIRST_MARK : _LAST_MARK + 1] = COMPATIBILITY
    for first, last in ((0xFB50, 0xFDFF), (0xFE70, 0xFEFC), (0xFF10, 0xFF5A)):
        span = slice(first, last + 1)
        kinds[span] = np.where(np.isin(kinds[span], (LETTER, DIGIT)), COMPATIBILITY, kinds[span])
    folded.setflags(write=False)
    kinds.setflags(write=False)
    return folded, kinds


@functools.cache
def _codes() -> np.ndarray:
    """Return ``unit_table`` as one array: the kind of each unit above what it becomes (uint32)."""
    folded, kinds = unit_table()
    return folded | kinds.astype(np.uint32) << np.uint32(16)


def fold(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Normalise a batch of texts.

    Returns:
        (units, kinds): the folded code units of all texts one after another (uint16) and the kind of each (uint8),
        among SPACE, LETTER, DIGIT, CLAUSE_MARK, QUESTION_MARK and END; one END closes each text. Yeh and alef
        maksura stay apart here: a verb and its noun may differ in that letter alone.
    """
    codes = np.take(_codes(), _units(texts))
    kinds = codes >> np.uint32(16)
    if (kinds == COMPATIBILITY).any():
        raw, kinds = _resolved(texts)
        codes = np.take(unit_table()[0], raw) | kinds.astype(np.uint32) << np.uint32(16)
    codes = codes[kinds != DELETED]
    units, kinds = codes.astype(np.uint16), (codes >> np.uint32(16)).astype(np.uint8)
    return _without_deleted(units, kinds) if _read_numbers(units, kinds) else (units, kinds)


def needs_composing(text: str) -> bool:
    """Say whether a text holds units that are put into NFKC, and the whole text with them."""
    return bool((np.take(unit_table()[1], _units([text])) == COMPATIBILITY).any())


def fold_with_origins(text: str) -> tuple[str, np.ndarray]:
    """Return a text as it is read, its compatibility forms resolved, and where in it each unit that ``fold`` keeps stands.

    Positions count characters; the last is that of the END.
    """
    raw, kinds = _resolved([text])
    high, low = (raw & 0xFC00) == 0xD800, (raw & 0xFC00) == 0xDC00
    second_half = low & np.concatenate(([False], high[:-1]))
    character = np.cumsum(~second_half) - 1
    character, kept = _without_deleted(character, kinds)
    _read_numbers(raw[kinds != DELETED], kept)
    return _spelled(raw[:-1]), _without_deleted(character, kept)[0]


def _resolved(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the code units of texts and their kinds, none of them COMPATIBILITY."""
    kind_of = unit_table()[1]
    raw = _units(texts)
    kinds = np.take(kind_of, raw)
    if (kinds == COMPATIBILITY).any():
        raw = _units(_composed(texts, raw, kinds))
        kinds = np.take(kind_of, raw)
        kinds[kinds == COMPATIBILITY] = LETTER
        kinds[(raw >= _FIRST_MARK) & (raw <= _LAST_MARK)] = DELETED
    return raw, kinds


def _without_deleted(values: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kept = kinds != DELETED
    return values[kept], kinds[kept]


def _composed(texts: Sequence[str], raw: np.ndarray, kinds: np.ndarray) -> list[str]:
    """Put the texts that hold COMPATIBILITY units into NFKC, and no others, so that none reads otherwise for its neighbours.

    What is deleted anyway goes first, and of several marks on one letter all but the first: NFKC takes quadratic time
    to order a long run of marks.
    """
    texts, ends = list(texts), np.flatnonzero(kinds == END)
    mark = (raw >= _FIRST_MARK) & (raw <= _LAST_MARK)
    kept = (kinds != DELETED) & ~(mark & np.concatenate(([False], mark[:-1])))
    for index in np.unique(np.searchsorted(ends, np.flatnonzero(kinds == COMPATIBILITY))).tolist():
        span = slice(ends[index - 1] + 1 if index else 0, ends[index])
        texts[index] = unicodedata.normalize("NFKC", _spelled(raw[span][kept[span]]))
    return texts


def _spelled(raw: np.ndarray) -> str:
    return raw.astype("<u2").tobytes().decode("utf-16-le", "surrogatepass")


def _units(texts: Sequence[str]) -> np.ndarray:
    joined = "\0".join([*texts, ""])
    if joined.count("\0") != len(texts):
        joined = "\0".join([*(text.replace("\0", " ") for text in texts), ""])
    order = "utf-16-le" if sys.byteorder == "little" else "utf-16-be"
    return np.frombuffer(joined.encode(order, "surrogatepass"), dtype=np.uint16)


def _read_numbers(units: np.ndarray, kinds: np.ndarray) -> bool:
    """Join grouped thousands and decimals, in place: ``١٬٢٠٠`` and ``1,200`` become ``1200``; other marks end a clause.

    Returns whether any mark between thousands is DELETED now.
    """
    at = np.flatnonzero((kinds == SEPARATOR) | (kinds == POINT))
    inner = at[(at > 0) & (at < kinds.size - 1)]
    between = inner[(kinds[inner - 1] == DIGIT) & (kinds[inner + 1] == DIGIT)]
    grouped, decimal = between[kinds[between] == SEPARATOR], between[kinds[between] == POINT]
    kinds[at] = CLAUSE_MARK
    kinds[grouped] = DELETED
    kinds[decimal] = DIGIT
    units[decimal] = ord(".")
    return grouped.size > 0
