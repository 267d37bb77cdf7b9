"""What training leaves beside a model so that it can be judged: blind variants, other seeds, its own probabilities."""

from __future__ import annotations

import tempfile
from pathlib import Path

from claimstance.bundle import bundle_digest, write_bundle
from evaluation.evidence import BLIND, Record, write_record
from training.config import Config, PairLinear
from training.corpus import LoadedCorpus
from training.models import Fitted, Workshop, fit


def blind_variants(config: Config) -> dict[str, Config]:
    """Return the run's blind variants by what they read; a run that reads one side alone has none.

    Cue words alone are read by a linear model, whatever kind the run's is.
    """
    model = config.model
    if model.inputs != "pair":
        return {}
    linear = model if isinstance(model, PairLinear) else PairLinear(families={"cues": 1.0}, lexicons=model.lexicons)
    blind = (
        model.model_copy(update={"inputs": "quote"}),
        model.model_copy(update={"inputs": "claim"}),
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


def other_seeds(config: Config) -> dict[str, Config]:
    """Return the run with its further seeds; none where training draws nothing."""
    if not config.model.mismatched and isinstance(config.model, PairLinear):
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
                )
                write_bundle(trained.bundle, folder / part)
            digests[part] = bundle_digest(folder / part)
            names[kind][name] = part
    record = Record(bundle_digest(bundle), corpus.digests["validation"], names["blind"], names["seed"], digests)
    write_record(folder, record, fitted.probabilities)


def _slug(name: str) -> str:
    return name.replace(" ", "-")
