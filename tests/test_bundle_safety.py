"""A bundle is data: whatever is done to its files, reading it gives an error that names the file, and runs nothing."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import claimstance.bundle
from claimstance.bundle import read_bundle
from claimstance.contents import read_checked
from claimstance.errors import BundleError
from claimstance.manifest import LAYOUT, LINEAR
from claimstance.predictor import Predictor

Refusal = Callable[..., str]
FLIPS = 500
KINDS = ("linear", "ensemble", "encoder")
ARRAYS = (LAYOUT.dense, LAYOUT.sparse, LAYOUT.idf)
FILES = (LAYOUT.manifest, *LAYOUT.contents(LINEAR, optional=True))
WEIGHTS = np.linspace(-1, 1, 4, dtype=np.float32).reshape(1, 4)


@pytest.fixture
def linear(copied: Callable[[str], Path]) -> Path:
    return copied("linear")


@pytest.fixture
def encoder(copied: Callable[[str], Path]) -> Path:
    return copied("encoder")


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_bundles_as_they_were_written_are_read_and_answer(every_kind: dict[str, Path], kind: str) -> None:
    (prediction,) = Predictor.load(every_kind[kind]).predict([("نفى الوزير ذلك", "وصلت الشحنة")])
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_no_altered_bit_or_byte_is_accepted(copied: Callable[[str], Path], kind: str) -> None:
    folder, generator = copied(kind), random.Random(20)
    files, accepted = files_of(folder), []
    for number in range(FLIPS):
        # The files in turn, so that a short one is hit as often as a long one.
        path = files[number % len(files)]
        place = generator.randrange(path.stat().st_size)
        change = 1 << generator.randrange(8) if number % 2 else generator.randrange(1, 256)
        with open(path, "r+b", buffering=0) as handle:
            handle.seek(place)
            (intact,) = handle.read(1)
            handle.seek(place)
            handle.write(bytes([intact ^ change]))
            try:
                read_bundle(folder)
                accepted.append((path.name, place, change))
            except BundleError as error:
                assert str(path) in str(error)
            handle.seek(place)
            handle.write(bytes([intact]))
    assert accepted == []
    read_bundle(folder)


def swapped(path: Path) -> None:
    """Put another file of the same bundle in a file's place."""
    other = next(other for other in files_of(path.parent) if other.read_bytes() != path.read_bytes())
    shutil.copy(other, path)


def replaced_by(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def replace_it(path: Path) -> None:
        path.unlink()
        make(path)

    return replace_it


def link_to_other_content(path: Path) -> None:
    stranger = path.parent.parent / "stranger"
    stranger.write_bytes(b"what the manifest does not know")
    path.symlink_to(stranger)


SPOILT = {
    "missing": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut by a byte": lambda path: os.truncate(path, path.stat().st_size - 1),
    "a byte longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "twice": lambda path: path.write_bytes(path.read_bytes() * 2),
    "swapped with another": swapped,
    "a folder": replaced_by(Path.mkdir),
    "a pipe": replaced_by(os.mkfifo),
    "a device that never ends": replaced_by(lambda path: path.symlink_to("/dev/zero")),
    "a link to nowhere": replaced_by(lambda path: path.symlink_to("nowhere")),
    "a link to itself": replaced_by(lambda path: path.symlink_to(path.name)),
    "a link to other content outside": replaced_by(link_to_other_content),
    "enormous": lambda path: os.truncate(path, 8 * 1024**3),
}


@pytest.mark.parametrize("what", SPOILT)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_not_what_was_written_is_named_without_waiting(
    copied: Callable[[str], Path], kind: str, what: str, refusal: Refusal
) -> None:
    folder = copied(kind)
    for path in files_of(folder):
        intact = path.read_bytes()
        SPOILT[what](path)
        said: list[str] = []
        # In a thread, so that a reader who waits for the pipe fails the test and does not stop it.
        thread = threading.Thread(target=lambda to=said, of=path: to.append(refusal(folder, of.parent)), daemon=True)
        thread.start()
        thread.join(timeout=20)
        assert said and path.name in said[0]
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(intact)
    read_bundle(folder)


def test_a_link_to_the_very_content_is_followed(linear: Path) -> None:
    # Caches of model hubs keep files elsewhere and link to them; the digest says what may be read.
    for path in files_of(linear):
        kept = linear.parent / f"kept-{path.name}"
        path.rename(kept)
        path.symlink_to(kept)
    read_bundle(linear)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_the_manifest_does_not_list_is_never_opened(copied: Callable[[str], Path], kind: str) -> None:
    folder = copied(kind)
    for name in {*SPOILT, LAYOUT.thesaurus, LAYOUT.stack, LAYOUT.network, "member-3"} - {
        path.name for path in files_of(folder)
    }:
        os.mkfifo(folder / name)
    bundle = read_bundle(folder)
    assert getattr(bundle, "thesaurus", None) is None or (folder / LAYOUT.thesaurus).is_file()


def test_what_was_checked_is_what_is_loaded_though_the_file_changes_meanwhile(
    linear: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_bundle(linear)

    def read_then_spoil(path: Path, *rest: Any) -> bytes:
        content = read_checked(path, *rest)
        path.write_bytes(b"spoilt between the check and the use")
        return content

    monkeypatch.setattr(claimstance.bundle, "read_checked", read_then_spoil)
    after = read_bundle(linear)
    for name in ("dense", "sparse", "idf", "thesaurus"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert after.lexicons == before.lexicons
