"""Tables: JSONL, CSV and TSV read alike under our names for the columns, and every error names file and line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from claimstance.errors import ClaimstanceError
from claimstance.tables import KINDS, parse_columns, read_rows

TEXTS = [
    "نفى الوزير، ثم أكد؛ ولم يعتذر",
    "«نعم»\nقال الوزير\r\nثم سكت\n\nوانصرف",
    'he said "no", twice\tand left',
    '"',
    "",
    " محاط بفراغ ",
    "سطر\u2028ثم\u0085آخر\x0b",
    "\u200fنص 😀 ﻻ\ufeff",
]


def write(path: Path, rows: list[dict[str, str]], bom: bool = False, ends: str = "\n") -> Path:
    """Write rows as a file of the kind that the path's ending says; Parquet has neither marks nor ends of lines."""
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path
    with open(path, "w", encoding="utf-8-sig" if bom else "utf-8", newline="") as handle:
        if path.suffix == ".jsonl":
            handle.writelines(json.dumps(row, ensure_ascii=False) + ends for row in rows)
        else:
            delimiter = {".csv": ",", ".tsv": "\t"}[path.suffix]
            writer = csv.DictWriter(handle, list(rows[0]), delimiter=delimiter, lineterminator=ends)
            writer.writeheader()
            writer.writerows(rows)
    return path


def read(path: Path, columns: dict[str, str] | None = None) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path, columns)]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_back_what_was_written(tmp_path: Path, kind: str, bom: bool, ends: str) -> None:
    rows = [{"quote": text, "claim": "وصلت", "حقل": f"{text}{text}"} for text in TEXTS]
    for start in range(len(rows)):
        assert read(write(tmp_path / f"pairs{kind}", rows[start:], bom, ends)) == rows[start:]


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_may_be_as_long_as_an_article(tmp_path: Path, kind: str) -> None:
    rows = [{"quote": "كلمة أخرى " * 20_000, "claim": "وصلت"}]
    assert read(write(tmp_path / f"pairs{kind}", rows)) == rows


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_takes_our_name_and_leaves_its_own(tmp_path: Path, kind: str) -> None:
    rows = [{"s1": "نفى", "s2": "وصلت", "quote": "قديم", "stance": "deny"}]
    path = write(tmp_path / f"pairs{kind}", rows)
    assert read(path, {"quote": "s1", "claim": "s2"}) == [{"quote": "نفى", "claim": "وصلت", "stance": "deny"}]
    assert read(path, {"s1": "s2", "s2": "s1"}) == [{**rows[0], "s1": "وصلت", "s2": "نفى"}]
    assert read(path, {"quote": "s1", "claim": "s1"})[0]["claim"] == "نفى"


def test_the_ending_of_a_name_counts_in_capitals_too(tmp_path: Path) -> None:
    path = tmp_path / "PAIRS.CSV"
    path.write_text("quote,claim\nنفى,وصلت\n", encoding="utf-8")
    assert list(read_rows(path)) == [(2, {"quote": "نفى", "claim": "وصلت"})]


def test_rows_are_numbered_by_the_lines_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text('quote,claim\nنفى,أ\n\n"سطر\nثانٍ",ب\nقال,ج\n', encoding="utf-8")
    numbers = [number for number, _ in read_rows(path)]
    assert numbers[0] == 2 and numbers[1] in (4, 5) and numbers[2] == 6


@pytest.mark.parametrize(
    ("name", "content", "columns", "words"),
    [
        ("a.csv", None, {}, ["a.csv: no such file"]),
        ("a.xlsx", b"PK", {}, ["a.xlsx: unknown kind of file '.xlsx'", ".jsonl, .csv, .tsv"]),
        ("a", b"quote\n", {}, ["unknown kind of file ''"]),
        ("a.tsv", b"", {}, ["a.tsv: the file is empty"]),
        ("a.csv", b"quote,claim\n\n", {}, ["a.csv: the file holds no row"]),
        ("a.csv", b"\xef\xbb\xbf", {}, ["a.csv: the file holds no row"]),
        ("a.csv", "q,c\nقال,ب\nقال\n".encode(), {}, ["a.csv:3: 1 cells, expected 2"]),
        ("a.csv", "q,c\nقال,ب\nقال,ب,ج\n".encode(), {}, ["a.csv:3: 3 cells, expected 2"]),
        ("a.tsv", "q\tc\nقال\tب\n".encode("utf-16"), {}, ["a.tsv:1: not UTF-8", "iconv"]),
        ("a.csv", "q,c\nقال,ب\n".encode("windows-1256"), {}, ["a.csv:2: not UTF-8", "iconv"]),
        ("a.csv", 'q,c\nقال,ب\n"قال"x,ب\nقال,ب\n'.encode(), {}, ["a.csv:3: broken row", "closed quotes"]),
        ("a.tsv", 'q\tc\n"I deny" he said\tب\n'.encode(), {}, ["a.tsv:2: broken row", "closed quotes"]),
        ("a.csv", 'q,c\n"قال,ب\n'.encode(), {}, ["a.csv:2: broken row", "closed quotes"]),
        ("a.csv", b"q,c\n1,2\n", {"quote": "Q"}, ["a.csv:2: no column 'Q' for quote, found q, c"]),
        ("a.tsv", b"text\tc\n1\t2\n", {"quote": "texts"}, ["a.tsv:2: no column 'texts'", "did you mean 'text'?"]),
        ("a.jsonl", b'{"q": "1"}\n{"c": "1"}\n', {"quote": "q"}, ["a.jsonl:2: no column 'q' for quote, found c"]),
        ("a.jsonl", b'{"q": "1"}\n[1]\n', {}, ["a.jsonl:2: a list"]),
        ("a.jsonl", b'{"q": "1"}\n\n{"q"\n', {}, ["a.jsonl:3: broken JSON"]),
        ("a.csv", b"quote,quote,stance\n1,2,deny\n", {}, ["a.csv:1:", "'quote'"]),
    ],
)
def test_a_bad_table_is_named_with_its_line(
    tmp_path: Path, name: str, content: bytes | None, columns: dict[str, str], words: list[str]
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ClaimstanceError) as caught:
        read(path, columns)
    assert str(caught.value).startswith(f"{path}:") and "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_words_of_a_command_line_map_columns() -> None:
    fields = ("quote", "claim", "stance")
    assert parse_columns([], fields) == {}
    assert parse_columns(["quote=s1", "claim=نص الادعاء", "stance=a=b"], fields) == {
        "quote": "s1",
        "claim": "نص الادعاء",
        "stance": "a=b",
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["quote"], "expected FIELD=COLUMN, such as quote=s1"),
        (["quote="], "expected FIELD=COLUMN"),
        (["=s1"], "no field '', expected one of quote, claim"),
        (["quot=s1"], "no field 'quot', expected one of quote, claim (did you mean 'quote'?)"),
        (["claim=s2", "quote=s1", "quote=s2"], "quote"),
    ],
)
def test_a_wrong_mapping_says_what_to_give(words: list[str], expected: str) -> None:
    with pytest.raises(ClaimstanceError) as caught:
        parse_columns(words, ("quote", "claim"))
    assert str(caught.value).startswith(f"--columns {words[-1]!r}: ") and expected in str(caught.value)
