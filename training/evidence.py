"""What training leaves beside a model so that it can be judged: blind variants, other seeds, its own probabilities."""

from __future__ import annotations

import tempfile
from pathlib import Path

from claimstance.bundle import bundle_digest, write_bundle
from claimstance.errors import ClaimstanceError
from evaluation.evidence import BLIND, Record, evidence_folder, read_evidence, write_record
from training.config import Config
from training.corpus import LoadedCorpus
from training.kinds import Encoder, Ensemble, Exported, PairLinear
from training.models import Fitted, Workshop, fit


def blind_variants(config: Config) -> dict[str, Config]:
    """Return the run's blind variants by what they read; a run that reads one side alone has none.

    Cue words alone are read by a linear model, whatever kind the run's is. An exported member's variants are those that
    its own training left beside it.

    Raises:
        ClaimstanceError: there are none beside it.
    """
    model = config.model
    if model.inputs != "pair":
        return {}
    linear = model if isinstance(model, PairLinear) else PairLinear(families={"cues": 1.0}, lexicons=model.lexicons)
    blind = (
        _reading_one_side(model, "quote"),
        _reading_one_side(model, "claim"),
        linear.model_copy(update={"families": {"cues": linear.families.get("cues", 1.0)}}),
    )
    return {
        name: config.model_copy(
            update={
                "name": f"{config.name}-{_slug(name)}",
                "model": variant.model_copy(update={"mismatched": 0.0}),
            }
        )
        for name, variant in zip(BLIND, blind, strict=True)
    }


def _reading_one_side(model: PairLinear | Encoder | Ensemble, side: str) -> PairLinear | Encoder | Ensemble:
    changes: dict[str, object] = {"inputs": side}
    if isinstance(model, Ensemble):
        changes["members"] = tuple(_exported_reading(member, side) for member in model.members)
    return model.model_copy(update=changes)


def _exported_reading(member: PairLinear | Encoder | Exported, side: str) -> PairLinear | Encoder | Exported:
    """Return the blind variant of an exported member; others are trained anew, on what the ensemble reads."""
    if not isinstance(member, Exported):
        return member
    name = f"{side} alone"
    evidence = read_evidence(member.path)
    if evidence is None or name not in evidence.blind:
        raise ClaimstanceError(
            f"{member.path}: no variant that reads the {name} beside it, which an ensemble of it is judged by; "
            f"copy {evidence_folder(member.path)} there too"
        )
    return member.model_copy(update={"path": str(evidence_folder(member.path) / evidence.record.blind[name])})


def other_seeds(config: Config) -> dict[str, Config]:
    """Return the run with its further seeds; none where training draws nothing."""
    if not config.model.draws:
        return {}
    seeds = range(config.seed + 1, config.seed + config.evaluation.seeds)
    return {str(seed): config.model_copy(update={"seed": seed}) for seed in seeds}


def write_evidence(config: Config, corpus: LoadedCorpus, fitted: Fitted, bundle: Path, folder: Path) -> None:
    """Train the blind variants and the other seeds of a run, and write the evidence of its bundle.

    Args:
        config: the run.
        corpus: what it was trained on.
        fitted: the model as it was fitted.
        bundle: folder of its bundle.
        folder: folder of the evidence to write.
    """
    folder.mkdir(parents=True)
    names, digests = {}, {}
    for kind, variants in (("blind", blind_variants(config)), ("seed", other_seeds(config))):
        names[kind] = {}
        for name, variant in variants.items():
            part = f"{kind}-{_slug(name)}"
            with tempfile.TemporaryDirectory() as files:
                trained = fit(
                    variant,
                    corpus.splits["train"],
                    corpus.splits["validation"],
                    corpus.trained_on(config.name),
                    Workshop(Path(files)),
                    corpus.taught,
                )
                write_bundle(trained.bundle, folder / part)
            digests[part] = bundle_digest(folder / part)
            names[kind][name] = part
    record = Record(bundle_digest(bundle), corpus.digests["validation"], names["blind"], names["seed"], digests)
    write_record(folder, record, fitted.probabilities)


def _slug(name: str) -> str:
    return name.replace(" ", "-")
