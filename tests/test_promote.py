"""Promoting: the alias and the exported champion change together, only past the gate or by force, and say why."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from claimstance.bundle import bundle_digest, read_bundle, write_bundle
from claimstance.files import sha256
from claimstance.records import Pair, write_json_lines
from evaluation.evidence import evidence_folder, read_evidence
from training.__main__ import main
from training.config import Config

BOUNDS = {"confidence": 0.9, "largest_fall": 0.3, "invariance_pass_rate": 0.5}
SPLITS = ("train", "validation", "test")
MODEL = "claim-stance"


@dataclass(frozen=True)
class Trained:
    """Two tracked candidates, ``better`` and ``worse``, each exported to the folder of its name; a run of ``another``
    registered model; and the database."""

    folder: Path
    corpus: dict[str, str]
    runs: dict[str, str]


@pytest.fixture(scope="module")
def trained(small_config: Config, few_pairs: list[Pair], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("promote")
    events = sorted({pair.event for pair in few_pairs})
    homes = {event: ("train", *SPLITS)[number % 4] for number, event in enumerate(events)}
    for name in SPLITS:
        write_json_lines(folder / f"{name}.jsonl", [p.to_dict() for p in few_pairs if homes[p.event] == name])
    corpus = {name: str(folder / f"{name}.jsonl") for name in SPLITS}
    families = {"worse": {"bag": 1.0}, "better": {"overlap": 1.0, "cues": 1.0, "polarity": 0.6, "outline": 2.5}}
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    runs = {}
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        for name, model in (("another", "another"), ("worse", MODEL), ("better", MODEL)):
            content = small_config.model_dump(mode="json")
            content |= {"name": name, "corpus": corpus, "export": str(folder / name)}
            content["model"] |= {"families": families.get(name, families["worse"]), "C": 0.1}
            content["tracking"] = {"uri": uri, "model": model}
            path = folder / f"{name}.yaml"
            path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
            assert main([str(path)]) == 0
        import mlflow

        for run in mlflow.MlflowClient(uri, uri).search_runs(["1"]):
            runs[run.info.run_name] = run.info.run_id
        # The training command takes over SIGTERM, and MLflow keeps the address of its database.
        signal.signal(signal.SIGTERM, before)
        yield Trained(folder, corpus, runs)
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
        os.environ.pop("MLFLOW_TRACKING_URI", None)


@dataclass(frozen=True)
class Newsroom:
    """One test's own database, gate and champion folder."""

    folder: Path
    trained: Trained
    tracked: bool

    @property
    def export(self) -> Path:
        return self.folder / "exports" / "champion"

    def promote(self, target: str | Path, *options: str, **gate: Any) -> int:
        """Run the command; ``gate`` changes the gate's file."""
        uri = f"sqlite:///{self.folder / 'mlflow.db'}" if self.tracked else None
        content = {
            "corpus": self.trained.corpus,
            "bounds": BOUNDS,
            "tracking": {"uri": uri},
            "export": str(self.export),
        }
        path = self.folder / "gate.yaml"
        path.write_text(yaml.safe_dump(content | gate), encoding="utf-8")
        return main(["promote", str(target), "--gate", str(path), *options])

    def bundle(self, name: str) -> Path:
        return self.trained.folder / name

    def copy(self, name: str) -> Path:
        """A copy of a bundle and its evidence, to be changed."""
        for source in (self.bundle(name), evidence_folder(self.bundle(name))):
            shutil.copytree(source, self.folder / source.name)
        return self.folder / name

    def unknown(self) -> Path:
        """A model that no run has made: the worse one, a little less sure, without evidence."""
        known = read_bundle(self.bundle("worse"))
        manifest = replace(known.manifest, name="unknown")
        write_bundle(replace(known, manifest=manifest, dense=known.dense * 0.99), self.folder / "unknown")
        return self.folder / "unknown"

    @property
    def champion(self) -> Any:
        """The version with the alias, or None."""
        (model,) = self.client.search_registered_models(f"name = '{MODEL}'")
        version = model.aliases.get("champion")
        return None if version is None else self.client.get_model_version(MODEL, version)

    def versions(self) -> dict[str, Any]:
        """Every version of the model, by its name in the registry."""
        return {found.tags["candidate"]: found for found in self.client.search_model_versions(f"name = '{MODEL}'")}

    @property
    def client(self) -> Any:
        import mlflow

        uri = f"sqlite:///{self.folder / 'mlflow.db'}"
        return mlflow.MlflowClient(uri, uri)


