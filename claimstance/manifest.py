"""The manifest of an exported model: what its files are called, what it says of the model, and how it is checked.

It names the size and SHA-256 of every file and of itself. One whose digests were made to fit is still held to what
``write_bundle`` could have written, so that nothing in it is taken on trust.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from claimstance.errors import BundleError
from claimstance.features import FAMILIES, FEATURES
from claimstance.text import NORMALISATION

FORMAT = 3
"""Version of the bundle layout that this package writes, and the newest that it reads. Format 1 had no ``settings``, format 2
no ensembles and no thesaurus."""

LINEAR, ENCODER, ENSEMBLE = "pair-linear", "encoder", "ensemble"
KINDS = (LINEAR, ENCODER, ENSEMBLE)
"""Kinds of models that a bundle may hold; an ensemble's members are of the others."""

MOST_MEMBERS = 16
"""Members of an ensemble at most."""

MOST_LABELS = 1000
"""Labels of a model at most."""

INPUTS = ("pair", "quote", "claim")
"""What a model may read."""

LARGEST_MANIFEST = 1024 * 1024
"""Bytes; a larger file is refused before it is read."""

_LARGEST_VALUE = 1e6


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

    @property
    def sides(self) -> tuple[str, ...]:
        """The texts that a pair has to have: its quote, and its claim unless the model reads quotes alone."""
        return ("quote",) if self.inputs == "quote" else ("quote", "claim")


def manifest_text(manifest: Manifest, files: Mapping[str, Any]) -> str:
    """Spell a manifest out, with the size and SHA-256 of each of its ``files``; the reader accepts no other spelling."""
    body = {**asdict(manifest), "labels": list(manifest.labels), "files": files}
    if manifest.format == 1:
        del body["settings"]
    body["checksum"] = checksum(body)
    return json.dumps(body, ensure_ascii=False, indent=2) + "\n"


def checksum(body: Mapping[str, Any]) -> str:
    """Return the SHA-256 that a manifest names itself by; ``body`` is all of it but that."""
    text = json.dumps(body, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def parse_manifest(content: bytes, path: Path) -> tuple[Manifest, dict[str, Any]]:
    """Read a manifest and its files (``bytes`` and ``sha256`` of each, by name).

    Raises:
        BundleError: it is altered, of a newer format, of other features, or not what ``write_bundle`` writes.
    """
    try:
        text = content.decode("utf-8")
        body = json.loads(text)
        own = checksum({name: value for name, value in body.items() if name != "checksum"}) if _is_object(body) else ""
    except (ValueError, RecursionError):
        raise BundleError(f"{path}: not JSON, the file was altered; export the model again") from None
    if not _is_object(body) or type(body.get("format")) is not int or body["format"] < 1:
        raise BundleError(f"{path}: no format number, expected an exported model's manifest")
    if body["format"] > FORMAT:
        raise BundleError(
            f"{path}: format {body['format']} is newer than {FORMAT}, the newest this claimstance reads; "
            f"upgrade with: pip install --upgrade claimstance"
        )
    files, said = body.pop("files", None), body.pop("checksum", None)
    names = [part.name for part in fields(Manifest) if body["format"] > 1 or part.name != "settings"]
    if said != own or sorted(body) != sorted(names):
        raise BundleError(f"{path}: altered since it was exported (its checksum differs); export the model again")
    if not _is_sound(body, files):
        raise BundleError(f"{path}: a value of the wrong kind, expected an exported model's manifest; export it again")
    body["labels"] = tuple(body["labels"])
    manifest = Manifest(**body)
    if text != manifest_text(manifest, files):
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
    labels, families, trained_on = body["labels"], body["families"], body["trained_on"]
    return (
        all(isinstance(body[name], str) for name in ("name", "abstain_label"))
        and body["kind"] in KINDS
        and _is_object(body.get("settings", {}))
        and all(map(_is_setting, body.get("settings", {}).values()))
        and isinstance(labels, list)
        and 2 <= len(labels) <= MOST_LABELS
        and all(isinstance(label, str) and label for label in labels)
        and len(set(labels)) == len(labels)
        and body["abstain_label"] in ("", *labels)
        and isinstance(body["threshold"], float)
        and 0 <= body["threshold"] <= 1
        and body["inputs"] in INPUTS
        and _is_object(families)
        and set(families) <= set(FAMILIES)
        and all(isinstance(value, float) and 0 < value <= _LARGEST_VALUE for value in families.values())
        and _is_object(trained_on)
        and all(isinstance(value, str) for value in trained_on.values())
        and all(type(body[name]) is int for name in ("normalisation", "features"))
        and _is_object(files)
        and sorted(files) == sorted(_contents_like(body["kind"], files))
        and all(_is_sound_file(file) for file in files.values())
    )


def _contents_like(kind: str, files: dict[str, Any]) -> tuple[str, ...]:
    """Return what a bundle of this kind with as many files as these has to list."""
    optional = LAYOUT.optional(kind) in files
    members = min(max(len(files) - optional, 2), MOST_MEMBERS)
    return LAYOUT.contents(kind, members, optional=optional)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_setting(value: Any) -> bool:
    """Say whether a setting is a text, a number, true or false, or a list of numbers; what they mean, its kind checks."""
    one = (str, int, float)
    return isinstance(value, one) or (isinstance(value, list) and all(isinstance(item, float) for item in value))


def _is_sound_file(file: Any) -> bool:
    return (
        _is_object(file)
        and sorted(file) == ["bytes", "sha256"]
        and type(file["bytes"]) is int
        and 0 <= file["bytes"] < 1 << 63
        and isinstance(file["sha256"], str)
    )
