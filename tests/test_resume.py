"""Resuming: a run that is killed goes on from its last checkpoint, as the same tracked run, and ends as if it had not been."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pytest
import yaml

from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from training.__main__ import main
from training.checkpoints import last_checkpoint
from training.config import Config
from training.corpus import LoadedCorpus
from training.experiment import CHECKPOINTS, run_experiment
from training.models import Workshop, fit

_PATIENCE_S = 120


@pytest.fixture
def config(small_encoder: Config, tmp_path: Path) -> Config:
    """A small encoder that is evaluated, and so saved, four times an epoch."""
    content = small_encoder.model_dump(mode="json")
    content["model"] |= {"epochs": 6, "evaluations": 4, "patience": 99}
    content["tracking"]["uri"] = f"sqlite:///{tmp_path / 'mlflow.db'}"
    return Config.model_validate({**content, "export": str(tmp_path / "exports" / "resumed")})


def written(config: Config, folder: Path) -> str:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
    return str(path)


def killed(config: Config, folder: Path, root: Path) -> str:
    """Start the run in a process of its own and kill it in the midst of its second epoch; return the run's id."""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "training", written(config, folder)]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        until = time.monotonic() + _PATIENCE_S
        saved: set[str] = set()
        while time.monotonic() < until and run.poll() is None and len(saved) < config.model.evaluations + 2:
            saved |= {path.name for path in (folder / CHECKPOINTS).glob("*/checkpoint-*")}
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    (kept,) = (folder / CHECKPOINTS).iterdir()
    return kept.name


def test_a_killed_run_goes_on_and_ends_as_an_uninterrupted_one(
    config: Config, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = killed(config, tmp_path, root)
    client = mlflow.MlflowClient(config.tracking.uri, config.tracking.uri)
    assert client.get_run(run).info.status == "RUNNING"
    assert main([written(config.model_copy(update={"seed": 1}), tmp_path), "--resume", run]) == 2
    assert f"run {run} was started with seed 0, this config says 1" in capsys.readouterr().err
    assert main([written(config, tmp_path), "--resume", run]) == 0
    assert client.get_run(run).info.status == "FINISHED" and not (tmp_path / CHECKPOINTS / run).exists()
    steps = {point.step for point in client.get_metric_history(run, "step_validation_macro_f1")}
    assert sorted(steps) == list(range(min(steps), max(steps) + 1, min(steps))), (
        "every evaluation of the whole training"
    )
    assert main([written(config, tmp_path), "--resume", run]) == 2
    assert "no checkpoints of run" in capsys.readouterr().err
    whole = config.model_copy(update={"export": str(tmp_path / "exports" / "whole")})
    assert main([written(whole, tmp_path)]) == 0
    texts = ["نفى الوزير ذلك", "أكد المدير الخبر"], ["", ""]
    first, second = (Predictor.load(each).probabilities(*texts) for each in (config.export, whole.export))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_a_run_killed_while_it_removes_an_older_checkpoint_can_be_resumed(
    config: Config, loaded_corpus: LoadedCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed_midway(path: str | Path, **_: object) -> None:
        next(file for file in Path(path).iterdir() if file.is_file()).unlink()
        raise KeyboardInterrupt

    splits, kept = loaded_corpus.splits, tmp_path / CHECKPOINTS
    monkeypatch.setattr(shutil, "rmtree", killed_midway)
    with pytest.raises(KeyboardInterrupt):
        fit(config, splits["train"], splits["validation"], {}, Workshop(tmp_path, kept))
    newest = max(kept.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    assert last_checkpoint(kept) == str(newest)


def test_only_one_encoder_is_resumed(small_config: Config) -> None:
    with pytest.raises(ClaimstanceError, match="--resume goes on with one encoder"):
        run_experiment([small_config], lambda line: None, "0" * 32)
