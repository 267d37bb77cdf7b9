"""Ensembles: members learned on the same pairs, or exported earlier on them, whose answers are averaged or stacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression

from claimstance.bundle import ENSEMBLE, AnyBundle, EnsembleBundle, Manifest, read_bundle
from claimstance.ensemble import AVERAGE, STACK, EnsembleSettings, joined, logs
from claimstance.errors import ClaimstanceError
from claimstance.linear import softmax
from claimstance.predictor import open_model
from training.config import Config
from training.kinds import Ensemble, Exported
from training.linear import weights_by_label
from training.preparation import Examples, calibrate, folds_by_event, manifest_of

if TYPE_CHECKING:
    from training.models import Learned, Workshop

    Learn = Callable[[Config, Examples, Examples | None, Workshop | None], Learned]

_ITERATIONS = 1000


@dataclass(frozen=True)
class Member:
    """A member that answers: the probabilities (n × k) that it gives, what its scores were divided by, and its bundle (None
    where nothing was held out to calibrate it on)."""

    probabilities: Callable[[Sequence[str], Sequence[str]], np.ndarray]
    temperature: float
    bundle: AnyBundle | None


@dataclass(frozen=True)
class LearnedEnsemble:
    """Members, the weights of their average, or the layer that stacks them ((members × k + 1) × k)."""

    members: tuple[Member, ...]
    weights: tuple[float, ...]
    stack: np.ndarray | None

    def scores(self, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray:
        """Return one score a pair and label (n × k)."""
        answers = [member.probabilities(quotes, claims) for member in self.members]
        return joined(answers, self.weights, self.stack)

    def bundle(self, manifest: Manifest, temperature: float) -> EnsembleBundle:
        """Make the bundle; a stack's layer is divided by the temperature."""
        members = [member.bundle for member in self.members]
        trained_on = manifest.trained_on
        whole = tuple(
            replace(each, manifest=replace(each.manifest, trained_on=each.manifest.trained_on or trained_on))
            for each in members
        )
        if self.stack is None:
            settings, layer = EnsembleSettings(AVERAGE, list(self.weights), temperature), None
        else:
            settings, layer = EnsembleSettings(STACK, [], 1.0), (self.stack / temperature).astype(np.float32)
        return EnsembleBundle(replace(manifest, kind=ENSEMBLE, settings=asdict(settings)), whole, layer)


def learn(
    config: Config, train: Examples, held_out: Examples | None, workshop: Workshop | None, learn_member: Learn
) -> LearnedEnsemble:
    """Learn the members of a run and how to join them.

    Args:
        config: the run.
        train: what members and a stack's layer are fitted on.
        held_out: what members are calibrated on, each by itself; None leaves them as sure as they were fitted.
        workshop: what encoders need, a folder in it for each.
        learn_member: learns a model of any other kind.

    Raises:
        ClaimstanceError: a member's own reasons, or an exported one is not of this task.
    """
    model = config.model
    members = tuple(
        _exported(config, number)
        if isinstance(section, Exported)
        else _learned(config, number, train, held_out, _of_member(workshop, number), learn_member)
        for number, section in enumerate(model.members)
    )
    if model.rule == AVERAGE:
        weights = np.ones(len(members)) if model.weights is None else np.array(model.weights)
        return LearnedEnsemble(members, tuple((weights / weights.sum()).tolist()), None)
    answers, truth = _out_of_fold(config, members, train, held_out, workshop, learn_member)
    return LearnedEnsemble(members, (), _layer(config, answers, truth))


def check_trained_on(model: Ensemble, trained_on: dict[str, str]) -> None:
    """Make sure that exported members were trained and calibrated on the pairs of this run.

    Args:
        model: the ensemble's section.
        trained_on: what the manifest of this run's model says of its data.

    Raises:
        ClaimstanceError: one was not, or does not say.
    """
    for section in model.members:
        if not isinstance(section, Exported):
            continue
        theirs = read_bundle(section.path).manifest.trained_on
        for split in ("train", "validation"):
            said, ours = theirs.get(f"{split}_sha256"), trained_on.get(f"{split}_sha256")
            if said is None or said != ours:
                raise ClaimstanceError(
                    f"{section.path}: its {split} pairs are {str(said)[:12]}…, those of this run {str(ours)[:12]}…; train it "
                    f"again on the same files, or name its section in the run"
                )


