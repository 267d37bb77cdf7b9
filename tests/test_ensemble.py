"""Ensembles as they are exported: an average is the mean of its members, a stack the layer over them, both are bundles."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from claimstance.bundle import LAYOUT, EnsembleBundle, bundle_digest, read_bundle, write_bundle
from claimstance.ensemble import EnsembleModel
from claimstance.errors import BundleError, ClaimstanceError
from claimstance.explanation import explain
from claimstance.predictor import Predictor
from claimstance.records import Pair
from training.corpus import LoadedCorpus


def texts(corpus: LoadedCorpus) -> tuple[list[str], list[str]]:
    data = corpus.splits["validation"]
    return list(data["quote"]), list(data["claim"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def member_answers(model: Path, quotes: Sequence[str], claims: Sequence[str]) -> list[np.ndarray]:
    """What each member says when it is loaded by itself."""
    return [Predictor.load(model / LAYOUT.member(number)).probabilities(quotes, claims) for number in (1, 2)]


def softmax(scores: np.ndarray) -> np.ndarray:
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def test_an_average_is_the_mean_of_its_members_sharpened(average: Path, loaded_corpus: LoadedCorpus) -> None:
    predictor = Predictor.load(average)
    first, second = member_answers(average, *texts(loaded_corpus))
    settings = predictor.manifest.settings
    assert settings["weights"] == [0.75, 0.25] and not (average / LAYOUT.stack).exists()
    expected = softmax(np.log(0.75 * first + 0.25 * second) / settings["temperature"])
    np.testing.assert_allclose(predictor.probabilities(*texts(loaded_corpus)), expected, atol=1e-6)


def test_a_stack_is_a_linear_layer_over_the_logs_of_its_members(stack: Path, loaded_corpus: LoadedCorpus) -> None:
    layer = np.load(stack / LAYOUT.stack)
    first, second = member_answers(stack, *texts(loaded_corpus))
    assert layer.shape == (9, 4) and layer.dtype == np.float32
    expected = softmax(np.log(first) @ layer[:4] + np.log(second) @ layer[4:8] + layer[8])
    np.testing.assert_allclose(Predictor.load(stack).probabilities(*texts(loaded_corpus)), expected, atol=1e-6)


def test_a_pair_is_given_the_same_alone_and_in_any_batch(ensemble_folder: Path, few_pairs: list[Pair]) -> None:
    predictor = Predictor.load(ensemble_folder)
    whole = predictor.predict(few_pairs[:50])
    assert predictor.predict(few_pairs[:7]) == whole[:7]
    assert [predictor.predict([pair])[0] for pair in few_pairs[:50]] == whole
    assert predictor.predict([]) == []


def test_it_is_read_and_written_again_with_the_same_bytes(ensemble_folder: Path, tmp_path: Path) -> None:
    write_bundle(read_bundle(ensemble_folder), tmp_path / "again")
    assert contents(tmp_path / "again") == contents(ensemble_folder)
    assert bundle_digest(tmp_path / "again") == bundle_digest(ensemble_folder)


def test_members_that_changed_places_or_went_missing_are_refused(ensemble_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(ensemble_folder, tmp_path / "copy"))
    for source, target in (("member-1", "other"), ("member-2", "member-1"), ("other", "member-2")):
        (copy / source).rename(copy / target)
    with pytest.raises(BundleError, match=r"member-1.manifest\.json.*export the model again"):
        read_bundle(copy)
    shutil.rmtree(copy / "member-1")
    with pytest.raises(BundleError, match=r"member-1.manifest\.json: missing"):
        read_bundle(copy)


def test_an_ensemble_inside_an_ensemble_is_neither_made_nor_read(
    average: Path, forge: Callable[..., None], tmp_path: Path
) -> None:
    bundle = read_bundle(average)
    with pytest.raises(BundleError, match="member 1 is an ensemble itself"):
        EnsembleBundle(bundle.manifest, (bundle, bundle), None)
    copy = Path(shutil.copytree(average, tmp_path / "copy"))
    shutil.rmtree(copy / "member-2")
    shutil.copytree(average, copy / "member-2")
    forge(copy)
    with pytest.raises(BundleError, match="member-2: an ensemble inside an ensemble"):
        read_bundle(copy)


def relabelled(bundle: Any, **parts: Any) -> Any:
    return dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, **parts))


@pytest.mark.parametrize(
    ("part", "value"),
    [("labels", ("deny", "assert", "confirm", "none")), ("abstain_label", ""), ("inputs", "quote")],
)
def test_members_that_answer_another_question_are_refused(
    average: Path, forge: Callable[..., None], tmp_path: Path, part: str, value: object
) -> None:
    bundle = read_bundle(average)
    with pytest.raises(BundleError, match=f"member 2 has the {part}"):
        EnsembleBundle(bundle.manifest, (bundle.members[0], relabelled(bundle.members[1], **{part: value})), None)
    copy = Path(shutil.copytree(average, tmp_path / "copy"))
    write_bundle(relabelled(bundle.members[1], **{part: value}), copy / "member-2")
    forge(copy)
    with pytest.raises(BundleError, match=f"copy: member 2 has the {part}"):
        Predictor.load(copy)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda layer: layer[:-1], id="a row too few"),
        pytest.param(lambda layer: layer.astype(np.float64), id="of 64 bits"),
        pytest.param(lambda layer: layer.ravel(), id="flat"),
    ],
)
def test_a_layer_that_is_not_of_the_members_is_refused(
    stack: Path, forge: Callable[..., None], tmp_path: Path, spoil: Any
) -> None:
    copy = Path(shutil.copytree(stack, tmp_path / "copy"))
    np.save(copy / LAYOUT.stack, spoil(np.load(copy / LAYOUT.stack)))
    forge(copy)
    with pytest.raises(BundleError, match=r"copy/stack\.npy: not a plain array of 9 × 4 float32"):
        read_bundle(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"rule": "vote"},
        {"rule": "stack"},
        {"weights": [1.0]},
        {"weights": [0.5, 0.6]},
        {"weights": [1.5, -0.5]},
        {"weights": [1, 0]},
        {"weights": None},
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"speed": 2},
    ],
)
def test_settings_that_no_ensemble_has_are_refused(average: Path, change: dict[str, object]) -> None:
    bundle = read_bundle(average)
    spoilt = relabelled(bundle, settings={**bundle.manifest.settings, **change})
    with pytest.raises(BundleError, match="export the model again"):
        Predictor(spoilt)
    with pytest.raises(BundleError, match="export the model again"):
        EnsembleModel(relabelled(bundle, settings={}), [])


def test_its_articles_are_read_with_the_word_lists_of_the_first_member(average: Path) -> None:
    predictor = Predictor.load(average)
    assert predictor.lexicon is predictor.model._members[0].lexicon


def test_it_is_explained_by_occlusion(average: Path) -> None:
    predictor = Predictor.load(average)
    found = explain(predictor, "نفى الوزير وصول الشحنة", "وصلت الشحنة")
    assert not found.parts and found.words[0].text == "نفى"
    with pytest.raises(ClaimstanceError, match="kind ensemble has no terms to share out; use occlusion"):
        explain(predictor, "نفى الوزير ذلك", "وصلت الشحنة", method="contributions")
