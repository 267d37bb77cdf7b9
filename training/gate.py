"""The gate: what a challenger has to show before it becomes champion. Its bounds are a YAML file in ``configs/gates/``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from pydantic import Field

from claimstance.bundle import bundle_digest, manifests_of
from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor, sides_read
from evaluation import metrics
from evaluation.comparison import Comparison, Difference, compare
from evaluation.evidence import BLIND, Evidence, read_evidence
from evaluation.report import Report, make_report
from evaluation.scoring import LabelledPairs
from training.config import Corpus, Labels, Section, Tracking
from training.corpus import LoadedCorpus, load_splits
from training.distillation import NOTHING_KNOWN, TAUGHT_BY, apart_from, teacher_pairs
from training.experiment import labelled_pairs
from training.leakage import Certificate, certificate

VALIDATION = "validation"


class Bounds(Section):
    """What a challenger has to keep; a bound set to null is not asked.

    ``confidence``: share of bootstrap draws, clustered by event, in which it leads the champion in macro-F1.
    ``largest_fall``: of the F1 of any label, and of macro-F1 in any language, against the champion. Floors:
    ``contrast_all_right``, ``invariance_pass_rate``, ``directed_pass_rate``, ``shortcut_gain``. Ceilings:
    ``calibration_error``, and ``probability_difference`` between the bundle and the fitted model it was made of.
    """

    confidence: float | None = Field(0.9, ge=0.5, lt=1)
    largest_fall: float | None = Field(0.03, ge=0)
    contrast_all_right: float | None = Field(None, ge=0, le=1)
    invariance_pass_rate: float | None = Field(None, ge=0, le=1)
    directed_pass_rate: float | None = Field(None, ge=0, le=1)
    shortcut_gain: float | None = Field(None, ge=0, le=1)
    calibration_error: float | None = Field(None, ge=0, le=1)
    probability_difference: float | None = Field(1e-4, ge=0, le=1)


class GateConfig(Section):
    """One gate: the certified corpus, on whose validation split models are judged; its labels; the bounds; the registry;
    and the folder that the champion is exported to."""

    corpus: Corpus
    labels: Labels = Labels()
    bounds: Bounds = Bounds()
    tracking: Tracking = Tracking()
    export: str = "exports/champion"


@dataclass(frozen=True)
class Line:
    """One thing that the gate asks: its ``name`` (fit for a tag), what was found, what was wanted, and whether it passes."""

    name: str
    found: str
    wanted: str
    passed: bool


@dataclass(frozen=True)
class Judgement:
    """What the gate says of a challenger, and its report on the validation pairs."""

    lines: tuple[Line, ...]
    report: Report

    @property
    def passed(self) -> bool:
        return all(line.passed for line in self.lines)


def judge(config: GateConfig, challenger: Path, champion: Path | None, track) -> Judgement:
    """Hold a challenger to every bound, on the validation split; the test split is only certified, never predicted.

    Args:
        config: the gate.
        challenger: folder of its bundle, its evidence beside it.
        champion: folder of the present champion's bundle; None if there is none.
        track: shows progress, as ``make_report`` takes it.

    Raises:
        ClaimstanceError: the corpus or the challenger cannot be read, or its labels are not the gate's.
    """
    corpus = load_splits(config.corpus, config.labels.all)
    predictor = Predictor.load(challenger)
    if set(predictor.manifest.labels) != set(config.labels.all):
        raise ClaimstanceError(
            f"{predictor.manifest.name} has the labels {', '.join(predictor.manifest.labels)}, the gate asks for "
            f"{', '.join(config.labels.all)}; name another gate with --gate"
        )
    pairs = labelled_pairs(corpus.splits[VALIDATION], config.labels.all)
    evidence = read_evidence(challenger)
    report = make_report(
        predictor,
        pairs,
        bundle=bundle_digest(challenger),
        source="the validation split",
        sha256=corpus.digests[VALIDATION],
        evidence=evidence,
        track=track,
    )
    lines = [
        *_against_champion(config.bounds, predictor, champion, pairs),
        *_held(config.bounds, report, evidence),
        *_agrees_with_training(config.bounds, predictor, pairs, evidence, corpus),
        *_leaks_nothing(predictor, corpus),
    ]
    return Judgement(tuple(lines), report)


def _against_champion(
    bounds: Bounds, predictor: Predictor, champion: Path | None, pairs: LabelledPairs
) -> Iterator[Line]:
    if champion is None:
        yield Line("gain", "no champion yet", "a gain over it", True)
        return
    try:
        present = Predictor.load(champion)
        comparison = compare(present, predictor, pairs, "validation")
    except ClaimstanceError as error:
        yield Line("gain", f"the champion cannot be compared with: {error}", "a gain over it", False)
        return
    yield from _gains(bounds, comparison)


def _gains(bounds: Bounds, comparison: Comparison) -> Iterator[Line]:
    whole = comparison.macro_f1
    if bounds.confidence is not None:
        wanted = f"a gain in {bounds.confidence:.0%} of the draws"
        found = f"{_shown(whole)}, a gain in {whole.sure:.1%}"
        yield Line("gain", found, wanted, whole.gain > 0 and whole.sure >= bounds.confidence)
    for row in comparison.rows:
        if bounds.largest_fall is not None and row.name not in (metrics.MACRO_F1, metrics.ACCURACY):
            wanted = f"no fall by more than {bounds.largest_fall:.3f}"
            yield Line(f"fall_{row.name}", _shown(row), wanted, row.gain >= -bounds.largest_fall)


def _shown(row: Difference) -> str:
    return f"{row.first:.3f} → {row.second:.3f} ({row.gain:+.3f})"


def _held(bounds: Bounds, report: Report, evidence: Evidence | None) -> Iterator[Line]:
    floors = (
        metrics.CONTRAST_ALL_RIGHT,
        metrics.INVARIANCE_PASS_RATE,
        metrics.DIRECTED_PASS_RATE,
        metrics.SHORTCUT_GAIN,
    )
    for name in (*floors, metrics.CALIBRATION_ERROR):
        bound, value = getattr(bounds, name), report.figures.get(name)
        if bound is None:
            continue
        wanted = f"at least {bound:.3f}" if name in floors else f"at most {bound:.3f}"
        if name == metrics.SHORTCUT_GAIN and not (evidence and set(BLIND) <= set(evidence.blind)):
            value = None
        if value is None:
            yield Line(name, "not measured: no evidence of training for it beside the model", wanted, False)
        else:
            yield Line(name, f"{value:.3f}", wanted, value >= bound if name in floors else value <= bound)


def _agrees_with_training(
    bounds: Bounds, predictor: Predictor, pairs: LabelledPairs, evidence: Evidence | None, corpus: LoadedCorpus
) -> Iterator[Line]:
    """Compare the bundle's probabilities with those of the fitted model that it was made of."""
    bound = bounds.probability_difference
    if bound is None:
        return
    name, wanted = "agrees_with_training", f"probabilities within {bound:g}"
    if evidence is None:
        yield Line(name, "no evidence of training beside the model", wanted, False)
    elif evidence.record.validation != corpus.digests[VALIDATION] or evidence.probabilities.shape != (
        len(pairs),
        len(predictor.manifest.labels),
    ):
        yield Line(name, "training gave its probabilities for other pairs", wanted, False)
    else:
        ours = predictor.probabilities(*sides_read(pairs.quotes, pairs.claims, predictor.manifest.inputs))
        largest = float(np.abs(ours - evidence.probabilities).max())
        yield Line(name, f"largest difference {largest:.1e}", wanted, largest <= bound)


