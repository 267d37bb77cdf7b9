"""The whole way from a corpus to labelled articles, by the commands that users call, in a folder with a space in its name."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from claimstance.cli import main as claimstance
from claimstance.predictor import Predictor
from claimstance.records import LABELS, Pair, read_json_lines, read_pairs, write_json_lines
from evaluation.__main__ import main as evaluation
from training.__main__ import main as training

CLAIM = "وصلت شحنة قمح ملوثة إلى مرفأ السلام"
FAMILIES = {"paired": {"overlap": 0.4, "cues": 1.0, "polarity": 1.0}, "bag": {"bag": 0.01}}
CONFIGS = [f"configs/{name}.yaml" for name in FAMILIES]


@dataclass(frozen=True)
class Workflow:
    """Where the commands were run, and what the training command printed."""

    folder: Path
    shown: str


@pytest.fixture(scope="module")
def workflow(root: Path, few_pairs: list[Pair], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflow]:
    """A working folder laid out as the repository is, with few pairs, after two candidates were trained in it."""
    folder = tmp_path_factory.mktemp("work") / "غرفة الأخبار news room"
    for part in ("lexicons", "examples"):
        shutil.copytree(root / "data" / part, folder / "data" / part)
    events = sorted({pair.event for pair in few_pairs})
    homes = {event: ("train", "train", "validation", "test")[number % 4] for number, event in enumerate(events)}
    for name in ("train", "validation", "test"):
        rows = [pair.to_dict() for pair in few_pairs if homes[pair.event] == name]
        write_json_lines(folder / f"data/{name}.jsonl", rows)
    (folder / "configs/gates").mkdir(parents=True)
    # A file name of its own: MLflow keeps databases open by the name that it was given.
    tracking = {"uri": "sqlite:///tracked runs.db"}
    corpus = {split: f"data/{split}.jsonl" for split in ("train", "validation", "test")}
    gate = {"corpus": corpus, "tracking": tracking, "bounds": {"invariance_pass_rate": 0.5}}
    (folder / "configs/gates/claim-stance.yaml").write_text(yaml.safe_dump(gate), encoding="utf-8")
    for name, families in FAMILIES.items():
        run = {
            "name": name,
            "description": "a quick run",
            "corpus": corpus,
            "model": {"families": families},
            "evaluation": {"test": True},
            "tracking": tracking,
        }
        (folder / f"configs/{name}.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        completed = run_apart(root, folder, "training", *CONFIGS)
        assert completed.returncode == 0, completed.stderr
        yield Workflow(folder, completed.stdout)


@pytest.fixture
def mlflow_as_before() -> Iterator[None]:
    """The training command takes over SIGTERM and the address of the tracking; give both back."""
    import mlflow

    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    os.environ.pop("MLFLOW_TRACKING_URI", None)


def run_apart(root: Path, folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell would, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def files_under(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_training_says_what_it_chose_and_ends_with_the_figure_on_test(workflow: Workflow) -> None:
    assert "chosen: paired, exported to exports/chosen, tracked in sqlite:///tracked runs.db" in workflow.shown
    *_, figure, readings, reports = workflow.shown.splitlines()
    assert re.fullmatch(r"test macro_f1=0\.\d{4}", figure)
    assert readings == "runs of this experiment that have read this test split: 1"
    assert reports == "reports: exports/chosen.evidence"
    for split in ("validation", "test"):
        assert (workflow.folder / f"exports/chosen.evidence/{split}-report/report.html").is_file()
    assert Predictor.load(workflow.folder / "exports/chosen").manifest.name == "paired"


def test_tracking_stays_in_the_folder_with_both_runs_finished(workflow: Workflow) -> None:
    with sqlite3.connect(workflow.folder / "tracked runs.db") as database:
        runs = database.execute("select name, status from runs order by name").fetchall()
    database.close()
    assert set(runs) == {("bag", "FINISHED"), ("paired", "FINISHED")}
    expected = {"configs", "data", "exports", "mlruns", "tracked runs.db", "tracked runs.db.lock"}
    assert {path.name for path in workflow.folder.iterdir() if path.suffix != ".out"} == expected


@pytest.mark.usefixtures("mlflow_as_before")
def test_training_again_gives_the_same_export_to_the_byte(
    workflow: Workflow, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_under(workflow.folder / "exports/chosen")
    shutil.rmtree(workflow.folder / "exports")
    assert training(CONFIGS) == 0
    assert files_under(workflow.folder / "exports/chosen") == before
    shown = capsys.readouterr().out
    figure, readings, _ = shown.splitlines()[-3:]
    assert figure == workflow.shown.splitlines()[-3]
    assert readings == "runs of this experiment that have read this test split: 2"
    # The same candidates, each registered as the next version.
    versions = [
        [int(value) for value in re.findall(r"│ +(\d+) │$", text, re.MULTILINE)] for text in (workflow.shown, shown)
    ]
    assert sorted(versions[0][:2]) == [1, 2] and sorted(versions[1][:2]) == [3, 4]


def test_evaluation_of_the_export_agrees_with_training(workflow: Workflow, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluation(["exports/chosen", "data/test.jsonl"]) == 0
    shown = capsys.readouterr().out
    (found,) = re.findall(r"^macro_f1 (0\.\d{3})  \(95 % interval", shown, re.MULTILINE)
    (printed,) = re.findall(r"^test macro_f1=(0\.\d{4})$", workflow.shown, re.MULTILINE)
    assert float(found) == pytest.approx(float(printed), abs=0.0006)
    # The table and the figures are those that training printed under it.
    assert shown.splitlines()[1:] == workflow.shown.splitlines()[-len(shown.splitlines()) - 2 : -3]


def test_predicting_a_file_adds_the_predictors_labels_to_its_rows(
    workflow: Workflow, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = "data/test.jsonl", workflow.folder / "labelled test.jsonl"
    assert claimstance(["predict", "--model", "exports/chosen", "--input", source, "--output", str(target)]) == 0
    pairs = read_pairs(source)
    assert capsys.readouterr().out == f"{len(pairs):,} pairs labelled: {target}\n"
    predictions = Predictor.load("exports/chosen").predict(pairs)
    for (_, row), pair, prediction in zip(read_json_lines(target), pairs, predictions, strict=True):
        added = {name: row.pop(name) for name in ("predicted_stance", "confidence", "probabilities")}
        assert row == pair.to_dict()
        assert added["predicted_stance"] == prediction.stance
        assert tuple(added["probabilities"]) == LABELS
        assert added["confidence"] == pytest.approx(prediction.confidence, abs=1e-6)
    # Arabic is written as letters, not as escapes.
    assert pairs[0].quote in target.read_text(encoding="utf-8")


def test_an_article_is_labelled_sentence_by_sentence(workflow: Workflow, capsys: pytest.CaptureFixture[str]) -> None:
    assert claimstance(["article", "data/examples/harbour.txt", "--model", "exports/chosen", "--claim", CLAIM]) == 0
    shown = capsys.readouterr().out
    assert f"Claim: {CLAIM}" in shown
    rows = re.findall(r"^[│ ]*(assert|deny|confirm|–) +│ +([01]\.\d\d) │", shown, re.MULTILINE)
    assert len(rows) == 9
    for words in ("جدل في مرفأ السلام", "نقابة عمال المرفأ", "وزير الاقتصاد", "مدير المختبر المركزي", "أسعار الخبز"):
        assert words in shown
    assert "اقرأ أيضًا" not in shown


def test_the_chosen_model_becomes_champion_past_the_gate(workflow: Workflow, root: Path) -> None:
    completed = run_apart(root, workflow.folder, "training", "promote", "exports/chosen")
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.splitlines()[-1].startswith("passed: paired is champion, version ")
    for name in ("champion", "champion.evidence"):
        assert files_under(workflow.folder / "exports" / name)
    assert files_under(workflow.folder / "exports/champion") == files_under(workflow.folder / "exports/chosen")
    again = run_apart(root, workflow.folder, "training", "promote", "exports/champion")
    assert (again.returncode, again.stdout) == (0, "paired is the champion already: exports/champion\n")


@pytest.mark.parametrize(
    ("module", "arguments", "named"),
    [
        ("training", ["configs/none.yaml"], "configs/none.yaml"),
        ("evaluation", ["exports/none", "data/test.jsonl"], "exports/none"),
        ("claimstance", ["article", "none.txt", "--model", "exports/chosen", "--claim", CLAIM], "none.txt"),
    ],
)
def test_a_mistake_is_one_line_that_names_it_and_exit_code_2(
    workflow: Workflow, root: Path, module: str, arguments: list[str], named: str
) -> None:
    completed = run_apart(root, workflow.folder, module, *arguments)
    assert completed.returncode == 2
    assert completed.stdout == ""
    assert completed.stderr.count("\n") == 1 and completed.stderr.startswith(f"{module}: error: {named}: ")
