"""One pair alone scores as it does in any batch, bit for bit, whatever was read before it."""

from __future__ import annotations

import dataclasses
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from claimstance.bundle import Bundle, read_bundle
from claimstance.linear import LinearModel
from claimstance.records import Pair, read_pairs
from claimstance.single import LONGEST_PAIR, SingleScorer
from claimstance.vocabulary import Vocabulary

HARD = [
    ("", ""),
    ("", "نفى الوزير الخبر"),
    ("نفى الوزير الخبر", ""),
    ("   \n\t ", " . ؟ ، "),
    ("٠١٢ و١٬٢٠٠ و3.5", "12 1200 3.5"),
    ("😀\ud83d؟؟؟", "\0هل؟ \ude00"),
    ("لم أقل إنه رفض", "رفض الوزير"),
    ("لا لا لا لا لا", "لم لا"),
    ("لا صحة لما قيل. نفى؛ قال: لا صحة له", "لا صحة\u2028لذلك"),
    ("انخفاض الأسعار لا ارتفاعها", "ارتفاع الأسعار وانخفاض الأسعار"),
    ("«نـفى» الوَزيرُ\u200f", "نفي الوزير"),
    ("the minister did not deny it at all", "The minister denied it"),
]
RARE = [("ﻧﻔﻰ الوزير x²", "الوزير x²"), ("قال x²", "ﷺ قال"), ("１２ شخصا", "12 شخصا")]


@pytest.fixture(scope="module")
def pairs(root: Path) -> list[tuple[str, str]]:
    """Real pairs of both languages, some met with the claim of another event."""
    real = read_pairs(root / "data/train.jsonl")[::14]
    crossed = [(one.quote, other.claim) for one, other in zip(real, real[::-1], strict=True)]
    return [(pair.quote, pair.claim) for pair in real] + crossed[::3] + HARD


@pytest.fixture
def bundle(model_folder: Path) -> Bundle:
    return read_bundle(model_folder)


def scored(model: LinearModel, pairs: list[tuple[str, str]], batch: int) -> np.ndarray:
    parts = (pairs[start : start + batch] for start in range(0, len(pairs), batch))
    return np.concatenate([model.probabilities([q for q, _ in part], [c for _, c in part]) for part in parts])


def test_a_pair_scores_the_same_alone_in_few_and_in_many(bundle: Bundle, pairs: list[tuple[str, str]]) -> None:
    pairs = pairs + RARE
    together = scored(LinearModel(bundle), pairs, len(pairs))
    for batch in (1, 3, 50):
        assert np.array_equal(scored(LinearModel(bundle), pairs, batch), together)
    backwards = scored(LinearModel(bundle), pairs[::-1], 1)[::-1]
    assert np.array_equal(backwards, together), "what was read before changes nothing"


@pytest.mark.parametrize(
    "families", [["overlap"], ["cues"], ["polarity", "outline"], ["words", "grams"], ["swaps"], ["bag"]]
)
def test_every_family_has_the_same_weight_alone(
    bundle: Bundle, pairs: list[tuple[str, str]], families: list[str]
) -> None:
    manifest = dataclasses.replace(bundle.manifest, families=dict.fromkeys(families, 0.25))
    columns = {"overlap": 67, "cues": 56, "polarity": 26}
    rows = 1 + sum(columns.get(family, 0) for family in families)
    generator = np.random.default_rng(0)
    dense = generator.normal(size=(rows, len(manifest.labels))).astype(np.float32)
    sparse = generator.normal(size=bundle.sparse.shape).astype(np.float32)
    model = LinearModel(dataclasses.replace(bundle, manifest=manifest, dense=dense, sparse=sparse))
    assert np.array_equal(scored(model, pairs[:300], 1), scored(model, pairs[:300], 300))


def test_long_pairs_and_rare_letters_are_left_to_the_batch(bundle: Bundle) -> None:
    model = LinearModel(bundle)
    scorer = model._single
    assert isinstance(scorer, SingleScorer)
    assert all(scorer(quote, claim) is None for quote, claim in RARE)
    assert scorer("ب" * LONGEST_PAIR, "ب") is None
    assert scorer("ب" * (LONGEST_PAIR - 1), "ب") is not None


def test_a_full_vocabulary_begins_afresh_and_changes_nothing(
    bundle: Bundle, pairs: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = scored(LinearModel(bundle), pairs, len(pairs))
    monkeypatch.setattr("claimstance.features.Vocabulary", partial(Vocabulary, rows=100))
    for batch in (1, 40):
        model = LinearModel(bundle)
        first = model.extractor.vocabulary.table
        assert np.array_equal(scored(model, pairs, batch), expected)
        assert model.extractor.vocabulary.table is not first


def test_threads_share_a_model(bundle: Bundle, pairs: list[tuple[str, str]]) -> None:
    model, found = LinearModel(bundle), {}
    expected = scored(LinearModel(bundle), pairs, len(pairs))

    def work(number: int) -> None:
        found[number] = scored(model, pairs, (1, 7, 30, 200)[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[number], expected) for number in range(4))


def test_what_is_remembered_is_bounded(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, few_pairs: list[Pair]) -> None:
    monkeypatch.setattr("claimstance.single._MOST_PIECES", 50)
    monkeypatch.setattr("claimstance.single._MOST_TEXTS", 5)
    model = LinearModel(bundle)
    texts = [(pair.quote, pair.claim) for pair in few_pairs]
    assert np.array_equal(scored(model, texts, 1), scored(LinearModel(bundle), texts, len(texts)))
    memory = model._single._memory
    assert len(memory.sides) <= 5 and len(model._single._runs) <= 50
    assert len(memory.pieces) <= 50 + max(len(set(f"{quote} {claim}".split(" "))) for quote, claim in texts)
