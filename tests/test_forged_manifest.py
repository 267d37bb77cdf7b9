"""Manifests whose digests were made to fit: none leads out of its folder, and none of other values is accepted."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from claimstance.manifest import ENCODER, LAYOUT, checksum

Forge, Refusal = Callable[..., None], Callable[..., str]


@pytest.fixture
def linear(copied: Callable[[str], Path]) -> Path:
    return copied("linear")


def renamed(to: str) -> Callable[[dict], object]:
    return lambda body: body["files"].update({to: body["files"].pop(LAYOUT.dense)})


def described(**entry: Any) -> Callable[[dict], object]:
    return lambda body: body["files"][LAYOUT.idf].update(entry)


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


PATHS = (
    "../x",
    "/etc/passwd",
    "member-1/../../x",
    "dense.npy\0",
    "\0",
    "",
    ".",
    "..",
    "DENSE.npy",
    "./dense.npy",
    "a" * 5000,
)

FORGED: dict[str, Callable[[dict], object]] = {
    **{f"a path {path!r:.30}": renamed(path) for path in PATHS},
    **{f"{path!r:.30} beside": lambda body, path=path: body["files"].update({path: {}}) for path in PATHS},
    "a claimed size": described(bytes=10**15),
    "a negative size": described(bytes=-1),
    "a size as a fraction": described(bytes=1.0),
    "a size as a text": described(bytes="262272"),
    "a size as true": described(bytes=True),
    "a size beyond 64 bits": described(bytes=10**4000),
    "a digest as a list": described(sha256=[]),
    "a digest in capitals": lambda body: body["files"][LAYOUT.idf].update(
        sha256=body["files"][LAYOUT.idf]["sha256"].upper()
    ),
    "more said of a file": described(mode=0o777),
    "format 0": lambda body: body.update(format=0),
    "format -1": lambda body: body.update(format=-1),
    "format true": lambda body: body.update(format=True),
    "format as a text": lambda body: body.update(format="3"),
    "no format": lambda body: body.pop("format"),
    "one more entry": lambda body: body.update(code="import os"),
    "one entry fewer": lambda body: body.pop("name"),
    "an unknown kind": lambda body: body.update(kind="pickle"),
    "a kind as a list": lambda body: body.update(kind=["pair-linear"]),
    "another kind": lambda body: body.update(kind=ENCODER),
    "an ensemble of none": lambda body: body.update(kind="ensemble", files={}),
    "an ensemble of thousands": lambda body: body.update(
        kind="ensemble", files={f"member-{n}/manifest.json": {"bytes": 1, "sha256": ""} for n in range(1, 9000)}
    ),
    "a name as a number": lambda body: body.update(name=5),
    "half a character": lambda body: body.update(name="\ud800"),
    "no label": lambda body: body.update(labels=[]),
    "labels as an object": lambda body: body.update(labels={"assert": 1}),
    "labels as numbers": lambda body: body.update(labels=[1, 2, 3, 4]),
    "labels as lists": lambda body: body.update(labels=[[], [], [], []]),
    "empty labels": lambda body: body.update(labels=["", "assert", "deny", "none"]),
    "labels twice": lambda body: body.update(labels=["none", "deny", "deny", "none"]),
    "a label more": lambda body: body["labels"].append("maybe"),
    "very many labels": lambda body: body["labels"].extend(map(str, range(100_000))),
    "an unknown label to abstain with": lambda body: body.update(abstain_label="maybe"),
    "an abstain label as a list": lambda body: body.update(abstain_label=[]),
    "a threshold NaN": lambda body: body.update(threshold=float("nan")),
    "a threshold infinite": lambda body: body.update(threshold=float("inf")),
    "a threshold above one": lambda body: body.update(threshold=1.5),
    "a threshold below none": lambda body: body.update(threshold=-0.1),
    "a threshold as a whole number": lambda body: body.update(threshold=1),
    "inputs as a list": lambda body: body.update(inputs=["pair"]),
    "families as a list": lambda body: body.update(families=["overlap"]),
    "an unknown family": lambda body: body["families"].update(telepathy=1.0),
    "a family of NaN": lambda body: body["families"].update(overlap=float("nan")),
    "a family of infinity": lambda body: body["families"].update(grams=float("inf")),
    "a family too large for any sum": lambda body: body["families"].update(grams=1e300),
    "a negative family": lambda body: body["families"].update(grams=-1.0),
    "a family as true": lambda body: body["families"].update(grams=True),
    "a family missing": lambda body: body["families"].pop("overlap"),
    "trained on a list": lambda body: body.update(trained_on=[]),
    "trained on numbers": lambda body: body.update(trained_on={"train_sha256": 5}),
    "settings as a list": lambda body: body.update(settings=[]),
    "settings nested": lambda body: body.update(settings={"weights": nested(5)}),
    "settings nested deeply": lambda body: body.update(settings={"weights": nested(450)}),
    "features as a text": lambda body: body.update(features="1"),
    "features as true": lambda body: body.update(features=True),
    "features of infinity": lambda body: body.update(features=float("inf")),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_manifest_is_refused_and_leads_nowhere(
    linear: Path, forge: Forge, what: str, refusal: Refusal
) -> None:
    (linear.parent / "x").write_bytes((linear / LAYOUT.dense).read_bytes())
    forge(linear, FORGED[what])
    refusal(linear)


RAW = {
    "nothing": b"",
    "a pickle": pickle.dumps({"format": 3}),
    "deep JSON": b"[" * 200_000,
    "deep objects": b'{"format":' * 100_000,
    "deep and closed": b'{"format": 3, "settings": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "a number of a million digits": b'{"format": ' + b"9" * 1_000_000 + b"}",
    "an exponent": b'{"format": 1e999999999}',
    "not UTF-8": b'{"format": 3, "name": "\xff"}',
    "UTF-16": '{"format": 3}'.encode("utf-16"),
    "a NUL": b'{"format": 3}\0',
    "a list": b"[3]",
    "null": b"null",
    "NaN": b"NaN",
    "format and nothing else": b'{"format": 3}',
    "format as an object": b'{"format": {}}',
    "an entry twice": b'{"format": 3, "format": 4}',
    "larger than any manifest": b" " * (2 * 1024 * 1024),
}


@pytest.mark.parametrize("what", RAW)
def test_a_manifest_of_other_bytes_is_refused(linear: Path, what: str, refusal: Refusal) -> None:
    (linear / LAYOUT.manifest).write_bytes(RAW[what])
    refusal(linear, linear / LAYOUT.manifest)


def test_half_a_character_is_refused_where_it_is_escaped_too(linear: Path, refusal: Refusal) -> None:
    body = json.loads((linear / LAYOUT.manifest).read_text(encoding="utf-8"))
    del body["checksum"]
    body["name"] = "\ud800"
    (linear / LAYOUT.manifest).write_text(json.dumps({**body, "checksum": checksum(body)}), encoding="utf-8")
    refusal(linear, linear / LAYOUT.manifest)
