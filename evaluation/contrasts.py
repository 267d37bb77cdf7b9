"""Does the model read quote and claim together? Contrast groups, swapped sides, and claims of another event."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from claimstance.predictor import Predictor
from evaluation.scoring import LabelledPairs, Scores

OUTCOMES = (
    "both right",
    "the same label for both",
    "one abstained, wrongly",
    "each given the other's label",
    "otherwise wrong",
)
"""How two pairs of one contrast group, with different true labels, may come out; the first that holds counts."""

# So many draws leave a pair out only where nearly every other pair of its language is of its event.
_DRAWS = 50


@dataclass(frozen=True)
class Contrasts:
    """What a model makes of small changes.

    ``groups`` contrast groups, ``all_right`` of them wholly right; ``outcomes`` counts OUTCOMES over every two pairs of
    a group whose labels differ. ``swap_unchanged`` is the share of pairs that keep their prediction when quote and claim
    change places; ``other_event_abstained`` the share of quotes, each met with a claim of another event, on which the
    model abstains. Both are None where they cannot be asked: of a model that reads one side, that never abstains, or on
    pairs of one event.
    """

    groups: int
    all_right: int
    outcomes: dict[str, int]
    swap_unchanged: float | None
    other_event_abstained: float | None


def examine_contrasts(predictor: Predictor, scores: Scores, pairs: LabelledPairs, seed: int = 0) -> Contrasts:
    """Look at contrast groups, swapped sides and claims of another event; ``seed`` draws those claims."""
    members: dict[str, list[int]] = {}
    for index, name in enumerate(pairs.contrasts):
        if name:
            members.setdefault(name, []).append(index)
    manifest = predictor.manifest
    none = manifest.labels.index(manifest.abstain_label) if manifest.abstain_label else -1
    outcomes = dict.fromkeys(OUTCOMES, 0)
    for group in members.values():
        for first, second in itertools.combinations(group, 2):
            if scores.truth[first] != scores.truth[second]:
                outcomes[_outcome(scores.truth[[first, second]], scores.predicted[[first, second]], none)] += 1
    right = scores.right
    swapped = abstained = None
    if manifest.inputs == "pair":
        kept = _labels_of(predictor, pairs.claims, pairs.quotes) == scores.predicted
        swapped = float(kept.mean())
        quotes, claims = _of_another_event(pairs, seed)
        if quotes and none >= 0:
            abstained = float((_labels_of(predictor, quotes, claims) == none).mean())
    return Contrasts(
        groups=len(members),
        all_right=sum(bool(right[group].all()) for group in members.values()),
        outcomes=outcomes,
        swap_unchanged=swapped,
        other_event_abstained=abstained,
    )


def _outcome(truth: np.ndarray, predicted: np.ndarray, none: int) -> str:
    wrong = predicted != truth
    if not wrong.any():
        return OUTCOMES[0]
    if predicted[0] == predicted[1]:
        return OUTCOMES[1]
    if (wrong & (predicted == none)).any():
        return OUTCOMES[2]
    return OUTCOMES[3] if (predicted == truth[::-1]).all() else OUTCOMES[4]


def _labels_of(predictor: Predictor, quotes: list[str], claims: list[str]) -> np.ndarray:
    labels, abstain = predictor.manifest.labels, predictor.manifest.abstain_label
    given = predictor.predict(list(zip(quotes, claims, strict=True)))
    return np.array([labels.index(prediction.stance or abstain) for prediction in given])


def _of_another_event(pairs: LabelledPairs, seed: int) -> tuple[list[str], list[str]]:
    """Meet each quote with the claim of a pair of another event and, where it is known, the same language."""
    _, event = np.unique(pairs.events, return_inverse=True)
    _, language = np.unique(pairs.slices["lang"], return_inverse=True)
    order = np.argsort(language, kind="stable")
    first, count = np.searchsorted(language[order], np.arange(language.max() + 2)), np.bincount(language)
    random = np.random.default_rng(seed)
    other, open_ = np.arange(event.size), np.arange(event.size)
    for _ in range(_DRAWS):
        drawn = random.integers(count[language[open_]])
        other[open_] = order[first[language[open_]] + drawn]
        open_ = np.flatnonzero(event[other] == event)
        if not open_.size:
            break
    met = np.flatnonzero(event[other] != event).tolist()
    return [pairs.quotes[index] for index in met], [pairs.claims[other[index]] for index in met]
