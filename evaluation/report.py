"""The report on one exported model: everything that is measured of it on one set of labelled pairs."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from claimstance.bundle import Manifest
from claimstance.predictor import Predictor
from evaluation import calibration, metrics
from evaluation.behaviour import DIRECTED, INVARIANCES, Behaviour, examine_behaviour, read_cases
from evaluation.contrasts import Contrasts, examine_contrasts
from evaluation.evidence import Evidence
from evaluation.mistakes import Doubt, Mistake, confident_mistakes, doubted_labels
from evaluation.scoring import LabelledPairs, Scores, score_model
from evaluation.significance import confusions_by_cluster, interval, macro_f1_draws
from evaluation.slices import Slice, slices_of

CONFORMAL_LEVELS = (0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Reading:
    """What a model reaches that reads only a part: its macro-F1 over the stances and over all labels, and the F1 of each
    label."""

    reads: str
    macro_f1: float
    macro_f1_all: float
    f1: tuple[float, ...]


@dataclass(frozen=True)
class Shortcuts:
    """What is gained by reading the pair: the model beside its blind variants. ``gain`` is its macro-F1 less that of the
    best of them, with a 95 % interval by event."""

    readings: tuple[Reading, ...]
    best: str
    gain: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class ConformalSets:
    """Prediction sets made for a ``level``: the share that holds the true label, the mean number of labels in a set, and
    the share of sets with exactly one."""

    level: float
    coverage: float
    size: float
    single: float


@dataclass(frozen=True)
class Report:
    """Everything measured of one model on one set of pairs. ``source`` names the pairs and ``sha256`` their file;
    ``shortcuts`` and ``seeds`` (macro-F1 of each) need the evidence of training and are None and empty without it."""

    manifest: Manifest
    bundle: str
    source: str
    sha256: str
    pairs: LabelledPairs
    scores: Scores
    slices: list[Slice]
    shortcuts: Shortcuts | None
    seeds: list[float]
    contrasts: Contrasts
    behaviour: Behaviour
    conformal: list[ConformalSets]
    mistakes: list[Mistake]
    doubts: list[Doubt]
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def seeds_shown(self) -> str:
        """Mean ± standard deviation of macro-F1 over the seeds of training, for people; empty where there is one."""
        if len(self.seeds) < 2:
            return ""
        return f"{self.figures[metrics.SEEDS_MEAN]:.3f} ± {self.figures[metrics.SEEDS_DEVIATION]:.3f}"

    def to_dict(self) -> dict[str, Any]:
        """Return what ``report.json`` holds."""
        labels = self.scores.labels
        pairs = self.pairs

        def at(index: int) -> dict[str, str]:
            return {"id": pairs.ids[index], "quote": pairs.quotes[index], "claim": pairs.claims[index]}

        return {
            "model": dataclasses.asdict(self.manifest) | {"sha256": self.bundle},
            "data": {
                "source": self.source,
                "sha256": self.sha256,
                "pairs": len(pairs),
                "events": len(set(pairs.events)),
            },
            "figures": self.figures,
            "intervals": self.scores.interval,
            "confusion": {"labels": labels, "rows_true": self.scores.confusion.tolist()},
            "slices": [dataclasses.asdict(part) for part in self.slices],
            "shortcuts": self.shortcuts and dataclasses.asdict(self.shortcuts),
            "seeds": self.seeds,
            "contrasts": dataclasses.asdict(self.contrasts),
            "behaviour": {
                "by_kind": {
                    kind: {"passed": passed, "cases": total} for kind, (passed, total) in self.behaviour.by_kind.items()
                },
                "not_asked": self.behaviour.not_asked,
                "failures": [dataclasses.asdict(verdict) for verdict in self.behaviour.failures],
            },
            "calibration": {
                "bins": calibration.equal_mass_bins(self.scores.confidence, self.scores.correct).tolist(),
                "conformal": [dataclasses.asdict(sets) for sets in self.conformal],
            },
            "mistakes": [
                at(mistake.index)
                | dataclasses.asdict(dataclasses.replace(mistake, words=()))
                | {"words": [[word.side, word.text, round(push, 4)] for word, push in mistake.words]}
                for mistake in self.mistakes
            ],
            "doubted_labels": [at(doubt.index) | dataclasses.asdict(doubt) for doubt in self.doubts],
        }

    def to_json(self) -> str:
        """Return ``report.json`` as text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n"


