"""A sweep is a file too: a base run, the values of its model that are varied, and what a trial is judged by."""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial
from pydantic import Field, model_validator

from claimstance.errors import ClaimstanceError, did_you_mean
from training.config import Config, Section, check_section, flat, read_config, read_section

CROSS_VALIDATION, VALIDATION = "cross_validation", "validation"
_FIXED = ("model.kind", "model.inputs")
_SCALARS = (str, bool, int, float, type(None))


class Dimension(Section):
    """The values that one key may take: a range from ``low`` to ``high``, both included, in logarithms (``log``) or in steps
    (``step``) if wanted; or a list of ``choices``."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = None
    choices: tuple[Any, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Dimension:
        ranged = self.low is not None and self.high is not None
        if bool(self.choices) == ranged or (self.choices and (self.low, self.high) != (None, None)):
            raise ValueError("give either low and high, or choices")
        if self.choices:
            self._check_choices()
        else:
            self._check_range()
        return self

    def _check_choices(self) -> None:
        if self.log or self.step is not None:
            raise ValueError("log and step go with low and high; leave them out beside choices")
        if len(self.choices) < 2 or any(self.choices.count(choice) > 1 for choice in self.choices):
            raise ValueError("choices needs two different values or more; a value that is not varied stands in base")
        wrong = [choice for choice in self.choices if not isinstance(choice, _SCALARS)]
        if wrong:
            raise ValueError(f"the choice {wrong[0]!r} is not a text, a number, true, false or null; vary its own keys")

    def _check_range(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} and high {self.high}; low must be below high")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low}, which has no logarithm; name one above 0, or leave log out")
        if self.log and self.step is not None:
            raise ValueError("steps are even and logarithms are not; leave log or step out")
        if self.step is not None:
            if self.step <= 0:
                raise ValueError(f"step is {self.step}; it must be above 0")
            if (Decimal(str(self.high)) - Decimal(str(self.low))) % Decimal(str(self.step)):
                raise ValueError(f"{self.low} to {self.high} is no whole number of steps of {self.step}; move high")

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that the config has to take for it to take all."""
        return self.choices or (self.low, self.high)

    def holds(self, value: Any) -> bool:
        """Say whether the dimension takes a value."""
        if self.choices or value is None:
            return value in self.choices
        on_step = self.step is None or not (Decimal(str(value)) - Decimal(str(self.low))) % Decimal(str(self.step))
        return self.low <= value <= self.high and on_step

    def __str__(self) -> str:
        if self.choices:
            return ", ".join(str(choice) for choice in self.choices)
        how = ", in logarithms" if self.log else "" if self.step is None else f", in steps of {self.step}"
        return f"{self.low} to {self.high}{how}"


class Sweep(Section):
    """One whole sweep.

    ``base`` is the config file of the run whose values are varied; ``space`` maps dotted keys of it, such as ``model.C``, to
    the values they may take. ``objective`` is macro-F1 over the stances: of cross-validation over ``folds``, pooled, or of the
    run's validation split, with the threshold chosen there. ``trials`` counts those that completed or were pruned;
    ``pruning`` ends a trial that falls behind the median of the others, after a fold or, for an encoder judged on
    validation, after an evaluation. ``storage`` is the URL of the database that keeps the study; several machines may share
    one. ``best`` is where the best config is written, by default ``exports/sweeps/NAME.yaml``. ``seed`` is of the sampler.
    """

    name: str = Field(pattern=r"^\w[\w.-]*$")
    description: str
    base: str
    objective: Literal["cross_validation", "validation"] = CROSS_VALIDATION
    folds: int = Field(5, ge=2)
    trials: int = Field(40, ge=1)
    seed: int = Field(0, ge=0)
    pruning: bool = True
    storage: str = "sqlite:///sweeps.db"
    best: str | None = None
    space: dict[str, Dimension] = Field(min_length=1)

    @property
    def best_path(self) -> Path:
        return Path(self.best or f"exports/sweeps/{self.name}.yaml")


