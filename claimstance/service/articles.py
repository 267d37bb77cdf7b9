"""An article as the service answers it: the one place that knows how articles are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from claimstance.article import Statement, read_statements
from claimstance.predictor import Prediction, Predictor


def statements_of(text: str, predictor: Predictor) -> list[Statement]:
    """Return the statements of an article."""
    return read_statements(text, predictor.lexicon)


def pairs_of(statements: Sequence[Statement], claim: str) -> list[tuple[str, str]]:
    """Return the pairs of quote and claim that the model labels, one a statement."""
    return [(statement.text, claim) for statement in statements]


def described(statement: Statement, stances: Sequence[Prediction]) -> dict[str, Any]:
    """Return a statement with its stances, one a claim, as the service answers them. Offsets count code points."""
    return {
        "text": statement.text,
        "start": statement.start,
        "stop": statement.stop,
        "speaker": statement.speaker,
        "stances": [prediction._asdict() for prediction in stances],
    }
