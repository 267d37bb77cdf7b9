"""One record of the corpus: a quote, a claim, and the stance that the quote's speaker takes to the claim."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from claimstance.errors import RecordError, did_you_mean
from claimstance.files import read_lines, replacing

STANCES = ("assert", "deny", "confirm")
"""The stances, in the order of every probability table."""

NONE = "none"
"""The label of a pair whose speaker takes no stance: it trains abstention and is never predicted as a stance."""

LABELS = (*STANCES, NONE)

SURROGATE = re.compile(r"[\ud800-\udfff]")
"""Half a character: JSON can escape it, UTF-8 has no bytes for it."""

REQUIRED = ("id", "event", "topic", "lang", "claim", "quote", "speaker", "stance")


@dataclass(frozen=True, slots=True)
class Pair:
    """A quote met with a claim.

    ``event`` groups the pairs about one story; no split cuts through an event. ``stance`` is one of ``LABELS``.
    The last four fields are annotations that slice an evaluation and are empty where unknown: ``genre``, ``pattern``
    (the construction that carries the stance), ``form`` (``bare`` direct speech or ``reported``) and ``contrast``
    (the group of minimally different pairs that this one belongs to).
    """

    id: str
    event: str
    topic: str
    lang: str
    claim: str
    quote: str
    speaker: str
    stance: str
    genre: str = ""
    pattern: str = ""
    form: str = ""
    contrast: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str):
                raise RecordError(f"{field.name} is {shown(value)}, expected a text")
            if field.name in REQUIRED and not value.strip():
                raise RecordError(f"{field.name} is empty, expected a text")
        if self.stance not in LABELS:
            raise RecordError(
                f"stance {self.stance!r} is not one of {', '.join(LABELS)}{did_you_mean(self.stance, LABELS)}"
            )

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Pair:
        """Make a record from a JSON object.

        Raises:
            RecordError: a field is missing, unknown, empty or of the wrong kind.
        """
        names = [field.name for field in fields(cls)]
        for key in row:
            if key not in names:
                raise RecordError(f"unknown field {key!r}, expected {', '.join(names)}{did_you_mean(key, names)}")
        for key in REQUIRED:
            if key not in row:
                raise RecordError(f"field {key!r} is missing, expected {', '.join(REQUIRED)}")
        return cls(**row)

    def to_dict(self) -> dict[str, str]:
        """Return the record as a JSON object, without the annotations that are unknown."""
        return {key: value for key, value in asdict(self).items() if value or key in REQUIRED}


def read_pairs(path: str | os.PathLike[str]) -> list[Pair]:
    """Read a JSONL file of annotated pairs.

    Raises:
        ClaimstanceError: the file cannot be read, or a line is not a valid record; the message starts with
            ``path:line:``. Two records of one file may not share an ``id``.
    """
    pairs, lines = [], {}
    for number, row in read_json_lines(path):
        try:
            pair = Pair.from_dict(row)
        except RecordError as error:
            raise RecordError(f"{path}:{number}: {error}") from None
        if pair.id in lines:
            raise RecordError(
                f"{path}:{number}: id {pair.id!r} stands on line {lines[pair.id]} already, expected one record an id"
            )
        lines[pair.id] = number
        pairs.append(pair)
    return pairs


def read_json_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line number and the object of every line of a JSONL file; blank lines are passed over.

    Raises:
        ClaimstanceError: the file cannot be read or holds nothing, or a line is not a JSON object.
    """
    seen = False
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = parse_object(line)
        except RecordError as error:
            raise RecordError(f"{path}:{number}: {error}") from None
        seen = True
        yield number, row
    if not seen:
        raise RecordError(f"{path}: the file holds no record")


def parse_object(line: str) -> dict[str, Any]:
    """Return the object of one line of a JSONL file.

    Raises:
        RecordError: the line is no JSON object; the message lacks the place, which the caller knows.
    """
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise RecordError(f"broken JSON at column {error.colno} ({error.msg}), expected one object a line") from None
    except ValueError as error:
        raise RecordError(f"{error}, expected one object of texts a line") from None
    except RecursionError:
        raise RecordError("JSON nested too deeply, expected one flat object a line") from None
    if not isinstance(row, dict):
        raise RecordError(f'{shown(row)}, expected a JSON object such as {{"quote": …}}')
    return row


def write_json_lines(path: str | os.PathLike[str], rows: Iterable[dict[str, Any]]) -> int:
    """Write one JSON object a line, replacing ``path`` only when all are written; return how many."""
    count = 0
    with replacing(path) as handle:
        for row in rows:
            handle.write(json_text(row) + "\n")
            count += 1
    return count


def json_text(value: Any) -> str:
    """Return JSON that can be written as UTF-8, letters as letters; what JSON has no kind for is written as text."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if SURROGATE.search(text):
        # Half a character cannot be written as UTF-8, but escaped it comes through as it was read.
        text = json.dumps(value, default=str)
    return text


def shown(value: object) -> str:
    kinds = {
        dict: "an object",
        list: "a list",
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
    }
    return "null" if value is None else kinds.get(type(value), type(value).__name__)
