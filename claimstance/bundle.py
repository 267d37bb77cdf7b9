"""The exported model on disk: what its files are called, what they hold, and how they are checked before use.

A bundle is data. Arrays are plain ``.npy`` without pickles, the word lists and the manifest are JSON, an encoder is an ONNX
graph with its tokenizer; and the manifest names the size and SHA-256 of every file and of itself, so that an altered byte is
refused. An ensemble holds whole bundles, a folder each, and names the manifests of these.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from claimstance.contents import (
    check_network,
    parse_lexicons,
    parse_thesaurus,
    parse_weights,
    read_checked,
    read_plain,
)
from claimstance.errors import BundleError
from claimstance.features import SLOTS
from claimstance.files import replacing_folder, sha256
from claimstance.manifest import (
    ENCODER,
    ENSEMBLE,
    KINDS,
    LARGEST_MANIFEST,
    LAYOUT,
    LINEAR,
    MOST_MEMBERS,
    Manifest,
    manifest_text,
    parse_manifest,
)

IDF_SLOTS = 1 << 16
"""Entries of an idf table."""

LARGEST_FILE, LARGEST_LEXICON, LARGEST_NETWORK = 64 * 1024**2, 4 * 1024**2, 4 * 1024**3
"""Bytes of an array or a tokenizer, of the word lists, and of an encoder's graph; a larger file is refused unread."""


@dataclass(frozen=True)
class Bundle:
    """An exported linear model in memory.

    ``dense`` ((d + 1) × k, float32) weighs the dense features, its last row is the intercept; ``sparse`` (SLOTS × k,
    float32) weighs the hashed ones; ``idf`` (65,536, float32); ``lexicons`` are the word lists, a mapping a language;
    ``thesaurus`` is the table of word sets (m × 2, uint64), None for a model that reads none.
    The weights include standardisation and calibration: their scores are calibrated log-odds.
    """

    manifest: Manifest
    dense: np.ndarray
    sparse: np.ndarray
    idf: np.ndarray
    lexicons: Sequence[dict[str, Any]]
    thesaurus: np.ndarray | None = None


@dataclass(frozen=True)
class EncoderBundle:
    """An exported encoder: where its ONNX graph (``network``) and its tokenizer lie on disk, and the word lists that articles
    are read with."""

    manifest: Manifest
    network: Path
    tokenizer: Path
    lexicons: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class EnsembleBundle:
    """An exported ensemble: the bundles of its ``members``, which agree in labels, abstain label and inputs; and, where their
    answers are stacked and not averaged, the linear layer over the logs of their probabilities (``stack``, float32,
    (members × k + 1) × k, its last row the intercept).

    Raises:
        BundleError: the members are too few or too many, do not agree, or are ensembles, or the layer is not of them.
    """

    manifest: Manifest
    members: tuple[Bundle | EncoderBundle, ...]
    stack: np.ndarray | None

    def __post_init__(self) -> None:
        if not 2 <= len(self.members) <= MOST_MEMBERS:
            raise BundleError(f"an ensemble of {len(self.members)} members, expected 2 to {MOST_MEMBERS}")
        for number, member in enumerate(self.members, start=1):
            if member.manifest.kind == ENSEMBLE:
                raise BundleError(f"member {number} is an ensemble itself; name its members instead")
            for part in ("labels", "abstain_label", "inputs"):
                theirs, ours = getattr(member.manifest, part), getattr(self.manifest, part)
                if theirs != ours:
                    raise BundleError(
                        f"member {number} has the {part} {theirs!r}, the ensemble {ours!r}; all have to be the same"
                    )
        width = len(self.manifest.labels)
        expected = (len(self.members) * width + 1, width)
        if self.stack is not None and (self.stack.shape != expected or self.stack.dtype != np.float32):
            raise BundleError(
                f"a stack of shape {self.stack.shape} ({self.stack.dtype}), expected {expected} (float32); "
                f"export the model again"
            )


AnyBundle = Bundle | EncoderBundle | EnsembleBundle


def manifests_of(bundle: AnyBundle) -> tuple[Manifest, ...]:
    """Return a bundle's manifest and those of its members."""
    members = bundle.members if isinstance(bundle, EnsembleBundle) else ()
    return (bundle.manifest, *(member.manifest for member in members))


