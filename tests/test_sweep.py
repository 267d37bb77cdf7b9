"""Sweeps: checked before they start, resumed after any end, tracked trial by trial; the best trains alone."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import yaml
from optuna.trial import TrialState

from training import study, sweep
from training.__main__ import main
from training.config import Config, read_config
from training.corpus import load_corpus
from training.cross_validation import MACRO_F1, cross_validate, cross_validated_pairs
from training.experiment import run_experiment
from training.space import read_sweep
from training.tracking import NullTracker

SWEEPS = sorted((Path(__file__).resolve().parent.parent / "configs/sweeps").glob("*.yaml"))
SPACE = {
    "model.C": {"low": 0.001, "high": 1.0, "log": True},
    "model.families.overlap": {"low": 0.001, "high": 1.0, "log": True},
    "model.class_weight": {"choices": ["balanced", None]},
}
_PATIENCE_S = 120


@pytest.fixture(scope="module")
def quick(small_config: Config) -> Config:
    """The cheapest run that learns something."""
    content = small_config.model_dump(mode="json")
    content["model"] |= {"families": {"overlap": 1.0}, "lexicons": [], "C": 1.0, "class_weight": None}
    return Config.model_validate(content)


def written(folder: Path, base: Config, **parts: Any) -> str:
    """Write a sweep over a run, and the run, into a folder."""
    (folder / "base.yaml").write_text(yaml.safe_dump(base.model_dump(mode="json")), encoding="utf-8")
    content = {
        "name": "tried",
        "description": "a sweep for tests",
        "base": str(folder / "base.yaml"),
        "folds": 2,
        "trials": 2,
        "storage": f"sqlite:///{folder / 'sweeps.db'}",
        "best": str(folder / "best.yaml"),
        "space": SPACE,
        **parts,
    }
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def study_in(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="tried", storage=f"sqlite:///{folder / 'sweeps.db'}")


def states(folder: Path) -> list[str]:
    """The states of a study's trials, by number."""
    return [trial.state.name for trial in study_in(folder).get_trials(deepcopy=False)]


