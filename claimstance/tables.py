"""Rows of a table in a file, whatever its kind, under our own names for the columns."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from claimstance.errors import ClaimstanceError, RecordError, did_you_mean
from claimstance.files import read_lines
from claimstance.records import read_json_lines

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
KINDS = (".jsonl", *_DELIMITERS)


def read_rows(
    path: str | os.PathLike[str], columns: Mapping[str, str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line number and the fields of every row of a JSONL, CSV or TSV file in UTF-8.

    Args:
        path: the file; its ending says of which kind it is.
        columns: the file's name for a field by our name for it; a field named there appears under our name alone.

    Raises:
        ClaimstanceError: the file cannot be read or is of an unknown kind, or a row lacks a mapped column or has more
            cells than the heading.
    """
    kind = Path(path).suffix.lower()
    if kind not in KINDS:
        raise ClaimstanceError(f"{path}: unknown kind of file {kind!r}, expected one of {', '.join(KINDS)}")
    rows = read_json_lines(path) if kind == ".jsonl" else _read_delimited(path, _DELIMITERS[kind])
    columns = columns or {}
    for number, row in rows:
        for ours, theirs in columns.items():
            if theirs not in row:
                raise RecordError(
                    f"{path}:{number}: no column {theirs!r} for {ours}, found {', '.join(row)}{did_you_mean(theirs, row)}"
                )
        renamed = {ours: row[theirs] for ours, theirs in columns.items()}
        yield number, {**{name: value for name, value in row.items() if name not in columns.values()}, **renamed}


def _read_delimited(path: str | os.PathLike[str], delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # The library refuses longer cells than 131,072 characters, and keeps that limit for the whole process.
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(read_lines(path), delimiter=delimiter, strict=True)
    empty = True
    try:
        heading = next(reader)
        for name in heading:
            if heading.count(name) > 1:
                raise RecordError(f"{path}:1: two columns are called {name!r}; rename one")
        for row in filter(None, reader):
            if len(row) != len(heading):
                raise RecordError(
                    f"{path}:{reader.line_num}: {len(row)} cells, expected {len(heading)} as in the heading"
                )
            empty = False
            yield reader.line_num, dict(zip(heading, row, strict=True))
    except csv.Error as error:
        raise RecordError(f"{path}:{reader.line_num}: broken row ({error}), expected cells in closed quotes") from None
    if empty:
        raise RecordError(f"{path}: the file holds no row")


def parse_columns(words: Sequence[str], fields: Sequence[str]) -> dict[str, str]:
    """Read ``ours=theirs`` words of a command line into a mapping.

    Raises:
        ClaimstanceError: a word is no such pair, or names no field of ours.
    """
    columns = {}
    for word in words:
        ours, sign, theirs = word.partition("=")
        if not sign or not theirs:
            raise ClaimstanceError(f"--columns {word!r}: expected FIELD=COLUMN, such as quote=s1")
        if ours not in fields:
            raise ClaimstanceError(
                f"--columns {word!r}: no field {ours!r}, expected one of {', '.join(fields)}{did_you_mean(ours, fields)}"
            )
        if ours in columns:
            raise ClaimstanceError(f"--columns {word!r}: {ours} is {columns[ours]!r} already; name it once")
        columns[ours] = theirs
    return columns