def _leaks_nothing(predictor: Predictor, corpus: LoadedCorpus) -> Iterator[Line]:
    """Make sure that the model, its members and its teacher were trained on the certified pairs and no others labelled, that
    what the teacher labelled is apart from those they are judged by, and that the certificate holds."""
    known = [manifest.trained_on for manifest in manifests_of(predictor.bundle)]
    distilled = [each for each in known if TAUGHT_BY in each]
    for split in ("train", VALIDATION):
        yield _same_pairs(
            f"{split}_pairs", [each.get(f"{split}_sha256", NOTHING_KNOWN) for each in known], corpus.digests[split]
        )
        if distilled:
            theirs = [each.get(teacher_pairs(split), NOTHING_KNOWN) for each in distilled]
            yield _same_pairs(f"teacher_{split}_pairs", theirs, corpus.digests[split])
    for split in (VALIDATION, "test") if distilled else ():
        if split in corpus.digests:
            apart = [each.get(apart_from(split), NOTHING_KNOWN) for each in distilled]
            yield _same_pairs(f"unlabelled_pairs_apart_from_{split}", apart, corpus.digests[split])
    problems = _certificate(corpus).problems
    wanted = "no event, id or near-copy in two splits"
    yield Line("leakage_certificate", problems[0] if problems else "none found", wanted, not problems)


def _same_pairs(name: str, said: Sequence[str], certified: str) -> Line:
    """Hold what manifests say of a file to the certified one."""
    other = next((each for each in said if each != certified), certified)
    found = "the same" if other == certified else f"{other[: len(NOTHING_KNOWN)]}…"
    return Line(name, found, f"the certified file, {certified[:12]}…", other == certified)


def _certificate(corpus: LoadedCorpus) -> Certificate:
    fields = ("id", "event", "quote", "claim")
    return certificate(
        {
            name: [SimpleNamespace(**{field: row[field] for field in fields}) for row in split]
            for name, split in corpus.splits.items()
        }
    )
