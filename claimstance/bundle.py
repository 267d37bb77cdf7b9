"""The exported model on disk: what its files are called, what they hold, and how they are checked before use.

A bundle is data. Arrays are plain ``.npy`` without pickles, the word lists and the manifest are JSON, an encoder is an ONNX
graph with its tokenizer; and the manifest names the size and SHA-256 of every file and of itself, so that an altered byte is
refused. An ensemble holds whole bundles, a folder each, and names the manifests of these.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from claimstance.errors import BundleError
from claimstance.features import FAMILIES, FEATURES, SLOTS
from claimstance.files import replacing_folder, sha256
from claimstance.text import NORMALISATION

FORMAT = 3
"""Version of the bundle layout that this package writes, and the newest that it reads. Format 1 had no ``settings``, format 2
no ensembles and no thesaurus."""

LINEAR, ENCODER, ENSEMBLE = "pair-linear", "encoder", "ensemble"
KINDS = (LINEAR, ENCODER, ENSEMBLE)
"""Kinds of models that a bundle may hold; an ensemble's members are of the others."""

MOST_MEMBERS = 16
"""Members of an ensemble at most."""

INPUTS = ("pair", "quote", "claim")
"""What a model may read."""

_LARGEST_MANIFEST = 1024 * 1024

LARGEST_FILE = {LINEAR: 64 * 1024 * 1024, ENCODER: 4 * 1024**3, ENSEMBLE: _LARGEST_MANIFEST}
"""Bytes, by kind; a larger file is refused before it is read."""


@dataclass(frozen=True)
class Layout:
    """File names inside a bundle; writer and reader both go by it."""

    manifest: str = "manifest.json"
    dense: str = "dense.npy"
    sparse: str = "sparse.npy"
    idf: str = "idf.npy"
    thesaurus: str = "thesaurus.npy"
    lexicon: str = "lexicon.json"
    network: str = "model.onnx"
    tokenizer: str = "tokenizer.json"
    stack: str = "stack.npy"

    def member(self, number: int) -> str:
        """The folder of an ensemble's member, counted from 1."""
        return f"member-{number}"

    def optional(self, kind: str) -> str | None:
        """The file that a bundle of a kind may do without."""
        return {LINEAR: self.thesaurus, ENSEMBLE: self.stack}.get(kind)

    def contents(self, kind: str, members: int = 0, *, optional: bool = False) -> tuple[str, ...]:
        """Every file but the manifest that a bundle of a kind answers for, an ensemble of so many members; with the file
        that it may do without, or not."""
        always = {
            LINEAR: (self.dense, self.sparse, self.idf, self.lexicon),
            ENCODER: (self.network, self.tokenizer, self.lexicon),
            ENSEMBLE: tuple(f"{self.member(number)}/{self.manifest}" for number in range(1, members + 1)),
        }[kind]
        return (*always, self.optional(kind)) if optional else always

    def may_hold(self, path: Path) -> bool:
        """Say whether a bundle of any kind has such a file, or such a folder with nothing but a member in it."""
        if path.is_dir():
            return bool(re.fullmatch(r"member-\d+", path.name)) and all(map(self.may_hold, path.iterdir()))
        return path.name in asdict(self).values()


LAYOUT = Layout()


@dataclass(frozen=True)
class Manifest:
    """What a bundle is: ``labels`` in the order of its probabilities; ``abstain_label``, the label that is no stance
    (empty where every label is one); ``threshold``, the confidence from which it takes a stance; ``inputs``, one of INPUTS;
    ``families``, the feature families of a linear model with their values; what it was trained on; its ``kind``, one of
    KINDS, with the ``settings`` that this kind runs with."""

    name: str
    labels: tuple[str, ...]
    abstain_label: str
    threshold: float
    inputs: str
    families: dict[str, float]
    trained_on: dict[str, str]
    kind: str = LINEAR
    settings: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    normalisation: int = NORMALISATION
    features: int = FEATURES

    @property
    def stances(self) -> tuple[str, ...]:
        """The labels that are stances, in order."""
        return tuple(label for label in self.labels if label != self.abstain_label)


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
        (fresh / LAYOUT.manifest).write_text(_manifest_text(bundle.manifest, files), encoding="utf-8", newline="\n")


