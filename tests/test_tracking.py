"""Tracking with a real MLflow database: what a run leaves behind, how it ends, and the registered model."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from claimstance.bundle import bundle_digest
from claimstance.errors import ClaimstanceError
from claimstance.files import sha256
from claimstance.predictor import Predictor
from claimstance.records import read_pairs, write_json_lines
from training.__main__ import main
from training.config import Config, read_config
from training.corpus import load_corpus
from training.tracking import MlflowTracker, NullTracker, Params, Tags, open_tracker

FAMILIES = {"better": {"overlap": 0.4, "cues": 1.0, "polarity": 1.0}, "worse": {"bag": 0.01}}


def run_config(small: Config, folder: Path, name: str, uri: str, **parts: Any) -> Config:
    """A quick candidate that is tracked."""
    content = small.model_dump(mode="json")
    content["model"] = {**content["model"], "families": FAMILIES[name]}
    content |= {"name": name, "export": str(folder / "exports" / "chosen"), "tracking": {"uri": uri}}
    return Config.model_validate({**content, **parts})


def as_yaml(config: Config, path: Path) -> str:
    path.write_text(yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
    return str(path)


def runs_of(uri: str, experiment: str = "claim-stance") -> list[Any]:
    """Every run of an experiment, the oldest first."""
    import mlflow

    client = mlflow.MlflowClient(uri, uri)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else client.search_runs([found.experiment_id], order_by=["attributes.start_time"])


@dataclass(frozen=True)
class Tracked:
    """A finished experiment: its folder, its database, and its two runs by name."""

    folder: Path
    uri: str
    runs: dict[str, Any]

    @property
    def client(self) -> Any:
        import mlflow

        return mlflow.MlflowClient(self.uri, self.uri)


@pytest.fixture(scope="module")
def corpus(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The small corpus with some of its training events held out for test."""
    folder = tmp_path_factory.mktemp("thirds")
    pairs = read_pairs(small_corpus / "train.jsonl")
    held_out = set(sorted({pair.event for pair in pairs})[::3])
    for name, inside in (("train", False), ("test", True)):
        kept = [pair.to_dict() for pair in pairs if (pair.event in held_out) == inside]
        write_json_lines(folder / f"{name}.jsonl", kept)
    others = {name: str(folder / f"{name}.jsonl") for name in ("train", "test")}
    return others | {"validation": str(small_corpus / "validation.jsonl")}


