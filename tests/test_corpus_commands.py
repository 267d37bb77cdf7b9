"""The commands on a corpus: certify holds the folder to its card and names what is broken; check; convert."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from claimstance.records import LABELS, Pair, read_json_lines, read_pairs, write_json_lines
from training.corpus_commands import main

FIGURES = (
    *("pairs", "events", "Arabic", "topics", "largest topic", *(f"labelled {label}" for label in LABELS)),
    *("pairs in contrast groups", "quotes without a reporting verb", "quotes of 40 to 80 words"),
    *("stances in other words than the claim's", "rarest hard case (", "genres"),
    *("α, author and both annotators", "α, the two blind annotators"),
    *(f"α of {label} against the rest" for label in LABELS),
    *("α of the least agreed pattern (", "near-duplicate skeletons across events"),
)


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """The corpus folder, to be broken."""
    return shutil.copytree(root / "data", tmp_path / "نسخة data")


def change(path: Path, rewrite: Callable[[list[Pair]], list[Pair]]) -> None:
    write_json_lines(path, [pair.to_dict() for pair in rewrite(read_pairs(path))])


def annotate(folder: Path, pair: Pair) -> None:
    """Let all annotators agree on an added pair."""
    rows = [row for _, row in read_json_lines(folder / "annotations.jsonl")]
    for annotator in ("author", "annotator-1", "annotator-2"):
        rows.append({"pair": pair.id, "annotator": annotator, "label": pair.stance, "rule": "report"})
    write_json_lines(folder / "annotations.jsonl", rows)


def error_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Certify a broken folder and return the one line of error."""
    assert main(["certify", str(folder)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("training.corpus: error: ") and error.count("\n") == 1
    return error


def test_the_corpus_keeps_every_figure_that_its_card_promises(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certify", str(root / "data")]) == 0
    shown = capsys.readouterr().out
    rows = {cells[0]: cells[1:] for line in shown.splitlines() if len(cells := re.split(r" *│ *", line)[1:-1]) == 4}
    for name in FIGURES:
        (found,) = (cells for figure, cells in rows.items() if name in (figure, figure[: figure.find("(") + 1]))
        assert re.fullmatch(r"[\d,.]+%?", found[0]), name
        assert found[2] == ("kept" if found[1] else ""), name
    assert "SHORT" not in shown
    assert "events in two of train, validation, test: 0" in shown
    nearest = [float(value) for value in re.findall(r"│ +(0\.\d\d) │ \w+ / \w+ +│", shown)]
    assert len(nearest) == 5 and max(nearest) < 0.3
    assert shown.splitlines()[-1].endswith("all figures kept, no leak at 0.3 or above")


def test_certify_names_an_event_that_is_in_two_splits(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = read_pairs(copy / "train.jsonl")[0]
    change(copy / "train.jsonl", lambda pairs: pairs[1:])
    change(copy / "test.jsonl", lambda pairs: [*pairs, moved])
    error = error_of(copy, capsys)
    assert f"event {moved.event!r}" in error and "train.jsonl" in error and "test.jsonl" in error


def test_certify_names_a_near_copy_that_leaked_from_train_to_test(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = read_pairs(copy / "train.jsonl")[0]
    quote = source.quote.replace("ستة", "سبعة")
    assert quote != source.quote
    leaked = replace(source, id="leaked-01", event="leaked", quote=quote, contrast="")
    change(copy / "test.jsonl", lambda pairs: [*pairs, leaked])
    annotate(copy, leaked)
    error = error_of(copy, capsys)
    assert re.search(r"near-duplicate skeletons across events is [1-9]\d*, wanted at most 0", error)
    found = re.search(
        r"quote and claim of '([\w-]+)' in train and of 'leaked-01' in test are alike to (0\.\d\d)", error
    )
    assert found and found[1].startswith(source.event) and float(found[2]) > 0.7


@pytest.mark.parametrize("name", ["train", "test"])
def test_certify_names_a_label_that_differs_from_the_annotations(
    copy: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    flipped = next(pair for pair in read_pairs(copy / f"{name}.jsonl") if pair.stance == "assert")
    change(
        copy / f"{name}.jsonl",
        lambda pairs: [replace(pair, stance="deny") if pair.id == flipped.id else pair for pair in pairs],
    )
    expected = f"annotations.jsonl: pair {flipped.id!r} came to assert, but the corpus says deny"
    assert expected in error_of(copy, capsys)


def test_certify_names_the_figure_that_falls_short(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train", "validation", "test"):
        change(
            copy / f"{name}.jsonl",
            lambda pairs: [replace(pair, contrast="") if at % 10 else pair for at, pair in enumerate(pairs)],
        )
    assert main(["certify", str(copy)]) == 2
    streams = capsys.readouterr()
    # Every figure is printed all the same, so that one sees all that is to be mended.
    assert re.search(r"pairs in contrast groups +│ +\d\.\d% │ at least 35\.0% +│ SHORT", streams.out)
    assert streams.out.count("SHORT") == 1 and "Nearest pairs across splits" in streams.out
    assert re.search(r"promises: pairs in contrast groups is \d\.\d%, wanted at least 35\.0%$", streams.err.strip())


@pytest.mark.parametrize("name", ["train.jsonl", "test.jsonl", "annotations.jsonl", "lexicons"])
def test_certify_names_a_missing_file(copy: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (copy / name).rename(copy.parent / name)
    assert str(copy / name) in error_of(copy, capsys)


def test_certify_of_no_folder_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{tmp_path / 'data'}" in error_of(tmp_path / "data", capsys)


def test_check_counts_pairs_and_events_of_every_file(
    root: Path, small_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *(str(small_corpus / f"{name}.jsonl") for name in ("train", "validation"))]) == 0
    shown = capsys.readouterr().out
    for name in ("train", "validation"):
        pairs = read_pairs(small_corpus / f"{name}.jsonl")
        events = len({pair.event for pair in pairs})
        assert re.search(rf"│ {name} +│ +{len(pairs)} │ +{events} │ ar 100% ", shown)


def test_check_names_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "none.jsonl")]) == 2
    assert capsys.readouterr().err == f"training.corpus: error: {tmp_path / 'none.jsonl'}: no such file\n"


def test_the_makefile_calls_a_command_that_there_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    called = re.findall(r"-m training\.corpus (.+)", (root / "Makefile").read_text(encoding="utf-8"))
    assert called
    for arguments in called:
        assert main(arguments.split()) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "flags"),
    [("بيانات.json", []), ("a.doccano.jsonl", []), ("a.txt", ["label-studio"]), ("b.txt", ["doccano"])],
)
def test_convert_goes_there_and_back_to_the_same_bytes(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, flags: list[str]
) -> None:
    source, there, back = root / "data/validation.jsonl", tmp_path / target, tmp_path / "back.jsonl"
    assert main(["convert", str(source), str(there), *(["--to", *flags] if flags else [])]) == 0
    assert main(["convert", str(there), str(back), *(["--from", *flags] if flags else [])]) == 0
    count = len(read_pairs(source))
    assert capsys.readouterr().out == f"{count} pairs written: {there}\n{count} pairs written: {back}\n"
    assert back.read_bytes() == source.read_bytes()


def test_convert_refuses_what_it_cannot_read_and_leaves_the_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("quote,claim\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text("قديم\n", encoding="utf-8")
    assert main(["convert", str(tmp_path / "a.csv"), str(tmp_path / "b.jsonl")]) == 2
    assert f"{tmp_path / 'a.csv'}: no format has this ending" in capsys.readouterr().err
    assert (tmp_path / "b.jsonl").read_text(encoding="utf-8") == "قديم\n"


@pytest.mark.parametrize("arguments", [[], ["certify"], ["convert", "a.jsonl"], ["convert", "a", "b", "--to", "xml"]])
def test_a_wrong_command_line_exits_2_with_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m training.corpus")
