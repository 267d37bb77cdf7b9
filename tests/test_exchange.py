"""The corpus in the formats of annotation tools: round trips of the real files, and every way in which a file is wrong."""

from __future__ import annotations

import itertools
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from claimstance.errors import ClaimstanceError
from claimstance.records import LABELS, Pair, read_pairs
from training import exchange
from training.exchange import (
    LABELLING_CONFIG,
    convert,
    read_doccano,
    read_label_studio,
    write_doccano,
    write_label_studio,
)

SPLITS = ("train", "validation", "test")
TOOLS = {"set.json": (write_label_studio, read_label_studio), "doccano.jsonl": (write_doccano, read_doccano)}

# Quotes that break a careless writer: line ends that are not \n, marks of JSON, of XML and of direction, and a NUL.
AWKWARD = [
    Pair("x-1", "x", "sport", "ar", "فاز\u2028الفريق", 'قال: «لا»\n\\"نعم\\" \u200f<b>&\u2029', " المدرب ", "deny"),
    Pair("x-2", "x", "sport", "en", '["p"]', "{}\r\n\0\t٣٫٥ 🙂", "a", "none", "agency", "report", "bare", "x-c1"),
]


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("file", TOOLS)
def test_real_files_come_back_unchanged(name: str, file: str, root: Path, tmp_path: Path) -> None:
    write, read = TOOLS[file]
    pairs = read_pairs(root / f"data/{name}.jsonl")
    assert write(pairs, tmp_path / file) == len(pairs)
    assert read(tmp_path / file) == pairs


@pytest.mark.parametrize("file", TOOLS)
def test_awkward_texts_come_back_unchanged(file: str, tmp_path: Path) -> None:
    write, read = TOOLS[file]
    write(AWKWARD, tmp_path / file)
    assert read(tmp_path / file) == AWKWARD


def test_convert_goes_around_by_ending(root: Path, tmp_path: Path) -> None:
    start = root / "data/validation.jsonl"
    count = len(read_pairs(start))
    steps = [start, tmp_path / "a.json", tmp_path / "a.doccano.jsonl", tmp_path / "b.jsonl", tmp_path / "b.JSON"]
    for source, target in itertools.pairwise(steps):
        assert convert(source, target) == count
    assert read_pairs(tmp_path / "b.jsonl") == read_label_studio(tmp_path / "b.JSON") == read_pairs(start)


def test_convert_goes_by_format(tmp_path: Path) -> None:
    write_doccano(AWKWARD, tmp_path / "export.txt")
    convert(tmp_path / "export.txt", tmp_path / "tasks", source_format="doccano", target_format="label-studio")
    assert read_label_studio(tmp_path / "tasks") == AWKWARD


def test_convert_names_what_it_cannot(tmp_path: Path) -> None:
    write_doccano(AWKWARD, tmp_path / "doccano.jsonl")
    with pytest.raises(
        ClaimstanceError, match=r"a\.csv: no format has this ending, expected doccano\.jsonl \(doccano\)"
    ):
        convert(tmp_path / "doccano.jsonl", tmp_path / "a.csv")
    with pytest.raises(ClaimstanceError, match=r"format 'docano' is not one of .*did you mean 'doccano'"):
        convert(tmp_path / "doccano.jsonl", tmp_path / "a.json", source_format="docano")
    with pytest.raises(ClaimstanceError, match="is the source as well"):
        convert(tmp_path / "doccano.jsonl", tmp_path / "." / "doccano.jsonl", target_format="corpus")
    assert read_doccano(tmp_path / "doccano.jsonl") == AWKWARD