def _write_lexicons(folder: Path, lexicons: Sequence[dict[str, Any]]) -> None:
    (folder / LAYOUT.lexicon).write_text(json.dumps(lexicons, ensure_ascii=False), encoding="utf-8")


def read_bundle(folder: str | os.PathLike[str]) -> AnyBundle:
    """Read and check a bundle.

    Raises:
        BundleError: the folder or a file is missing, altered, malformed or of a newer format; the message names it.
    """
    return _read_bundle(Path(folder), KINDS)


def _read_bundle(folder: Path, kinds: Sequence[str]) -> AnyBundle:
    manifest, files = _read_manifest(folder)
    if manifest.kind not in kinds:
        raise BundleError(f"{folder}: an ensemble inside an ensemble, expected a single model; export the model again")
    for name in files:
        _check_file(folder / name, files[name], LARGEST_FILE[manifest.kind])
    if manifest.kind == ENSEMBLE:
        return _read_ensemble(folder, manifest, files)
    lexicons = _read_lexicons(folder / LAYOUT.lexicon)
    if manifest.kind == ENCODER:
        return EncoderBundle(manifest, folder / LAYOUT.network, folder / LAYOUT.tokenizer, lexicons)
    dense, sparse, idf = (_load_array(folder / name) for name in (LAYOUT.dense, LAYOUT.sparse, LAYOUT.idf))
    width = len(manifest.labels)
    if dense.ndim != 2 or dense.shape[1] != width or sparse.shape != (SLOTS, width) or idf.shape != (1 << 16,):
        raise BundleError(
            f"{folder}: arrays of shape {dense.shape}, {sparse.shape}, {idf.shape}, expected "
            f"(d + 1, {width}), ({SLOTS}, {width}), ({1 << 16},); export the model again"
        )
    if any(array.dtype != np.float32 for array in (dense, sparse, idf)):
        raise BundleError(f"{folder}: an array is not of 32-bit floats; export the model again")
    thesaurus = _load_array(folder / LAYOUT.thesaurus) if LAYOUT.thesaurus in files else None
    if thesaurus is not None and (thesaurus.dtype != np.uint64 or thesaurus.ndim != 2 or thesaurus.shape[1] != 2):
        raise BundleError(
            f"{folder / LAYOUT.thesaurus}: {thesaurus.dtype} of shape {thesaurus.shape}, expected uint64 of shape (m, 2); "
            f"export the model again"
        )
    return Bundle(manifest, dense, sparse, idf, lexicons, thesaurus)


def _read_ensemble(folder: Path, manifest: Manifest, files: dict[str, Any]) -> EnsembleBundle:
    single = [kind for kind in KINDS if kind != ENSEMBLE]
    stacked = LAYOUT.stack in files
    numbers = range(1, len(files) - stacked + 1)
    members = tuple(_read_bundle(folder / LAYOUT.member(number), single) for number in numbers)
    try:
        return EnsembleBundle(manifest, members, _load_array(folder / LAYOUT.stack) if stacked else None)
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from None


def _read_lexicons(path: Path) -> list[dict[str, Any]]:
    try:
        lexicons = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: {error}; export the model again") from None
    if not isinstance(lexicons, list) or not all(isinstance(lexicon, dict) for lexicon in lexicons):
        raise BundleError(f"{path}: no list of word lists; export the model again")
    return lexicons


def bundle_digest(folder: str | os.PathLike[str]) -> str:
    """Return the SHA-256 that names a whole bundle: that of its manifest, which names every other file's."""
    return sha256(Path(folder) / LAYOUT.manifest)


