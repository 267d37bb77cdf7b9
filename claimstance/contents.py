"""The files of an exported model, read as what they are said to be and as nothing else.

Only plain files are read, no more of them than their manifest says, and each once, so that what is parsed is what was
checked. Nothing here runs what it reads: arrays are taken as bytes of one known layout, never as pickles.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import mmap
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from claimstance.errors import BundleError
from claimstance.words import read_words

LARGEST_WEIGHT = 1e9
"""Absolute value of a weight at most, so that no sum of them overflows."""

MOST_FORMS = 500_000
"""Inflected forms that all word lists of a model may have together."""

_LONGEST_TEXT = 200
_MOST_SENSES = 256
_SENSE_BITS = np.uint64(37)  # 24 of the group, 12 of its member, 1 of its kind
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(<[fu]\d)', 'fortran_order': False, 'shape': \((\d{1,10}), ?(\d{0,10})\), \} *\n",
    re.DOTALL,
)
_NAMED_FILE = re.compile(rb"location")
_LENGTH_BEFORE = re.compile(rb"(?:\x08|\x88\x80*\x00)\Z")


def read_plain(path: Path, largest: int) -> bytes:
    """Return the content of a plain file of at most ``largest`` bytes.

    Raises:
        BundleError: it is missing, no plain file, larger, or cannot be read.
    """
    with _opened(path) as (handle, size):
        if size > largest:
            raise BundleError(f"{path}: {size} bytes, expected at most {largest}; export the model again")
        return _read(handle, size, path)


def read_checked(path: Path, expected: Mapping[str, Any], largest: int) -> bytes:
    """Return the content of a file that has the ``bytes`` and ``sha256`` that are ``expected`` of it.

    Raises:
        BundleError: it is missing, altered, no plain file, or of more than ``largest`` bytes.
    """
    with _opened(path) as (handle, size):
        _check_size(path, size, expected, largest)
        content = _read(handle, size, path)
    _check_digest(path, hashlib.sha256(content).hexdigest(), expected)
    return content


def check_network(path: Path, expected: Mapping[str, Any], largest: int) -> None:
    """Check a file that is too large to be held in memory: an ONNX graph, which may not name files that hold its weights.

    Raises:
        BundleError: it is missing, altered, no plain file, of more than ``largest`` bytes, or names other files.
    """
    with _opened(path) as (handle, size):
        _check_size(path, size, expected, largest)
        _check_digest(path, hashlib.file_digest(handle, "sha256").hexdigest(), expected)
        if not size:
            raise BundleError(f"{path}: empty, expected an ONNX graph; export the model again")
        with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
            # Weights outside the graph are named by entries with the key "location": the field's length, then the word.
            for found in _NAMED_FILE.finditer(content):
                if _LENGTH_BEFORE.search(content[max(found.start() - 10, 0) : found.start()]):
                    raise BundleError(f"{path}: weights in another file, expected all in this one; export it again")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a plain file and say its size; a pipe is not waited for."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as handle:
            found = os.fstat(handle.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise BundleError(f"{path}: a pipe or a device, expected a plain file; export the model again")
            yield handle, found.st_size
    except FileNotFoundError:
        raise BundleError(f"{path}: missing from the exported model; copy the whole folder or export again") from None
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be read ({error.strerror}), expected a plain file; copy the whole folder or export again"
        ) from None


def _read(handle: BinaryIO, size: int, path: Path) -> bytes:
    content = handle.read(size + 1)
    if len(content) != size:
        raise BundleError(f"{path}: changed while it was read; load the model again when nothing writes to it")
    return content


def _check_size(path: Path, size: int, expected: Mapping[str, Any], largest: int) -> None:
    if size > largest or size != expected["bytes"]:
        raise BundleError(f"{path}: {size} bytes, expected {expected['bytes']}; export the model again")


def _check_digest(path: Path, digest: str, expected: Mapping[str, Any]) -> None:
    if digest != expected["sha256"]:
        raise BundleError(f"{path}: altered since it was exported (SHA-256 differs); export the model again")


def parse_weights(content: bytes, path: Path, shape: Sequence[int | None]) -> np.ndarray:
    """Return an array of weights (float32) of a shape; None stands for any length.

    Raises:
        BundleError: it is no plain array of that shape, or a weight is no number or absurdly large.
    """
    array = _parse_array(content, path, "<f4", shape)
    if not (np.abs(array) <= LARGEST_WEIGHT).all():
        raise BundleError(
            f"{path}: a weight is no number or above {LARGEST_WEIGHT:g}; train and export the model again"
        )
    return array


def parse_thesaurus(content: bytes, path: Path) -> np.ndarray:
    """Return a table of word sets (m × 2, uint64).

    Raises:
        BundleError: it is no such table, not sorted, or has senses that no word list gives.
    """
    table = _parse_array(content, path, "<u8", (None, 2))
    keys, senses = table[:, 0], table[:, 1]
    rising = (keys[1:] > keys[:-1]) | ((keys[1:] == keys[:-1]) & (senses[1:] > senses[:-1]))
    crowded = (keys[_MOST_SENSES:] == keys[:-_MOST_SENSES]).any()
    if not rising.all() or crowded or (senses >> _SENSE_BITS).any():
        raise BundleError(f"{path}: word sets out of order or of no list, expected a thesaurus; export the model again")
    return table


def _parse_array(content: bytes, path: Path, kind: str, shape: Sequence[int | None]) -> np.ndarray:
    wanted = " × ".join("m" if length is None else f"{length:,}" for length in shape)
    header = _HEADER.match(content)
    found = tuple(int(length) for length in header.groups()[1:] if length) if header else ()
    matches = len(found) == len(shape) and all(a in (None, b) for a, b in zip(shape, found, strict=True))
    if not header or header[1].decode() != kind or not matches:
        said = content[10:138].split(b"\n")[0].decode("ascii", "replace").strip()
        raise BundleError(
            f"{path}: not a plain array of {wanted} {np.dtype(kind).name} (its header: {said!r:.130}); export the model again"
        )
    size, expected = len(content) - header.end(), math.prod(found) * np.dtype(kind).itemsize
    if size != expected:
        raise BundleError(f"{path}: an array of {size} bytes, its header says {expected}; export the model again")
    return np.frombuffer(content, dtype=kind, offset=header.end()).reshape(found)


def parse_lexicons(content: bytes, path: Path) -> list[dict[str, Any]]:
    """Return word lists, a mapping a language, as JSON holds them.

    Raises:
        BundleError: they are not shaped as word lists are, or have more forms than any language.
    """
    try:
        lexicons = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: {error}; export the model again") from None
    wrong = _what_is_wrong(lexicons)
    if wrong:
        raise BundleError(f"{path}: {wrong}; export the model again")
    return lexicons


def _what_is_wrong(lexicons: Any) -> str:
    """Say what of parsed JSON is not shaped as word lists are; which sections and classes there are, ``Lexicon`` knows."""
    if not isinstance(lexicons, list) or not all(isinstance(lexicon, dict) for lexicon in lexicons):
        return "no list of word lists"
    forms = 0
    for lexicon in lexicons:
        inflection, cues = lexicon.get("inflection") or {}, lexicon.get("cues") or {}
        numbers, opposites = lexicon.get("numbers") or {}, lexicon.get("opposites") or []
        plain = [lexicon.get(section) or [] for section in ("function_words", "exceptions")]
        for name, section in (("inflection", inflection), ("cues", cues), ("numbers", numbers)):
            if not isinstance(section, dict):
                return f"the section {name!r} is no object"
        if not np.diff(read_words(list(numbers)).first).all():
            return "a number word stands for nothing that can be read"
        if not isinstance(opposites, list) or not all(isinstance(sides, list) for sides in opposites):
            return "the section 'opposites' is no list of lists"
        lists = [*plain, *inflection.values(), *numbers.values(), *(side for sides in opposites for side in sides)]
        verbs = []
        for content in cues.values():
            if not isinstance(content, dict) or not isinstance(content.get("verbs", []), list):
                return "a cue class is no object with lists"
            verbs += content.get("verbs", [])
            lists += [content.get(key, []) for key in ("words", "nouns")]
        if not all(isinstance(verb, dict) for verb in verbs):
            return "a verb is no object"
        lists += [stems for verb in verbs for stems in verb.values()]
        if not all(map(_is_texts, lists)):
            return f"a list holds something else than texts of at most {_LONGEST_TEXT} characters"
        forms += sum(map(len, lists)) + _inflected(verbs, cues, inflection)
    return f"more than {MOST_FORMS:,} forms of words" if forms > MOST_FORMS else ""


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and len(item) <= _LONGEST_TEXT for item in value)


def _inflected(verbs: list[dict[str, list]], cues: dict[str, dict], inflection: dict[str, list]) -> int:
    """Count the forms that the rules of inflection make, without making them."""
    rules = {name: len(endings) for name, endings in inflection.items()}
    prefixes = rules.get("present_prefixes", 0)
    endings = {"past": rules.get("past_endings", 0), "present": prefixes * rules.get("present_endings", 0)}
    made = sum(
        len(stems) * (endings | {"jussive": prefixes}).get(tense, 0) for verb in verbs for tense, stems in verb.items()
    )
    nouns = sum(len(content.get("nouns", [])) for content in cues.values())
    return made * (1 + rules.get("object_pronouns", 0)) + nouns * rules.get("noun_endings", 0)
