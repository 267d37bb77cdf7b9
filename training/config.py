"""A run is a file: every parameter of one training run, read from YAML and checked before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from claimstance.errors import ClaimstanceError, did_you_mean
from claimstance.features import FAMILIES
from claimstance.files import read_text
from claimstance.records import NONE, STANCES

_Kind = TypeVar("_Kind", bound=BaseModel)


class Section(BaseModel):
    """A mapping of a YAML file: no unknown key, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    columns; ``labels`` maps the source's labels to ours, and null drops a label's pairs.
    """

    train: str | None = None
    validation: str | None = None
    test: str | None = None
    source: str | None = None
    splits: Splits = Splits()
    columns: dict[Literal["id", "event", "topic", "lang", "claim", "quote", "speaker", "stance"], str] = {}
    labels: dict[str, str | None] = {}

    @model_validator(mode="after")
    def _one_source(self) -> Corpus:
        if (self.source is None) == (self.train is None):
            raise ValueError("give either train and validation (and test), or source")
        if self.train is not None and self.validation is None:
            raise ValueError("train is given without validation; name a file to choose on")
        if self.source is not None and (self.validation or self.test):
            raise ValueError("source is divided by itself; leave validation and test out, or name train instead")
        return self


class _Model(Section):
    """What every kind of model has.

    ``inputs`` says what the model reads; quotes alone is for data without claims, and claims alone shows what a model
    gains by reading the pair. ``lexicons`` are the word lists. ``mismatched`` adds, for each training pair, so many quotes
    met with a claim of another event, labelled as taking no stance: the sentences of an article are mostly about something
    else. ``class_weight`` balanced weighs each label by the inverse of its frequency.
    """

    inputs: Literal["pair", "quote", "claim"] = "pair"
    lexicons: tuple[str, ...] = ("data/lexicons/ar.yaml", "data/lexicons/en.yaml")
    class_weight: Literal["balanced"] | None = "balanced"
    mismatched: float = Field(0.0, ge=0, le=1)


class PairLinear(_Model):
    """Logistic regression over pair features.

    ``families`` are the feature families with the value of their sparse features; ``dense_scale`` is the value of one
    standard deviation of a dense feature; ``C`` the inverse strength of the L2 penalty.
    """

    kind: Literal["pair-linear"] = "pair-linear"
    families: dict[Literal[FAMILIES], Annotated[float, Field(gt=0)]] = Field(min_length=1)  # type: ignore[valid-type]
    C: float = Field(0.3, gt=0)
    dense_scale: float = Field(1.0, gt=0)


class Encoder(_Model):
    """A pretrained encoder, fine-tuned on claim and quote as a true pair.

    ``checkpoint`` is the name of a model on the hub, whose ``revision`` (a commit) should be pinned, or a folder with
    ``config.json``, ``model.safetensors`` and ``tokenizer.json``. ``max_tokens`` of a pair; ``batch_size`` pairs a step on
    each process, times ``accumulate`` steps a weight update. ``warmup`` is the share of updates over which the learning
    rate rises, after which it falls linearly; ``layer_decay`` multiplies it from each layer to the one below (1: not at
    all). ``focal_gamma`` makes the loss focal (Lin et al., ICCV 2017), 0 leaves it cross-entropy. ``patience`` is how many
    evaluations on validation, ``evaluations`` an epoch, may pass without a better macro-F1. ``bf16`` null uses bfloat16
    where the processor has it. ``precision`` of the exported graph: int8 weights are recalibrated on validation.
    """

    kind: Literal["encoder"]
    checkpoint: str = Field(min_length=1)
    revision: str | None = None
    max_tokens: int = Field(192, ge=16, le=512)
    epochs: float = Field(4.0, gt=0)
    batch_size: int = Field(16, ge=1)
    accumulate: int = Field(1, ge=1)
    learning_rate: float = Field(3e-5, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    layer_decay: float = Field(1.0, gt=0, le=1)
    freeze_embeddings: bool = False
    focal_gamma: float = Field(0.0, ge=0)
    evaluations: int = Field(1, ge=1)
    patience: int = Field(2, ge=1)
    bf16: bool | None = None
    precision: Literal["fp32", "int8"] = "fp32"


_KINDS: dict[str, type[_Model]] = {"pair-linear": PairLinear, "encoder": Encoder}


def _kind_of(model: Any) -> str:
    """Say which kind of model a section describes; without a ``kind`` it is the default one."""
    return model.get("kind", "pair-linear") if isinstance(model, dict) else getattr(model, "kind", "pair-linear")


Model = Annotated[
    Annotated[PairLinear, Tag("pair-linear")] | Annotated[Encoder, Tag("encoder")], Discriminator(_kind_of)
]


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
    def _known_labels(self) -> Config:
        named = [*self.corpus.labels.values(), *(label for subset in self.evaluation.macro_over for label in subset)]
        for label in named:
            if label is not None and label not in self.labels.all:
                raise ValueError(f"label {label!r} is not one of {', '.join(self.labels.all)}")
        return self


def read_config(path: str | os.PathLike[str]) -> Config:
    """Read and check a config file; paths in it are taken from the folder where the command is started.

    Raises:
        ClaimstanceError: as ``read_section`` does.
    """
    return read_section(path, Config)


def read_section(path: str | os.PathLike[str], kind: type[_Kind]) -> _Kind:
    """Read and check a YAML file.

    Args:
        path: the file.
        kind: what it has to hold.

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
    return check_section(content, kind, str(Path(path)))


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
    """Return nested mappings as one with dotted keys; an empty mapping is a value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _first_problem(error: ValidationError, kind: type[BaseModel]) -> str:
    problems = error.errors()
    # A key spelled wrongly is often a required one that seems to be missing.
    problem = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    location = tuple(part for part in problem["loc"] if part not in ("[key]", *_KINDS))
    key = ".".join(str(part) for part in location) or "the run"
    if problem["type"] == "extra_forbidden":
        valid = _keys_at(kind, problem["loc"][:-1])
        return f"unknown key {key!r}, expected one of {', '.join(valid)}{did_you_mean(location[-1], valid)}"
    if problem["type"] == "union_tag_invalid":
        tag = problem["ctx"]["tag"]
        return f"{key}.kind: {tag!r} is not one of {', '.join(_KINDS)}{did_you_mean(tag, _KINDS)}"
    if problem["loc"][-1:] == ("[key]",) and "expected" in problem.get("ctx", {}):
        valid = [part.strip("' ") for part in problem["ctx"]["expected"].replace(" or ", ",").split(",")]
        return f"unknown key {key!r}, expected one of {', '.join(valid)}{did_you_mean(location[-1], valid)}"
    return f"{key}: {problem['msg'].removeprefix('Value error, ')}"


def _keys_at(section: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    for part in location:
        if part in _KINDS:
            section = _KINDS[part]
            continue
        if part not in section.model_fields:
            # A key of a mapping, whose values' kind is known from the field that holds it.
            continue
        annotation = section.model_fields[part].annotation
        section = next((kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields")), section)
    return list(section.model_fields)
