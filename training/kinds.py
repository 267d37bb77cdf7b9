"""What a config says of a model: one section a kind."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from claimstance.bundle import MOST_MEMBERS
from claimstance.ensemble import AVERAGE, RULES, STACK
from claimstance.features import FAMILIES


class Section(BaseModel):
    """A mapping of a YAML file: no unknown key, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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

    @property
    def draws(self) -> bool:
        """Whether training draws anything, so that another seed gives another model."""
        return self.mismatched > 0


class PairLinear(_Model):
    """Logistic regression over pair features.

    ``families`` are the feature families with the value of their sparse features; ``dense_scale`` is the value of one
    standard deviation of a dense feature; ``C`` the inverse strength of the L2 penalty; ``thesaurus``, files of word sets or
    folders of them, which the families relations and senses read.
    """

    kind: Literal["pair-linear"] = "pair-linear"
    families: dict[Literal[FAMILIES], Annotated[float, Field(gt=0)]] = Field(min_length=1)  # type: ignore[valid-type]
    C: float = Field(0.3, gt=0)
    dense_scale: float = Field(1.0, gt=0)
    thesaurus: tuple[str, ...] = ("data/thesaurus",)


class Encoder(_Model):
    """A pretrained encoder, fine-tuned on claim and quote as a true pair.

    ``checkpoint`` is the name of a model on the hub, whose ``revision`` (a commit) should be pinned; a folder with
    ``config.json``, ``model.safetensors`` and ``tokenizer.json``; or ``package:NAME/FOLDER``, such a folder in an installed
    Python package. ``max_tokens`` of a pair; ``batch_size`` pairs a step on
    each process, times ``accumulate`` steps a weight update. ``warmup`` is the share of updates over which the learning
    rate rises, after which it falls linearly; ``layer_decay`` multiplies it from each layer to the one below (1: not at
    all). ``focal_gamma`` makes the loss focal (Lin et al., ICCV 2017), 0 leaves it cross-entropy. ``patience`` is how many
    evaluations on validation, ``evaluations`` an epoch, may pass without a better macro-F1. ``bf16`` null uses bfloat16
    where the processor has it. ``precision`` of the exported graph: int8 weights are recalibrated on validation.
    ``transformers`` is a folder for the trained checkpoint as transformers' pipelines load it, null for none.
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
    transformers: str | None = None

    @property
    def draws(self) -> bool:
        return True


class Exported(Section):
    """A member of an ensemble that was exported earlier, trained on the same pairs: the folder of its bundle."""

    kind: Literal["bundle"]
    path: str = Field(min_length=1)

    @property
    def draws(self) -> bool:
        return False


def _kind_of(model: Any) -> str:
    """Say which kind of model a section describes; without a ``kind`` it is the default one."""
    return model.get("kind", "pair-linear") if isinstance(model, dict) else getattr(model, "kind", "pair-linear")


_Member = Annotated[
    Annotated[PairLinear, Tag("pair-linear")] | Annotated[Encoder, Tag("encoder")] | Annotated[Exported, Tag("bundle")],
    Discriminator(_kind_of),
]


class Ensemble(_Model):
    """Several models that answer as one.

    ``rule`` average takes the mean of the members' probabilities with ``weights`` (null: all the same); stack fits a logistic
    regression over their logs, of inverse strength ``C`` of its L2 penalty, on what members fitted on the other ``folds``
    of the training events say of each. A member takes the keys of every kind from the ensemble where it does not
    name them; ``inputs`` and ``mismatched`` are the same for all.
    """

    kind: Literal["ensemble"]
    rule: Literal[RULES] = AVERAGE  # type: ignore[valid-type]
    members: tuple[_Member, ...] = Field(min_length=2, max_length=MOST_MEMBERS)
    weights: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] | None = None
    folds: int = Field(5, ge=2)
    C: float = Field(0.01, gt=0)

    @property
    def draws(self) -> bool:
        return super().draws or self.rule == STACK or any(member.draws for member in self.members)

    @model_validator(mode="before")
    @classmethod
    def _pass_on(cls, content: Any) -> Any:
        if not isinstance(content, dict) or not isinstance(content.get("members"), list | tuple):
            return content
        common = {name: content[name] for name in _Model.model_fields if name in content}
        trained = [isinstance(member, dict) and member.get("kind") != "bundle" for member in content["members"]]
        members = [
            {**common, **member} if inherits else member
            for member, inherits in zip(content["members"], trained, strict=True)
        ]
        return {**content, "members": members}

    @model_validator(mode="after")
    def _agree(self) -> Ensemble:
        if self.weights is not None and self.rule == STACK:
            raise ValueError("weights belong to rule average; a stack fits its own, so leave them out")
        if self.weights is not None and (len(self.weights) != len(self.members) or not sum(self.weights)):
            raise ValueError(
                f"{len(self.weights)} weights for {len(self.members)} members, expected one each, not all 0"
            )
        for number, member in enumerate(self.members, start=1):
            if isinstance(member, Exported):
                if self.rule == STACK:
                    raise ValueError(
                        f"member {number} is {member.path}, which knows the training pairs that a stack is fitted on; "
                        f"use rule average, or train the member in the run"
                    )
                continue
            for name in ("inputs", "mismatched"):
                if getattr(member, name) != getattr(self, name):
                    raise ValueError(
                        f"member {number} has {name} {getattr(member, name)}, the ensemble {getattr(self, name)}; "
                        f"name it in the ensemble alone"
                    )
        return self

    def member(self, number: int) -> PairLinear | Encoder | Exported:
        """Return a member's own section (counted from 0), reading what the ensemble reads."""
        section = self.members[number]
        if isinstance(section, Exported):
            return section
        return section.model_copy(update={"inputs": self.inputs, "mismatched": self.mismatched})


KINDS: dict[str, type[Section]] = {
    "pair-linear": PairLinear,
    "encoder": Encoder,
    "ensemble": Ensemble,
    "bundle": Exported,
}
"""The sections by what their ``kind`` says; a bundle is a member of an ensemble alone."""

Model = Annotated[
    Annotated[PairLinear, Tag("pair-linear")]
    | Annotated[Encoder, Tag("encoder")]
    | Annotated[Ensemble, Tag("ensemble")],
    Discriminator(_kind_of),
]
