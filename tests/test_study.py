"""Studies: processes that share one run the trials asked for and no more, whichever of them is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from training import study
from training.config import Config
from training.corpus import load_corpus
from training.space import Space, Sweep
from training.study import Study, made_for

_PATIENCE_S = 120


def study_in(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="tried", storage=f"sqlite:///{folder / 'sweeps.db'}")


def states(folder: Path) -> list[str]:
    """The states of a study's trials, by number."""
    return [trial.state.name for trial in study_in(folder).get_trials(deepcopy=False)]


SHARED = """
import sys, time
import optuna
from training.config import Config
from training.corpus import load_corpus
from training.space import Space, Sweep
from training.study import Study, made_for
from training.tracking import NullTracker

optuna.logging.set_verbosity(optuna.logging.ERROR)
sweep = Sweep(name="tried", description="", base="-", trials=6, storage=sys.argv[1], space={"model.C": {"low": 0.1, "high": 1}})

def objective(trial):
    time.sleep(0.2)
    return trial.suggest_float("model.C", 0.1, 1.0)

Study(sweep, {"base": "same"}, print).run(objective, lambda: None)
"""


def test_processes_that_share_a_storage_run_the_trials_asked_for_and_no_more(tmp_path: Path, root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", SHARED, f"sqlite:///{tmp_path / 'sweeps.db'}"]
    processes = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in processes:
        _, said = process.communicate(timeout=_PATIENCE_S)
        assert process.returncode == 0, said
    assert states(tmp_path).count("COMPLETE") == 6 and set(states(tmp_path)) <= {"COMPLETE", "FAIL"}
    drawn = [trial.params["model.C"] for trial in study_in(tmp_path).trials if trial.params]
    assert len(set(drawn)) == 6, "no process draws what another drew"


def shared_study(folder: Path, trials: int) -> Study:
    space = {"model.C": {"low": 0.1, "high": 1.0}}
    given = {"name": "tried", "description": "", "base": "-", "trials": trials, "space": space}
    return Study(Sweep(**given, storage=f"sqlite:///{folder / 'sweeps.db'}"), {"base": "same"}, print)


def test_a_trial_killed_before_its_first_heartbeat_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "_GRACE_S", 1)
    shared = shared_study(tmp_path, 2)
    study_in(tmp_path).ask()
    shared.run(lambda trial: trial.suggest_float("model.C", 0.1, 1.0), lambda: None)
    assert states(tmp_path) == ["FAIL", "COMPLETE", "COMPLETE"]


def test_two_that_ask_for_the_last_trial_at_once_do_not_both_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shared, run = shared_study(tmp_path, 1), []
    other = study_in(tmp_path)
    asked = []
    optimize = shared.study.optimize

    def after_another(*arguments: Any, **options: Any) -> None:
        asked.append(other.ask())
        optimize(*arguments, **options)
        other.tell(asked[0], 0.5)

    monkeypatch.setattr(shared.study, "optimize", after_another)
    shared.run(lambda trial: run.append(trial) or 1.0, lambda: None)
    assert states(tmp_path) == ["COMPLETE", "FAIL"] and not run


def test_a_password_is_not_shown() -> None:
    assert study.shown("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"


def test_other_word_sets_make_another_study_where_they_are_read(small_config: Config, tmp_path: Path) -> None:
    lists = tmp_path / "lists.txt"
    corpus = load_corpus(small_config)
    sweep = Sweep(name="tried", description="", base="-", space={"model.C": {"low": 0.1, "high": 1}})

    def parts(families: dict[str, float], text: str) -> dict[str, str]:
        lists.write_text(text, encoding="utf-8")
        content = small_config.model_dump(mode="json")
        content["model"] |= {"families": families, "thesaurus": [str(lists)]}
        return made_for(sweep, Space(Config.model_validate(content), sweep.space, "sweep.yaml"), corpus)

    for families, differ in (({"overlap": 1.0}, set()), ({"overlap": 1.0, "relations": 1.0}, {"thesaurus"})):
        before, after = (parts(families, text) for text in ("rise | fall\n", "rise | drop\n"))
        assert {part for part in before if before[part] != after[part]} == differ
