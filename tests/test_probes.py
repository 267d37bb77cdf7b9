"""Probes: the blinded variants cannot see what they are said not to read, and the table says what each reaches."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from claimstance.lexicon import Lexicon
from claimstance.predictor import Predictor
from claimstance.records import LABELS, STANCES, Pair, read_pairs, write_json_lines
from claimstance.words import read_words
from training import probes
from training.config import Config
from training.corpus import load_corpus
from training.models import fit

READS = ("quote and claim", "quote alone", "claim alone", "cue words alone", "the commonest label")
FAMILIES = {"overlap": 0.4, "cues": 1.0, "polarity": 1.0}


@pytest.fixture(scope="module")
def config(small_config: Config, few_pairs: list[Pair], tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The small run over three splits, with quotes of other events met in training."""
    folder = tmp_path_factory.mktemp("probed")
    events = sorted({pair.event for pair in few_pairs})
    homes = {event: ("train", "train", "validation", "test")[number % 4] for number, event in enumerate(events)}
    for name in ("train", "validation", "test"):
        kept = [pair for pair in few_pairs if homes[pair.event] == name]
        if name == "train":
            # So that the commonest label in training is not the first of all, nor the commonest in test.
            kept = [pair for number, pair in enumerate(kept) if pair.stance != "assert" or number % 2]
        write_json_lines(folder / f"{name}.jsonl", [pair.to_dict() for pair in kept])
    content = small_config.model_dump(mode="json")
    content["corpus"] = {name: str(folder / f"{name}.jsonl") for name in ("train", "validation", "test")}
    content["model"] |= {"mismatched": 0.3, "families": FAMILIES}
    return Config.model_validate(content)


@pytest.fixture(scope="module")
def models(config: Config) -> dict[str, Predictor]:
    """Every variant, fitted as the command fits it."""
    corpus = load_corpus(config)
    return {
        name: Predictor(fit(variant, corpus.splits["train"], corpus.splits["validation"], {}).bundle)
        for name, variant in probes.variants(config).items()
    }


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
        ("quote and claim", "claim", False),
        ("quote and claim", "quote", False),
    ],
)
def test_a_variant_sees_no_side_that_it_does_not_read(
    models: dict[str, Predictor], few_pairs: list[Pair], reads: str, side: str, blind: bool
) -> None:
    before, after = models[reads].predict(few_pairs), models[reads].predict(shuffled(few_pairs, side))
    assert (before == after) == blind


def without_content(text: str, lexicon: Lexicon, word: str) -> str:
    """Put one word in the place of every word of a text that is no cue."""
    cues = lexicon.read(read_words(text.split())).classes
    kept = read_words(text.split())
    is_cue = np.bincount(kept.text, weights=cues != 0, minlength=len(text.split())) > 0
    return " ".join(token if cue else word for token, cue in zip(text.split(), is_cue, strict=True))


@pytest.mark.parametrize(("reads", "blind"), [("cue words alone", True), ("quote and claim", False)])
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


def test_the_first_variant_is_the_run_itself(config: Config) -> None:
    variants = probes.variants(config)
    assert tuple(variants) == READS[:-1]
    assert variants["quote and claim"] == config
    for variant in variants.values():
        # What a variant is changed to is a run that a config file could give.
        assert Config.model_validate(variant.model_dump()) == variant
        assert (variant.corpus, variant.seed, variant.model.C) == (config.corpus, config.seed, config.model.C)


def test_the_command_prints_what_every_variant_reaches(
    config: Config, models: dict[str, Predictor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
    assert probes.main([str(path)]) == 0
    cells = [re.split(r" *│ *", line)[1:-1] for line in capsys.readouterr().out.splitlines() if "│" in line]
    table = {row[0]: [float(value) for value in row[1:]] for row in cells}
    assert tuple(table) == READS
    train, test = (read_pairs(path) for path in (config.corpus.train, config.corpus.test))
    truth = [pair.stance for pair in test]
    for reads, model in models.items():
        given = [prediction.stance or "none" for prediction in model.predict(test)]
        assert table[reads] == expected_row(truth, given), reads
    # The last row is no model: it always gives the label that is commonest in training.
    counts = Counter(pair.stance for pair in train)
    commonest = max(LABELS, key=counts.__getitem__)
    assert commonest not in (LABELS[0], max(LABELS, key=truth.count))
    assert table["the commonest label"] == expected_row(truth, [commonest] * len(test))


def f1_of(label: str, truth: list[str], given: list[str]) -> float:
    hits = sum(right == label == said for right, said in zip(truth, given, strict=True))
    return 2 * hits / max(truth.count(label) + given.count(label), 1)


def expected_row(truth: list[str], given: list[str]) -> list[float]:
    """Macro-F1 over the stances, over all labels, and F1 by label, as they are printed."""
    f1 = {label: f1_of(label, truth, given) for label in LABELS}
    values = [np.mean([f1[label] for label in STANCES]), np.mean(list(f1.values())), *f1.values()]
    return [float(f"{value:.3f}") for value in values]


def test_a_corpus_without_a_test_split_cannot_be_probed(
    small_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(small_config.model_dump(mode="json")), encoding="utf-8")
    assert probes.main([str(path)]) == 2
    assert capsys.readouterr().err == (
        "training.probes: error: the corpus has no test split to probe on; name one in corpus.test\n"
    )


def test_a_run_that_is_blind_already_is_not_probed(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = config.model_dump(mode="json")
    content["model"] |= {"inputs": "quote", "mismatched": 0.0}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    assert probes.main([str(path)]) == 2
    assert "reads the quote alone" in capsys.readouterr().err
