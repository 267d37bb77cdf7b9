"""Rows of a table in a file of any kind and size: whole, under our own names for the columns, or block by block.

The ending of a file's name says its kind, one of KINDS. Text is UTF-8; CSV and TSV have a heading and keep quotes closed.
Parquet needs the extra ``parquet`` (pyarrow).
"""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from claimstance.errors import ClaimstanceError, RecordError, did_you_mean
from claimstance.files import not_utf8, opened
from claimstance.records import SURROGATE, parse_object

JSONL, PARQUET = ".jsonl", ".parquet"
DELIMITERS = {".csv": ",", ".tsv": "\t"}
KINDS = (JSONL, *DELIMITERS, PARQUET)

_BLOCK_BYTES = 1 << 19
_LONGEST_ROW = 1 << 26
_MARK = b"\xef\xbb\xbf"


class Place(NamedTuple):
    """Where a row begins: its ``offset`` in the file (bytes; in Parquet, rows) and its line (in Parquet, row) from 1."""

    offset: int
    number: int


class Block(NamedTuple):
    """Whole rows as they stand in a file, about half a MiB (in Parquet, as an Arrow stream), and where they begin and end."""

    start: Place
    data: bytes
    end: Place


class Table(NamedTuple):
    """A file of rows. ``heading`` is None for JSONL, whose rows name their own fields. ``total`` is the offset of its end."""

    path: str
    kind: str
    heading: tuple[str, ...] | None
    start: Place
    total: int


Row = tuple[int, dict[str, Any] | RecordError, str]
"""The number of a row, its fields or what is wrong with it, and its text in the file (in Parquet, none)."""


