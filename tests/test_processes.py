"""Several processes: they train as one does, and one of them alone tracks, writes and prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
import yaml
from mlflow.entities import Run

from claimstance.bundle import read_bundle
from claimstance.encoder import EncoderModel
from claimstance.errors import ClaimstanceError
from evaluation.evidence import LAYOUT as EVIDENCE
from evaluation.evidence import evidence_folder, read_evidence
from training import processes
from training.__main__ import main
from training.config import Config
from training.corpus import load_corpus
from training.experiment import CHECKPOINTS, run_experiment
from training.models import Workshop, learn
from training.preparation import examples_of
from training.transformers_folder import CARD, CONTENTS

BATCH = 16
ROUNDING = 1e-3
"""What scores and losses may differ by: gradients of two halves are added up in another order than those of the whole batch."""


@pytest.fixture(scope="module")
def config(steady_encoder: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A run that two processes have to train as one does: every batch can be halved, and nothing drops out, which is drawn in
    each process by itself."""
    folder = tmp_path_factory.mktemp("processes")
    lines = Path(steady_encoder.corpus.train).read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(lines[: len(lines) // BATCH * BATCH]), encoding="utf-8")
    content = steady_encoder.model_dump(mode="json")
    content["model"] |= {
        "epochs": 3,
        "evaluations": 2,
        "patience": 9,
        "batch_size": BATCH,
        "transformers": str(folder / "exports" / "two-transformers"),
    }
    content["corpus"]["train"] = str(folder / "train.jsonl")
    content["tracking"]["uri"] = f"sqlite:///{folder / 'mlflow.db'}"
    return Config.model_validate({**content, "export": str(folder / "exports" / "two"), "evaluation": {"seeds": 2}})


@pytest.fixture(scope="module")
def printed(config: Config, root: Path) -> str:
    """What the command prints with two processes, each of which takes half of every batch."""
    folder = Path(config.export).parent.parent
    halved = config.model_copy(update={"model": config.model.model_copy(update={"batch_size": BATCH // 2})})
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(halved.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
    done = subprocess.run(
        [*(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "training"), str(path)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def tracked(config: Config, printed: str) -> tuple[mlflow.MlflowClient, Run]:
    """The one run that two processes have tracked."""
    client = mlflow.MlflowClient(config.tracking.uri, config.tracking.uri)
    experiment = client.get_experiment_by_name(config.tracking.experiment)
    (run,) = client.search_runs([experiment.experiment_id])
    return client, run


def test_two_processes_train_the_model_that_one_does(
    config: Config, tracked: tuple[mlflow.MlflowClient, Run], tmp_path: Path
) -> None:
    corpus = load_corpus(config)
    data = [examples_of(config, corpus.splits[split]) for split in ("train", "validation")]
    reported: dict[str, list[tuple[int, float]]] = {}

    def report(figures: dict[str, float], step: int) -> None:
        for name, value in figures.items():
            reported.setdefault(name, []).append((step, value))

    one = learn(config, *data, Workshop(tmp_path, report=report))
    texts = data[1].quotes, data[1].claims
    expected, given = one.scores(*texts), EncoderModel(read_bundle(config.export)).scores(*texts)
    np.testing.assert_allclose(given, expected, atol=ROUNDING)
    assert np.ptp(expected, axis=0).max() > 100 * ROUNDING, "it has learned to tell pairs apart"
    client, run = tracked
    for name in ("train_loss", "step_validation_macro_f1"):
        history = sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, name))
        assert len(history) >= 6
        np.testing.assert_allclose(history, reported[name], atol=ROUNDING)


def test_one_process_tracks_writes_and_prints(
    config: Config, tracked: tuple[mlflow.MlflowClient, Run], printed: str
) -> None:
    assert printed.count("Candidates, best first") == printed.count("chosen: ") == 1
    _, run = tracked
    assert (run.info.status, run.data.params["processes"]) == ("FINISHED", "2")
    export = Path(config.export)
    others = {evidence_folder(export).name, Path(config.model.transformers).name}
    assert {path.name for path in export.parent.iterdir()} == {export.name, *others}
    assert not list((export.parent.parent / CHECKPOINTS).iterdir())


def test_several_seeds_of_an_encoder_give_mean_and_deviation(
    config: Config, tracked: tuple[mlflow.MlflowClient, Run]
) -> None:
    assert set(read_evidence(config.export).seeds) == {"1"}
    page = evidence_folder(config.export) / EVIDENCE.report("validation")
    seeds = json.loads((page / "report.json").read_text(encoding="utf-8"))["seeds"]
    metrics = tracked[1].data.metrics
    assert metrics["validation_seeds_mean"] == pytest.approx(np.mean(seeds)) and len(seeds) == 2
    assert metrics["validation_seeds_deviation"] == pytest.approx(np.std(seeds, ddof=1))
    shown = f"Macro-F1 over 2 seeds of training: {np.mean(seeds):.3f} ± {np.std(seeds, ddof=1):.3f}"
    assert shown in (page / "report.html").read_text(encoding="utf-8")


def test_the_chosen_encoder_is_also_a_folder_for_transformers(
    config: Config, tracked: tuple[mlflow.MlflowClient, Run], tmp_path: Path
) -> None:
    folder = Path(config.model.transformers)
    assert {path.name for path in folder.iterdir()} == set(CONTENTS)
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert list(settings["id2label"].values()) == list(config.labels.all)
    card = (folder / CARD).read_text(encoding="utf-8")
    found = tracked[1].data
    for part in (
        *(f"- `{label}`: " for label in config.labels.all),
        found.tags["corpus_sha256"],
        f"| macro_f1 | {found.metrics['validation_macro_f1']:.3f} |",
        "truncation=True",
        config.model.checkpoint,
    ):
        assert part in card
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    model = config.model.model_copy(update={"transformers": str(tmp_path)})
    with pytest.raises(ClaimstanceError, match="holds something else than a model for transformers"):
        run_experiment([config.model_copy(update={"model": model})], lambda line: None)


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
