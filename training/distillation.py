"""Distillation: pairs without a stance get a teacher's answers, for a student to learn from beside the labelled ones."""

from __future__ import annotations

import hashlib

from claimstance.bundle import bundle_digest, manifests_of
from claimstance.ensemble import logs
from claimstance.errors import ClaimstanceError
from claimstance.linear import softmax
from claimstance.predictor import Predictor, sides_read
from training.config import Config
from training.corpus import LoadedCorpus, load_unlabelled
from training.leakage import wording
from training.preparation import Taught

TAUGHT_BY = "teacher_sha256"
"""Entry of ``Manifest.trained_on`` that a distilled model has: the digest of its teacher's bundle."""

NOTHING_KNOWN = "nothing known"
"""What stands for a digest that a manifest does not name."""


def teacher_pairs(split: str) -> str:
    """Return the entry for the SHA-256 of the split that the teacher was trained on."""
    return f"teacher_{split}_sha256"


def apart_from(split: str) -> str:
    """Return the entry for the SHA-256 of a split that the unlabelled pairs were found to have no pair in common with."""
    return f"unlabelled_apart_from_{split}_sha256"


def teach(config: Config, corpus: LoadedCorpus) -> Taught:
    """Let the teacher of a run label its unlabelled pairs.

    Args:
        config: the run, with a section ``distill``.
        corpus: its labelled pairs; what is not trained on is what no unlabelled pair may be of.

    Raises:
        ClaimstanceError: the teacher or a file cannot be read, the teacher has other labels or was taught itself, or a pair
            is one of validation or test.
    """
    asked = config.distill
    teacher = Predictor.load(asked.teacher)
    _check_teacher(config, teacher)
    one_side = config.model.inputs == teacher.manifest.inputs == "quote"
    quotes: list[str] = []
    claims: list[str] = []
    for source in asked.pairs:
        more_quotes, more_claims = load_unlabelled(source, "quote" if one_side else "pair")
        _check_apart(source, more_quotes, more_claims, corpus, config.model.inputs)
        quotes += more_quotes
        claims += more_claims
    answers = teacher.probabilities(*sides_read(quotes, claims, teacher.manifest.inputs))
    known = {
        TAUGHT_BY: bundle_digest(asked.teacher),
        "unlabelled_sha256": hashlib.sha256(repr((quotes, claims)).encode("utf-8", "surrogatepass")).hexdigest(),
        **{teacher_pairs(split): _trained_on(teacher, split) for split in ("train", "validation")},
        **{apart_from(split): digest for split, digest in corpus.digests.items() if split != "train"},
    }
    return Taught(quotes, claims, softmax(logs(answers) / asked.temperature), asked.weight, known)


def _check_teacher(config: Config, teacher: Predictor) -> None:
    theirs, ours = teacher.manifest.labels, config.labels.all
    if theirs != ours or teacher.manifest.abstain_label != (config.labels.abstain or ""):
        raise ClaimstanceError(
            f"{config.distill.teacher}: has the labels {', '.join(theirs)}, this run {', '.join(ours)}; a teacher has to "
            f"have the same in the same order, and the same label of no stance"
        )
    if any(TAUGHT_BY in manifest.trained_on for manifest in manifests_of(teacher.bundle)):
        raise ClaimstanceError(
            f"{config.distill.teacher}: was taught by another model itself, whose pairs nobody checks here; name that one"
        )


def _trained_on(teacher: Predictor, split: str) -> str:
    """Return the SHA-256 of the split that a teacher was trained on: more than one where its members' differ."""
    said = (manifest.trained_on.get(f"{split}_sha256", NOTHING_KNOWN) for manifest in manifests_of(teacher.bundle))
    return " ".join(dict.fromkeys(said))


def _check_apart(source: str, quotes: list[str], claims: list[str], corpus: LoadedCorpus, inputs: str) -> None:
    """Make sure that no pair is one that models are judged by, as far as its words go and a model of ``inputs`` reads it."""
    home = {
        pair: (identity, split)
        for split, rows in corpus.splits.items()
        if split != "train"
        for identity, pair in zip(rows["id"], wording(*sides_read(rows["quote"], rows["claim"], inputs)), strict=True)
    }
    asked = wording(*sides_read(quotes, claims, inputs))
    found = [(row, home[pair]) for row, pair in enumerate(asked, start=1) if pair in home]
    if found:
        row, (identity, split) = found[0]
        raise ClaimstanceError(
            f"{source}: row {row} is {identity!r} of the {split} split, and {len(found)} of its pairs are held out in all; "
            f"learning from answers to them would leak: leave them out"
        )
