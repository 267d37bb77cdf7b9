"""A run is a file: every parameter of one training run, read from YAML and checked before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from claimstance.errors import ClaimstanceError, did_you_mean
from claimstance.files import read_text
from claimstance.records import NONE, STANCES
from training.kinds import KINDS, Model, PairLinear, Section

_Kind = TypeVar("_Kind", bound=BaseModel)


class Labels(Section):
    """The labels of a task: its stances, and the label of pairs without one, if the data has any."""

    stances: tuple[str, ...] = Field(STANCES, min_length=2)
    abstain: str | None = NONE

    @model_validator(mode="after")
    def _distinct(self) -> Labels:
        for label in self.all:
            if self.all.count(label) > 1:
                raise ValueError(f"label {label!r} is given twice; a label is one stance, or the one of no stance")
            if not re.fullmatch(r"[\w. /-]+", label):
                raise ValueError(f"label {label!r} has signs that no metric name may have; map it with corpus.labels")
        return self

    @property
    def all(self) -> tuple[str, ...]:
        return self.stances if self.abstain is None else (*self.stances, self.abstain)


class Splits(Section):
    """Shares of events drawn for validation and test where the corpus is one undivided file."""

    validation: float = Field(0.1, gt=0, lt=1)
    test: float = Field(0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _leaves_training_pairs(self) -> Splits:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together leave nothing to train on; their sum must be below 1")
        return self


class Corpus(Section):
    """Where the pairs come from.

    Either one file a split (``train``, ``validation``, ``test``), or one undivided source (``source``: a file or the
    name of a data set on the hub) that is divided by event with ``splits``. ``columns`` maps our fields to the source's
    columns; ``labels`` maps the source's labels to ours, and null drops a label's pairs; ``only`` keeps the pairs whose
    fields have these values, such as ``{lang: en}``.
    """

    train: str | None = None
    validation: str | None = None
    test: str | None = None
    source: str | None = None
    splits: Splits = Splits()
    columns: dict[Literal["id", "event", "topic", "lang", "claim", "quote", "speaker", "stance"], str] = Field(
        default_factory=dict
    )
    labels: dict[str, str | None] = Field(default_factory=dict)
    only: dict[Literal["topic", "lang", "speaker", "genre", "pattern", "form"], str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> Corpus:
        if (self.source is None) == (self.train is None):
            raise ValueError("give either train and validation (and test), or source")
        if self.train is not None and self.validation is None:
            raise ValueError("train is given without validation; name a file to choose on")
        if self.source is not None and (self.validation or self.test):
            raise ValueError("source is divided by itself; leave validation and test out, or name train instead")
        return self


class Distillation(Section):
    """Learning from another model's answers as well (Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network",
    2015): the folder of the ``teacher``; files of ``pairs`` without a stance, which it labels; the ``weight`` of such a
    pair against a labelled one; and the ``temperature`` that softens its answers (1: as they are)."""

    teacher: str = Field(min_length=1)
    pairs: tuple[str, ...] = Field(min_length=1)
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)


class Evaluation(Section):
    """What is measured beside macro-F1 over the stances: ``macro_over``, further sets of labels; ``cross_validation``,
    folds over training and validation pairs together, grouped by event (0: none); ``seeds``, how many times a model whose
    training draws anything is trained; ``test``, whether the chosen model is reported on the test split."""

    macro_over: tuple[tuple[str, ...], ...] = ()
    cross_validation: int = Field(0, ge=0)
    seeds: int = Field(1, ge=1)
    test: bool = False

    @model_validator(mode="after")
    def _has_folds(self) -> Evaluation:
        if self.cross_validation == 1:
            raise ValueError("cross_validation needs two folds or more; 0 turns it off")
        return self


class Tracking(Section):
    """Where runs are tracked. ``uri`` null turns tracking off."""

    uri: str | None = "sqlite:///mlflow.db"
    experiment: str = "claim-stance"
    model: str = "claim-stance"


class Config(Section):
    """One whole run."""

    name: str = Field(pattern=r"^\w[\w.-]*$")
    description: str
    corpus: Corpus
    labels: Labels = Labels()
    model: Model
    distill: Distillation | None = None
    evaluation: Evaluation = Evaluation()
    tracking: Tracking = Tracking()
    export: str = "exports/chosen"
    seed: int = 0

    @model_validator(mode="after")
    def _can_mismatch(self) -> Config:
        if self.model.mismatched and (self.labels.abstain is None or self.model.inputs != "pair"):
            raise ValueError("model.mismatched needs claims and a label of no stance (labels.abstain); set it to 0")
        return self

    @model_validator(mode="after")
    def _can_distill(self) -> Config:
        if self.distill is not None and not isinstance(self.model, PairLinear):
            raise ValueError(f"distill teaches a model of kind pair-linear, this one is {self.model.kind}")
        if self.distill is not None and self.evaluation.cross_validation:
            raise ValueError(
                "a distilled model cannot be cross-validated, since its teacher knows the pairs of every fold; "
                "set evaluation.cross_validation to 0"
            )
        return self

    @model_validator(mode="after")
    def _known_labels(self) -> Config:
        named = [*self.corpus.labels.values(), *(label for subset in self.evaluation.macro_over for label in subset)]
        for label in named:
            if label is not None and label not in self.labels.all:
                raise ValueError(f"label {label!r} is not one of {', '.join(self.labels.all)}")
        return self


def read_config(path: str | os.PathLike[str], more: Mapping[str, Any] | None = None) -> Config:
    """Read and check a config file; paths in it are taken from the folder where the command is started.

    Raises:
        ClaimstanceError: as ``read_section`` does.
    """
    return read_section(path, Config, more)


def read_section(path: str | os.PathLike[str], kind: type[_Kind], more: Mapping[str, Any] | None = None) -> _Kind:
    """Read and check a YAML file.

    Args:
        path: the file.
        kind: what it has to hold.
        more: keys that take the place of the file's own.

    Raises:
        ClaimstanceError: the file is missing or not YAML, or as ``check_section`` does.
    """
    text = read_text(path)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise ClaimstanceError(f"{path}{where}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(content, dict):
        raise ClaimstanceError(f"{path}: expected keys such as {', '.join(kind.model_fields)}")
    return check_section({**content, **(more or {})}, kind, str(Path(path)))


def check_section(content: dict[str, Any], kind: type[_Kind], where: str) -> _Kind:
    """Check the content of a YAML file, or of one as it would be.

    Args:
        content: its keys and values.
        kind: what it has to hold.
        where: what a message names as the place of a problem, such as the file.

    Raises:
        ClaimstanceError: a key or value is wrong; the message names the key and the nearest valid one.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ClaimstanceError(f"{where}: {_first_problem(error, kind)}") from None


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings, and lists of them, as one with dotted keys; an empty mapping is a value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
            value = {str(number): part for number, part in enumerate(value, start=1)}
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _first_problem(error: ValidationError, kind: type[BaseModel]) -> str:
    problems = error.errors()
    # A key spelled wrongly is often a required one that seems to be missing.
    problem = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    location = tuple(part for part in problem["loc"] if part not in ("[key]", *KINDS))
    key = ".".join(str(part) for part in location) or "the run"
    if problem["type"] == "extra_forbidden":
        valid = _keys_at(kind, problem["loc"][:-1])
        return f"unknown key {key!r}, expected one of {', '.join(valid)}{did_you_mean(location[-1], valid)}"
    if problem["type"] == "union_tag_invalid":
        tag, valid = problem["ctx"]["tag"], _listed(problem["ctx"]["expected_tags"])
        return f"{key}.kind: {tag!r} is not one of {', '.join(valid)}{did_you_mean(tag, valid)}"
    if problem["loc"][-1:] == ("[key]",) and "expected" in problem.get("ctx", {}):
        valid = _listed(problem["ctx"]["expected"])
        return f"unknown key {key!r}, expected one of {', '.join(valid)}{did_you_mean(location[-1], valid)}"
    return f"{key}: {problem['msg'].removeprefix('Value error, ')}"


def _listed(words: str) -> list[str]:
    return [word.strip("' ") for word in words.replace(" or ", ",").split(",")]


def _keys_at(section: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    for part in location:
        if part in KINDS:
            section = KINDS[part]
        if part not in section.model_fields:
            # A kind, a place in a list, or a key of a mapping, whose values' kind the field that holds it tells.
            continue
        annotation = section.model_fields[part].annotation
        section = next((kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields")), section)
    return list(section.model_fields)
