"""The evidence beside a model: its blind variants cannot see what they are said not to read, and it stays with its bundle."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from claimstance.bundle import bundle_digest, write_bundle
from claimstance.errors import ClaimstanceError
from claimstance.files import sha256
from claimstance.lexicon import Lexicon
from claimstance.predictor import Predictor
from claimstance.records import LABELS, STANCES, Pair, read_pairs
from claimstance.words import read_words
from evaluation.__main__ import main as evaluation
from evaluation.evidence import Evidence, evidence_folder, read_evidence
from training.config import Config
from training.corpus import load_corpus
from training.evidence import blind_variants, other_seeds, write_evidence
from training.models import fit

BLIND = ("quote alone", "claim alone", "cue words alone")
WHOLE = "quote and claim"
COMMONEST = "nothing: the commonest stance"


@pytest.fixture(scope="module")
def config(small_config: Config) -> Config:
    """The small run of three seeds, with quotes of other events met in training."""
    content = small_config.model_dump(mode="json")
    content["model"] |= {"mismatched": 0.3, "families": {"overlap": 0.4, "cues": 1.0, "polarity": 1.0}}
    return Config.model_validate(content | {"evaluation": {"seeds": 3}})


@pytest.fixture(scope="module")
def bundle(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's bundle, its evidence beside it; tests that change either work on a copy."""
    folder = tmp_path_factory.mktemp("evidence") / "small"
    corpus = load_corpus(config)
    fitted = fit(config, corpus.splits["train"], corpus.splits["validation"], corpus.trained_on(config.name))
    write_bundle(fitted.bundle, folder)
    write_evidence(config, corpus, fitted, folder, evidence_folder(folder))
    return folder


@pytest.fixture(scope="module")
def evidence(bundle: Path) -> Evidence:
    found = read_evidence(bundle)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def models(bundle: Path, evidence: Evidence) -> dict[str, Predictor]:
    """The model and its blind variants, by what they read."""
    return {WHOLE: Predictor.load(bundle), **evidence.blind}


