"""The benchmark of an exported model measures all it names, in one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.bench import main


def test_everything_is_measured(model_folder: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--pairs", str(root / "data/validation.jsonl"), "--largest", "1000", "--alone"]
    assert main(["--model", str(model_folder), *few]) == 0
    shown = capsys.readouterr().out
    for title in (
        "quotes of 14 words at most",
        "whole quotes",
        "files: JSONL in and out",
        "one pair alone",
        "peak memory",
    ):
        assert title in shown
    rows = [line.split("│")[1:-1] for line in shown.splitlines() if line.startswith("│")]
    assert [row[0].strip() for row in rows] == [*["claimstance", "claimstance, words known"] * 2, "1,000", "1,000"]
    assert all(float(row[3].replace(",", "")) > 0 for row in rows[-2:])
