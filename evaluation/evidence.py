"""The evidence beside an exported model: what its training left so that it can be judged later.

A folder ``NAME.evidence`` stands beside the bundle ``NAME``. It holds bundles trained in the same way on the same pairs, each
blind to something or of another seed, and the probabilities that the fitted model gave the validation pairs before it
was exported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from claimstance.bundle import bundle_digest
from claimstance.errors import BundleError, ClaimstanceError
from claimstance.predictor import Predictor

FORMAT = 1

BLIND = ("quote alone", "claim alone", "cue words alone")
"""What the blind variants of a model of pairs read; a gate that asks for the gain by reading the pair asks for all of them."""


@dataclass(frozen=True)
class EvidenceLayout:
    """Names inside the folder; writer and reader both go by it. ``report`` is the folder of a split's report."""

    record: str = "evidence.json"
    probabilities: str = "validation_probabilities.npy"

    def report(self, split: str) -> str:
        return f"{split}-report"


LAYOUT = EvidenceLayout()


@dataclass(frozen=True)
class Record:
    """What ``evidence.json`` says: the ``bundle`` it belongs to and the ``validation`` file, by SHA-256; the folders of
    the ``blind`` bundles by what they read, and of those of other ``seeds``; and the SHA-256 of every such bundle by its
    folder (``digests``)."""

    bundle: str
    validation: str
    blind: dict[str, str]
    seeds: dict[str, str]
    digests: dict[str, str]
    format: int = FORMAT


@dataclass(frozen=True)
class Evidence:
    """The evidence of one bundle, loaded: its record, the blind models by what they read, the models of other seeds, and
    the training-time probabilities of the validation pairs (n × k)."""

    record: Record
    blind: Mapping[str, Predictor]
    seeds: Mapping[str, Predictor]
    probabilities: np.ndarray


def evidence_folder(bundle: str | os.PathLike[str]) -> Path:
    """Return where the evidence of a bundle stands."""
    bundle = Path(bundle)
    if bundle.name in ("", ".."):
        bundle = bundle.resolve()
    return bundle.with_name(f"{bundle.name}.evidence")


def write_record(folder: Path, record: Record, probabilities: np.ndarray) -> None:
    """Write the record and the probabilities into the folder that holds the blind bundles."""
    np.save(folder / LAYOUT.probabilities, probabilities.astype(np.float64), allow_pickle=False)
    text = json.dumps(asdict(record), ensure_ascii=False, indent=2)
    (folder / LAYOUT.record).write_text(text + "\n", encoding="utf-8")


def read_evidence(bundle: str | os.PathLike[str]) -> Evidence | None:
    """Read the evidence beside a bundle; None where there is none, as beside a bundle that was copied alone.

    Raises:
        ClaimstanceError: the evidence is broken, or is that of another bundle.
    """
    folder = evidence_folder(bundle)
    if not folder.is_dir():
        return None
    record = _read_record(folder / LAYOUT.record)
    if record.bundle != bundle_digest(bundle):
        raise ClaimstanceError(
            f"{folder}: evidence of another model than {bundle} (their SHA-256 differ); copy both folders together, or "
            f"remove this one"
        )
    try:
        with open(folder / LAYOUT.probabilities, "rb") as file:
            probabilities = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ClaimstanceError(f"{folder / LAYOUT.probabilities}: {error}; train the model again") from None
    blind, seeds = (
        {name: _load(folder / part, record.digests.get(part)) for name, part in parts.items()}
        for parts in (record.blind, record.seeds)
    )
    return Evidence(record, blind, seeds, probabilities)


def _load(folder: Path, digest: str | None) -> Predictor:
    predictor = Predictor.load(folder)
    if bundle_digest(folder) != digest:
        raise BundleError(
            f"{folder}: not the bundle that training left here (its SHA-256 differs); train the model again"
        )
    return predictor


def _read_record(path: Path) -> Record:
    try:
        body: Any = json.loads(path.read_text(encoding="utf-8"))
        record = Record(**body)
        parts = [*record.blind.values(), *record.seeds.values()]
        if (
            not isinstance(record.format, int)
            or not isinstance(record.digests, dict)
            or not all(isinstance(part, str) for part in parts)
        ):
            raise TypeError("a value of the wrong kind")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ClaimstanceError(f"{path}: no record of evidence ({error}); train the model again") from None
    if record.format > FORMAT:
        raise BundleError(f"{path}: format {record.format} is newer than {FORMAT}; upgrade claimstance")
    for part in parts:
        if Path(part).name != part:
            raise BundleError(f"{path}: {part!r} is no folder beside it; train the model again")
    return record
