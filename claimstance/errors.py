"""The errors that a user can cause and mend; every command turns them into exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ClaimstanceError(Exception):
    """Something given to claimstance is wrong; the message names what, where, what was expected and the way out."""


class RecordError(ClaimstanceError):
    """A record of a data file is wrong."""


class BundleError(ClaimstanceError):
    """An exported model cannot be trusted or understood."""


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the valid word nearest to ``word``, or an empty string."""
    near = difflib.get_close_matches(str(word), list(valid), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""