def _member_config(config: Config, number: int) -> Config:
    return config.model_copy(
        update={"name": f"{config.name}-member-{number + 1}", "model": config.model.member(number)}
    )


def _of_member(workshop: Workshop | None, number: int) -> Workshop | None:
    """Give a member a folder of its own in the workshop, and its figures a name of their own."""
    if workshop is None:
        return None
    folder, name = workshop.folder / f"member-{number + 1}", f"member_{number + 1}"
    folder.mkdir(parents=True)

    def report(figures: dict[str, float], step: int) -> None:
        workshop.report({f"{name}_{key}": value for key, value in figures.items()}, step)

    return replace(workshop, folder=folder, checkpoints=None, report=report)


def _learned(
    config: Config,
    number: int,
    train: Examples,
    held_out: Examples | None,
    workshop: Workshop | None,
    learn_member: Learn,
) -> Member:
    own = _member_config(config, number)
    learned = learn_member(own, train, held_out, workshop)
    if held_out is None:
        return Member(lambda quotes, claims: softmax(learned.scores(quotes, claims)), 1.0, None)
    found = calibrate(own, learned.scores(held_out.quotes, held_out.claims), held_out.truth)
    bundle = learned.bundle(manifest_of(own, found.threshold, {}), found.temperature)
    if bundle.manifest.settings.get("precision") == "int8":
        # Quantised, it is another model, which was calibrated anew: the ensemble joins what it says.
        return Member(open_model(bundle).probabilities, bundle.manifest.settings["temperature"], bundle)
    return Member(
        lambda quotes, claims: softmax(learned.scores(quotes, claims) / found.temperature), found.temperature, bundle
    )


def _exported(config: Config, number: int) -> Member:
    path = config.model.members[number].path
    bundle = read_bundle(path)
    manifest = bundle.manifest
    if manifest.kind == ENSEMBLE:
        raise ClaimstanceError(f"{path}: is an ensemble itself; name its members in model.members instead")
    expected = {
        "labels": config.labels.all,
        "abstain_label": config.labels.abstain or "",
        "inputs": config.model.inputs,
    }
    for part, ours in expected.items():
        if getattr(manifest, part) != ours:
            raise ClaimstanceError(
                f"{path}: has the {part} {getattr(manifest, part)!r}, this run {ours!r}; they have to be the same"
            )
    return Member(open_model(bundle).probabilities, 1.0, bundle)


def _out_of_fold(
    config: Config,
    members: Sequence[Member],
    train: Examples,
    held_out: Examples | None,
    workshop: Workshop | None,
    learn_member: Learn,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what members fitted on other events say of each training pair (members × n × k), and the labels (n).

    A quote met with another event's claim is asked about with its quote's event, and fitted on with neither event asked about.
    """
    answers = np.empty((len(members), train.truth.size, len(config.labels.all)))
    folds = folds_by_event(train.truth, train.events[:, 0], config.model.folds, config.seed, "model.folds")
    for fold, (_, outside) in enumerate(folds):
        asked = train.select(outside)
        apart = ~np.isin(train.events, asked.events[:, 0]).any(axis=1)
        known = train.select(np.flatnonzero(apart))
        bench = None
        if workshop is not None:
            bench = replace(workshop, folder=workshop.folder / f"fold-{fold + 1}", report=lambda figures, step: None)
        for number, member in enumerate(members):
            own = _member_config(config, number)
            learned = learn_member(own, known, held_out, _of_member(bench, number))
            answers[number, outside] = softmax(learned.scores(asked.quotes, asked.claims) / member.temperature)
    return answers, train.truth


def _layer(config: Config, answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Fit the layer that stacks ((members × k + 1) × k)."""
    classifier = LogisticRegression(
        C=config.model.C, class_weight=config.model.class_weight, max_iter=_ITERATIONS, random_state=config.seed
    ).fit(logs(np.hstack(answers)), truth)
    coefficients, intercept = weights_by_label(classifier)
    return np.vstack((coefficients, intercept))
