"""Fitting: the same run gives the same bytes, choices are the best there are, and other label sets work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import scipy.special
import sklearn.metrics
import yaml

from claimstance.bundle import write_bundle
from claimstance.errors import ClaimstanceError
from claimstance.lexicon import Lexicon
from claimstance.predictor import Predictor
from claimstance.words import read_words
from training.config import Config
from training.corpus import LoadedCorpus, load_corpus
from training.cross_validation import cross_validate
from training.linear import inverse_document_frequency
from training.models import fit
from training.preparation import choose_temperature, choose_threshold, read_lexicons


def changed(config: Config, **parts: dict[str, Any]) -> Config:
    """The config with some keys of its sections changed."""
    content = config.model_dump()
    for name, keys in parts.items():
        content[name] = {**content[name], **keys}
    return Config.model_validate(content)


@pytest.fixture(scope="module")
def quick(small_config: Config) -> Config:
    """The small run with few features, which fits in half a second."""
    return changed(small_config, model={"families": {"overlap": 0.4, "cues": 1.0, "polarity": 1.0, "words": 0.3}})


@pytest.fixture(scope="module")
def corpus(small_config: Config) -> LoadedCorpus:
    return load_corpus(small_config)


@pytest.fixture(scope="module")
def fitted(quick: Config, corpus: LoadedCorpus) -> Predictor:
    return Predictor(fit(quick, corpus.splits["train"], corpus.splits["validation"], {}).bundle)


def texts_of(data: datasets.Dataset) -> tuple[list[str], list[str], np.ndarray]:
    """Quotes, claims and label indices of a split."""
    return list(data["quote"]), list(data["claim"]), np.array(data["stance"])


def labelled(rows: Sequence[tuple[str, str, str]], labels: Sequence[str]) -> datasets.Dataset:
    """A dataset of (event, quote, stance) rows, whose claims are all one."""
    events, quotes, stances = zip(*rows, strict=True)
    features = datasets.Features(
        {
            **{name: datasets.Value("string") for name in ("event", "quote", "claim")},
            "stance": datasets.ClassLabel(names=list(labels)),
        }
    )
    table = {"event": events, "quote": quotes, "claim": ["وصلت الشحنة"] * len(rows), "stance": stances}
    return datasets.Dataset.from_dict({name: list(values) for name, values in table.items()}, features=features)


def opinions(labels: Sequence[str]) -> datasets.Dataset:
    """Quotes of which a model of cues can tell the first two labels apart; others say nothing of the kind."""
    texts = ("أكد الوزير وصول الشحنة", "نفى الوزير وصول الشحنة", "كان الطقس جميلا في المدينة")
    rows = [(f"قصة {n}", f"{text} {n}", label) for n in range(12) for text, label in zip(texts, labels, strict=False)]
    return labelled(rows, labels)


def test_the_same_config_and_seed_give_the_same_bytes(quick: Config, corpus: LoadedCorpus, tmp_path: Path) -> None:
    for name in ("one", "two"):
        result = fit(quick, corpus.splits["train"], corpus.splits["validation"], {"corpus_sha256": corpus.digest})
        write_bundle(result.bundle, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["dense.npy", "idf.npy", "lexicon.json", "manifest.json", "sparse.npy"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_a_small_model_reads_stances_of_events_it_has_not_seen(fitted: Predictor, corpus: LoadedCorpus) -> None:
    validation = corpus.splits["validation"]
    quotes, claims, truth = texts_of(validation)
    likeliest = fitted.probabilities(quotes, claims).argmax(axis=1)
    assert (likeliest == truth).mean() > np.bincount(truth).max() / truth.size + 0.05


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_is_the_best_of_a_fine_grid(sharpness: float) -> None:
    random = np.random.default_rng(7)
    scores = random.normal(size=(400, 4)) * 2
    truth = np.array([random.choice(4, p=row) for row in scipy.special.softmax(scores, axis=1)])
    scores = scores * sharpness

    def loss(temperature: float) -> float:
        return sklearn.metrics.log_loss(truth, scipy.special.softmax(scores / temperature, axis=1), labels=range(4))

    chosen = choose_temperature(scores, truth)
    assert chosen == pytest.approx(sharpness, rel=0.25)
    assert loss(chosen) <= min(loss(temperature) for temperature in np.geomspace(0.2, 5, 400)) + 1e-6


def test_an_exported_model_is_calibrated_already(quick: Config, corpus: LoadedCorpus) -> None:
    train, validation = corpus.splits["train"], corpus.splits["validation"]
    result = fit(changed(quick, model={"families": {"cues": 1.0}, "C": 0.003}), train, validation, {})
    assert result.temperature != pytest.approx(1, abs=0.02)
    quotes, claims, truth = texts_of(validation)
    probabilities = Predictor(result.bundle).probabilities(quotes, claims)
    assert choose_temperature(np.log(probabilities), truth) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("mismatched", [0.0, 0.5])
def test_the_bundle_gives_the_probabilities_of_the_fitted_model(
    quick: Config, corpus: LoadedCorpus, mismatched: float
) -> None:
    validation = corpus.splits["validation"]
    config = changed(quick, model={"mismatched": mismatched})
    result = fit(config, corpus.splits["train"], validation, {})
    quotes, claims, _ = texts_of(validation)
    # Those of the validation pairs, without the mismatched ones that it was calibrated with.
    assert result.probabilities.shape == (len(validation), 4)
    np.testing.assert_allclose(Predictor(result.bundle).probabilities(quotes, claims), result.probabilities, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_is_the_best_of_all_and_in_the_middle_of_the_equally_good(seed: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(4), size=12)
    truth = np.array([random.choice(4, p=row) for row in probabilities])
    best = probabilities[:, :3].argmax(axis=1)
    grid = np.arange(96) / 100
    figures = []
    for threshold in grid:
        given = np.where(probabilities[:, :3].max(axis=1) >= threshold, best, 3)
        figures.append(sklearn.metrics.f1_score(truth, given, labels=[0, 1, 2], average="macro", zero_division=0))
    good = grid[np.array(figures) > max(figures) - 1e-9]
    assert good.size > 2
    chosen = choose_threshold(probabilities, truth, [0, 1, 2])
    assert chosen in good
    assert (good <= chosen).sum() == pytest.approx((good >= chosen).sum(), abs=1)


def test_the_threshold_abstains_only_where_that_pays() -> None:
    sure, unsure = [0.9, 0.05, 0.05], [0.4, 0.3, 0.3]
    probabilities = np.array([sure, unsure] * 10)
    assert 0.4 < choose_threshold(probabilities, np.array([0, 2] * 10), [0, 1]) <= 0.9
    assert choose_threshold(probabilities, np.array([0, 0] * 10), [0, 1]) <= 0.4


def test_the_threshold_is_found_wherever_the_abstain_label_stands() -> None:
    probabilities = np.array([[0.05, 0.9, 0.05], [0.3, 0.4, 0.3]] * 10)
    assert 0.4 < choose_threshold(probabilities, np.array([1, 0] * 10), [1, 2]) <= 0.9


def test_a_model_abstains_below_its_threshold_and_nowhere_else(fitted: Predictor, corpus: LoadedCorpus) -> None:
    quotes, claims, _ = texts_of(corpus.splits["validation"])
    threshold = fitted.manifest.threshold
    for prediction in fitted.predict(list(zip(quotes, claims, strict=True))):
        assert (prediction.stance is None) == (prediction.confidence < threshold)


def test_cross_validation_never_learns_from_the_event_it_predicts(quick: Config) -> None:
    # Every event has a word of its own and one label: who has seen the event knows the label, nobody else can.
    random = np.random.default_rng(0)
    names = [f"حدث{chr(0x628 + n % 20)}{chr(0x633 + n // 20)}" for n in range(60)]
    labels = [str(label) for label in random.permutation(["agree", "disagree"] * 30)]
    rows = [(name, f"{name} {name}", label) for name, label in zip(names, labels, strict=True) for _ in range(4)]
    config = changed(
        quick,
        labels={"stances": ("agree", "disagree"), "abstain": None},
        model={"families": {"bag": 1.0}, "C": 100.0},
    )
    data = labelled(rows, ("agree", "disagree"))
    confusion = sum(fold.confusion for fold in cross_validate(config, data, 5))
    assert confusion.sum() == len(rows)
    assert np.trace(confusion) / len(rows) < 0.75
    seen = Predictor(fit(config, data, data, {}).bundle)
    assert [prediction.stance for prediction in seen.predict([(row[1], "وصلت الشحنة") for row in rows])] == [
        row[2] for row in rows
    ]


def test_a_model_of_two_labels_gives_both_probabilities(quick: Config) -> None:
    labels = ("agree", "disagree")
    config = changed(quick, labels={"stances": labels, "abstain": None}, model={"families": {"cues": 1.0}})
    data = opinions(labels)
    result = fit(config, data, data, {})
    predictor = Predictor(result.bundle)
    np.testing.assert_allclose(predictor.probabilities(*texts_of(data)[:2]), result.probabilities, atol=1e-5)
    pairs = [("أكد المدير وصول الشحنة", "وصلت الشحنة"), ("نفى المدير وصول الشحنة", "وصلت الشحنة")]
    predictions = predictor.predict(pairs)
    assert [prediction.stance for prediction in predictions] == ["agree", "disagree"]
    for prediction in predictions:
        assert sum(prediction.probabilities.values()) == pytest.approx(1)


def test_one_stance_and_a_label_of_none_need_two_stances(quick: Config) -> None:
    with pytest.raises(ValueError, match="stances"):
        changed(quick, labels={"stances": ("agree",), "abstain": "none"})


def test_a_label_absent_from_training_is_named(quick: Config, corpus: LoadedCorpus) -> None:
    train = corpus.splits["train"]
    confirm = train.features["stance"].str2int("confirm")
    without = train.filter(lambda row: row["stance"] != confirm)
    with pytest.raises(ClaimstanceError, match="no training pair is labelled confirm"):
        fit(quick, without, corpus.splits["validation"], {})


def test_labels_without_an_abstain_label_never_abstain(quick: Config) -> None:
    labels = ("agree", "disagree", "other")
    config = changed(quick, labels={"stances": labels, "abstain": None}, model={"families": {"cues": 1.0}})
    data = opinions(labels)
    bundle = fit(config, data, data, {}).bundle
    assert (bundle.manifest.abstain_label, bundle.manifest.threshold) == ("", 0.0)
    unlike = [("لا شيء", "ادعاء آخر تماما"), ("نفى", "x"), ("كان الطقس جميلا", "وصلت الشحنة"), ("...", "؟")]
    stances = [prediction.stance for prediction in Predictor(bundle).predict(unlike)]
    assert None not in stances
    assert stances[2] == "other"


def test_mismatched_pairs_teach_a_model_to_abstain_on_claims_of_other_events(
    quick: Config, corpus: LoadedCorpus
) -> None:
    train, validation = corpus.splits["train"], corpus.splits["validation"]
    quotes, claims, _ = texts_of(validation)
    events = validation["event"][:]
    half = len(quotes) // 2
    moved = [
        (quotes[n], claims[(n + half) % len(quotes)])
        for n in range(len(quotes))
        if events[n] != events[(n + half) % len(quotes)]
    ]
    nothing = []
    for share in (0.0, 1.0):
        config = changed(quick, model={"families": {"overlap": 0.4}, "mismatched": share})
        predictor = Predictor(fit(config, train, validation, {}).bundle)
        nothing.append(np.mean([prediction.probabilities["none"] for prediction in predictor.predict(moved)]))
    assert nothing[1] > nothing[0]


def test_idf_counts_the_texts_with_a_stem(lexicon: Lexicon) -> None:
    texts = ["وصلت السفينة إلى السفينة", "غادرت السفينة", "المطر غزير"]
    idf = inverse_document_frequency(texts, lexicon)
    assert idf.shape == (65_536,)
    values = sorted({round(float(value), 5) for value in idf})
    assert values == pytest.approx([np.log(4 / 3), np.log(4 / 2), np.log(4 / 1)], abs=1e-4)
    assert read_words(texts[:1]).text.size == 4


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("cues: [", "not YAML"),
        ("# a remark\n", "list.yaml"),
        ("- a\n- b\n", "list.yaml"),
        ("languages: ar\n", "list.yaml"),
    ],
    ids=["broken", "remark", "sequence", "wrong-key"],
)
def test_a_word_list_that_is_none_is_named(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "list.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ClaimstanceError, match=expected):
        read_lexicons([str(path)])


def test_a_missing_word_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClaimstanceError, match=r"none\.yaml: no such file"):
        read_lexicons([str(tmp_path / "none.yaml")])


def test_an_encoder_without_its_packages_says_how_to_install_them(
    small_config: Config, tmp_path: Path, root: Path
) -> None:
    content = small_config.model_dump(mode="json")
    content["model"] = {"kind": "encoder", "checkpoint": "a/b", "lexicons": content["model"]["lexicons"]}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    program = (
        "import sys; sys.modules['onnx_ir'] = None; from training.__main__ import main; sys.exit(main(['run.yaml']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 2
    assert "needs onnx_ir, which is not installed: make .venv/encoder" in done.stderr.replace("\n", " ")