@pytest.fixture(scope="module")
def tracked(
    migrated: Path, small_config: Config, corpus: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Tracked:
    """Two candidates trained by the command, the better one reported on the test split."""
    folder = tmp_path_factory.mktemp("tracked")
    shutil.copy(migrated, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    parts = {"corpus": corpus, "evaluation": {"test": True}}
    paths = [
        as_yaml(run_config(small_config, folder, name, uri, **parts), folder / f"{name}.yaml")
        for name in ("worse", "better")
    ]
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(paths) == 0
    signal.signal(signal.SIGTERM, before)
    return Tracked(folder, uri, {run.info.run_name: run for run in runs_of(uri)})


def test_every_candidate_is_a_finished_run(tracked: Tracked) -> None:
    assert sorted(tracked.runs) == ["better", "worse"]
    for run in tracked.runs.values():
        assert run.info.status == "FINISHED"
        assert run.data.tags["state"] == "completed"
        assert run.data.tags["mlflow.note.content"].endswith("a small model for tests")


def test_a_run_keeps_its_parameters(tracked: Tracked, corpus: dict[str, str]) -> None:
    params = tracked.runs["better"].data.params
    assert params["model.kind"] == "pair-linear"
    assert params["model.families.overlap"] == "0.4"
    assert params["seed"] == "0"
    assert params["corpus.train"] == corpus["train"]
    assert int(params["corpus_train_pairs"]) == len(read_pairs(corpus["train"]))


def test_a_run_keeps_the_figures_of_the_exported_bundle(tracked: Tracked) -> None:
    figures = {name: run.data.metrics for name, run in tracked.runs.items()}
    assert figures["better"]["validation_macro_f1"] > figures["worse"]["validation_macro_f1"]
    manifest = Predictor.load(tracked.folder / "exports/chosen").manifest
    assert manifest.name == "better"
    assert figures["better"]["threshold"] == manifest.threshold
    assert 0.1 <= figures["better"]["temperature"] <= 20
    for name in ("accuracy", "coverage", "brier_score", "calibration_error", "risk_coverage_area", "f1_deny"):
        assert 0 <= figures["better"][f"validation_{name}"] <= 2


def test_a_run_is_tagged_with_its_corpus_and_its_bundle(tracked: Tracked) -> None:
    tags = tracked.runs["better"].data.tags
    assert tags["corpus_sha256"] == load_corpus(read_config(tracked.folder / "better.yaml")).digest
    assert tags["bundle_sha256"] == bundle_digest(tracked.folder / "exports/chosen")
    assert tags["git_commit"]
    assert "chosen" in tags and "chosen" not in tracked.runs["worse"].data.tags


def test_a_run_keeps_its_evidence_with_the_report_on_validation(tracked: Tracked, tmp_path: Path) -> None:
    for name, run in tracked.runs.items():
        kept = Path(tracked.client.download_artifacts(run.info.run_id, "evidence", str(tmp_path)))
        record = json.loads((kept / "evidence.json").read_text(encoding="utf-8"))
        assert record["bundle"] == run.data.tags["bundle_sha256"]
        figures = json.loads((kept / "validation-report/report.json").read_text(encoding="utf-8"))["figures"]
        assert figures["macro_f1"] == pytest.approx(run.data.metrics["validation_macro_f1"])
        assert (kept / "validation-report/report.html").is_file()
        assert (kept / "test-report/report.html").is_file() == (name == "better")
        shutil.rmtree(kept)


def data_read_by(run: Any) -> list[str]:
    """The splits that a run names as its data."""
    inputs = run.inputs.dataset_inputs
    contexts = [next(tag.value for tag in each.tags if tag.key == "mlflow.data.context") for each in inputs]
    assert sorted(contexts) == sorted(each.dataset.name for each in inputs)
    return sorted(contexts)


def test_reading_the_test_split_is_recorded_in_the_run_of_the_chosen_candidate(
    tracked: Tracked, corpus: dict[str, str]
) -> None:
    run = tracked.runs["better"]
    assert run.data.tags["test_split_read"] == sha256(corpus["test"])
    assert data_read_by(run) == ["test", "train", "validation"]
    report = tracked.folder / "exports/chosen.evidence/test-report/report.json"
    figures = json.loads(report.read_text(encoding="utf-8"))["figures"]
    kept = {name.removeprefix("test_"): value for name, value in run.data.metrics.items() if name.startswith("test_")}
    assert kept == pytest.approx(figures) and "macro_f1" in kept


def test_a_candidate_that_was_not_chosen_has_nothing_of_the_test_split(tracked: Tracked) -> None:
    run = tracked.runs["worse"]
    assert data_read_by(run) == ["train", "validation"]
    assert not [name for name in (*run.data.metrics, *run.data.tags) if name.startswith("test_")]


def test_readings_of_the_test_split_are_counted_over_all_runs(tracked: Tracked, corpus: dict[str, str]) -> None:
    tracker = open_tracker(tracked.uri, "claim-stance", "claim-stance")
    assert tracker.count_runs("test_split_read", sha256(corpus["test"])) == 1
    assert tracker.count_runs("test_split_read", "0" * 64) == 0


def test_training_registers_every_candidate_and_makes_none_champion(tracked: Tracked) -> None:
    versions = {each.tags["candidate"]: each for each in tracked.client.search_model_versions("name='claim-stance'")}
    assert set(versions) == {"better", "worse"}
    for name, version in versions.items():
        assert version.run_id == tracked.runs[name].info.run_id
        assert str(version.version) == tracked.runs[name].data.tags["model_version"]
        assert version.tags["bundle_sha256"] == tracked.runs[name].data.tags["bundle_sha256"]
        assert "validation macro-F1" in version.description
    (model,) = tracked.client.search_registered_models()
    assert model.aliases == {}


def test_the_registered_model_predicts_what_the_bundle_does(
    tracked: Tracked, small_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    import pandas as pd

    monkeypatch.chdir(tracked.folder)
    mlflow.set_tracking_uri(tracked.uri)
    mlflow.set_registry_uri(tracked.uri)
    pairs = read_pairs(small_corpus / "validation.jsonl")[:40]
    version = tracked.runs["better"].data.tags["model_version"]
    served = mlflow.pyfunc.load_model(f"models:/claim-stance/{version}")
    table = served.predict(pd.DataFrame({"quote": [pair.quote for pair in pairs], "claim": [p.claim for p in pairs]}))
    predictions = Predictor.load(tracked.folder / "exports/chosen").predict(pairs)
    for row, prediction in zip(table.to_dict("records"), predictions, strict=True):
        assert (row["predicted_stance"] if pd.notna(row["predicted_stance"]) else None) == prediction.stance
        assert row["confidence"] == pytest.approx(prediction.confidence, abs=1e-6)
        for label, value in prediction.probabilities.items():
            assert row[f"probability_{label}"] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("crash", [RuntimeError("out of memory"), SystemExit("told to stop"), KeyboardInterrupt()])
def test_a_crash_ends_its_run_as_failed(uri: str, crash: BaseException) -> None:
    tracker = open_tracker(uri, "claim-stance", "claim-stance")
    with pytest.raises(type(crash)), tracker.run("crashing", "a run that crashes") as run:
        run.record([Params({"model.C": 0.3}), Tags({"colour": "أزرق"})])
        raise crash
    (kept,) = runs_of(uri)
    assert kept.info.status == "FAILED"
    assert (kept.data.tags["state"], kept.data.tags["colour"]) == ("failed", "أزرق")
    assert kept.data.params == {"model.C": "0.3"}


def test_a_candidate_that_fails_ends_as_failed_and_is_not_promoted(
    uri: str, small_config: Config, tmp_path: Path
) -> None:
    import mlflow

    config = run_config(small_config, tmp_path, "better", uri)
    model = {**config.model.model_dump(), "lexicons": [str(tmp_path / "nowhere.yaml")]}
    assert main([as_yaml(Config.model_validate({**config.model_dump(), "model": model}), tmp_path / "run.yaml")]) == 2
    (run,) = runs_of(uri)
    assert run.info.status == "FAILED"
    assert not (tmp_path / "exports").exists()
    assert mlflow.MlflowClient(uri, uri).search_registered_models() == []


def test_candidates_of_two_experiments_are_not_compared(
    uri: str, small_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for_name = {"better": "قمح", "worse": "جسر"}
    configs = [
        run_config(small_config, tmp_path, name, uri, tracking={"uri": uri, "experiment": each})
        for name, each in for_name.items()
    ]
    assert main([as_yaml(config, tmp_path / f"{config.name}.yaml") for config in configs]) == 2
    assert "differ in tracking" in capsys.readouterr().err
    assert not (tmp_path / "exports").exists()


def test_an_unreachable_server_is_one_error_and_nothing_is_trained(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = run_config(small_config, tmp_path, "better", "http://127.0.0.1:9")
    assert main([as_yaml(config, tmp_path / "run.yaml")]) == 2
    shown = capsys.readouterr()
    assert "error: no tracking server answers at http://127.0.0.1:9" in shown.err
    assert "tracking.uri" in shown.err and "Traceback" not in shown.err
    assert "fitting" not in shown.err
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


@pytest.mark.parametrize("bad", ["gopher://tracking", "./runs", "sqlite:////proc/nowhere/mlflow.db"])
def test_a_uri_that_mlflow_cannot_use_is_one_error(bad: str, migrated: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ClaimstanceError, match=r"tracking at .* cannot be used") as caught:
        open_tracker(bad, "claim-stance", "claim-stance")
    assert "\n" not in str(caught.value) and "tracking.uri" in str(caught.value)


def test_null_tracks_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tracker = open_tracker(None, "claim-stance", "claim-stance")
    assert isinstance(tracker, NullTracker) and not isinstance(tracker, MlflowTracker)
    with tracker.run("small", "nothing is kept") as run:
        run.record([Params({"seed": 0})])
    with tracker.resume(run) as again:
        again.record([Tags({"test_split_read": "0"})])
    assert (run.id, run.version, tracker.count_runs("test_split_read", "0")) == ("", "", 0)
    assert list(tmp_path.iterdir()) == []
