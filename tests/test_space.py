"""The space of a sweep: what is wrong in it is said before any trial, and what is drawn from it fits the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from claimstance.errors import ClaimstanceError
from training.config import Config
from training.space import Space, Sweep, read_sweep


def written(folder: Path, base: Config, space: dict[str, Any]) -> str:
    """Write a sweep of a space over a run, and the run, into a folder."""
    (folder / "base.yaml").write_text(yaml.safe_dump(base.model_dump(mode="json")), encoding="utf-8")
    storage = f"sqlite:///{folder / 'sweeps.db'}"
    content = {"name": "tried", "description": "a sweep for tests", "storage": storage, "space": space}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**content, "base": str(folder / "base.yaml")}), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"model.dens_scale": {"low": 0.1, "high": 1}}, "unknown key 'model.dens_scale', .* 'dense_scale'"),
        ({"modle.C": {"low": 0.1, "high": 1}}, "space.modle.C: varied are values that a model .* 'model.C'"),
        ({"seed": {"choices": [0, 1]}}, "space.seed: varied are values that a model is trained with"),
        ({"model.inputs": {"choices": ["pair", "quote"]}}, "space.model.inputs: varied are values"),
        ({"model.families.cuse": {"low": 0.1, "high": 1}}, "unknown key 'model.families.cuse', .* 'cues'"),
        ({"model.C.x": {"low": 0.1, "high": 1}}, "space.model.C.x: C has no keys of its own"),
        ({"model.C": {"low": 1, "high": 0.1}}, "space.model.C: low is 1 and high 0.1; low must be below high"),
        ({"model.C": {"low": 1, "high": 1}}, "low must be below high"),
        ({"model.C": {"low": 0, "high": 1, "log": True}}, "low is 0, which has no logarithm"),
        ({"model.C": {"low": 1, "high": 2, "log": True, "step": 1}}, "leave log or step out"),
        ({"model.C": {"low": 1, "high": 2, "step": 0.3}}, "1 to 2 is no whole number of steps of 0.3"),
        ({"model.C": {"low": 1, "high": 2, "step": 0}}, "step is 0; it must be above 0"),
        ({"model.C": {"low": 0, "high": 1}}, "space with model.C: 0: model.C: Input should be greater than 0"),
        ({"model.C": {"low": 0.1}}, "give either low and high, or choices"),
        ({"model.C": {"low": 0.1, "high": 1, "choices": [1, 2]}}, "give either low and high, or choices"),
        ({"model.C": {"low": 0.1, "hihg": 1}}, "unknown key 'space.model.C.hihg', .* 'high'"),
        ({"model.C": {"choices": [1]}}, "choices needs two different values or more"),
        ({"model.lexicons": {"choices": [["a"], ["b"]]}}, "the choice ['a'] is not a text"),
        ({"model.class_weight": {"choices": ["balanced", "even"]}}, "space with model.class_weight: even: "),
        ({"model.class_weight": {"low": 0, "high": 1}}, "model.class_weight"),
        ({}, "space: "),
    ],
    ids=str,
)
def test_a_wrong_space_is_refused_before_any_trial(
    small_config: Config, tmp_path: Path, space: dict[str, Any], message: str
) -> None:
    path = written(tmp_path, small_config, space)
    with pytest.raises(ClaimstanceError) as caught:
        read_sweep(path, {})
    found = str(caught.value)
    assert found.startswith(f"{path}: ") and "\n" not in found
    for part in message.split(" .* "):
        assert part in found
    assert not (tmp_path / "sweeps.db").exists()


def test_ranges_take_the_kind_of_number_that_the_run_takes(small_encoder: Config) -> None:
    dimensions = {
        "model.epochs": {"low": 2, "high": 6, "step": 1},
        "model.batch_size": {"low": 8, "high": 32, "step": 8},
        "model.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
    }
    given = Sweep(name="s", description="", base="b", space=dimensions)
    space = Space(small_encoder, given.space, "sweep.yaml")
    values = space.draw(
        optuna.trial.FixedTrial({"model.epochs": 3.0, "model.batch_size": 16, "model.learning_rate": 1e-4})
    )
    model = space.run_with(values).model
    assert (model.epochs, model.batch_size, model.learning_rate) == (3.0, 16, 1e-4)
    with pytest.raises(ClaimstanceError, match="batch_size: whole numbers have whole steps"):
        wrong = {"model.batch_size": {"low": 8, "high": 9, "step": 0.5}}
        Space(small_encoder, given.model_validate({**given.model_dump(), "space": wrong}).space, "sweep.yaml")
