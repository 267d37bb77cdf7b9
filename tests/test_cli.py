"""The command ``claimstance``: what it writes and prints, and that a wrong call exits with 2 and spoils nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import statistics
from pathlib import Path

import pytest

from claimstance.bundle import read_bundle, write_bundle
from claimstance.cli import main
from claimstance.explanation import METHODS, explain
from claimstance.predictor import Predictor
from claimstance.records import Pair

QUOTE, CLAIM = "نفى مدير المرفأ وصول أي شحنة ملوثة.", "وصلت شحنة قمح ملوثة إلى المرفأ."
GOOD = json.dumps({"quote": QUOTE, "claim": CLAIM}, ensure_ascii=False) + "\n"
ONE = ["--quote", QUOTE, "--claim", CLAIM]
ARTICLE = """\
قال مدير المرفأ إن الشحنة [red] سليمة.
أكدت المتحدثة باسم الوزارة أن السفينة أفرغت حمولتها كلها صباح الثلاثاء في المرفأ، ثم غادرت إلى عرض البحر مساء اليوم \
نفسه من دون أي تأخير يُذكر، بعد أن فحصتها لجنة من الخبراء مرتين.
The port was open.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that holds an input of two good rows, and nothing else."""
    folder = tmp_path / "عمل"
    folder.mkdir()
    (folder / "in.jsonl").write_text(GOOD * 2, encoding="utf-8")
    return folder


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may spoil."""
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


@pytest.fixture
def unsure(copy: Path, few_pairs: list[Pair]) -> Path:
    """A copy of the model that abstains from every second of the pairs."""
    bundle = read_bundle(copy)
    median = statistics.median(prediction.confidence for prediction in Predictor(bundle).predict(few_pairs))
    manifest = dataclasses.replace(bundle.manifest, threshold=median)
    write_bundle(dataclasses.replace(bundle, manifest=manifest), copy)
    return copy


