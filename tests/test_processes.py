"""Several processes: they train as one does, and one of them alone tracks, writes and prints."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pytest
import yaml

from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from evaluation.evidence import evidence_folder, read_evidence
from training import processes
from training.__main__ import main
from training.config import Config

ROUNDING = 1e-4
"""What probabilities may differ by: gradients of two halves are added up in another order than those of the whole batch."""


@dataclass(frozen=True)
class Run:
    """One run of the command: its config, and what it printed."""

    config: Config
    printed: str


@pytest.fixture(scope="module")
def runs(
    small_config: Config, tiny_checkpoint: Path, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, Run]:
    """The same run, of two seeds, by one process and by two, each of which takes half of every batch."""
    folder = tmp_path_factory.mktemp("processes")
    checkpoint = shutil.copytree(tiny_checkpoint, folder / "checkpoint")
    settings = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    # What drops out is drawn in each process by itself; without it, two processes have to train as one.
    settings |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (checkpoint / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    made = {}
    for count in (2, 1):
        content = small_config.model_dump(mode="json")
        content["model"] = {
            "kind": "encoder",
            "checkpoint": str(checkpoint),
            "inputs": "quote",
            "max_tokens": 32,
            "epochs": 3,
            "evaluations": 2,
            "patience": 9,
            "batch_size": 16 // count,
            "learning_rate": 3e-3,
            "bf16": False,
            "lexicons": content["model"]["lexicons"][:1],
        }
        content |= {"export": str(folder / f"by-{count}" / "export"), "evaluation": {"seeds": 2}}
        content["tracking"]["uri"] = f"sqlite:///{folder / f'by-{count}' / 'mlflow.db'}"
        config = Config.model_validate(content)
        (folder / f"by-{count}").mkdir()
        path = folder / f"by-{count}" / "run.yaml"
        path.write_text(yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
        launcher = [*("-m", "torch.distributed.run", "--nproc-per-node", str(count))] if count > 1 else []
        done = subprocess.run(
            [sys.executable, *launcher, "-m", "training", str(path)],
            cwd=path.parent,
            env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        made[count] = Run(config, done.stdout)
    return made


def test_two_processes_train_the_model_that_one_does(runs: dict[int, Run], small_corpus: Path) -> None:
    one, two = (Predictor.load(runs[count].config.export) for count in (1, 2))
    quotes = [
        json.loads(line)["quote"]
        for line in (small_corpus / "validation.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    expected, given = (each.probabilities(quotes, [""] * len(quotes)) for each in (one, two))
    np.testing.assert_allclose(given, expected, atol=ROUNDING)
    assert np.ptp(expected, axis=0).max() > 100 * ROUNDING, "it has learned something"


def test_one_run_is_tracked_with_every_evaluation_once(runs: dict[int, Run]) -> None:
    found = {}
    for count, run in runs.items():
        client = mlflow.MlflowClient(run.config.tracking.uri, run.config.tracking.uri)
        (experiment,) = [each for each in client.search_experiments() if each.name == run.config.tracking.experiment]
        (tracked,) = client.search_runs([experiment.experiment_id])
        assert (tracked.info.status, tracked.data.params["processes"]) == ("FINISHED", str(count))
        history = client.get_metric_history(tracked.info.run_id, "step_validation_macro_f1")
        found[count] = sorted((point.step, round(point.value, 6)) for point in history)
    assert len(found[1]) >= 6 and found[1] == found[2]


def test_one_process_writes_and_prints(runs: dict[int, Run]) -> None:
    for run in runs.values():
        assert run.printed.count("chosen: ") == 1 and run.printed.count("Candidates, best first") == 1
        export = Path(run.config.export)
        assert {path.name for path in export.parent.iterdir()} == {
            export.name,
            evidence_folder(export).name,
            "run.yaml",
        } | {path.name for path in export.parent.glob("ml*")} | {
            path.name for path in export.parent.glob("checkpoints")
        }
        assert not list(export.parent.glob("checkpoints/*")) and set(read_evidence(export).seeds) == {"1"}


def test_a_launcher_that_starts_one_process_for_several_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    processes.check_started()
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    processes.check_started()
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(ClaimstanceError, match="torchrun --nproc-per-node 2"):
        processes.check_started()
    assert main([str(root / "configs" / "pair-linear.yaml")]) == 2
    assert "started one" in capsys.readouterr().err