def test_a_failed_conversion_leaves_the_target(tmp_path: Path) -> None:
    (tmp_path / "doccano.jsonl").write_text('{"text": "q"}', encoding="utf-8")
    (tmp_path / "a.json").write_text("kept", encoding="utf-8")
    with pytest.raises(ClaimstanceError):
        convert(tmp_path / "doccano.jsonl", tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "kept"


def test_tasks_fit_the_labelling_config(few_pairs: list[Pair], tmp_path: Path) -> None:
    write_label_studio(few_pairs, tmp_path / "a.json")
    config = ElementTree.fromstring(LABELLING_CONFIG)
    texts = {text.get("name"): text.get("value") for text in config.iter("Text")}
    assert texts == {"quote": "$quote", "claim": "$claim", "speaker": "$speaker"}
    assert "unicode-bidi: plaintext" in config.findtext("Style")
    (control,) = config.iter("Choices")
    assert [choice.get("value") for choice in control] == list(LABELS)
    for task in json.loads((tmp_path / "a.json").read_text(encoding="utf-8")):
        assert all(isinstance(task["data"][value[1:]], str) for value in texts.values())
        (result,) = task["annotations"][0]["result"]
        assert (result["from_name"], result["to_name"]) == (control.get("name"), control.get("toName"))
        assert result["value"]["choices"][0] in LABELS
        assert task["predictions"] == [] and "stance" not in task["data"]


def test_doccano_lines_are_text_label_meta(tmp_path: Path) -> None:
    write_doccano(AWKWARD[1:], tmp_path / "a.jsonl")
    row = json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8"))
    assert list(row) == ["text", "label", "meta"]
    assert (row["text"], row["label"]) == (AWKWARD[1].quote, ["none"])
    assert set(row["meta"]) == set(AWKWARD[1].to_dict()) - {"quote", "stance"}


def test_exports_of_the_tools_are_read(tmp_path: Path) -> None:
    task = exchange._task(AWKWARD[0])
    cancelled = {"id": 7, "was_cancelled": True, "result": []}
    truth = {**task["annotations"][0], "ground_truth": True, "completed_by": 3, "lead_time": 4.2}
    other = {"id": 8, "ground_truth": False, "result": [{"from_name": "stance", "value": {"choices": ["none"]}}]}
    export = {**task, "id": 12, "annotations": [cancelled, other, truth], "predictions": [], "meta": {}, "drafts": []}
    (tmp_path / "a.json").write_text(json.dumps([export]), encoding="utf-8")
    assert read_label_studio(tmp_path / "a.json") == AWKWARD[:1]
    line = {**exchange._line(AWKWARD[0]), "id": 31, "label": "deny", "Comments": []}
    (tmp_path / "a.jsonl").write_text(json.dumps(line), encoding="utf-8")
    assert read_doccano(tmp_path / "a.jsonl") == AWKWARD[:1]


def with_choice(*choices: Any) -> Callable[[dict], None]:
    return lambda task: task["annotations"][0]["result"][0].update(value={"choices": list(choices)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda task: task.pop("data"), "task 2: data is null, expected an object .*not as JSON-MIN"),
        (lambda task: task.update(data=[1]), r"task 2: data is \[1\], expected an object"),
        (lambda task: task.pop("annotations"), "task 2: annotations is null, expected a list"),
        (lambda task: task.update(annotations=[1]), r"task 2: annotations is \[1\], expected a list"),
        (lambda task: task.update(annotations=[]), "task 2: 0 annotations that count, expected one; label the task"),
        (lambda task: task["annotations"].append({"result": []}), "task 2: 2 annotations .*mark one of them"),
        (lambda task: task["annotations"][0].pop("result"), "task 2: result is null, expected a list"),
        (
            lambda task: task["annotations"][0].update(result=[]),
            r"task 2: 0 results from 'stance' \(results from: none\)",
        ),
        (
            lambda task: task["annotations"][0]["result"][0].update(from_name="mood"),
            r"task 2: 0 results from 'stance' \(results from: mood\), expected one; use the project's labelling config",
        ),
        (
            lambda task: task["annotations"][0]["result"][0].pop("value"),
            "task 2: choices is null, expected a list of one",
        ),
        (with_choice(), r"task 2: choices is \[\], expected a list of one of assert, deny, confirm, none"),
        (with_choice("deny", "none"), r"task 2: choices is \[\"deny\", \"none\"\]"),
        (with_choice("denies"), "task 2: stance 'denies' is not one of .*did you mean 'deny'"),
        (with_choice(4), "task 2: stance is a number, expected a text"),
        (lambda task: task["data"].pop("claim"), "task 2: field 'claim' is missing"),
        (lambda task: task["data"].update(quote=" "), "task 2: quote is empty"),
        (lambda task: task["data"].update(speakr="x"), "task 2: unknown field 'speakr', .*did you mean 'speaker'"),
        (lambda task: task["data"].update(stance="none"), "task 2: data has a field 'stance', .*remove it"),
        (lambda task: task["data"].update(id="x-1"), r"task 2: id 'x-1' stands in .*a\.json: task 1 already"),
    ],
)
def test_wrong_tasks_are_named(change: Callable[[dict], Any], message: str, tmp_path: Path) -> None:
    tasks = [exchange._task(pair) for pair in AWKWARD]
    change(tasks[1])
    (tmp_path / "a.json").write_text(json.dumps(tasks), encoding="utf-8")
    with pytest.raises(ClaimstanceError, match=rf"a\.json: {message}"):
        read_label_studio(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[\n{]", r"a\.json:2: broken JSON at column 2 .*export the project as JSON"),
        ('{"data": {}}', r"a\.json: \{\"data\": \{\}\}, expected a list of Label Studio tasks"),
        ("[]", r"a\.json: the file holds no task"),
        ("[3]", r"a\.json: task 1: data is 3"),
        ("[" * 100_000, r"a\.json: JSON nested too deeply"),
        ("", r"a\.json: the file is empty"),
    ],
)
def test_what_is_no_list_of_tasks_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(ClaimstanceError, match=message):
        read_label_studio(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.pop("meta"), "field 'meta' is missing, expected text, label and meta, found text, label"),
        (lambda row: row.update(labels=row.pop("label")), "field 'label' is missing, .*did you mean 'labels'"),
        (lambda row: row.update(meta="x"), 'meta is "x", expected an object'),
        (lambda row: row.update(label=[]), r"label is \[\], expected a list of one of .*leave it out"),
        (lambda row: row.update(label=["deny", "none"]), r"label is \[\"deny\", \"none\"\]"),
        (lambda row: row.update(label=None), "label is null"),
        (lambda row: row.update(label=["Deny"]), "stance 'Deny' is not one of .*did you mean 'deny'"),
        (lambda row: row.update(text=3), "quote is a number, expected a text"),
        (lambda row: row["meta"].update(quote="x"), "meta has a field 'quote'"),
        (lambda row: row["meta"].update(id="x-1"), r"id 'x-1' stands in .*a\.jsonl:1 already"),
    ],
)
def test_wrong_lines_are_named(change: Callable[[dict], Any], message: str, tmp_path: Path) -> None:
    rows = [exchange._line(pair) for pair in AWKWARD]
    change(rows[1])
    (tmp_path / "a.jsonl").write_text("\n\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    with pytest.raises(ClaimstanceError, match=rf"a\.jsonl:3: {message}"):
        read_doccano(tmp_path / "a.jsonl")


def test_a_missing_file_or_folder_is_named(tmp_path: Path) -> None:
    for read in (read_label_studio, read_doccano):
        with pytest.raises(ClaimstanceError, match=r"gone\.jsonl?: no such file"):
            read(tmp_path / "gone.jsonl")
    for write in (write_label_studio, write_doccano):
        with pytest.raises(ClaimstanceError, match="does not exist; create it first"):
            write(AWKWARD, tmp_path / "gone" / "a.json")
