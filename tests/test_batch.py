"""Files of every kind are labelled as ``Predictor.predict`` labels their pairs, and a bad row stops the run or is told of."""

from __future__ import annotations

import csv
import datetime
import decimal
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from claimstance import tables
from claimstance.batch import Counts, predict_file
from claimstance.cli import main
from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from claimstance.records import Pair
from claimstance.tables import DELIMITERS, KINDS, read_rows

GOOD = {"quote": "نفى مدير المرفأ وصول أي شحنة ملوثة.", "claim": "وصلت شحنة قمح ملوثة إلى المرفأ."}
LABELS = ("assert", "deny", "confirm", "none")
COLUMNS = ["predicted_stance", "confidence", *(f"probability_{label}" for label in LABELS)]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of some dozens of rows, so that few rows make several."""
    monkeypatch.setattr(tables, "_BLOCK_BYTES", 20_000)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=70)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    else:
        with open(path, "w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]), delimiter=DELIMITERS[path.suffix], lineterminator="\r\n")
            writer.writeheader()
            writer.writerows(rows)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path)]


def predictions(predictor: Predictor, pairs: list[tuple[str, str]], kind: str) -> list[dict[str, Any]]:
    """What the columns of a file of this kind say of the predictions of pairs."""
    rows = []
    for stance, confidence, probabilities in predictor.predict(pairs):
        shown = {label: round(value, 6) for label, value in probabilities.items()}
        fields = {"predicted_stance": stance, "confidence": round(confidence, 6), "probabilities": shown}
        if kind != ".jsonl":
            fields |= {f"probability_{name}": value for name, value in fields.pop("probabilities").items()}
        if kind in DELIMITERS:
            stance = fields.pop("predicted_stance") or ""
            fields = {"predicted_stance": stance, **{name: f"{value:.6f}" for name, value in fields.items()}}
        rows.append(fields)
    return rows


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_every_kind_of_file_is_labelled_into_every_kind(
    source: str, target: str, tmp_path: Path, model_folder: Path, predictor: Predictor, few_pairs: list[Pair]
) -> None:
    odd = 'قال "نعم"، ثم\r\nأضاف:\tلا, %s @ #\n'
    given = [
        {
            "ملاحظة": odd if number % 7 == 0 else "",
            "CLAIM": pair.claim,
            "claim": "لا",
            "TEXT": pair.quote + odd,
            "id": "7",
        }
        for number, pair in enumerate(few_pairs)
    ]
    path, out = write(tmp_path / f"in{source}", given), tmp_path / f"out{target}"
    call = ["--input", path, "--output", out, "--columns", "quote=TEXT", "claim=CLAIM"]
    assert main(["predict", "--model", str(model_folder), *map(str, call)]) == 0
    expected = predictions(predictor, [(row["TEXT"], row["CLAIM"]) for row in given], target)
    rows = read(out)
    assert rows == [{**row, **fields} for row, fields in zip(given, expected, strict=True)]
    assert [list(row) for row in rows] == [[*row, *fields] for row, fields in zip(given, expected, strict=True)]
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, out.name])
    if source == target and source != ".parquet":
        starts = path.read_bytes().splitlines()[0].removesuffix(b"}")
        assert out.read_bytes().startswith(starts), "what was there stands as it stood"


TYPED = pa.table(
    {
        "when": pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns")),
        "day": pa.array([datetime.date(2024, 5, 17), None]),
        "sum": pa.array([decimal.Decimal("1.50"), None], pa.decimal128(9, 2)),
        "n": pa.array([7, None], pa.int8()),
        "share": pa.array([float("nan"), 0.5]),
        "tags": pa.array([["أ", "ب"], None]),
        "raw": pa.array([b"\xff\x00", None]),
        "desk": pa.array(["أخبار", None]).dictionary_encode(),
        "quote": pa.array([GOOD["quote"]] * 2, pa.large_string()),
        "claim": pa.array([GOOD["claim"]] * 2).dictionary_encode(),
    }
)


def test_parquet_keeps_the_types_of_its_columns(tmp_path: Path, model_folder: Path) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    parquet.write_table(TYPED, source)
    assert predict_file(model_folder, source, target) == Counts(2, 0, None)
    out, given = parquet.read_table(target), parquet.read_table(source)
    assert out.schema.names == [*given.schema.names, *COLUMNS]
    assert out.select(given.schema.names).schema == given.schema
    assert out.drop(["share", *COLUMNS]).equals(given.drop("share"))
    assert set(out.select(COLUMNS[1:]).schema.types) == {pa.float64()}


def test_values_of_parquet_that_json_has_no_kind_for_are_texts(tmp_path: Path, model_folder: Path) -> None:
    source = tmp_path / "in.parquet"
    parquet.write_table(TYPED, source)
    for kind in (".jsonl", ".csv"):
        predict_file(model_folder, source, tmp_path / f"out{kind}")
    first, second = (list(row.values())[:8] for row in read(tmp_path / "out.jsonl"))
    assert first == ["2023-11-14 22:13:20.123456789", "2024-05-17", "1.50", 7, None, ["أ", "ب"], "/wA=", "أخبار"]
    assert second == [None, None, None, None, 0.5, None, None, None]
    first, second = (list(row.values())[:8] for row in read(tmp_path / "out.csv"))
    assert first == ["2023-11-14 22:13:20.123456789", "2024-05-17", "1.50", "7", "", '["أ", "ب"]', "/wA=", "أخبار"]
    assert second == ["", "", "", "", "0.5", "", "", ""]


def test_fields_of_json_become_columns(tmp_path: Path, model_folder: Path) -> None:
    given = [{"n": 1, **GOOD}, {**GOOD, "tags": ["أ", None]}, {**GOOD, "n": None}]
    source = write(tmp_path / "in.jsonl", given)
    for kind, unknown in ((".csv", ""), (".parquet", None)):
        predict_file(model_folder, source, tmp_path / f"out{kind}")
        rows = [list(row.values()) for row in read(tmp_path / f"out{kind}")]
        texts = list(GOOD.values())
        assert [row[:4] for row in rows] == [
            ["1", *texts, unknown],
            [unknown, *texts, '["أ", null]'],
            [unknown, *texts, unknown],
        ]


JSON_LINE = json.dumps(GOOD, ensure_ascii=False).encode() + b"\n"
CELLS = ",".join(GOOD.values()).encode()
WINDOWS = GOOD["quote"].encode("windows-1256")
BAD = [
    (".jsonl", b'{"quote": "a", \n', "broken JSON at column", '{"quote": "a", '),
    (".jsonl", b"[1]\n", "a list, expected a JSON object", "[1]"),
    (".jsonl", b'{"quote": "\xe4"}\n', "not UTF-8 (invalid continuation byte at byte 11", '{"quote": "\\xe4"}'),
    (".jsonl", b'{"quote": "a"}\n', "field 'claim' is missing", {"quote": "a"}),
    (".jsonl", b'{"quote": "a", "claim": " "}\n', 'claim is " ", expected a text', {"quote": "a", "claim": " "}),
    (".jsonl", b'{"quote": 7, "claim": "b"}\n', "quote is 7, expected a text", {"quote": 7, "claim": "b"}),
    (
        ".jsonl",
        JSON_LINE[:-2] + b', "confidence": 1}\n',
        "one that a prediction adds; rename",
        {**GOOD, "confidence": 1},
    ),
    (".csv", b"a\r\n", "1 cells, expected 2", "a"),
    (".csv", b"a,b,c\n", "3 cells, expected 2", "a,b,c"),
    (".csv", b'"a"b,c\n', "broken row", '"a"b,c'),
    (".csv", WINDOWS + b",b\n", "not UTF-8", WINDOWS.decode("utf-8", "backslashreplace") + ",b"),
    (".csv", b"a,\n", 'claim is "", expected a text', {"quote": "a", "claim": ""}),
    (".tsv", b"a\t \n", 'claim is " ", expected a text', {"quote": "a", "claim": " "}),
]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("target", [".jsonl", ".parquet"])
def test_every_bad_row_is_left_out_and_told_of(
    target: str, workers: int, tmp_path: Path, model_folder: Path, predictor: Predictor
) -> None:
    for kind in (".jsonl", ".csv", ".tsv") if workers == 1 else (".jsonl",):
        delimiter = DELIMITERS.get(kind, ",").encode()
        good = JSON_LINE if kind == ".jsonl" else CELLS.replace(b",", delimiter) + b"\n"
        bad = [each for each in BAD if each[0] == kind]
        source, out = tmp_path / f"in{kind}", tmp_path / f"out-{kind[1:]}{target}"
        heading = b"" if kind == ".jsonl" else b"quote" + delimiter + b"claim\n"
        source.write_bytes(heading + good + b"".join(line + b"\n" + good for _, line, _, _ in bad))
        counts = predict_file(model_folder, source, out, on_error="skip", workers=workers)
        rejects = tmp_path / f"{out.name}.rejects.jsonl"
        assert counts == Counts(len(bad) + 1, len(bad), rejects)
        (fields,) = predictions(predictor, [tuple(GOOD.values())], target)
        assert read(out) == [{**GOOD, **fields}] * (len(bad) + 1)
        first = 2 if kind == ".jsonl" else 3
        told = read(rejects)
        assert [row["number"] for row in told] == [first + 3 * index for index in range(len(bad))]
        for row, (_, _, reason, raw) in zip(told, bad, strict=True):
            assert reason in row["reason"] and row["raw"] == raw


@pytest.mark.parametrize(("kind", "line", "reason", "raw"), BAD)
def test_a_bad_row_stops_with_its_place(
    kind: str, line: bytes, reason: str, raw: Any, tmp_path: Path, model_folder: Path
) -> None:
    source = tmp_path / f"in{kind}"
    good = JSON_LINE if kind == ".jsonl" else b"quote,claim\n".replace(b",", DELIMITERS[kind].encode())
    source.write_bytes(good + b"\n" + line)
    with pytest.raises(ClaimstanceError) as caught:
        predict_file(model_folder, source, tmp_path / "out.jsonl")
    assert str(caught.value).startswith(f"{source}:3: ") and reason in str(caught.value)
    assert os.listdir(tmp_path) == [source.name]


@pytest.mark.parametrize("target", [".parquet", ".csv"])
def test_bad_rows_of_parquet(target: str, tmp_path: Path, model_folder: Path) -> None:
    table = pa.table(
        {"quote": ["قال", None, " ", "قال", "قال"], "claim": ["وصلت", "وصلت", "وصلت", "", "وصلت"], "n": range(5)}
    )
    source, out, rejects = tmp_path / "in.parquet", tmp_path / f"out{target}", tmp_path / "bad.jsonl"
    parquet.write_table(table, source)
    with pytest.raises(ClaimstanceError, match=r"in.parquet:2: quote is null, expected a text"):
        predict_file(model_folder, source, out)
    assert predict_file(model_folder, source, out, on_error="skip", rejects=rejects) == Counts(2, 3, rejects)
    assert [str(row["n"]) for row in read(out)] == ["0", "4"]
    told = [(row["number"], row["reason"], row["raw"]["n"]) for row in read(rejects)]
    reasons = ["quote is null, expected a text", 'quote is " ", expected a text', 'claim is "", expected a text']
    assert told == [(2, reasons[0], 1), (3, reasons[1], 2), (4, reasons[2], 3)]


def test_text_of_parquet_that_is_not_utf8_is_a_bad_row(tmp_path: Path, model_folder: Path) -> None:
    quotes = pa.array([b"\xff", "قال".encode()]).view(pa.string())
    source = tmp_path / "in.parquet"
    parquet.write_table(pa.table({"quote": quotes, "claim": ["وصلت"] * 2}), source)
    for kind in (".parquet", ".jsonl"):
        assert predict_file(model_folder, source, tmp_path / f"out{kind}", on_error="skip")[:2] == (1, 1)
        (told,) = read(tmp_path / f"out{kind}.rejects.jsonl")
        assert told["reason"] == "quote is not UTF-8"


@pytest.mark.usefixtures("small_blocks")
def test_a_later_row_that_no_table_can_hold_is_a_bad_row(tmp_path: Path, model_folder: Path) -> None:
    rows = [GOOD] * 300 + [{**GOOD, "late": 1}]
    source = write(tmp_path / "in.jsonl", rows)
    source.write_text(source.read_text(encoding="utf-8") + '{"quote": "\\ud800", "claim": "b"}\n', encoding="utf-8")
    assert predict_file(model_folder, source, tmp_path / "out.csv", on_error="skip")[:2] == (300, 2)
    late, half = [row["reason"] for row in read(tmp_path / "out.csv.rejects.jsonl")]
    assert late.startswith("field 'late' is not one of the first rows'") and "write a .jsonl file" in late
    assert half.startswith("half a character")
    assert predict_file(model_folder, source, tmp_path / "out.jsonl").rows == 302


@pytest.mark.parametrize(
    ("name", "content", "options", "words"),
    [
        (
            "in.csv",
            b"quote,text\na,b\n",
            {},
            "in.csv:1: no column 'claim' for claim, found quote, text; name it with --columns",
        ),
        ("in.csv", b"q,claim\na,b\n", {"columns": {"quote": "p"}}, "in.csv:1: no column 'p' for quote, found q, claim"),
        (
            "in.csv",
            b"quote,claim,confidence\na,b,c\n",
            {},
            "in.csv:1: column 'confidence' is one that a prediction adds; rename",
        ),
        ("in.csv", b"quote,quote\na,b\n", {}, "in.csv:1: two columns are called 'quote'"),
        ("in.csv", b"quote,claim\n", {}, "in.csv: the file holds no row"),
        ("in.xlsx", b"PK", {}, "in.xlsx: unknown kind of file '.xlsx', expected one of .jsonl, .csv, .tsv, .parquet"),
        ("in.parquet", b"PAR1 and no more", {}, "in.parquet: no Parquet file, or damaged or cut short"),
        ("in.jsonl", JSON_LINE, {"target": "out.xml"}, "out.xml: unknown kind of file"),
        ("in.jsonl", JSON_LINE, {"rejects": "in.jsonl"}, "in.jsonl: is the input or the output as well"),
        ("in.jsonl", JSON_LINE, {"workers": 0}, "--workers 0: expected 1 or more"),
    ],
)
def test_what_is_wrong_with_a_whole_file_stops_in_any_case(
    name: str, content: bytes, options: dict, words: str, tmp_path: Path, model_folder: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    with pytest.raises(ClaimstanceError) as caught:
        predict_file(model_folder, name, **{"target": "out.jsonl", "on_error": "skip", **options})
    assert str(caught.value).startswith(words)
    assert os.listdir(tmp_path) == [name]


def test_a_column_of_parquet_without_texts_is_refused(tmp_path: Path, model_folder: Path) -> None:
    parquet.write_table(pa.table({"quote": [1], "claim": ["a"]}), tmp_path / "in.parquet")
    with pytest.raises(ClaimstanceError, match="column 'quote' is of type int64, expected texts"):
        predict_file(model_folder, tmp_path / "in.parquet", tmp_path / "out.jsonl", on_error="skip")


@pytest.mark.usefixtures("small_blocks")
def test_damaged_parquet_is_named_and_what_was_read_is_kept(
    tmp_path: Path, model_folder: Path, few_pairs: list[Pair]
) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.jsonl"
    write(source, [pair.to_dict() for pair in few_pairs])
    content = source.read_bytes()
    source.write_bytes(content[:-100])
    with pytest.raises(
        ClaimstanceError, match=r"in\.parquet: no Parquet file, or damaged or cut short .*; copy or write"
    ):
        predict_file(model_folder, source, target)
    assert os.listdir(tmp_path) == ["in.parquet"]
    second = parquet.ParquetFile(source_of(content, tmp_path)).metadata.row_group(1).column(0)
    place = second.dictionary_page_offset or second.data_page_offset
    source.write_bytes(content[:place] + b"\xff" * 60 + content[place + 60 :])
    with pytest.raises(
        ClaimstanceError, match=r"damaged or cut short .* 70 rows are done and kept in .*out\.jsonl\.partial"
    ):
        predict_file(model_folder, source, target)


def source_of(content: bytes, folder: Path) -> Path:
    (folder / "whole.parquet").write_bytes(content)
    return folder / "whole.parquet"


def test_a_quote_that_never_closes_does_not_fill_the_memory(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_BLOCK_BYTES", 1000)
    monkeypatch.setattr(tables, "_LONGEST_ROW", 1 << 20)
    source = tmp_path / "in.csv"
    source.write_bytes(b'quote,claim\na,b\n"a,b\n' + b"a,b\n" * 400_000)
    with pytest.raises(ClaimstanceError, match=r"in\.csv:3: the row that begins here does not end within 1 MiB"):
        predict_file(model_folder, source, tmp_path / "out.csv", on_error="skip")


def test_without_pyarrow_the_way_to_install_it_is_named(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in.jsonl", [GOOD])
    write(tmp_path / "in.parquet", [GOOD])
    for name in [name for name in sys.modules if name.startswith(("pyarrow", "claimstance.parquet"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("claimstance.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for source, target in (("in.jsonl", "out.parquet"), ("in.parquet", "out.jsonl")):
        with pytest.raises(ClaimstanceError, match=r"pip install 'claimstance\[parquet\]'"):
            predict_file(model_folder, tmp_path / source, tmp_path / target)
    assert predict_file(model_folder, tmp_path / "in.jsonl", tmp_path / "out.csv").rows == 1
    assert not (tmp_path / "out.parquet.partial").exists()


PEAK = (
    "import resource, sys; from claimstance.batch import predict_file; predict_file(*sys.argv[1:]);"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
)


@pytest.mark.parametrize(("source", "target"), [(".jsonl", ".jsonl"), (".csv", ".csv"), (".parquet", ".jsonl")])
def test_memory_does_not_grow_with_the_file(
    source: str, target: str, tmp_path: Path, model_folder: Path, root: Path
) -> None:
    peaks: list[int] = []
    for rows in (3_000, 30_000):
        path = write(tmp_path / f"{rows}{source}", [{**GOOD, "n": str(number) * 20} for number in range(rows)])
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(model_folder), str(path), str(tmp_path / f"out{target}")],
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        peaks.append(int(done.stdout) * 1024)
    assert (tmp_path / f"30000{source}").stat().st_size > 3 << 20 or source == ".parquet"
    assert peaks[1] - peaks[0] < 12 << 20