def _manifest_text(manifest: Manifest, files: dict[str, Any]) -> str:
    body = {**asdict(manifest), "labels": list(manifest.labels), "files": files}
    if manifest.format == 1:
        del body["settings"]
    body["checksum"] = _checksum(body)
    return json.dumps(body, ensure_ascii=False, indent=2) + "\n"


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _read_manifest(folder: Path) -> tuple[Manifest, dict[str, Any]]:
    path = folder / LAYOUT.manifest
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such model folder; train one with: make quickstart")
    if not path.is_file():
        raise BundleError(f"{folder}: no {LAYOUT.manifest}, so this is not an exported model")
    if path.stat().st_size > _LARGEST_MANIFEST:
        raise BundleError(f"{path}: larger than {_LARGEST_MANIFEST} bytes, expected a short JSON file")
    try:
        text = path.read_text(encoding="utf-8")
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise BundleError(f"{path}: not JSON, the file was altered; export the model again") from None
    if not isinstance(body, dict) or not isinstance(body.get("format"), int):
        raise BundleError(f"{path}: no format number, expected an exported model's manifest")
    if body["format"] > FORMAT:
        raise BundleError(
            f"{path}: format {body['format']} is newer than {FORMAT}, the newest this claimstance reads; "
            f"upgrade with: pip install --upgrade claimstance"
        )
    files, checksum = body.pop("files", None), body.pop("checksum", None)
    names = [part.name for part in fields(Manifest) if body["format"] > 1 or part.name != "settings"]
    if checksum != _checksum({**body, "files": files}) or sorted(body) != sorted(names):
        raise BundleError(f"{path}: altered since it was exported (its checksum differs); export the model again")
    if not _is_sound(body, files):
        raise BundleError(f"{path}: a value of the wrong kind, expected an exported model's manifest; export it again")
    body["labels"] = tuple(body["labels"])
    manifest = Manifest(**body)
    if text != _manifest_text(manifest, files):
        raise BundleError(f"{path}: altered since it was exported (its spelling differs); export the model again")
    for part, ours in (("normalisation", NORMALISATION), ("features", FEATURES)):
        if manifest.kind == LINEAR and getattr(manifest, part) != ours:
            raise BundleError(
                f"{path}: made with {part} version {getattr(manifest, part)}, this claimstance has {ours}; "
                f"train and export the model again"
            )
    return manifest, files


def _is_sound(body: dict[str, Any], files: Any) -> bool:
    """Say whether a manifest whose checksum fits could have been written by ``write_bundle``."""
    labels, families = body["labels"], body["families"]
    return (
        all(isinstance(body[name], str) for name in ("name", "abstain_label"))
        and body["kind"] in KINDS
        and isinstance(body.get("settings", {}), dict)
        and isinstance(labels, list)
        and len(labels) >= 2
        and all(isinstance(label, str) and label for label in labels)
        and len(set(labels)) == len(labels)
        and body["abstain_label"] in ("", *labels)
        and isinstance(body["threshold"], float)
        and 0 <= body["threshold"] <= 1
        and body["inputs"] in INPUTS
        and isinstance(families, dict)
        and set(families) <= set(FAMILIES)
        and all(isinstance(value, float) for value in families.values())
        and isinstance(body["trained_on"], dict)
        and isinstance(files, dict)
        and sorted(files) == sorted(_contents_like(body["kind"], files))
        and all(isinstance(file, dict) and sorted(file) == ["bytes", "sha256"] for file in files.values())
    )


def _contents_like(kind: str, files: dict[str, Any]) -> tuple[str, ...]:
    """Return what a bundle of this kind with as many files as these has to list."""
    optional = LAYOUT.optional(kind) in files
    return LAYOUT.contents(kind, len(files) - optional, optional=optional)


def _check_file(path: Path, expected: dict[str, Any], largest: int) -> None:
    if not path.is_file():
        raise BundleError(f"{path}: missing from the exported model; copy the whole folder or export again")
    if path.stat().st_size > largest or path.stat().st_size != expected["bytes"]:
        raise BundleError(f"{path}: {path.stat().st_size} bytes, expected {expected['bytes']}; export the model again")
    if sha256(path) != expected["sha256"]:
        raise BundleError(f"{path}: altered since it was exported (SHA-256 differs); export the model again")


def _load_array(path: Path) -> np.ndarray:
    try:
        with open(path, "rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise BundleError(f"{path}: not a plain array ({error}); export the model again") from None