def error_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must be refused; return its one line of complaint."""
    assert main([str(argument) for argument in arguments]) == 2
    complaints = [line for line in capsys.readouterr().err.splitlines() if line.startswith("claimstance: error: ")]
    assert len(complaints) == 1
    return complaints[0].removeprefix("claimstance: error: ")


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def row(**fields: object) -> bytes:
    return (json.dumps(fields, ensure_ascii=False) + "\n").encode()


@pytest.mark.parametrize("old", ["old", None])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, [": no such file"]),
        (b"", [": the file is empty"]),
        (b"\n \n", [": the file holds no record"]),
        (GOOD.encode() + GOOD.encode("windows-1256"), [":2: not UTF-8", "iconv -f WINDOWS-1256"]),
        (GOOD.encode() + b'{"quote": \n', [":2: broken JSON at column", "one object a line"]),
        (GOOD.encode() + b"\n[1]\n", [":3: a list", "expected a JSON object"]),
        (GOOD.encode() * 1500 + b"x\n", [":1501: broken JSON at column 1"]),
        (row(quote=QUOTE), [":1: field 'claim' is missing", "expected the fields quote and claim"]),
        (row(claim=CLAIM), [":1: field 'quote' is missing"]),
        (row(quote=QUOTE, claim=" "), [':1: claim is " "', "expected a text"]),
        (row(quote="", claim=CLAIM), [':1: quote is ""', "expected a text"]),
        (row(quote=None, claim=CLAIM), [":1: quote is null", "expected a text"]),
        (b'{"quote": "a", "claim": "b", "n": ' + b"1" * 5000 + b"}\n", [":1: ", "expected"]),
    ],
)
def test_bad_input_is_named_and_the_output_stays_as_it_was(
    content: bytes | None,
    words: list[str],
    old: str | None,
    folder: Path,
    model_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, target = folder / "in.jsonl", folder / "out.jsonl"
    source.unlink()
    if content is not None:
        source.write_bytes(content)
    if old is not None:
        target.write_text(old, encoding="utf-8")
    before = sorted(os.listdir(folder))
    error = error_of(capsys, "predict", "--model", model_folder, "--input", source, "--output", target)
    assert error.startswith(str(source))
    for word in words:
        assert word in error
    assert sorted(os.listdir(folder)) == before
    assert old is None or target.read_text(encoding="utf-8") == old


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--quote and --claim", "--input and --output"]),
        (["--claim", CLAIM], ["--quote and --claim", "--input and --output"]),
        ([*ONE, "--input", "in.jsonl", "--output", "out.jsonl"], ["either one pair"]),
        (["--quote", QUOTE], ["without --claim", "add --claim"]),
        (["--quote", " ", "--claim", CLAIM], ["--quote is empty"]),
        (["--quote", QUOTE, "--claim", ""], ["--claim is empty"]),
        (["--input", "in.jsonl"], ["without --output", "--output out.jsonl"]),
        (["--input", "in.jsonl", "--output", "out.jsonl", "--claim", CLAIM], ["--claim belongs to --quote"]),
        (["--input", "in.jsonl", "--output", "in.jsonl"], ["in.jsonl: is the input", "name another"]),
        (["--input", "in.jsonl", "--output", "../عمل/./in.jsonl"], ["in.jsonl: is the input", "name another"]),
        (
            ["--input", "in.jsonl", "--output", "absent/out.jsonl"],
            ["absent/out.jsonl", "absent does not exist; create"],
        ),
        (["--input", "in.jsonl", "--output", "."], ["is a folder"]),
        (["--input", ".", "--output", "out.jsonl"], [".: is a folder, expected a file"]),
    ],
)
def test_a_wrong_call_says_what_to_give(
    arguments: list[str],
    words: list[str],
    folder: Path,
    model_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    error = error_of(capsys, "predict", "--model", model_folder, *arguments)
    for word in words:
        assert word in error
    assert os.listdir(folder) == ["in.jsonl"] and os.listdir(folder.parent) == [folder.name]
    assert (folder / "in.jsonl").read_text(encoding="utf-8") == GOOD * 2


def test_an_output_that_is_no_plain_file_is_not_replaced_by_one(folder: Path, model_folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    reader = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    main(["predict", "--model", str(model_folder), "--input", str(folder / "in.jsonl"), "--output", f"{folder}/pipe"])
    os.close(reader)
    assert (folder / "pipe").is_fifo()
    assert sorted(os.listdir(folder)) == ["in.jsonl", "pipe"]


def spoil_manifest(model: Path, **fields: object) -> None:
    body = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
    (model / "manifest.json").write_text(json.dumps({**body, **fields}, indent=2) + "\n", encoding="utf-8")


@pytest.mark.parametrize("command", ["pair", "file", "article", "explain"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda model: shutil.rmtree(model), ["no such model folder", "make quickstart"]),
        (lambda model: (model / "manifest.json").unlink(), ["no manifest.json"]),
        (lambda model: (model / "sparse.npy").unlink(), ["sparse.npy: missing", "copy the whole folder"]),
        (
            lambda model: (model / "lexicon.json").write_bytes(b"[]"),
            ["lexicon.json: 2 bytes", "export the model again"],
        ),
        (lambda model: os.truncate(model / "idf.npy", 100), ["idf.npy: 100 bytes", "export the model again"]),
        (lambda model: spoil_manifest(model, threshold=0.0), ["manifest.json: altered", "export the model again"]),
        (lambda model: spoil_manifest(model, format=99), ["format 99 is newer", "pip install --upgrade claimstance"]),
        (lambda model: spoil_manifest(model, files={"../in.jsonl": {}}), ["manifest.json: altered"]),
    ],
)
def test_a_spoilt_model_is_refused_by_every_command(
    spoil, words: list[str], command: str, copy: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(copy)
    (folder / "article.txt").write_text(ARTICLE, encoding="utf-8")
    error = error_of(
        capsys,
        *{
            "pair": ["predict", *ONE],
            "file": ["predict", "--input", folder / "in.jsonl", "--output", folder / "out.jsonl"],
            "article": ["article", folder / "article.txt", "--claim", CLAIM],
            "explain": ["explain", *ONE],
        }[command],
        "--model",
        copy,
    )
    assert error.startswith(str(copy))
    for word in words:
        assert word in error
    assert sorted(os.listdir(folder)) == ["article.txt", "in.jsonl"]


def test_output_rows_keep_their_fields_in_order_and_add_the_prediction(
    folder: Path, unsure: Path, few_pairs: list[Pair], capsys: pytest.CaptureFixture[str]
) -> None:
    given = [{"n": [1, {"ا": None}], "stance": "denny", **pair.to_dict(), "zz": 0.1} for pair in few_pairs]
    (folder / "in.jsonl").write_bytes(b"".join(row(**fields) for fields in [*given, given[0]]))
    target = folder / "out.jsonl"
    assert main(["predict", "--model", str(unsure), "--input", f"{folder}/in.jsonl", "--output", str(target)]) == 0
    assert f"{len(given) + 1:,} pairs labelled: {target}" in capsys.readouterr().out
    rows, predictions = rows_of(target), Predictor.load(unsure).predict([*few_pairs, few_pairs[0]])
    for fields, out, prediction in zip([*given, given[0]], rows, predictions, strict=True):
        assert list(out) == [*fields, "predicted_stance", "confidence", "probabilities"]
        assert {name: out[name] for name in fields} == fields
        assert out["predicted_stance"] == prediction.stance
        assert out["confidence"] == round(prediction.confidence, 6)
        assert out["probabilities"] == {name: round(value, 6) for name, value in prediction.probabilities.items()}
    assert 100 < [out["predicted_stance"] for out in rows].count(None) < 200
    assert '"predicted_stance": null' in target.read_text(encoding="utf-8")
    assert few_pairs[0].quote in target.read_text(encoding="utf-8"), "Arabic is written as letters, not as escapes"
    assert sorted(os.listdir(folder)) == ["in.jsonl", "out.jsonl"]


@pytest.mark.parametrize(
    "odd", ['"نفى \\ud800 الوزير"', '"نفى\\u0000الوزير"', f'"{"كلمة أخرى " * 100_000}"', '"…؟!"', '"\\u2028قال\\u0085"']
)
@pytest.mark.parametrize("field", ["quote", "claim"])
def test_any_text_passes_through_a_file(odd: str, field: str, folder: Path, model_folder: Path) -> None:
    texts = {"quote": '"قال"', "claim": '"وصلت شحنة"', field: odd}
    line = "{" + ", ".join(f'"{name}": {text}' for name, text in texts.items()) + "}\n"
    (folder / "in.jsonl").write_text(GOOD + line + GOOD, encoding="utf-8")
    target = folder / "out.jsonl"
    assert (
        main(["predict", "--model", str(model_folder), "--input", f"{folder}/in.jsonl", "--output", str(target)]) == 0
    )
    first, middle, last = rows_of_lines(target)
    assert middle[field] == json.loads(odd)
    assert first == last and "predicted_stance" in middle


def rows_of_lines(path: Path) -> list[dict]:
    """Split at line feeds alone: other marks that end lines may stand inside a text."""
    return [json.loads(line) for line in path.read_bytes().decode("utf-8").rstrip("\n").split("\n")]


def test_one_pair_prints_its_stance_and_every_probability(
    unsure: Path, few_pairs: list[Pair], capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = Predictor.load(unsure).predict(few_pairs)
    surest = max(range(len(predictions)), key=lambda index: predictions[index].confidence)
    weakest = min(range(len(predictions)), key=lambda index: predictions[index].confidence)
    for index, shown in ((surest, predictions[surest].stance), (weakest, "– (abstains)")):
        pair, prediction = few_pairs[index], predictions[index]
        assert main(["predict", "--model", str(unsure), "--quote", pair.quote, "--claim", pair.claim]) == 0
        first, *others = capsys.readouterr().out.splitlines()
        assert first == f"{shown}   confidence {prediction.confidence:.2f}"
        printed = {line.split()[0]: line.split()[1] for line in others}
        assert printed == {label: f"{value:.3f}" for label, value in prediction.probabilities.items()}


@pytest.mark.parametrize("width", ["60", "250"])
def test_right_to_left_text_stands_intact_in_the_printed_table(
    width: str, folder: Path, model_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    (folder / "article.txt").write_text(ARTICLE, encoding="utf-8")
    assert main(["article", str(folder / "article.txt"), "--model", str(model_folder), "--claim", CLAIM]) == 0
    out = capsys.readouterr().out
    assert f"Claim: {CLAIM}" in out
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert " ".join(row[3] for row in cells) == " ".join(ARTICLE.split())
    assert " ".join(row[2] for row in cells if row[2]) == "مدير المرفأ المتحدثة باسم الوزارة ?"
    assert not set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x1b") & set(out)


@pytest.mark.parametrize(
    ("content", "claim", "words"),
    [
        (None, CLAIM, ["article.txt: no such file"]),
        (b"", CLAIM, ["article.txt: the file is empty"]),
        (ARTICLE.encode("windows-1256"), CLAIM, ["article.txt:1: not UTF-8", "iconv"]),
        ("خبر عاجل\n".encode(), CLAIM, ["article.txt: no sentence of four words", "expected an article"]),
        (ARTICLE.encode(), " ", ["--claim is empty"]),
    ],
)
def test_a_wrong_article_is_refused(
    content: bytes | None,
    claim: str,
    words: list[str],
    folder: Path,
    model_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if content is not None:
        (folder / "article.txt").write_bytes(content)
    error = error_of(capsys, "article", folder / "article.txt", "--model", model_folder, "--claim", claim)
    for word in words:
        assert word in error


def test_a_field_that_a_prediction_would_overwrite_is_refused(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"quote": "نفى الوزير ذلك", "claim": "وصلت الشحنة", "confidence": "high"}\n', encoding="utf-8")
    assert main(["predict", "--model", str(model_folder), "--input", str(source), "--output", str(target)]) == 2
    shown = capsys.readouterr().err
    assert f"{source}:1: field 'confidence'" in shown and "rename it" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def cells_of(out: str) -> list[list[str]]:
    """The cells of every row of a printed table, rows below the heading alone."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]


