"""What one request may ask of the service, and how many may ask at once."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from claimstance.errors import ClaimstanceError

MOST_CLAIMS = 16
"""Claims that one article is held against at most."""


def _limit(default: float, unit: str, what: str) -> Any:
    return field(default=default, metadata={"unit": unit, "what": what})


@dataclass(frozen=True)
class Limits:
    """The bounds of a service; every field is an option of ``claimstance serve`` too.

    Raises:
        ClaimstanceError: a bound is not above 0.
    """

    max_body: int = _limit(2 * 1024 * 1024, "BYTES", "most bytes of a body, else 413")
    max_pairs: int = _limit(256, "PAIRS", "most pairs of a request, else 422")
    max_characters: int = _limit(10_000, "CHARACTERS", "longest quote or claim, else 422")
    max_article: int = _limit(200_000, "CHARACTERS", "longest article, else 422")
    max_requests: int = _limit(64, "REQUESTS", "most requests at work or waiting at once, else 503")
    timeout: float = _limit(10.0, "SECONDS", "longest time of a request, else 504; 408 where its body is late")
    threads: int = _limit(1, "THREADS", "threads that predict; a linear model needs one")

    def __post_init__(self) -> None:
        for bound in fields(self):
            value = getattr(self, bound.name)
            if not value > 0:
                raise ClaimstanceError(f"{bound.name.replace('_', '-')} is {value}, expected a number above 0")
