"""A run that is killed, interrupted or loses a worker goes on to the very bytes of one that was left alone."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from claimstance import labelling, tables
from claimstance.batch import predict_file
from claimstance.cli import main
from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from claimstance.tables import blocks, open_table, read_rows
from claimstance.workers import labelled_blocks
from tests.batch_fixtures import BAD, ROWS

BLOCK = 6000
# Small blocks, and a journal after each, so that a kill finds the run anywhere.
PROGRAM = (
    f"import sys; from claimstance import journal, tables; journal._SECONDS = 0; tables._BLOCK_BYTES = {BLOCK};"
    "from claimstance.cli import main; sys.exit(main())"
)


@pytest.fixture
def start(root: Path, model_folder: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start the command in a session of its own, as a terminal does."""
    running = []

    def start(*arguments: object) -> subprocess.Popen:
        words = ["predict", "--model", model_folder, "--on-error", "skip", *arguments]
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *map(str, words)],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                start_new_session=True,
            )
        )
        return running[-1]

    yield start
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def until(holds: Callable[[], Any], process: subprocess.Popen | None = None) -> None:
    """Wait for a condition, or for the end of a process."""
    deadline = time.monotonic() + 60
    while not holds() and (process is None or process.poll() is None):
        assert time.monotonic() < deadline
        time.sleep(0.002)


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def children(parent: int) -> list[int]:
    """The processes that a process has started and that run."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            state, above = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:2]
            if int(above) == parent and state != "Z":
                found.append(int(entry.name))
    return found


def workers_of(parent: int) -> list[int]:
    """The processes that label for a process; another one watches over them."""
    return [child for child in children(parent) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def runs(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    return False


def converted(source: Path, kind: str) -> Path:
    """The same rows in a file of another kind, its texts of several lines."""
    path, rows = source.with_suffix(f".{kind}"), [row for _, row in read_rows(source)]
    rows = [{**row, "speaker": 'قال: "نعم"\nثم سكت'} for row in rows]
    if kind == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=400)
    elif kind == "csv":
        with open(path, "w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, list(dict.fromkeys(name for row in rows for name in row)))
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("given", "kind", "workers"), [("jsonl", "jsonl", 1), ("csv", "parquet", 2), ("parquet", "csv", 2)]
)
def test_killed_again_and_again_a_run_ends_with_the_bytes_of_one_left_alone(
    given: str,
    kind: str,
    workers: int,
    source: Path,
    model_folder: Path,
    start: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "_BLOCK_BYTES", BLOCK)
    folder, source = source.parent, converted(source, given)
    whole, target = folder / f"whole.{kind}", folder / f"out.{kind}"
    assert predict_file(model_folder, source, whole, on_error="skip")[:2] == (ROWS - BAD, BAD)
    dice, kills, partial = random.Random(kind), 0, folder / f"out.{kind}.partial"
    largest = 2 * size(whole) if kind != "parquet" else size(source)
    while kills < 5:
        process = start("--input", source.name, "--output", target.name, "--workers", workers, "--resume")
        enough = size(partial) + dice.randrange(largest // 12)
        until(lambda enough=enough: size(partial) > enough, process)
        crew = children(process.pid)
        process.kill()
        if process.wait() == 0:
            break
        kills += 1
        until(lambda crew=crew: not any(map(runs, crew)))
        assert not target.exists()
    assert kills >= 3
    process = start("--input", source.name, "--output", target.name, "--workers", workers, "--resume")
    assert process.wait() == 0, process.stderr.read()
    assert f"{ROWS - BAD:,} pairs labelled: {target.name}\n{BAD} rows left out" in process.stdout.read()
    assert target.read_bytes() == whole.read_bytes()
    assert (folder / f"{target.name}.rejects.jsonl").read_bytes() == Path(f"{whole}.rejects.jsonl").read_bytes()
    assert [int(row["n"]) for _, row in read_rows(target)] == [number for number in range(ROWS) if number % 50 != 7]
    names = {path.name for path in folder.iterdir() if path.name.startswith("out")}
    assert names == {target.name, f"{target.name}.rejects.jsonl"}


@pytest.mark.parametrize(("workers", "number"), [(1, signal.SIGINT), (2, signal.SIGINT), (2, signal.SIGTERM)])
def test_a_signal_leaves_whole_rows_and_says_how_to_go_on(
    workers: int, number: int, source: Path, whole: Path, start: Callable
) -> None:
    folder = source.parent
    process = start("--input", "in.jsonl", "--output", "out.jsonl", "--workers", workers)
    until(lambda: size(folder / "out.jsonl.partial") > 100_000, process)
    crew = children(process.pid)
    for worker in workers_of(process.pid):
        os.kill(worker, number)
    # A signal means the whole run: workers go on until they are told.
    so_far = size(folder / "out.jsonl.partial")
    until(lambda: size(folder / "out.jsonl.partial") > so_far + 20 * BLOCK, process)
    assert process.poll() is None
    os.killpg(process.pid, number)
    shown = process.communicate()[1]
    assert process.returncode == 130 and "Traceback" not in shown, shown
    (line,) = [line for line in shown.splitlines() if line.startswith("claimstance: interrupted; ")]
    rows = [json.loads(row) for row in (folder / "out.jsonl.partial").read_text(encoding="utf-8").splitlines()]
    rejects = (folder / "out.jsonl.rejects.jsonl.partial").read_text(encoding="utf-8").splitlines()
    assert f" {len(rows) + len(rejects):,} rows are done" in line and all("confidence" in row for row in rows)
    until(lambda: not any(map(runs, crew)))
    program, *words = shlex.split(line.rpartition("go on with: ")[2])
    assert program == "claimstance"
    with contextlib.chdir(folder):
        assert main(words) == 0
    assert (folder / "out.jsonl").read_bytes() == (whole / "out.jsonl").read_bytes()


def test_a_killed_worker_is_reported_and_the_run_goes_on(source: Path, whole: Path, start: Callable) -> None:
    folder = source.parent
    process = start("--input", "in.jsonl", "--output", "out.jsonl", "--workers", 2)
    until(lambda: size(folder / "out.jsonl.partial") > 50_000, process)
    crew = children(process.pid)
    os.kill(workers_of(process.pid)[1], signal.SIGKILL)
    shown = process.communicate()[1]
    assert process.returncode == 2
    assert "error: a worker process was killed by signal 9; is there enough memory?; " in shown
    assert "go on with --resume" in shown
    until(lambda: not any(map(runs, crew)))
    assert start("--input", "in.jsonl", "--output", "out.jsonl", "--resume").wait() == 0
    assert (folder / "out.jsonl").read_bytes() == (whole / "out.jsonl").read_bytes()


def test_what_fails_in_a_worker_is_reported(source: Path, model_folder: Path) -> None:
    table, manifest = open_table(source), Predictor.load(model_folder).manifest
    job = labelling.plan(str(model_folder), manifest, table, ".jsonl", {}, True)
    for broken, words in (
        (replace(job, fields=None), "in.jsonl:1: a worker process failed in the rows from here on (AttributeError: "),
        (replace(job, model=str(source.parent / "gone")), "gone: no such model folder"),
    ):
        with pytest.raises(ClaimstanceError, match=re.escape(words)):
            list(labelled_blocks(broken, blocks(table, table.start), 2))
        assert not workers_of(os.getpid())