@pytest.mark.parametrize("method", METHODS)
def test_explain_prints_the_stance_and_what_every_word_pushed(
    method: str, unsure: Path, few_pairs: list[Pair], capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = Predictor.load(unsure)
    predictions = predictor.predict(few_pairs)
    by_confidence = sorted(range(len(predictions)), key=lambda index: predictions[index].confidence)
    for index, stance in ((by_confidence[-1], None), (by_confidence[0], "– (abstains)")):
        pair, found = few_pairs[index], explain(predictor, few_pairs[index].quote, few_pairs[index].claim, method)
        call = ["explain", "--model", str(unsure), "--quote", pair.quote, "--claim", pair.claim, "--method", method]
        assert main(call) == 0
        out = capsys.readouterr().out
        shown = stance or predictions[index].stance
        assert out.splitlines()[0] == f"{shown}   confidence {predictions[index].confidence:.2f}"
        strong = [word for word in found.words if abs(word.push).max() >= 0.005]
        rows = [(word.side, word.text, word.push) for word in strong]
        rows = [("pair", name, push) for name, push in found.parts.items() if abs(push).max() >= 0.005] + rows
        expected = [[side, text, *(f"{value:+.2f}" for value in push)] for side, text, push in rows]
        if method == "contributions":
            expected.append(["", "all together", *(f"{value:+.2f}" for value in found.scores)])
        assert cells_of(out) == expected
        silent = len(found.words) - len(strong)
        assert (f"{silent} more words push by less than" in out) == (silent > 0)
        assert [word for word in out.split() if word in found.labels][-4:] == list(found.labels)


def test_explain_takes_a_quote_alone_where_the_model_reads_quotes(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = read_bundle(copy)
    manifest = dataclasses.replace(bundle.manifest, inputs="quote")
    write_bundle(dataclasses.replace(bundle, manifest=manifest), copy)
    assert main(["explain", "--model", str(copy), "--quote", QUOTE]) == 0
    alone = capsys.readouterr().out
    assert main(["explain", "--model", str(copy), *ONE]) == 0
    assert capsys.readouterr().out == alone
    assert {row[0] for row in cells_of(alone)} == {"pair", "quote", ""}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--quote", QUOTE], ["without --claim", "add --claim"]),
        (["--quote", " ", "--claim", CLAIM], ["--quote is empty"]),
        (["--quote", QUOTE, "--claim", " "], ["--claim is empty"]),
    ],
)
def test_a_wrong_call_of_explain_says_what_to_give(
    arguments: list[str], words: list[str], model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = error_of(capsys, "explain", "--model", model_folder, *arguments)
    for word in words:
        assert word in error


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("predict", ["Label one pair, or every pair of a file.", "(default: stop)", "(default: 1)"]),
        ("explain", ["Say which words of one pair pushed towards which stance."]),
        ("article", ["Label the sentences of an article against a claim."]),
        ("serve", ["Answer over HTTP,", "most pairs of a request, else 422 (default: 256)"]),
    ],
)
def test_every_command_says_what_it_does_and_what_it_does_by_itself(
    command: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    told = " ".join(capsys.readouterr().out.split())
    for word in (*words, "DIR exported model, such as exports/champion"):
        assert word in told