def read_rows(
    path: str | os.PathLike[str], columns: Mapping[str, str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line number (in Parquet, the row's number) and the fields of every row.

    Args:
        path: the file.
        columns: the file's name for a field by our name for it; a field named there appears under our name alone.

    Raises:
        ClaimstanceError: the file cannot be read or is of an unknown kind, or a row lacks a mapped column or has more
            cells than the heading.
    """
    table = open_table(path)
    columns, empty = columns or {}, True
    for block in blocks(table, table.start):
        for number, row, _ in rows_of(table, block):
            if isinstance(row, RecordError):
                raise RecordError(f"{path}:{number}: {row}")
            for ours, theirs in columns.items():
                if theirs not in row:
                    raise RecordError(f"{path}:{number}: {missing(ours, theirs, row)}")
            renamed = {ours: row[theirs] for ours, theirs in columns.items()}
            empty = False
            yield number, {**{name: value for name, value in row.items() if name not in columns.values()}, **renamed}
    if empty:
        raise holds_nothing(table)


def kind_of(path: str | os.PathLike[str]) -> str:
    """Return the kind of file that a name stands for.

    Raises:
        ClaimstanceError: the name ends in none of KINDS.
    """
    kind = Path(path).suffix.lower()
    if kind not in KINDS:
        raise ClaimstanceError(f"{path}: unknown kind of file {kind!r}, expected one of {', '.join(KINDS)}")
    return kind


def open_table(path: str | os.PathLike[str]) -> Table:
    """Look at a file and its heading.

    Raises:
        ClaimstanceError: the file cannot be read, is of an unknown kind, or has no sound heading.
    """
    path = os.fspath(path)
    with opened(path) as handle:
        kind = kind_of(path)
        size = os.fstat(handle.fileno()).st_size
        if size == 0:
            raise ClaimstanceError(f"{path}: the file is empty")
        if kind == PARQUET:
            from claimstance import parquet

            heading, rows = parquet.heading_and_rows(path)
            table = Table(path, kind, heading, Place(0, 1), rows)
        elif kind == JSONL:
            marked = handle.read(len(_MARK)) == _MARK
            table = Table(path, kind, None, Place(len(_MARK) if marked else 0, 1), size)
        else:
            heading, start = _read_heading(handle, path, DELIMITERS[kind])
            table = Table(path, kind, heading, start, size)
    for name in table.heading or ():
        if table.heading.count(name) > 1:
            raise RecordError(f"{path}:1: two columns are called {name!r}; rename one")
    return table


def blocks(table: Table, start: Place) -> Iterator[Block]:
    """Yield the rows from ``start`` on, block by block; blocks begin and end at the same rows in every reading.

    Raises:
        ClaimstanceError: the file cannot be read, or a row of CSV or TSV does not end within 64 MiB.
    """
    if table.kind == PARQUET:
        from claimstance import parquet

        for data, first, behind in parquet.blocks(table.path, start.offset, _BLOCK_BYTES):
            yield Block(Place(first, first + 1), data, Place(behind, behind + 1))
        return
    with opened(table.path) as handle:
        handle.seek(start.offset)
        while lines := handle.readlines(_BLOCK_BYTES):
            if table.kind != JSONL:
                _end_row(lines, handle, table, start)
            data = b"".join(lines)
            end = Place(start.offset + len(data), start.number + len(lines))
            yield Block(start, data, end)
            start = end


def rows_of(table: Table, block: Block) -> Iterator[Row]:
    """Yield the rows of a block; blank lines are passed over."""
    if table.kind == PARQUET:
        from claimstance import parquet

        return parquet.rows_of(block.data, block.start.number)
    if table.kind == JSONL:
        return _json_rows(block)
    return _delimited_rows(block, table.heading, DELIMITERS[table.kind])


def missing(ours: str, theirs: str, found: Iterable[str]) -> str:
    """Say that a column is not among those found."""
    found = list(found)
    return f"no column {theirs!r} for {ours}, found {', '.join(found)}{did_you_mean(theirs, found)}"


def holds_nothing(table: Table) -> RecordError:
    """Return the error of a file without a row."""
    return RecordError(f"{table.path}: the file holds no {'record' if table.kind == JSONL else 'row'}")


def _read_heading(handle: BinaryIO, path: str, delimiter: str) -> tuple[tuple[str, ...], Place]:
    lines: list[bytes] = []

    def decoded() -> Iterator[str]:
        for line in handle:
            lines.append(line)
            yield line.decode("utf-8-sig" if len(lines) == 1 else "utf-8")

    try:
        heading = next(_reader(decoded(), delimiter))
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}:{len(lines)}: {not_utf8(error)}") from None
    except csv.Error as error:
        raise RecordError(f"{path}:{len(lines)}: {_broken(error)}") from None
    return tuple(heading), Place(sum(map(len, lines)), len(lines) + 1)


def _end_row(lines: list[bytes], handle: BinaryIO, table: Table, start: Place) -> None:
    """Add the lines over which the last row goes on."""
    if not any(b'"' in line for line in lines):
        return
    begun = size = 0

    def decoded() -> Iterator[str]:
        nonlocal size
        index = 0
        while index < len(lines) or (line := handle.readline()):
            if index == len(lines):
                lines.append(line)
                size += len(line)
                if size > _LONGEST_ROW:
                    raise ClaimstanceError(
                        f"{table.path}:{start.number + begun}: the row that begins here does not end within "
                        f"{_LONGEST_ROW >> 20} MiB, expected cells in closed quotes; close its quote"
                    )
            # Delimiters, quotes and ends of lines are the same bytes in both, and every byte can be read as Latin-1.
            yield lines[index].decode("latin-1")
            index += 1

    reader = _reader(decoded(), DELIMITERS[table.kind])
    while reader.line_num < len(lines):
        begun = reader.line_num
        try:
            next(reader)
        except csv.Error:
            continue


def _json_rows(block: Block) -> Iterator[Row]:
    text, sound = _decoded(block.data)
    for number, line in enumerate(text.split("\n"), start=block.start.number):
        if not line or line.isspace():
            continue
        try:
            if not sound:
                _check_utf8(line)
            yield number, parse_object(line), line
        except RecordError as error:
            yield number, error, line


def _delimited_rows(block: Block, heading: Sequence[str], delimiter: str) -> Iterator[Row]:
    text, sound = _decoded(block.data)
    lines = list(io.StringIO(text, newline="\n"))
    reader = _reader(iter(lines), delimiter)
    stop = 0
    while stop < len(lines):
        start, row = stop, None
        try:
            cells = next(reader)
        except csv.Error as error:
            cells, row = [], RecordError(_broken(error))
        stop = reader.line_num
        line = "".join(lines[start:stop])
        if not sound:
            try:
                _check_utf8(line)
            except RecordError as error:
                row = error
        if row is None and not cells:
            continue
        if row is None and len(cells) != len(heading):
            row = RecordError(f"{len(cells)} cells, expected {len(heading)} as in the heading")
        yield block.start.number + stop - 1, row or dict(zip(heading, cells, strict=True)), line


def _reader(lines: Iterator[str], delimiter: str) -> Any:
    # The library refuses longer cells than 131,072 characters, and keeps that limit for the whole process.
    csv.field_size_limit(sys.maxsize)
    return csv.reader(lines, delimiter=delimiter, strict=True)


def _broken(error: csv.Error) -> str:
    return f"broken row ({error}), expected cells in closed quotes"


def _decoded(data: bytes) -> tuple[str, bool]:
    """Return the text, and whether all of it is UTF-8; a byte that is not stands as half a character."""
    try:
        return data.decode("utf-8"), True
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape"), False


def _check_utf8(line: str) -> None:
    if SURROGATE.search(line):
        try:
            line.encode("utf-8", "surrogateescape").decode("utf-8")
        except UnicodeDecodeError as error:
            raise RecordError(not_utf8(error)) from None


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
