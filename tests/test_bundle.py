"""An exported model on disk: equal bundles are equal bytes, and nothing altered, missing or malformed is accepted."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from claimstance.bundle import LAYOUT, LINEAR, bundle_digest, read_bundle, write_bundle
from claimstance.errors import BundleError, ClaimstanceError
from claimstance.manifest import FORMAT
from claimstance.predictor import Predictor

FILES = (LAYOUT.manifest, *LAYOUT.contents(LINEAR))


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may spoil."""
    return Path(shutil.copytree(model_folder, tmp_path / "نموذج"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bundle_read_and_written_again_has_the_same_bytes(model_folder: Path, tmp_path: Path) -> None:
    bundle = read_bundle(model_folder)
    for name in ("one", "two"):
        write_bundle(bundle, tmp_path / name)
        assert contents(tmp_path / name) == contents(model_folder)
        assert bundle_digest(tmp_path / name) == bundle_digest(model_folder)
    assert sorted(contents(model_folder)) == sorted(FILES)


def test_array_layout_and_width_in_memory_do_not_change_the_bytes(model_folder: Path, tmp_path: Path) -> None:
    bundle = read_bundle(model_folder)
    other = dataclasses.replace(
        bundle, dense=np.asfortranarray(bundle.dense, dtype=np.float64), idf=np.repeat(bundle.idf, 2)[::2]
    )
    write_bundle(other, tmp_path / "other")
    assert contents(tmp_path / "other") == contents(model_folder)


def test_a_changed_weight_changes_the_digest(model_folder: Path, tmp_path: Path) -> None:
    bundle = read_bundle(model_folder)
    idf = bundle.idf.copy()
    idf[0] += 1
    write_bundle(dataclasses.replace(bundle, idf=idf), tmp_path / "other")
    assert bundle_digest(tmp_path / "other") != bundle_digest(model_folder)


def test_a_failed_write_leaves_the_old_bundle(copy: Path) -> None:
    before = contents(copy)
    broken = dataclasses.replace(read_bundle(copy), lexicons=[{"cues": object()}])
    with pytest.raises(TypeError):
        write_bundle(broken, copy)
    assert contents(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_a_missing_folder_says_how_to_get_a_model(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="absent: no such model folder; train one with: make quickstart"):
        read_bundle(tmp_path / "absent")


def test_a_newer_format_asks_for_an_upgrade_before_anything_else_is_judged(copy: Path) -> None:
    newer = {"format": FORMAT + 1, "something": "new"}
    (copy / LAYOUT.manifest).write_text(json.dumps(newer), encoding="utf-8")
    with pytest.raises(BundleError, match=rf"format {FORMAT + 1} is newer than {FORMAT}.*pip install --upgrade"):
        read_bundle(copy)


@pytest.mark.parametrize("part", ["normalisation", "features"])
def test_a_model_of_other_features_is_refused(copy: Path, forge: Callable[..., None], part: str) -> None:
    forge(copy, lambda body: body.update({part: body[part] + 1}))
    with pytest.raises(BundleError, match=rf"made with {part} version \d+, this claimstance has \d+"):
        read_bundle(copy)


def rename(body: dict) -> None:
    body["files"]["../outside.npy"] = body["files"].pop(LAYOUT.dense)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(rename, id="a file named outside the folder"),
        pytest.param(
            lambda body: body["files"].update({"../outside.npy": body["files"][LAYOUT.dense]}),
            id="one more file, outside the folder",
        ),
        pytest.param(lambda body: body.update(files=None), id="no files"),
        pytest.param(lambda body: body.update(files=[]), id="files as a list"),
        pytest.param(lambda body: body["files"].update({LAYOUT.idf: None}), id="a file without size"),
        pytest.param(lambda body: body.update(labels=4), id="labels as a number"),
        pytest.param(lambda body: body.update(labels=["a", "a", "a", "a"]), id="labels twice"),
        pytest.param(lambda body: body.update(threshold="0.5"), id="threshold as a text"),
        pytest.param(lambda body: body.update(inputs="both"), id="unknown inputs"),
        pytest.param(lambda body: body.update(families={"cues": 1.0}), id="fewer families than weights"),
        pytest.param(lambda body: body.update(families={"telepathy": 1.0}), id="unknown family"),
    ],
)
def test_a_manifest_with_a_fitting_checksum_but_wrong_content_is_refused(
    copy: Path, forge: Callable[..., None], change: Callable[[dict], None]
) -> None:
    shutil.copy(copy / LAYOUT.dense, copy.parent / "outside.npy")
    forge(copy)
    read_bundle(copy)
    forge(copy, change)
    with pytest.raises(BundleError) as caught:
        Predictor.load(copy)
    assert str(caught.value).startswith(str(copy))


def save_objects(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object))


def save_archive(path: Path) -> None:
    with open(path, "wb") as handle:
        np.savez(handle, dense=np.zeros((150, 4), dtype=np.float32))


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        pytest.param(LAYOUT.dense, save_objects, id="pickled objects"),
        pytest.param(LAYOUT.dense, save_archive, id="an archive"),
        pytest.param(LAYOUT.dense, lambda path: path.write_bytes(b""), id="nothing"),
        pytest.param(LAYOUT.dense, lambda path: np.save(path, np.load(path)[1:]), id="a row too few"),
        pytest.param(LAYOUT.dense, lambda path: np.save(path, np.load(path)[:, 1:]), id="a label too few"),
        pytest.param(LAYOUT.dense, lambda path: np.save(path, np.load(path).astype("U9")), id="texts"),
        pytest.param(LAYOUT.idf, lambda path: np.save(path, np.load(path)[1:]), id="an idf too few"),
        pytest.param(LAYOUT.lexicon, lambda path: path.write_text("5", encoding="utf-8"), id="a number as word lists"),
        pytest.param(LAYOUT.lexicon, lambda path: path.write_text("[", encoding="utf-8"), id="broken JSON"),
        pytest.param(LAYOUT.lexicon, lambda path: path.write_text("[" * 10**5, encoding="utf-8"), id="deep JSON"),
    ],
)
def test_a_wrong_file_with_a_fitting_checksum_is_refused(
    copy: Path, forge: Callable[..., None], name: str, spoil: Callable[[Path], object]
) -> None:
    spoil(copy / name)
    forge(copy)
    with pytest.raises(ClaimstanceError) as caught:
        Predictor.load(copy)
    assert str(copy) in str(caught.value)


def test_a_bundle_of_the_first_format_is_still_read(model_folder: Path, tmp_path: Path) -> None:
    bundle = read_bundle(model_folder)
    write_bundle(dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, format=1)), tmp_path / "old")
    assert "settings" not in json.loads((tmp_path / "old" / LAYOUT.manifest).read_text(encoding="utf-8"))
    again = read_bundle(tmp_path / "old")
    assert again.manifest == dataclasses.replace(bundle.manifest, format=1) and (again.dense == bundle.dense).all()
