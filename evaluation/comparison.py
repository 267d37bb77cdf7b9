"""Two models on the same pairs: which is better, by how much, and how sure that is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from evaluation import metrics
from evaluation.scoring import LabelledPairs, Scores, score_model
from evaluation.significance import DRAWS, McNemar, confusions_by_cluster, drawn, interval, mcnemar

SURE = 0.975
"""Share of bootstrap draws that one model has to lead in to be called better: a two-sided 95 % interval without 0."""


@dataclass(frozen=True)
class Difference:
    """One figure of both models, what the second gains (second − first), the gain's 95 % interval by event, and ``sure``,
    the share of bootstrap draws in which the second leads (0 to 1; a draw that is level counts half)."""

    name: str
    first: float
    second: float
    gain: float
    interval: tuple[float, float]
    sure: float


@dataclass(frozen=True)
class Comparison:
    """Two models, by name, on ``pairs`` pairs of ``events`` events; ``rows`` are macro-F1 over the stances, then accuracy,
    the F1 of each label and macro-F1 by language; ``alike`` says whether both label every pair the same."""

    first: str
    second: str
    source: str
    pairs: int
    events: int
    rows: tuple[Difference, ...]
    mcnemar: McNemar
    alike: bool
    draws: int = DRAWS

    @property
    def macro_f1(self) -> Difference:
        return self.rows[0]

    @property
    def verdict(self) -> str:
        """Say in a sentence which model is better, by how much, and how sure that is."""
        row, test = self.macro_f1, self.mcnemar
        low, high = row.interval
        counts = f"{self.first} alone is right on {test.only_first} pairs, {self.second} alone on {test.only_second}"
        singly = f"McNemar's test on single pairs: {counts}, p = {test.p:.2g}"
        if row.gain == 0:
            if self.alike:
                return f"{self.first} and {self.second} label these pairs alike."
            return f"{self.first} and {self.second} are level in macro-F1, though not on every pair. {singly}."
        better, worse = (self.second, self.first) if row.gain > 0 else (self.first, self.second)
        margin = f"{abs(100 * row.gain):.1f} points of macro-F1"
        if row.gain < 0:
            low, high = -high, -low
        bounds = f"95 % interval {100 * low:+.1f} to {100 * high:+.1f}, by event"
        lead = max(row.sure, 1 - row.sure)
        if lead >= SURE:
            return (
                f"{better} is better than {worse} by {margin} ({bounds}), and surely so: "
                f"it leads in {lead:.1%} of the draws. {singly}."
            )
        return (
            f"No difference can be told: {better} is ahead of {worse} by {margin} ({bounds}), but leads in only "
            f"{lead:.1%} of the draws, where {SURE:.1%} would be sure. {singly}."
        )

    def to_json(self) -> str:
        """Return ``comparison.json`` as text."""
        body = dataclasses.asdict(self) | {"mcnemar": self.mcnemar._asdict(), "verdict": self.verdict}
        return json.dumps(body, ensure_ascii=False, indent=1) + "\n"


def compare(first: Predictor, second: Predictor, pairs: LabelledPairs, source: str) -> Comparison:
    """Compare two models of the same labels.

    Raises:
        ClaimstanceError: their labels differ.
    """
    names = [model.manifest.name for model in (first, second)]
    if set(first.manifest.labels) != set(second.manifest.labels) or first.manifest.stances != second.manifest.stances:
        raise ClaimstanceError(
            f"{names[0]} has the labels {', '.join(first.manifest.labels)}, {names[1]} has "
            f"{', '.join(second.manifest.labels)}; only models of the same labels can be compared"
        )
    if names[0] == names[1]:
        names = [f"{names[0]} (first)", f"{names[1]} (second)"]
    both = (score_model(first, pairs), score_model(second, pairs))
    rows = tuple(_differences(first, second, both, pairs))
    test = mcnemar(*(scores.right for scores in both))
    first_given, second_given = (np.array(scores.labels)[scores.predicted] for scores in both)
    alike = bool((first_given == second_given).all())
    return Comparison(*names, source, len(pairs), len(set(pairs.events)), rows, test, alike)


def _differences(
    first: Predictor, second: Predictor, both: tuple[Scores, Scores], pairs: LabelledPairs
) -> Iterator[Difference]:
    labels = first.manifest.labels
    renumber = np.array([labels.index(label) for label in second.manifest.labels])
    truth, predicted = both[0].truth, (both[0].predicted, renumber[both[1].predicted])
    stances = [labels.index(label) for label in first.manifest.stances]
    everything = np.ones(truth.size, dtype=bool)

    def difference(name: str, member: np.ndarray, over: Sequence[int] | None) -> Difference:
        events = [pairs.events[index] for index in np.flatnonzero(member)]
        totals, draws = [], []
        for given in predicted:
            by_event = confusions_by_cluster(truth[member], given[member], len(labels), events)
            totals.append(float(_figure(by_event.sum(axis=0), over)))
            draws.append(_figure(drawn(by_event), over))
        gains = draws[1] - draws[0]
        sure = float((gains > 0).mean() + (gains == 0).mean() / 2)
        return Difference(name, *totals, totals[1] - totals[0], interval(gains), sure)

    yield difference(metrics.MACRO_F1, everything, stances)
    yield difference(metrics.ACCURACY, everything, None)
    for number, label in enumerate(labels):
        yield difference(metrics.of_label("f1", label), everything, [number])
    languages = np.array(pairs.slices["lang"])
    for language in np.unique(languages[languages != ""]).tolist():
        yield difference(metrics.of_language(language), languages == language, stances)


def _figure(confusions: np.ndarray, over: Sequence[int] | None) -> np.ndarray:
    """Return macro-F1 over some labels, or accuracy where none are named, of each confusion matrix."""
    if over is None:
        return np.trace(confusions, axis1=-2, axis2=-1) / confusions.sum(axis=(-2, -1))
    return metrics.precision_recall_f1(confusions)[2][..., list(over)].mean(axis=-1)
