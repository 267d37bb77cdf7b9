"""Annotated pairs: what a record must hold, and how a wrong line of a data file is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from claimstance.errors import ClaimstanceError, RecordError
from claimstance.records import Pair, read_json_lines, read_pairs, write_json_lines

GOOD = {
    "id": "ar-1",
    "event": "ar-harbour",
    "topic": "economy",
    "lang": "ar",
    "claim": "وصلت شحنة قمح ملوثة إلى المرفأ.",
    "quote": "نفى مدير المرفأ وصول أي شحنة ملوثة.",
    "speaker": "مدير المرفأ",
    "stance": "deny",
}


def line(**changes: object) -> str:
    """Return the good record as a JSON line with fields changed; a field set to ... is left out."""
    return json.dumps({k: v for k, v in {**GOOD, **changes}.items() if v is not ...}, ensure_ascii=False) + "\n"


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_every_record_of_the_corpus_is_read_and_written_back_unchanged(root: Path, tmp_path: Path) -> None:
    source = root / "data/validation.jsonl"
    pairs = read_pairs(source)
    assert write_json_lines(tmp_path / "again.jsonl", (pair.to_dict() for pair in pairs)) == len(pairs) > 0
    rows = [[row for _, row in read_json_lines(path)] for path in (source, tmp_path / "again.jsonl")]
    assert rows[0] == rows[1]


def test_unknown_annotations_are_left_out_of_the_written_record() -> None:
    assert Pair.from_dict(GOOD).to_dict() == GOOD
    assert Pair.from_dict({**GOOD, "genre": "interview", "form": ""}).to_dict() == {**GOOD, "genre": "interview"}


def test_blank_lines_count_as_lines_and_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.jsonl", "\ufeff", line(), "\n", "  \r\n", line(id="ar-2"))
    assert [pair.id for pair in read_pairs(path)] == ["ar-1", "ar-2"]
    assert [number for number, _ in read_json_lines(path)] == [1, 4]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (line(stance="نفي"), ["stance 'نفي'", "assert, deny, confirm, none"]),
        (line(stance="denny"), ["stance 'denny'", "did you mean 'deny'?"]),
        (line(stance="Deny"), ["stance 'Deny'", "did you mean 'deny'?"]),
        (line(claim=...), ["'claim' is missing", "expected id, event"]),
        (line(stance=...), ["'stance' is missing"]),
        (line(quote=" \t"), ["quote is empty", "expected a text"]),
        (line(speaker=""), ["speaker is empty", "expected a text"]),
        (line(quote=None), ["quote is null", "expected a text"]),
        (line(id=7), ["id is a number", "expected a text"]),
        (line(genre=["interview"]), ["genre is a list", "expected a text"]),
        (line(pattern=True), ["pattern is true or false", "expected a text"]),
        (line(qoute="قال"), ["unknown field 'qoute'", "did you mean 'quote'?"]),
        (line(id="ar-0"), ["id 'ar-0' stands on line 1 already"]),
        ('{"id": "ar-1", \n', ["broken JSON at column", "one object a line"]),
        ("نفى الوزير\n", ["broken JSON at column 1"]),
        ('["id"]\n', ["a list", "expected a JSON object"]),
        ("null\n", ["null", "expected a JSON object"]),
        ("[" * 100_000 + "\n", ["nested too deeply"]),
        ('{"id": ' + "1" * 5000 + "}\n", ["expected"]),
    ],
)
def test_a_wrong_line_is_reported_with_its_file_and_number(tmp_path: Path, wrong: str, words: list[str]) -> None:
    path = write(tmp_path / "pairs.jsonl", line(id="ar-0"), "\n", wrong)
    with pytest.raises(RecordError) as caught:
        read_pairs(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:3: ")
    assert "\n" not in message and len(message) < 500
    for word in words:
        assert word in message


def test_a_file_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClaimstanceError, match="holds no record"):
        read_pairs(write(tmp_path / "pairs.jsonl", "\n", "  \n"))


def test_a_failing_source_of_rows_leaves_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path / "out.jsonl", "old")

    def rows():
        yield GOOD
        raise RecordError("second row")

    with pytest.raises(RecordError, match="second row"):
        write_json_lines(path, rows())
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.jsonl"]