class Space:
    """The values that are varied, held against the run that they are varied in.

    Args:
        base: the run.
        dimensions: the values by dotted key.
        where: what a message names as the place of a problem.

    Raises:
        ClaimstanceError: a key is not one of the run's model, or a value is refused there.
    """

    def __init__(self, base: Config, dimensions: Mapping[str, Dimension], where: str) -> None:
        self.base, self._where, self._dimensions = base, where, dimensions
        self._distributions = {key: self._distribution(key, dimension) for key, dimension in dimensions.items()}

    def draw(self, trial: Trial) -> dict[str, Any]:
        """Draw the values of a trial by dotted key."""
        return {key: _draw(trial, key, distribution) for key, distribution in self._distributions.items()}

    def base_values(self) -> dict[str, Any] | None:
        """Return the base run's own values by dotted key; None where one of them lies outside the space."""
        values = {key: value_at(self.base, key) for key in self._distributions}
        return values if all(self._dimensions[key].holds(value) for key, value in values.items()) else None

    def run_with(self, values: Mapping[str, Any]) -> Config:
        """Return the base run with some values by dotted key in place of its own.

        Raises:
            ClaimstanceError: the run is refused with them.
        """
        content = self.base.model_dump(mode="json")
        for key, value in values.items():
            *parents, last = key.split(".")
            section = content
            for parent in parents:
                section = section.setdefault(parent, {})
                if not isinstance(section, dict):
                    raise ClaimstanceError(f"{self._where}: space.{key}: {parent} has no keys of its own")
            section[last] = value
        drawn = ", ".join(f"{key}: {value}" for key, value in values.items())
        return check_section(content, Config, f"{self._where}: space with {drawn}")

    def _distribution(self, key: str, dimension: Dimension) -> BaseDistribution:
        if not key.startswith("model.") or key in _FIXED:
            known = [name for name in flat(self.base.model_dump(include={"model"})) if name not in _FIXED]
            raise ClaimstanceError(
                f"{self._where}: space.{key}: varied are values that a model is trained with, expected a key such as "
                f"{', '.join(known[-3:])}{did_you_mean(key, known)}"
            )
        taken = [value_at(self.run_with({key: value}), key) for value in dimension.ends]
        if dimension.choices:
            return CategoricalDistribution(dimension.choices)
        if any(type(value) not in (int, float) for value in taken):
            raise ClaimstanceError(f"{self._where}: space.{key}: not a number, so it has no range; list its choices")
        low, high = taken
        if isinstance(low, int):
            step = 1 if dimension.step is None else dimension.step
            if step != int(step):
                raise ClaimstanceError(f"{self._where}: space.{key}: whole numbers have whole steps, not {step}")
            return IntDistribution(low, high, dimension.log, int(step))
        return FloatDistribution(low, high, dimension.log, dimension.step)


def _draw(trial: Trial, key: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case CategoricalDistribution():
            return trial.suggest_categorical(key, distribution.choices)
        case IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(key, low, high, log=log, step=step)
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_float(key, low, high, log=log, step=step)


def value_at(config: Config, key: str) -> Any:
    """Return the value of a run at a dotted key; None where it has none."""
    return flat(config.model_dump(mode="json")).get(key)


def read_sweep(path: str | os.PathLike[str], overridden: Mapping[str, Any]) -> tuple[Sweep, Space]:
    """Read a sweep and the run it is based on, and hold its space against the run.

    Args:
        path: the sweep's file; paths in it are taken from the folder where the command is started.
        overridden: values by key that take the place of the file's.

    Raises:
        ClaimstanceError: a file, a key or a value is wrong; no trial has begun then.
    """
    sweep = read_section(path, Sweep, overridden)
    base = read_config(sweep.base)
    if sweep.objective == CROSS_VALIDATION:
        content = base.model_dump(mode="json")
        content["evaluation"]["cross_validation"] = sweep.folds
        base = check_section(content, Config, f"{path}: base")
    return sweep, Space(base, sweep.space, str(path))
