"""What a run leaves when it stops: it goes on from there, refuses what is another run, and throws nothing away unasked."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from claimstance import journal, tables
from claimstance.batch import Interrupted, predict_file
from claimstance.bundle import write_bundle
from claimstance.cli import main
from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from claimstance.tables import read_rows
from tests.batch_fixtures import BAD, ROWS

BLOCK = 6000


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_two_workers_write_the_bytes_of_one(
    kind: str, source: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_BLOCK_BYTES", 50_000)
    for workers in (1, 2):
        predict_file(model_folder, source, source.with_name(f"{workers}.{kind}"), on_error="skip", workers=workers)
    assert source.with_name(f"1.{kind}").read_bytes() == source.with_name(f"2.{kind}").read_bytes()
    told = [source.with_name(f"{workers}.{kind}.rejects.jsonl").read_bytes() for workers in (1, 2)]
    assert told[0] == told[1] and told[0].count(b"\n") == BAD


@pytest.fixture
def interrupted(source: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An output whose run was interrupted at its third block."""
    calls, probabilities = [], Predictor.probabilities

    def interrupt(self: Predictor, quotes: list[str], claims: list[str]) -> np.ndarray:
        calls.append(len(quotes))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return probabilities(self, quotes, claims)

    target = source.with_name("out.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "probabilities", interrupt)
        patch.setattr(tables, "_BLOCK_BYTES", BLOCK)
        with pytest.raises(Interrupted, match=r"[\d,]+ rows are done and kept in .*out\.jsonl\.partial"):
            predict_file(model_folder, source, target, on_error="skip")
    return target


def test_unfinished_files_are_not_thrown_away_unasked(interrupted: Path, source: Path, model_folder: Path) -> None:
    partial = interrupted.with_name("out.jsonl.partial")
    before = partial.read_bytes()
    with pytest.raises(ClaimstanceError, match=r"out\.jsonl\.partial: left by a run .* --resume, .* --overwrite"):
        predict_file(model_folder, source, interrupted, on_error="skip")
    assert partial.read_bytes() == before
    assert predict_file(model_folder, source, interrupted, on_error="skip", overwrite=True).rows == ROWS - BAD
    assert not partial.exists()


@pytest.mark.parametrize("what", ["input", "model", "columns", "on_error", "rejects", "journal", "no journal", "cut"])
def test_another_run_is_not_gone_on_with(
    what: str, interrupted: Path, source: Path, model_folder: Path, tmp_path: Path
) -> None:
    path = interrupted.with_name("out.jsonl.progress.json")
    options: dict[str, Any] = {"on_error": "skip"}
    words = f"begun with {what} "
    if what == "input":
        source.write_text(source.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    elif what == "model":
        model_folder = Path(shutil.copytree(model_folder, tmp_path / "other"))
        bundle = Predictor.load(model_folder).bundle
        write_bundle(replace(bundle, manifest=replace(bundle.manifest, threshold=0.9)), model_folder)
    elif what == "columns":
        options["columns"] = {"claim": "quote"}
    elif what == "on_error":
        options["on_error"] = "stop"
    elif what == "rejects":
        options["rejects"] = tmp_path / "elsewhere.jsonl"
    elif what == "journal":
        path.write_text('{"run": 1}', encoding="utf-8")
        words = "no journal of an unfinished run"
    elif what == "no journal":
        path.unlink()
        words = "missing, so"
    else:
        os.truncate(interrupted.with_name("out.jsonl.partial"), 10)
        words = "shorter than the"
    left = sorted((entry.name, entry.read_bytes()) for entry in tmp_path.iterdir() if entry.is_file())
    with pytest.raises(ClaimstanceError, match=words) as caught:
        predict_file(model_folder, source, interrupted, resume=True, **options)
    assert "--overwrite" in str(caught.value)
    assert sorted((entry.name, entry.read_bytes()) for entry in tmp_path.iterdir() if entry.is_file()) == left


def test_a_run_that_stopped_at_a_bad_row_goes_on_without_it(
    source: Path, whole: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_BLOCK_BYTES", 3000)
    target = source.with_name("out.jsonl")
    with pytest.raises(ClaimstanceError, match=r"in\.jsonl:8: quote is .* rows are done .* --on-error skip --resume"):
        predict_file(model_folder, source, target)
    assert predict_file(model_folder, source, target, on_error="skip", resume=True)[:2] == (ROWS - BAD, BAD)
    assert target.read_bytes() == (whole / "out.jsonl").read_bytes()


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("step", [1, 2])
def test_a_kill_among_the_last_steps_loses_nothing(
    step: int, kind: str, source: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, rename, calls = source.with_name(f"out.{kind}"), os.replace, []

    class Killed(BaseException):
        pass

    def killed(old: Path, new: Path) -> None:
        if Path(new).suffix != ".json":
            calls.append(new)
            if len(calls) == step:
                raise Killed
        rename(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "replace", killed)
        with pytest.raises(Killed):
            predict_file(model_folder, source, target, on_error="skip")
    assert not target.exists()
    assert predict_file(model_folder, source, target, on_error="skip", resume=True)[:2] == (ROWS - BAD, BAD)
    assert sum(1 for _ in read_rows(target)) == ROWS - BAD
    names = {source.name, target.name, f"{target.name}.rejects.jsonl"}
    assert {path.name for path in source.parent.iterdir()} == names


def test_two_processes_do_not_write_one_output(interrupted: Path, source: Path, model_folder: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with open(interrupted.with_name("out.jsonl.partial"), "rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for options in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(ClaimstanceError, match="another process is writing it"):
                predict_file(model_folder, source, interrupted, on_error="skip", **options)
    assert predict_file(model_folder, source, interrupted, on_error="skip", resume=True).rows == ROWS - BAD


@pytest.mark.parametrize("old", ["old", None])
def test_ctrl_c_says_how_to_go_on_and_the_output_stays_as_it_was(
    old: str | None,
    source: Path,
    whole: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target, calls, probabilities = source.with_name("out.jsonl"), [], Predictor.probabilities
    if old is not None:
        target.write_text(old, encoding="utf-8")

    def interrupted(self: Predictor, quotes: list[str], claims: list[str]) -> np.ndarray:
        calls.append(len(quotes))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return probabilities(self, quotes, claims)

    monkeypatch.setattr(tables, "_BLOCK_BYTES", 3000)
    monkeypatch.setattr(Predictor, "probabilities", interrupted)
    call = [
        "predict",
        "--model",
        str(model_folder),
        "--input",
        str(source),
        "--output",
        str(target),
        "--on-error",
        "skip",
    ]
    assert main(call) == 130
    (shown,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("claimstance: interrupted; ")]
    assert f"{calls[0]:,} rows are done" in shown
    assert target.exists() == (old is not None)
    assert old is None or target.read_text(encoding="utf-8") == old
    partial = target.with_name("out.jsonl.partial").read_bytes()
    assert partial.count(b"\n") == calls[0] and (whole / "out.jsonl").read_bytes().startswith(partial)
    program, *words = shlex.split(shown.rpartition("go on with: ")[2])
    assert program == "claimstance" and words == [*call, "--resume"]
    assert main(words) == 0
    assert target.read_bytes() == (whole / "out.jsonl").read_bytes()