@pytest.fixture
def room(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Newsroom:
    """A room that tracks, with the two candidates registered and no champion."""
    monkeypatch.chdir(tmp_path)
    # As SQLite copies it: MLflow keeps the first one open.
    with sqlite3.connect(trained.folder / "mlflow.db") as source, sqlite3.connect(tmp_path / "mlflow.db") as target:
        source.backup(target)
    source.close()
    target.close()
    return Newsroom(tmp_path, trained, tracked=True)


@pytest.fixture
def untracked(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Newsroom:
    """A room that goes by folders alone."""
    monkeypatch.chdir(tmp_path)
    return Newsroom(tmp_path, trained, tracked=False)


@pytest.fixture(params=[True, False], ids=["tracked", "untracked"])
def either(request: pytest.FixtureRequest) -> Newsroom:
    return request.getfixturevalue("room" if request.param else "untracked")


def files_under(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_a_better_model_follows_the_first_champion_and_a_worse_one_does_not(
    either: Newsroom, capsys: pytest.CaptureFixture[str]
) -> None:
    assert either.promote(either.bundle("worse")) == 0
    assert last_line(capsys).startswith("passed: worse is champion")
    assert either.promote(either.bundle("better")) == 0
    assert last_line(capsys).endswith(f"exported to {either.export}")
    assert bundle_digest(either.export) == bundle_digest(either.bundle("better"))
    assert read_evidence(either.export) is not None
    before = files_under(either.export.parent)
    assert either.promote(either.bundle("worse")) == 1
    assert last_line(capsys).startswith("refused: worse fails gain, fall_")
    assert files_under(either.export.parent) == before


@pytest.mark.parametrize("target", ["run", "bundle"])
def test_a_run_and_its_bundle_are_the_same_version(room: Newsroom, target: str) -> None:
    assert room.promote(room.trained.runs["better"] if target == "run" else room.bundle("better")) == 0
    assert len(room.versions()) == 2
    assert room.champion.run_id == room.trained.runs["better"]
    assert bundle_digest(room.export) == room.champion.tags["bundle_sha256"] == bundle_digest(room.bundle("better"))
    evidence = read_evidence(room.export)
    assert evidence is not None and evidence.blind


def test_the_version_keeps_what_the_gate_found(room: Newsroom) -> None:
    assert room.promote(room.trained.runs["worse"]) == 0
    assert room.promote(room.trained.runs["better"]) == 0
    tags = room.champion.tags
    assert tags["gate"] == "passed"
    assert tags["gate.bounds_sha256"] == sha256(room.folder / "gate.yaml")
    assert tags["gate.when"].startswith("20")
    assert tags["gate.gain"].startswith("pass: ") and "wanted a gain in 90% of the draws" in tags["gate.gain"]
    lines = {name for name in tags if name.startswith("gate.")} - {"gate.when", "gate.bounds_sha256"}
    assert {"gate.fall_f1_deny", "gate.invariance_pass_rate", "gate.train_pairs", "gate.leakage_certificate"} <= lines


def test_a_refused_run_leaves_alias_and_export_and_keeps_why(room: Newsroom) -> None:
    assert room.promote(room.trained.runs["better"]) == 0
    before = files_under(room.export.parent)
    assert room.promote(room.trained.runs["worse"]) == 1
    assert room.champion.run_id == room.trained.runs["better"]
    assert files_under(room.export.parent) == before
    tags = room.versions()["worse"].tags
    assert tags["gate"] == "refused"
    assert tags["gate.gain"].startswith("FAIL: ") and tags["gate.train_pairs"].startswith("pass: ")


def test_force_promotes_what_is_refused_and_its_reason_is_recorded(
    room: Newsroom, capsys: pytest.CaptureFixture[str]
) -> None:
    assert room.promote(room.trained.runs["better"]) == 0
    assert room.promote(room.trained.runs["worse"], "--force", "يصلح عطلا في الخدمة") == 0
    assert last_line(capsys).startswith("forced: يصلح عطلا في الخدمة: worse is champion")
    assert room.champion.run_id == room.trained.runs["worse"]
    assert room.champion.tags["gate"] == "forced: يصلح عطلا في الخدمة"
    assert room.champion.tags["gate.gain"].startswith("FAIL: ")
    assert bundle_digest(room.export) == bundle_digest(room.bundle("worse"))


@pytest.mark.parametrize("reason", ["", "  "])
def test_force_without_a_reason_is_an_error(
    untracked: Newsroom, capsys: pytest.CaptureFixture[str], reason: str
) -> None:
    assert untracked.promote(untracked.bundle("better"), "--force", reason) == 2
    assert "--force needs the reason" in capsys.readouterr().err
    assert not untracked.export.exists()


def test_force_without_a_word_after_it_is_an_error(untracked: Newsroom) -> None:
    with pytest.raises(SystemExit) as caught:
        untracked.promote(untracked.bundle("better"), "--force")
    assert caught.value.code == 2


def test_the_champion_itself_is_not_judged_again(either: Newsroom, capsys: pytest.CaptureFixture[str]) -> None:
    assert either.promote(either.bundle("better")) == 0
    before = files_under(either.export.parent)
    capsys.readouterr()
    assert either.promote(either.bundle("better"), bounds={"contrast_all_right": 1.0}) == 0
    assert capsys.readouterr().out == f"better is the champion already: {either.export}\n"
    assert files_under(either.export.parent) == before


def test_a_lost_export_of_the_champion_is_put_back(room: Newsroom) -> None:
    assert room.promote(room.trained.runs["better"]) == 0
    shutil.rmtree(room.export)
    assert room.promote(room.trained.runs["better"]) == 0
    assert bundle_digest(room.export) == bundle_digest(room.bundle("better"))


def test_a_model_that_no_run_made_is_registered_with_what_the_gate_found(room: Newsroom) -> None:
    unknown = room.unknown()
    assert room.promote(unknown) == 1
    version = room.versions()["unknown"]
    assert version.tags["gate"] == "refused" and version.tags["bundle_sha256"] == bundle_digest(unknown)
    assert version.tags["gate.agrees_with_training"].startswith("FAIL: no evidence of training")
    assert room.champion is None and not room.export.exists()
    # Brought again, it is the same version; and its run can be named too.
    assert room.promote(unknown, "--force", "نحتاجه اليوم") == 0
    assert len(room.versions()) == 3
    assert room.champion.version == version.version
    assert bundle_digest(room.export) == bundle_digest(unknown)


def test_a_champion_without_evidence_does_not_keep_that_of_the_one_before(untracked: Newsroom) -> None:
    assert untracked.promote(untracked.bundle("better")) == 0
    assert untracked.promote(untracked.unknown(), "--force", "a trial") == 0
    assert not evidence_folder(untracked.export).exists()


@pytest.mark.parametrize("target", ["nowhere", "0" * 32])
def test_a_target_that_is_neither_run_nor_bundle_is_an_error(
    either: Newsroom, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    assert either.promote(target) == 2
    error = capsys.readouterr().err
    assert error.startswith("promote: error: ") and error.count("\n") == 1 and target in error
    assert not either.export.exists()


def test_a_run_that_registered_no_model_is_an_error(room: Newsroom, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = room.client.get_experiment_by_name(MODEL)
    run = room.client.create_run(experiment.experiment_id).info.run_id
    assert room.promote(run) == 2
    assert f"run {run} registered no version of {MODEL}" in capsys.readouterr().err


def test_a_run_of_another_registered_model_is_not_taken_for_a_version_of_this_one(
    room: Newsroom, capsys: pytest.CaptureFixture[str]
) -> None:
    # Both are version 1, each of its own model.
    assert room.client.get_run(room.trained.runs["another"]).data.tags["model_version"] == "1"
    assert room.promote(room.trained.runs["another"]) == 2
    assert room.champion is None and not room.export.exists()
    assert "promote: error: " in capsys.readouterr().err


def test_errors_are_one_line_and_exit_code_2(untracked: Newsroom, capsys: pytest.CaptureFixture[str]) -> None:
    altered = untracked.copy("better")
    with open(altered / "dense.npy", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    others = evidence_folder(untracked.folder / "alone")
    shutil.copytree(untracked.bundle("worse"), untracked.folder / "alone")
    shutil.copytree(evidence_folder(untracked.bundle("better")), others)
    for target, named in (
        (altered, "dense.npy: altered since it was exported"),
        (untracked.folder / "alone", f"{others}: evidence of another model"),
        (untracked.folder, "no manifest.json, so this is not an exported model"),
    ):
        assert untracked.promote(target) == 2
        error = capsys.readouterr().err
        assert named in error and error.strip().splitlines()[-1].startswith("promote: error: ")
        assert "Traceback" not in error
    assert main(["promote", str(untracked.bundle("better")), "--gate", "none.yaml"]) == 2
    assert capsys.readouterr().err == "promote: error: none.yaml: no such file\n"
    assert not untracked.export.exists()


def test_an_export_folder_with_other_things_in_it_is_not_replaced(either: Newsroom) -> None:
    either.export.mkdir(parents=True)
    (either.export / "letters.txt").write_text("رسائل", encoding="utf-8")
    assert either.promote(either.bundle("better")) == 2
    assert (either.export / "letters.txt").read_text(encoding="utf-8") == "رسائل"


def test_a_champion_whose_files_are_lost_is_an_error(room: Newsroom, capsys: pytest.CaptureFixture[str]) -> None:
    assert room.promote(room.unknown(), "--force", "a trial") == 0
    lost = bundle_digest(room.export)
    kept = [path for path in (room.trained.folder / "mlruns").rglob("manifest.json") if sha256(path) == lost]
    assert kept
    for manifest in kept:
        shutil.rmtree(manifest.parent.parent.parent)
    capsys.readouterr()
    assert room.promote(room.bundle("better")) == 2
    assert "promote: error: " in capsys.readouterr().err