@pytest.fixture
def copied(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle and its evidence, to be changed."""
    for source in (bundle, evidence_folder(bundle)):
        shutil.copytree(source, tmp_path / source.name)
    return tmp_path / bundle.name


def shuffled(pairs: list[Pair], side: str) -> list[Pair]:
    """Give every pair the quote or claim of a pair far away."""
    others = [*pairs[len(pairs) // 2 :], *pairs[: len(pairs) // 2]]
    return [replace(pair, **{side: getattr(other, side)}) for pair, other in zip(pairs, others, strict=True)]


@pytest.mark.parametrize(
    ("reads", "side", "blind"),
    [
        ("quote alone", "claim", True),
        ("quote alone", "quote", False),
        ("claim alone", "quote", True),
        ("claim alone", "claim", False),
        (WHOLE, "claim", False),
        (WHOLE, "quote", False),
    ],
)
def test_a_variant_sees_no_side_that_it_does_not_read(
    models: dict[str, Predictor], few_pairs: list[Pair], reads: str, side: str, blind: bool
) -> None:
    before, after = models[reads].predict(few_pairs), models[reads].predict(shuffled(few_pairs, side))
    assert (before == after) == blind


def without_content(text: str, lexicon: Lexicon, word: str) -> str:
    """Put one word in the place of every word of a text that is no cue."""
    kept = read_words(text.split())
    cues = lexicon.read(kept).classes
    is_cue = np.bincount(kept.text, weights=cues != 0, minlength=len(text.split())) > 0
    return " ".join(token if cue else word for token, cue in zip(text.split(), is_cue, strict=True))


@pytest.mark.parametrize(("reads", "blind"), [("cue words alone", True), (WHOLE, False)])
def test_cue_words_alone_do_not_see_what_is_spoken_of(
    models: dict[str, Predictor], lexicon: Lexicon, reads: str, blind: bool
) -> None:
    cases = [
        ("نفى وزير الاقتصاد وصول أي قمح ملوث إلى المرفأ", "وصلت شحنة قمح ملوثة إلى مرفأ السلام"),
        ("أكد مدير المختبر أن الشحنة ملوثة", "وصلت شحنة قمح ملوثة"),
        ("لا صحة لما تقوله النقابة", "لم تصل شحنة قمح"),
        ("The minister denied that any tainted wheat had reached the port", "Tainted wheat reached the port"),
    ]
    emptied = [tuple(without_content(text, lexicon, "بلبل") for text in case) for case in cases]
    assert all(case != other for case, other in zip(cases, emptied, strict=True))
    before, after = models[reads].predict(cases), models[reads].predict(emptied)
    assert (before == after) == blind


def test_cue_words_alone_do_see_the_cues(models: dict[str, Predictor]) -> None:
    claim = "وصلت شحنة قمح ملوثة"
    denied, confirmed = models["cue words alone"].predict([("نفى الوزير ذلك", claim), ("أكد الوزير ذلك", claim)])
    assert denied.probabilities != confirmed.probabilities


def test_a_blind_variant_differs_from_the_run_in_what_it_reads_and_in_nothing_else(config: Config) -> None:
    variants = blind_variants(config)
    assert tuple(variants) == BLIND
    assert len({config.name, *(variant.name for variant in variants.values())}) == 1 + len(BLIND)
    for variant in variants.values():
        # What a variant is changed to is a run that a config file could give.
        assert Config.model_validate(variant.model_dump()) == variant
        blinded = {"inputs", "families", "mismatched"}
        assert variant.model.model_dump(exclude=blinded) == config.model.model_dump(exclude=blinded)
        assert variant.model_copy(update={"model": config.model, "name": config.name}) == config


@pytest.mark.parametrize("inputs", ["quote", "claim"])
def test_a_run_that_reads_one_side_has_no_blind_variants(small_config: Config, inputs: str) -> None:
    content = small_config.model_dump(mode="json")
    content["model"] |= {"inputs": inputs}
    assert blind_variants(Config.model_validate(content)) == {}


def test_other_seeds_are_trained_where_training_draws_anything(config: Config, small_config: Config) -> None:
    assert [(name, seeded.seed) for name, seeded in other_seeds(config).items()] == [("1", 1), ("2", 2)]
    for seeded in other_seeds(config).values():
        assert seeded.model_copy(update={"seed": config.seed}) == config
    drawing_nothing = small_config.model_copy(update={"evaluation": config.evaluation})
    assert other_seeds(drawing_nothing) == {}


def test_the_models_of_other_seeds_are_other_models(models: dict[str, Predictor], evidence: Evidence) -> None:
    assert set(evidence.seeds) == {"1", "2"}
    weights = [models[WHOLE].bundle.dense, *(model.bundle.dense for model in evidence.seeds.values())]
    for number, one in enumerate(weights):
        assert all(not np.array_equal(one, other) for other in weights[:number])


def test_the_evidence_names_its_bundle_and_the_validation_file(
    bundle: Path, evidence: Evidence, small_corpus: Path
) -> None:
    assert evidence.record.bundle == bundle_digest(bundle)
    assert evidence.record.validation == sha256(small_corpus / "validation.jsonl")
    assert set(evidence.blind) == set(BLIND)


def test_everything_in_the_evidence_was_trained_on_the_pairs_of_the_model(
    models: dict[str, Predictor], evidence: Evidence, small_corpus: Path
) -> None:
    for model in [*models.values(), *evidence.seeds.values()]:
        assert model.manifest.trained_on["train_sha256"] == sha256(small_corpus / "train.jsonl")


def test_the_evidence_keeps_the_probabilities_that_the_fitted_model_gave_the_validation_pairs(
    models: dict[str, Predictor], evidence: Evidence, small_corpus: Path
) -> None:
    pairs = read_pairs(small_corpus / "validation.jsonl")
    ours = models[WHOLE].probabilities([pair.quote for pair in pairs], [pair.claim for pair in pairs])
    np.testing.assert_allclose(ours, evidence.probabilities, atol=1e-5)


def macro_f1_of(truth: list[str], given: list[str]) -> list[float]:
    """Macro-F1 over the stances, over all labels, and F1 by label, as they are printed."""
    f1 = {}
    for label in LABELS:
        hits = sum(right == label == said for right, said in zip(truth, given, strict=True))
        f1[label] = 2 * hits / max(truth.count(label) + given.count(label), 1)
    values = [np.mean([f1[label] for label in STANCES]), np.mean(list(f1.values())), *f1.values()]
    return [float(f"{value:.3f}") for value in values]


def test_evaluation_prints_what_every_blind_variant_reaches(
    bundle: Path, models: dict[str, Predictor], small_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = small_corpus / "validation.jsonl"
    assert evaluation([str(bundle), str(source)]) == 0
    shown = capsys.readouterr().out
    table = shown[shown.index("What is gained by reading the pair") :]
    cells = [re.split(r" *│ *", line)[1:-1] for line in table[: table.index("└")].splitlines() if "│" in line]
    rows = {row[0]: [float(value) for value in row[1:]] for row in cells}
    assert tuple(rows) == (WHOLE, *BLIND, COMMONEST)
    pairs = read_pairs(source)
    truth = [pair.stance for pair in pairs]
    for reads, model in models.items():
        given = [prediction.stance or "none" for prediction in model.predict(pairs)]
        assert rows[reads] == macro_f1_of(truth, given), reads
    # The last row is no model: it always gives the stance that is commonest in the pairs.
    assert rows[COMMONEST] == macro_f1_of(truth, [max(STANCES, key=truth.count)] * len(truth))
    gain = rows[WHOLE][0] - max(rows[reads][0] for reads in (*BLIND, COMMONEST))
    (printed,) = re.findall(r"^shortcut_gain (-?\d\.\d{3})$", shown, re.MULTILINE)
    assert float(printed) == pytest.approx(gain, abs=0.0011)


def test_a_bundle_that_was_copied_alone_has_no_evidence_and_evaluation_says_so(
    bundle: Path, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(bundle, tmp_path / "alone")
    assert read_evidence(tmp_path / "alone") is None
    assert evaluation([str(tmp_path / "alone"), str(small_corpus / "validation.jsonl")]) == 0
    shown = capsys.readouterr().out
    assert "not measured: what blind variants of the model reach" in shown
    assert "shortcut_gain" not in shown


def rewritten(name: str, value: Any) -> Callable[[Path], None]:
    """Change one entry of the record of a folder of evidence."""

    def change(folder: Path) -> None:
        path = folder / "evidence.json"
        body = json.loads(path.read_text(encoding="utf-8")) | {name: value}
        path.write_text(json.dumps(body, ensure_ascii=False), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (rewritten("bundle", "0" * 64), "evidence of another model than"),
        (rewritten("format", 2), "format 2 is newer than 1"),
        (rewritten("blind", {"quote alone": "../small"}), "'../small' is no folder beside it"),
        (rewritten("blind", ["quote alone"]), "no record of evidence"),
        (rewritten("colour", "أزرق"), "no record of evidence"),
        (lambda folder: (folder / "evidence.json").write_text("{", encoding="utf-8"), "no record of evidence"),
        (lambda folder: (folder / "evidence.json").unlink(), "no record of evidence"),
        (lambda folder: (folder / "validation_probabilities.npy").unlink(), "validation_probabilities.npy"),
        (lambda folder: (folder / "validation_probabilities.npy").write_bytes(b"x"), "validation_probabilities.npy"),
        (lambda folder: shutil.rmtree(folder / "blind-quote-alone"), "blind-quote-alone"),
    ],
    ids=[
        "other-bundle",
        "newer",
        "outside",
        "list",
        "field",
        "broken",
        "gone",
        "no-probabilities",
        "no-array",
        "no-variant",
    ],
)
def test_evidence_that_is_broken_or_of_another_model_is_named(
    copied: Path, change: Callable[[Path], None], expected: str
) -> None:
    change(evidence_folder(copied))
    with pytest.raises(ClaimstanceError, match=re.escape(expected)) as caught:
        read_evidence(copied)
    assert "\n" not in str(caught.value)


def test_a_bundle_is_evaluated_from_inside_its_own_folder(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle)
    found = read_evidence(".")
    assert found is not None and found.record.bundle == bundle_digest(bundle)