def write_bundle(bundle: AnyBundle, folder: str | os.PathLike[str]) -> None:
    """Write a bundle, replacing ``folder`` only when all of it is written. Equal bundles give equal bytes."""
    with replacing_folder(folder) as fresh:
        contents = LAYOUT.contents(bundle.manifest.kind)
        match bundle:
            case Bundle(_, dense, sparse, idf, lexicons, thesaurus):
                for name, array in ((LAYOUT.dense, dense), (LAYOUT.sparse, sparse), (LAYOUT.idf, idf)):
                    np.save(fresh / name, np.ascontiguousarray(array, dtype=np.float32), allow_pickle=False)
                if thesaurus is not None:
                    np.save(fresh / LAYOUT.thesaurus, np.ascontiguousarray(thesaurus), allow_pickle=False)
                contents = LAYOUT.contents(LINEAR, optional=thesaurus is not None)
                _write_lexicons(fresh, lexicons)
            case EncoderBundle(_, network, tokenizer, lexicons):
                shutil.copyfile(network, fresh / LAYOUT.network)
                shutil.copyfile(tokenizer, fresh / LAYOUT.tokenizer)
                _write_lexicons(fresh, lexicons)
            case EnsembleBundle(_, members, stack):
                for number, member in enumerate(members, start=1):
                    write_bundle(member, fresh / LAYOUT.member(number))
                if stack is not None:
                    np.save(fresh / LAYOUT.stack, np.ascontiguousarray(stack), allow_pickle=False)
                contents = LAYOUT.contents(ENSEMBLE, len(members), optional=stack is not None)
        files = {name: {"bytes": (fresh / name).stat().st_size, "sha256": sha256(fresh / name)} for name in contents}
        (fresh / LAYOUT.manifest).write_text(manifest_text(bundle.manifest, files), encoding="utf-8", newline="\n")


def _write_lexicons(folder: Path, lexicons: Sequence[dict[str, Any]]) -> None:
    (folder / LAYOUT.lexicon).write_text(json.dumps(lexicons, ensure_ascii=False), encoding="utf-8")


def read_bundle(folder: str | os.PathLike[str]) -> AnyBundle:
    """Read and check a bundle.

    Raises:
        BundleError: the folder or a file is missing, altered, malformed or of a newer format; the message names it.
    """
    return _read_bundle(Path(folder), KINDS)


def _read_bundle(folder: Path, kinds: Sequence[str], content: bytes | None = None) -> AnyBundle:
    """Read a bundle of some kinds; ``content`` is its manifest, where an ensemble has checked that already."""
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such model folder; train one with: make quickstart")
    path = folder / LAYOUT.manifest
    if content is None:
        if not path.exists():
            raise BundleError(f"{folder}: no {LAYOUT.manifest}, so this is not an exported model")
        content = read_plain(path, LARGEST_MANIFEST)
    manifest, files = parse_manifest(content, path)
    if manifest.kind not in kinds:
        raise BundleError(f"{folder}: an ensemble inside an ensemble, expected a single model; export the model again")
    if manifest.kind == ENCODER:
        check_network(folder / LAYOUT.network, files.pop(LAYOUT.network), LARGEST_NETWORK)
    # Each of the others is read once: what was checked is what is parsed, whatever happens to the file meanwhile.
    read = {name: read_checked(folder / name, file, _largest(name)) for name, file in files.items()}
    if manifest.kind == ENSEMBLE:
        return _read_ensemble(folder, manifest, read)
    lexicons = parse_lexicons(read[LAYOUT.lexicon], folder / LAYOUT.lexicon)
    if manifest.kind == ENCODER:
        return EncoderBundle(manifest, folder / LAYOUT.network, folder / LAYOUT.tokenizer, lexicons)
    width = len(manifest.labels)
    shapes = {LAYOUT.dense: (None, width), LAYOUT.sparse: (SLOTS, width), LAYOUT.idf: (IDF_SLOTS,)}
    weights = [parse_weights(read[name], folder / name, shape) for name, shape in shapes.items()]
    thesaurus = read.get(LAYOUT.thesaurus)
    table = None if thesaurus is None else parse_thesaurus(thesaurus, folder / LAYOUT.thesaurus)
    return Bundle(manifest, *weights, lexicons, table)


def _largest(name: str) -> int:
    if name == LAYOUT.lexicon:
        return LARGEST_LEXICON
    return LARGEST_MANIFEST if name.endswith(LAYOUT.manifest) else LARGEST_FILE


def _read_ensemble(folder: Path, manifest: Manifest, read: dict[str, bytes]) -> EnsembleBundle:
    single = [kind for kind in KINDS if kind != ENSEMBLE]
    stacked = read.pop(LAYOUT.stack, None)
    members = tuple(
        _read_bundle(folder / LAYOUT.member(number), single, read[f"{LAYOUT.member(number)}/{LAYOUT.manifest}"])
        for number in range(1, len(read) + 1)
    )
    width = len(manifest.labels)
    shape = (len(members) * width + 1, width)
    stack = None if stacked is None else parse_weights(stacked, folder / LAYOUT.stack, shape)
    try:
        return EnsembleBundle(manifest, members, stack)
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from None


def bundle_digest(folder: str | os.PathLike[str]) -> str:
    """Return the SHA-256 that names a whole bundle: that of its manifest, which names every other file's."""
    return sha256(Path(folder) / LAYOUT.manifest)
