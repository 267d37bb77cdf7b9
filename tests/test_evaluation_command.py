"""The command ``python -m evaluation``: what it writes and prints, and that a wrong call exits with 2 and writes nothing."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from claimstance.bundle import bundle_digest, write_bundle
from claimstance.files import sha256
from claimstance.predictor import Predictor
from claimstance.records import read_json_lines, write_json_lines
from evaluation.__main__ import main
from evaluation.evidence import Record, evidence_folder, write_record
from evaluation.scoring import read_labelled, score_model

GOOD = {"quote": "نفى الوزير وصول الشحنة", "claim": "وصلت الشحنة", "stance": "deny"}


@pytest.fixture(scope="module")
def pairs(small_corpus: Path) -> Path:
    return small_corpus / "validation.jsonl"


@pytest.fixture
def judged(tmp_path: Path, predictor: Predictor) -> Path:
    """A bundle with evidence of a blind model, which a test may spoil."""
    bundle = tmp_path / "model"
    write_bundle(predictor.bundle, bundle)
    folder = evidence_folder(bundle)
    write_bundle(predictor.bundle, folder / "blind-quote")
    digests = {"blind-quote": bundle_digest(folder / "blind-quote")}
    write_record(
        folder, Record(bundle_digest(bundle), "1" * 64, {"quote alone": "blind-quote"}, {}, digests), np.eye(4)
    )
    return bundle


@pytest.fixture
def other(tmp_path: Path, predictor: Predictor) -> Path:
    """A bundle of a model that asserts nearly always."""
    dense = predictor.bundle.dense.copy()
    dense[-1, 0] += 5
    manifest = dataclasses.replace(predictor.manifest, name="stubborn")
    write_bundle(dataclasses.replace(predictor.bundle, dense=dense, manifest=manifest), tmp_path / "other")
    return tmp_path / "other"


@pytest.fixture
def table(tmp_path: Path, pairs: Path) -> Path:
    """The pairs as a CSV file with columns of other names."""
    path = tmp_path / "pairs.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["s1", "s2", "gold", "story", "quote"])
        for _, row in read_json_lines(pairs):
            writer.writerow([row["quote"], row["claim"], row["stance"], row["event"], "nothing of ours"])
    return path


def refusal(capsys: pytest.CaptureFixture[str], command: str, *arguments: object) -> str:
    """Run a command that must be refused; return its one line of complaint."""
    assert main([str(argument) for argument in arguments]) == 2
    shown = capsys.readouterr()
    complaints = [line for line in shown.err.splitlines() if "error" in line.lower()]
    assert len(complaints) == 1 and complaints[0].startswith(f"{command}: error: "), shown.err
    assert "Traceback" not in shown.err
    return complaints[0].removeprefix(f"{command}: error: ")


def test_a_report_is_written_and_says_of_what(
    tmp_path: Path, model_folder: Path, pairs: Path, predictor: Predictor, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "تقارير" / "new report"
    assert main([str(model_folder), str(pairs), "--output", str(folder)]) == 0
    shown = capsys.readouterr().out
    body = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert body["model"]["sha256"] == bundle_digest(model_folder)
    assert (body["data"]["source"], body["data"]["sha256"]) == (str(pairs), sha256(pairs))
    figures = score_model(predictor, read_labelled(pairs, predictor)).figures
    for name, value in figures.items():
        assert body["figures"][name] == value
    assert f"macro_f1 {figures['macro_f1']:.3f}" in shown and f"report: {folder / 'report.html'}" in shown
    assert "not measured: what blind variants of the model reach" in shown and body["shortcuts"] is None
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json"]


def test_another_process_writes_the_same_bytes(tmp_path: Path, model_folder: Path, pairs: Path, root: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert main([str(model_folder), str(pairs), "--output", str(here)]) == 0
    command = [sys.executable, "-m", "evaluation", str(model_folder), str(pairs), "--output", str(there)]
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(root), "LC_ALL": "C", "TZ": "Asia/Baku"}
    run = subprocess.run(command, cwd=root, env=environment, capture_output=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    for name in ("report.html", "report.json"):
        assert (here / name).read_bytes() == (there / name).read_bytes()


def test_evidence_beside_the_model_is_shown(judged: Path, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = judged.parent / "out"
    assert main([str(judged), str(pairs), "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    assert "quote alone" in shown and "nothing: the commonest stance" in shown and "not measured" not in shown
    readings = json.loads((output / "report.json").read_text(encoding="utf-8"))["shortcuts"]["readings"]
    assert [reading["reads"] for reading in readings[:2]] == ["quote and claim", "quote alone"]
    assert 'id="shortcuts"' in (output / "report.html").read_text(encoding="utf-8")


def test_a_table_with_other_names_gives_the_same_figures(
    tmp_path: Path, model_folder: Path, pairs: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ["--columns", "quote=s1", "claim=s2", "stance=gold", "event=story"]
    assert main([str(model_folder), str(table), "--output", str(tmp_path / "table"), *columns]) == 0
    assert main([str(model_folder), str(pairs), "--output", str(tmp_path / "lines")]) == 0
    one, two = (
        json.loads((tmp_path / name / "report.json").read_text(encoding="utf-8")) for name in ("table", "lines")
    )
    assert one["confusion"] == two["confusion"] and one["intervals"] == two["intervals"]
    assert one["behaviour"] == two["behaviour"] and one["data"]["events"] == two["data"]["events"]


def test_comparing_prints_and_writes_the_verdict(
    tmp_path: Path, model_folder: Path, other: Path, pairs: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert main(["compare", str(other), str(model_folder), str(pairs), "--output", str(output)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    body = json.loads((output / "comparison.json").read_text(encoding="utf-8"))
    assert body["verdict"].startswith("small is better than stubborn by ")
    assert " ".join(body["verdict"].split()) in shown and "comparison.html" in shown
    assert (body["first"], body["second"], body["source"]) == ("stubborn", "small", str(pairs))
    columns = ["--columns", "quote=s1", "claim=s2", "stance=gold", "event=story"]
    assert main(["compare", str(other), str(model_folder), str(table), *columns]) == 0
    assert " ".join(body["verdict"].split()) in " ".join(capsys.readouterr().out.split())


def test_nothing_is_written_without_output(
    tmp_path: Path, model_folder: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(model_folder), str(pairs)]) == 0
    assert main(["compare", str(model_folder), str(model_folder), str(pairs)]) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["quote"], "--columns 'quote': expected FIELD=COLUMN"),
        (["quote="], "expected FIELD=COLUMN"),
        (["qoute=s1"], "no field 'qoute', expected one of id, event, quote, claim, stance"),
        (["qoute=s1"], "did you mean 'quote'?"),
        (["quote=s3"], "pairs.csv:2: no column 's3' for quote, found s1, s2, gold, story, quote"),
        (["claim=s2", "stance=story"], "stance 'ar-"),
        ([], "pairs.csv:2: claim is missing or empty, expected the fields quote, claim, stance"),
    ],
)
def test_wrong_columns_are_named(
    model_folder: Path, table: Path, capsys: pytest.CaptureFixture[str], columns: list[str], expected: str
) -> None:
    arguments = ["--columns", *columns] if columns else []
    assert expected in refusal(capsys, "evaluation", model_folder, table, *arguments)
    assert expected in refusal(capsys, "evaluation compare", "compare", model_folder, model_folder, table, *arguments)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("p.jsonl", "", "p.jsonl: the file is empty"),
        ("p.jsonl", "\n\n", "p.jsonl: the file holds no record"),
        ("p.jsonl", "{", "p.jsonl:1: broken JSON"),
        ("p.jsonl", '["نفى"]\n', "p.jsonl:1: "),
        (
            "p.jsonl",
            json.dumps(GOOD) + "\n" + json.dumps(GOOD | {"stance": "denies"}),
            "p.jsonl:2: stance 'denies' is not one",
        ),
        ("p.jsonl", json.dumps(GOOD | {"claim": None}), "p.jsonl:1: claim is missing or empty"),
        ("p.csv", "quote,claim,stance\n", "p.csv: the file holds no row"),
        ("p.csv", "quote,claim,stance\nنفى,وصلت\n", "p.csv:2: 2 cells, expected 3"),
        ("p.tsv", "quote\tclaim\tstance\nنفى\tوصلت\tdeny\tx\n", "p.tsv:2: 4 cells, expected 3"),
        ("p.xlsx", "quote", "p.xlsx: unknown kind of file '.xlsx', expected one of .jsonl, .csv, .tsv"),
        ("p.jsonl", None, "p.jsonl: no such file"),
    ],
)
def test_pairs_that_cannot_be_read_are_named(
    tmp_path: Path,
    model_folder: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str | None,
    expected: str,
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    output = tmp_path / "out"
    assert expected in refusal(capsys, "evaluation", model_folder, tmp_path / name, "--output", output)
    same = ("compare", model_folder, model_folder, tmp_path / name, "--output", output)
    assert expected in refusal(capsys, "evaluation compare", *same)
    assert not output.exists()


def spoil(bundle: Path, how: str) -> None:
    """Spoil a model or its evidence in one way."""
    evidence = evidence_folder(bundle)
    if how == "no model":
        shutil.rmtree(bundle)
    elif how == "altered model":
        (bundle / "dense.npy").write_bytes(b"x" * (bundle / "dense.npy").stat().st_size)
    elif how == "no record":
        (evidence / "evidence.json").unlink()
    elif how == "broken record":
        (evidence / "evidence.json").write_text("{", encoding="utf-8")
    elif how == "no probabilities":
        (evidence / "validation_probabilities.npy").unlink()
    elif how == "broken probabilities":
        (evidence / "validation_probabilities.npy").write_bytes(b"")
    elif how == "no blind model":
        shutil.rmtree(evidence / "blind-quote")
    else:
        body = json.loads((evidence / "evidence.json").read_text(encoding="utf-8"))
        body |= {
            "another model's": {"bundle": "2" * 64},
            "newer record": {"format": 99},
            "part elsewhere": {"blind": {"quote alone": "../model"}},
            "blind is a list": {"blind": ["blind-quote"]},
            "format is a text": {"format": "1"},
            "part is a number": {"blind": {"quote alone": 7}},
        }[how]
        (evidence / "evidence.json").write_text(json.dumps(body), encoding="utf-8")


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("no model", "model: no such model folder"),
        ("altered model", "dense.npy: altered since it was exported"),
        ("another model's", "model.evidence: evidence of another model than"),
        ("no record", "evidence.json: no record of evidence"),
        ("broken record", "evidence.json: no record of evidence"),
        ("blind is a list", "evidence.json: no record of evidence"),
        ("format is a text", "evidence.json"),
        ("part is a number", "evidence.json"),
        ("newer record", "evidence.json: format 99 is newer than 1; upgrade claimstance"),
        ("part elsewhere", "'../model' is no folder beside it"),
        ("no probabilities", "validation_probabilities.npy: "),
        ("broken probabilities", "validation_probabilities.npy: "),
        ("no blind model", "blind-quote: no such model folder"),
    ],
)
def test_a_spoilt_model_or_its_spoilt_evidence_is_named(
    tmp_path: Path, judged: Path, pairs: Path, capsys: pytest.CaptureFixture[str], how: str, expected: str
) -> None:
    spoil(judged, how)
    output = tmp_path / "out"
    assert expected in refusal(capsys, "evaluation", judged, pairs, "--output", output)
    assert not output.exists()


@pytest.mark.parametrize("compared", [False, True], ids=["report", "compare"])
def test_output_that_is_a_file_is_named(
    tmp_path: Path, model_folder: Path, pairs: Path, capsys: pytest.CaptureFixture[str], compared: bool
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine", encoding="utf-8")
    models = ["compare", model_folder, model_folder] if compared else [model_folder]
    command = "evaluation compare" if compared else "evaluation"
    assert str(taken) in refusal(capsys, command, *models, pairs, "--output", taken)
    assert taken.read_text(encoding="utf-8") == "mine"


def test_half_a_character_in_a_text_is_no_crash(
    tmp_path: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json_lines(tmp_path / "half.jsonl", [GOOD | {"quote": "نفى \ud83d الوزير وصول الشحنة", "stance": "assert"}])
    assert main([str(model_folder), str(tmp_path / "half.jsonl"), "--output", str(tmp_path / "out")]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_other_labels_are_refused_by_name(
    tmp_path: Path, model_folder: Path, predictor: Predictor, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = dataclasses.replace(predictor.manifest, name="ans", labels=("agree", "disagree", "discuss", "none"))
    write_bundle(dataclasses.replace(predictor.bundle, manifest=manifest), tmp_path / "ans")
    complaint = refusal(capsys, "evaluation compare", "compare", model_folder, tmp_path / "ans", pairs)
    assert "ans has agree, disagree, discuss, none" in complaint and "same labels" in complaint


@pytest.mark.parametrize("arguments", [[], ["exports/x"], ["compare", "a", "b"], ["a", "b", "--outptu", "c"]])
def test_a_wrong_call_shows_how_to_call(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    expected = "usage: python -m evaluation" + (" compare" if arguments[:1] == ["compare"] else "")
    assert capsys.readouterr().err.startswith(expected)
