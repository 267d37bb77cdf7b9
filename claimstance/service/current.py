"""The model that answers now, and the look for a newer one in the same folder."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claimstance.bundle import ENCODER, bundle_digest, manifests_of
from claimstance.errors import BundleError
from claimstance.predictor import Predictor
from claimstance.service.measures import Measures
from claimstance.service.workers import Workers

_log = logging.getLogger("claimstance.service")


@dataclass(frozen=True)
class LoadedModel:
    """A predictor with the digest of the bundle that it was loaded from."""

    predictor: Predictor
    digest: str

    @property
    def same_in_any_batch(self) -> bool:
        """Whether a pair gets the same probabilities whatever is labelled with it; an encoder's differ by rounding."""
        return all(manifest.kind != ENCODER for manifest in manifests_of(self.predictor.bundle))

    def described(self) -> dict[str, Any]:
        """Return what every answer says of the model that gave it."""
        manifest = self.predictor.manifest
        return {
            "name": manifest.name,
            "digest": self.digest,
            "labels": list(manifest.labels),
            "stances": list(manifest.stances),
        }


def load_model(folder: Path) -> LoadedModel:
    """Load a bundle together with its digest.

    Raises:
        BundleError: the bundle is missing, altered, malformed, or was replaced while it was read.
    """
    digest = _digest(folder)
    predictor = Predictor.load(folder)
    if _digest(folder) != digest:
        raise BundleError(f"{folder}: replaced while it was read; look again")
    return LoadedModel(predictor, digest)


class CurrentModel:
    """The model that answers: ``loaded`` is swapped whole, so a request that took it keeps it to its end.

    Args:
        folder: where the bundle lies.
        measures: what counts the reloads.

    Raises:
        BundleError: the first bundle cannot be loaded.
    """

    def __init__(self, folder: str | os.PathLike[str], measures: Measures) -> None:
        self.folder = Path(folder)
        self.loaded = load_model(self.folder)
        self.loader = Workers(1, "claimstance-load")
        self._measures = measures
        self._refused: list[tuple[str, int, int]] | None = None
        self._hurry = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        measures.serves(self.loaded.predictor.manifest.name, self.loaded.digest)

    def look(self) -> None:
        """Load the bundle in the folder if it is another than the one that answers; refuse it if it cannot be trusted."""
        digest, seen = _digest(self.folder), _seen(self.folder)
        # Without a manifest the folder is just being replaced; and what was refused is not read again until it changes.
        if digest in ("", self.loaded.digest) or seen == self._refused:
            return
        try:
            fresh = load_model(self.folder)
        except Exception as error:
            # Whatever is wrong with the new bundle, the old one goes on answering.
            if _seen(self.folder) == seen:
                self._refused = seen
                self._measures.reloaded("failed")
                _log.error("refused a new bundle, %s goes on answering: %s", self.loaded.digest[:12], error)
            return
        _log.warning("now answers with %s, %s", fresh.predictor.manifest.name, fresh.digest[:12])
        self.loaded, self._refused = fresh, None
        self._measures.serves(fresh.predictor.manifest.name, fresh.digest)
        self._measures.reloaded("ok")

    def hurry(self) -> None:
        """Have the watch look at once, at a bundle that was refused too; may be called from a signal handler."""
        self._refused = None
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._hurry.set)

    async def watch(self, every: float) -> None:
        """Look every so many seconds, or only when hurried where that is 0, until cancelled."""
        self._loop, self._hurry = asyncio.get_running_loop(), asyncio.Event()
        while True:
            try:
                async with asyncio.timeout(every or None):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            self._hurry.clear()
            await self.loader.run(self.look)


def _digest(folder: Path) -> str:
    """Return the digest of the bundle in a folder; empty while there is none."""
    try:
        return bundle_digest(folder)
    except OSError:
        return ""


def _seen(folder: Path) -> list[tuple[str, int, int]]:
    """Return the files of a folder with their sizes and times; empty while it is being replaced."""
    try:
        files = [(path, path.stat()) for path in folder.rglob("*")]
    except OSError:
        return []
    return sorted((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in files)
