"""The ensemble of a bundle: its members' answers to a pair, averaged or stacked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from claimstance.bundle import EnsembleBundle
from claimstance.errors import BundleError
from claimstance.linear import softmax

if TYPE_CHECKING:
    from claimstance.predictor import StanceModel

AVERAGE, STACK = "average", "stack"
RULES = (AVERAGE, STACK)
"""How members' answers become one: the weighted mean of their probabilities (a linear opinion pool; Stone, "The Opinion Pool",
Annals of Mathematical Statistics 1961), or a linear layer over the logs of them (Wolpert, "Stacked generalization", Neural
Networks 1992)."""

_FLOOR = 1e-6


@dataclass(frozen=True)
class EnsembleSettings:
    """How an ensemble of a bundle is run: its ``rule``, one of RULES; the members' ``weights`` in an average, which sum to 1
    (none in a stack); and what the log of an average is divided by (1 in a stack, whose layer includes it)."""

    rule: str
    weights: Sequence[float]
    temperature: float

    def __post_init__(self) -> None:
        sound = (
            self.rule in RULES
            and isinstance(self.weights, list | tuple)
            and all(isinstance(weight, float) and 0 <= weight <= 1 for weight in self.weights)
            and (math.isclose(sum(self.weights), 1, abs_tol=1e-6) if self.rule == AVERAGE else not self.weights)
            and isinstance(self.temperature, float)
            and 1e-3 <= self.temperature <= 1e3
            and (self.rule == AVERAGE or self.temperature == 1)
        )
        if not sound:
            raise BundleError(f"settings {asdict(self)} are not an ensemble's; export the model again")


class EnsembleModel:
    """Joins what its members say; where they are linear, a pair's probabilities are the same alone and in any batch.

    Args:
        bundle: the ensemble.
        members: its members, ready to answer, in order. The first one's word lists are the ensemble's.

    Raises:
        BundleError: the settings are not an ensemble's, or not of these members.
    """

    def __init__(self, bundle: EnsembleBundle, members: Sequence[StanceModel]) -> None:
        try:
            self.settings = EnsembleSettings(**bundle.manifest.settings)
        except TypeError as error:
            raise BundleError(f"settings are not an ensemble's ({error}); export the model again") from None
        stacked = bundle.stack is not None
        if stacked != (self.settings.rule == STACK) or len(self.settings.weights) != (0 if stacked else len(members)):
            raise BundleError(
                f"settings {asdict(self.settings)} are not those of {len(members)} members "
                f"{'with' if stacked else 'without'} a layer that stacks them; export the model again"
            )
        self.lexicon = members[0].lexicon
        self._members, self._stack = members, bundle.stack

    def probabilities(self, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray:
        """Return the probability of every label (n × k)."""
        answers = [member.probabilities(quotes, claims) for member in self._members]
        return softmax(joined(answers, self.settings.weights, self._stack) / self.settings.temperature)


def joined(answers: Sequence[np.ndarray], weights: Sequence[float], stack: np.ndarray | None) -> np.ndarray:
    """Return one score a pair and label (n × k) of the members' probabilities (n × k each): the log of their weighted mean or,
    where there is a ``stack`` ((members × k + 1) × k), what that layer makes of their logs."""
    if stack is None:
        return logs(sum(weight * answer for weight, answer in zip(weights, answers, strict=True)))
    columns = logs(np.hstack(answers)).T
    scores = np.tile(stack[-1].astype(np.float64), (columns.shape[1], 1))
    # One column after the other: a matrix product rounds differently with the number of rows.
    for column, effect in zip(columns, stack[:-1].astype(np.float64), strict=True):
        scores += column[:, None] * effect
    return scores


def logs(probabilities: np.ndarray) -> np.ndarray:
    """Return the logs of probabilities, those below a millionth taken as a millionth."""
    return np.log(np.maximum(probabilities, _FLOOR))