def make_report(
    predictor: Predictor,
    pairs: LabelledPairs,
    *,
    bundle: str,
    source: str,
    sha256: str,
    evidence: Evidence | None = None,
    macro_over: Sequence[Sequence[str]] = (),
    track: Callable[[Iterable[Any], str, int], Iterable[Any]] = lambda steps, label, total: steps,
) -> Report:
    """Measure everything.

    Args:
        predictor: the model.
        pairs: labelled pairs that it was not fitted on.
        bundle: SHA-256 that names the bundle.
        source: what to call the pairs.
        sha256: of their file.
        evidence: what training left beside the bundle.
        macro_over: further subsets of labels to give a macro-F1 over.
        track: wraps the steps to show progress (steps, label, how many).
    """
    manifest = predictor.manifest
    stances = [manifest.labels.index(label) for label in manifest.stances]
    scores = score_model(predictor, pairs, macro_over)
    steps: dict[str, Callable[[], Any]] = {
        "slices": lambda: slices_of(scores, pairs, stances),
        "shortcuts": lambda: _shortcuts(manifest, scores, pairs, evidence, stances),
        "seeds": lambda: _seeds(scores, pairs, evidence),
        "contrasts": lambda: examine_contrasts(predictor, scores, pairs),
        "behaviour": lambda: examine_behaviour(predictor, read_cases()),
        "conformal": lambda: [_conformal(scores, pairs, level) for level in CONFORMAL_LEVELS],
        "mistakes": lambda: confident_mistakes(predictor, scores, pairs),
        "doubts": lambda: doubted_labels(scores),
    }
    parts = {name: work() for name, work in track(steps.items(), f"evaluating {manifest.name}", len(steps))}
    report = Report(manifest, bundle, source, sha256, pairs, scores, **parts)
    return dataclasses.replace(report, figures=_figures(report))


def _figures(report: Report) -> dict[str, float]:
    """Gather the main figures of all parts under their names in ``evaluation.metrics``."""
    figures = dict(report.scores.figures)
    if report.shortcuts:
        figures[metrics.SHORTCUT_GAIN] = report.shortcuts.gain
    if len(report.seeds) > 1:
        figures[metrics.SEEDS_MEAN] = statistics.mean(report.seeds)
        figures[metrics.SEEDS_DEVIATION] = statistics.stdev(report.seeds)
    for name, value in (
        (metrics.INVARIANCE_PASS_RATE, report.behaviour.pass_rate(INVARIANCES)),
        (metrics.DIRECTED_PASS_RATE, report.behaviour.pass_rate(DIRECTED)),
        (metrics.SWAP_UNCHANGED, report.contrasts.swap_unchanged),
        (metrics.OTHER_EVENT_ABSTAINED, report.contrasts.other_event_abstained),
    ):
        if value is not None and not np.isnan(value):
            figures[name] = value
    for sets in report.conformal:
        figures[metrics.conformal_name("coverage", sets.level)] = sets.coverage
        figures[metrics.conformal_name("size", sets.level)] = sets.size
    return figures


def _shortcuts(
    manifest: Manifest, scores: Scores, pairs: LabelledPairs, evidence: Evidence | None, stances: list[int]
) -> Shortcuts | None:
    if evidence is None or not evidence.blind:
        return None
    predicted = {"quote and claim": scores.predicted}
    predicted |= {name: score_model(model, pairs).predicted for name, model in evidence.blind.items()}
    commonest = max(stances, key=lambda stance: int((scores.truth == stance).sum()))
    predicted["nothing: the commonest stance"] = np.full(scores.truth.size, commonest)
    by_event = {
        name: confusions_by_cluster(scores.truth, labels, len(scores.labels), pairs.events)
        for name, labels in predicted.items()
    }
    readings = []
    for name, counts in by_event.items():
        f1 = metrics.precision_recall_f1(counts.sum(axis=0))[2]
        readings.append(Reading(name, float(f1[stances].mean()), float(f1.mean()), tuple(f1.tolist())))
    best = max(readings[1:], key=lambda reading: reading.macro_f1)
    whole, blind = (macro_f1_draws(by_event[reading.reads], stances) for reading in (readings[0], best))
    return Shortcuts(tuple(readings), best.reads, readings[0].macro_f1 - best.macro_f1, interval(whole - blind))


def _seeds(scores: Scores, pairs: LabelledPairs, evidence: Evidence | None) -> list[float]:
    others = evidence.seeds.values() if evidence else ()
    return [
        scores.figures[metrics.MACRO_F1],
        *(score_model(model, pairs).figures[metrics.MACRO_F1] for model in others),
    ]


def _conformal(scores: Scores, pairs: LabelledPairs, level: float) -> ConformalSets:
    """Make prediction sets for each half of the events with the threshold of the other half."""
    _, event = np.unique(np.array(pairs.events), return_inverse=True)
    half = np.random.default_rng(0).permutation(event.max() + 1)[event] % 2
    inside = np.zeros(scores.probabilities.shape, dtype=bool)
    for part in (0, 1):
        if (half == part).any():
            threshold = calibration.conformal_threshold(
                scores.probabilities[half != part], scores.truth[half != part], level
            )
            inside[half == part] = calibration.conformal_sets(scores.probabilities[half == part], threshold)
    sizes = inside.sum(axis=1)
    holds = inside[np.arange(scores.truth.size), scores.truth]
    return ConformalSets(level, float(holds.mean()), float(sizes.mean()), float((sizes == 1).mean()))