# A whole sweep


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_of_the_project_runs(
    path: Path,
    root: Path,
    small_config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(root)
    given, space = read_sweep(path, {})
    assert space.base_values(), "the first trial is the base run, which the others are measured by"
    content = small_config.model_dump(mode="json")
    model = {**space.base.model_dump(mode="json")["model"], "lexicons": content["model"]["lexicons"]}
    small = Config.model_validate({**content, "model": model})
    dimensions = {key: dimension.model_dump(mode="json") for key, dimension in given.space.items()}
    assert main(["sweep", written(tmp_path, small, objective=given.objective, space=dimensions)]) == 0
    assert states(tmp_path) == ["COMPLETE"] * 2
    assert study_in(tmp_path).get_trials()[0].params == space.base_values()
    assert "no plot of importances: 2 trials completed, 4 are the least" in capsys.readouterr().out


@dataclass(frozen=True)
class Swept:
    """A finished sweep of eight trials: its folder, what it printed, its file and its study."""

    folder: Path
    printed: str
    path: str
    uri: str

    @property
    def study(self) -> optuna.Study:
        return study_in(self.folder)

    @property
    def client(self) -> Any:
        import mlflow

        return mlflow.MlflowClient(self.uri, self.uri)

    @property
    def runs(self) -> list[Any]:
        found = self.client.get_experiment_by_name("claim-stance")
        return self.client.search_runs([found.experiment_id], order_by=["attributes.start_time"])

    @property
    def parents(self) -> list[Any]:
        return [run for run in self.runs if "mlflow.parentRunId" not in run.data.tags]

    @property
    def children(self) -> list[Any]:
        found = [run for run in self.runs if "mlflow.parentRunId" in run.data.tags]
        return sorted(found, key=lambda run: int(run.data.tags["trial"]))


@pytest.fixture(scope="module")
def swept(quick: Config, migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    folder = tmp_path_factory.mktemp("swept")
    (folder / "mlflow.db").write_bytes(migrated.read_bytes())
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    tracked = Config.model_validate(
        {**quick.model_dump(mode="json"), "tracking": {"uri": uri}, "export": str(folder / "exports" / "chosen")}
    )
    path = written(folder, tracked, trials=8)
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder)
        assert main(["sweep", path]) == 0
    return Swept(folder, printed.getvalue(), path, uri)


def test_the_best_config_trains_alone_to_the_same_figure(
    swept: Swept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(swept.folder)
    best = read_config(swept.folder / "best.yaml")
    assert not best.evaluation.test and best.evaluation.cross_validation == 2
    untracked = {**best.model_dump(mode="json"), "tracking": {"uri": None}, "export": str(tmp_path / "alone")}
    alone = Config.model_validate(untracked)
    *_, whole = cross_validate(alone, cross_validated_pairs(load_corpus(alone)), 2)
    assert swept.study.best_trial.number, "a trial other than the base run's is to be the best"
    assert whole.pooled[MACRO_F1] == swept.study.best_value
    head = (swept.folder / "best.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert "of the sweep tried, kept in sqlite:///" in head and f"trial {swept.study.best_trial.number}" in head
    assert (
        f"cross_validation_macro_f1={swept.study.best_value:.4f} ± " in head and head.split(", ")[-1] in swept.printed
    )
    lines: list[str] = []
    run_experiment([alone], lines.append)
    assert any(line.startswith(f"tried-best: {MACRO_F1}={swept.study.best_value:.4f} ± ") for line in lines)


def test_the_best_trials_are_printed_best_first(swept: Swept) -> None:
    rows = [line for line in swept.printed.splitlines() if line.startswith("│")]
    values = [float(row.split("│")[2]) for row in rows]
    completed = sorted((t.value for t in swept.study.get_trials(states=(TrialState.COMPLETE,))), reverse=True)
    assert values == [round(value, 4) for value in completed[:5]]


def test_every_trial_is_a_nested_run_in_the_state_that_it_ended_in(swept: Swept) -> None:
    (parent,) = swept.parents
    trials = swept.study.get_trials(deepcopy=False)
    assert {trial.state.name for trial in trials} == {"COMPLETE", "PRUNED"}, "the sweep is to prune at least once"
    assert len(swept.children) == len(trials) == 8
    for child, trial in zip(swept.children, trials, strict=True):
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id and child.info.status == "FINISHED"
        assert child.data.tags["state"] == ("completed" if trial.state == TrialState.COMPLETE else "pruned")
        assert child.data.params == {key: str(value) for key, value in trial.params.items()}
        history = swept.client.get_metric_history(child.info.run_id, "cross_validation_fold_macro_f1")
        assert [point.step for point in history] == ([1, 2] if trial.state == TrialState.COMPLETE else [1])
        if trial.state == TrialState.COMPLETE:
            folds = [point.value for point in history]
            found = child.data.metrics
            assert found[MACRO_F1] == pytest.approx(trial.value)
            assert found[f"{MACRO_F1}_mean"] == pytest.approx(np.mean(folds))
            assert found[f"{MACRO_F1}_sd"] == pytest.approx(np.std(folds, ddof=1))
        else:
            assert MACRO_F1 not in child.data.metrics


def test_the_sweep_keeps_its_space_its_best_and_its_plots_and_registers_nothing(swept: Swept) -> None:
    (parent,) = swept.parents
    assert (parent.info.status, parent.data.tags["state"]) == ("FINISHED", "completed")
    assert parent.data.params["space.model.C"] == "0.001 to 1.0, in logarithms"
    assert parent.data.metrics["best_cross_validation_macro_f1"] == pytest.approx(swept.study.best_value)
    kept = {Path(file.path).name for file in swept.client.list_artifacts(parent.info.run_id, "sweep")}
    plots = {f"best-{kind}.png" for kind in ("history", "parallel", "importances")}
    assert kept == {"best.yaml", *plots}
    assert plots <= {path.name for path in swept.folder.iterdir() if path.stat().st_size > 5000}
    assert swept.client.search_registered_models() == []


def test_started_again_a_sweep_goes_on_as_the_same_run_until_enough_trials_are_done(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(swept.folder)
    before = [trial.params for trial in swept.study.get_trials()]
    assert main(["sweep", swept.path]) == 0
    assert len(swept.study.trials) == 8, "enough were done"
    assert main(["sweep", swept.path, "--trials", "9"]) == 0
    trials = swept.study.get_trials()
    assert [trial.params for trial in trials[:8]] == before and len(trials) == len(swept.children) == 9
    assert trials[8].params not in before
    (parent,) = swept.parents
    assert {child.data.tags["mlflow.parentRunId"] for child in swept.children} == {parent.info.run_id}
    assert parent.info.status == "FINISHED"


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"space": {**SPACE, "model.C": {"low": 0.01, "high": 1.0}}}, "space"),
        ({"folds": 3}, "folds"),
        ({"objective": "validation"}, "objective, folds"),
        ({"seed": 1}, "base"),
        ({"corpus": {}}, "corpus"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_study_that_was_made_for_another_sweep_is_refused(
    swept: Swept, quick: Config, tmp_path: Path, changed: dict[str, Any], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = quick
    if part == "base":
        base = quick.model_copy(update={"seed": changed.pop("seed")})
    if part == "corpus":
        changed.pop("corpus")
        swapped = {"train": quick.corpus.validation, "validation": quick.corpus.train}
        base = quick.model_copy(update={"corpus": quick.corpus.model_copy(update=swapped)})
    assert main(["sweep", written(tmp_path, base, **changed), "--storage", f"sqlite:///{swept.folder}/sweeps.db"]) == 2
    message = capsys.readouterr().err
    assert (
        f"was made with another {part}, so" in message and "give the sweep another name or another storage" in message
    )


def test_the_validation_figure_is_that_of_the_run(
    quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    base = quick.model_copy(update={"export": str(tmp_path / "exports" / "chosen")})
    assert main(["sweep", written(tmp_path, base, objective="validation")]) == 0
    assert "± sd" not in capsys.readouterr().out
    alone = run_experiment([read_config(tmp_path / "best.yaml")], lambda line: None)
    assert alone.chosen.validation.figures["macro_f1"] == study_in(tmp_path).best_value


def test_more_folds_than_events_a_wrong_storage_and_a_file_of_ones_own_are_refused(
    quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", written(tmp_path, quick, folds=1000)]) == 2
    assert "folds is 1000, but the pairs are of" in capsys.readouterr().err
    for storage, message in (("sweeps.db", "storage: not the URL"), ("oracle9://h/d", "the study cannot be kept in")):
        assert main(["sweep", written(tmp_path, quick), "--storage", storage]) == 2
        assert message in capsys.readouterr().err
    assert main(["sweep", written(tmp_path, quick), "--trials", "0"]) == 2
    assert "sweep.yaml: trials: Input should be greater than or equal to 1" in capsys.readouterr().err
    assert main(["sweep", written(tmp_path, quick, best=str(tmp_path / "base.yaml"))]) == 2
    assert "base.yaml: not written by a sweep, so it is not replaced" in capsys.readouterr().err
    assert read_config(tmp_path / "base.yaml") == quick and not (tmp_path / "sweeps.db").exists()


# However it ends


def test_told_to_stop_a_sweep_ends_its_trial_and_goes_on_later(
    quick: Config, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tracked = quick.model_copy(update={"tracking": quick.tracking.model_copy(update={"uri": uri})})
    path = written(tmp_path, tracked, trials=3, space={"model.C": SPACE["model.C"]})
    calls = []

    def stopped(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return cross_validate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "cross_validate", stopped)
        assert main(["sweep", path]) == 130
    assert "sweep: stopped, 1 of 3 trials done; started again, it goes on" in capsys.readouterr().err
    assert states(tmp_path) == ["COMPLETE", "FAIL"]
    found = Swept(tmp_path, "", path, uri)
    assert [run.info.status for run in (*found.parents, *found.children)] == ["FAILED", "FINISHED", "FAILED"]
    assert found.children[1].data.tags["state"] == "failed"
    assert main(["sweep", path]) == 0
    assert states(tmp_path) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert [run.info.status for run in found.parents] == ["FINISHED"]


def test_a_killed_sweep_goes_on_and_its_trial_counts_as_failed(
    quick: Config, uri: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked = quick.model_copy(update={"tracking": quick.tracking.model_copy(update={"uri": uri})})
    path = written(tmp_path, tracked, trials=3, folds=8)
    command = [sys.executable, "-m", "training", "sweep", path]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until and process.poll() is None:
            if runs_a_later_trial(tmp_path):
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert states(tmp_path) == ["COMPLETE", "RUNNING"]
    monkeypatch.setattr(study, "_GRACE_S", 1)
    assert main(["sweep", path]) == 0
    assert states(tmp_path) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    found = Swept(tmp_path, "", path, uri)
    assert [run.info.status for run in found.children] == ["FINISHED", "KILLED", "FINISHED", "FINISHED"]
    assert found.children[1].data.tags["state"] == "failed"
    assert [run.info.status for run in found.parents] == ["FINISHED"]


def runs_a_later_trial(folder: Path) -> bool:
    """Say whether a trial after the first has ended a fold; read without making tables, which another process may be at."""
    asked = "SELECT 1 FROM trials JOIN trial_intermediate_values USING (trial_id) WHERE state = 'RUNNING' AND number"
    try:
        with contextlib.closing(sqlite3.connect(f"file:{folder / 'sweeps.db'}?mode=ro", uri=True)) as database:
            return bool(database.execute(asked).fetchone())
    except sqlite3.OperationalError:
        return False


# Encoders


def test_an_encoder_judged_on_validation_reports_every_evaluation_and_may_be_pruned(
    small_encoder: Config, tmp_path: Path
) -> None:
    model = small_encoder.model.model_copy(update={"evaluations": 2})
    path = written(
        tmp_path,
        small_encoder.model_copy(update={"model": model}),
        objective="validation",
        space={"model.learning_rate": {"low": 1e-3, "high": 3e-3}},
    )
    given, space = read_sweep(path, {})
    trials = sweep._Trials(given, space, load_corpus(space.base))
    never, second = optuna.pruners.NopPruner(), optuna.pruners.ThresholdPruner(upper=-1, n_warmup_steps=2)
    for pruner, state in ((never, TrialState.COMPLETE), (second, TrialState.PRUNED)):
        tried = optuna.create_study(direction="maximize", pruner=pruner)
        tried.optimize(lambda trial: trials.run(trial, NullTracker()), n_trials=1)
        (trial,) = tried.trials
        assert trial.state == state and list(trial.intermediate_values) == [1, 2, 3][: len(trial.intermediate_values)]
        assert len(trial.intermediate_values) >= 2


def test_help_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, text in ((["--help"], "python -m training sweep CONFIG"), (["sweep", "--help"], "--storage URL")):
        with pytest.raises(SystemExit):
            main(arguments)
        assert text in capsys.readouterr().out
