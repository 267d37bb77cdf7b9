"""What the tests of unfinished files need: an input with bad rows, and what becomes of it when nothing interrupts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from claimstance.batch import predict_file
from claimstance.records import Pair, write_json_lines

ROWS = 1500
BAD = ROWS // 50


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, few_pairs: list[Pair], model_folder: Path) -> Path:
    """An input, every 50th line of it bad, beside what a run that is left alone makes of it: out.jsonl and its rejects."""
    folder = tmp_path_factory.mktemp("whole")
    rows = [{"n": number, **few_pairs[number % len(few_pairs)].to_dict()} for number in range(ROWS)]
    bad = [{**row, "quote": ""} if row["n"] % 50 == 7 else row for row in rows]
    write_json_lines(folder / "in.jsonl", bad)
    assert predict_file(model_folder, folder / "in.jsonl", folder / "out.jsonl", on_error="skip")[:2] == (
        ROWS - BAD,
        BAD,
    )
    return folder


@pytest.fixture
def source(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole / "in.jsonl", tmp_path))
