"""Stances of quotes to claims: who asserts, denies or confirms a claim, from an exported model.

>>> from claimstance import Predictor
>>> predictor = Predictor.load("exports/champion")              # doctest: +SKIP
>>> predictor.predict([("We did not send anyone.", "Fighters were sent.")])   # doctest: +SKIP
"""

from claimstance.article import Statement, read_statements
from claimstance.errors import BundleError, ClaimstanceError, RecordError
from claimstance.predictor import Prediction, Predictor
from claimstance.records import LABELS, NONE, STANCES, Pair, read_pairs

__all__ = [
    "LABELS",
    "NONE",
    "STANCES",
    "BundleError",
    "ClaimstanceError",
    "Pair",
    "Prediction",
    "Predictor",
    "RecordError",
    "Statement",
    "read_pairs",
    "read_statements",
]
