"""The service: an exported model that answers over HTTP, as an ASGI application. Needs the extra ``serve``.

>>> from claimstance.service import create_app
>>> app = create_app("exports/champion")              # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from claimstance.errors import ClaimstanceError
from claimstance.service.limits import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["Limits", "create_app"]

LOOK_EVERY_S = 5.0
"""Seconds between two looks for a new bundle."""


def create_app(
    bundle: str | os.PathLike[str], *, limits: Limits | None = None, reload_every: float = LOOK_EVERY_S
) -> FastAPI:
    """Load a bundle and return the ASGI application that answers with it.

    The application looks for a new bundle in the same folder, and answers ``/ready`` with 503 once it shuts down, where the
    server runs its lifespan; without that it answers with the first bundle alone. It logs one line a request to the logger
    ``claimstance.service``, and asks nobody who they are.

    Args:
        bundle: the folder of an exported model.
        limits: what one request may ask for; the defaults of ``Limits`` where left out.
        reload_every: seconds between two looks for a new bundle; 0 never looks by itself.

    Raises:
        BundleError: the bundle is missing, altered or malformed.
        ClaimstanceError: a package of the extra is not installed.
    """
    with serve_extra():
        from claimstance.service.app import build_app
    return build_app(bundle, limits or Limits(), reload_every)


@contextlib.contextmanager
def serve_extra() -> Iterator[None]:
    """Turn a package that the block cannot import into the error that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ClaimstanceError(f"the service needs {error.name}: pip install 'claimstance[serve]'") from None
