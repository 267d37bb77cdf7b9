"""Encoders: small BERT-, RoBERTa- and DeBERTa-like checkpoints train, export and answer from their bundle as fitted."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    pipeline,
)

from claimstance.bundle import LAYOUT, EncoderBundle, read_bundle, write_bundle
from claimstance.encoder import EncoderModel, PairTokenizer
from claimstance.errors import BundleError, ClaimstanceError
from claimstance.explanation import explain
from claimstance.predictor import Predictor
from claimstance.records import Pair
from training.checkpoints import last_checkpoint
from training.config import Config
from training.corpus import LoadedCorpus, load_corpus
from training.encoder import check_close, check_exact, load_checkpoint
from training.models import Fitted, Workshop, fit
from training.trainer import parameter_groups

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
# With so few units the usual weights hardly tell one pair from another; but larger ones, untaught, do not survive int8.
LARGER = {**SMALL, "initializer_range": 0.2}
FAMILIES = ("bert", "roberta", "deberta")
PAIR = ("نفى وزير الاقتصاد وصول أي قمح ملوث إلى المرفأ", "وصلت شحنة قمح ملوثة إلى مرفأ السلام")


def word_pieces(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=800, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **dict(zip(names, special, strict=True)))


def byte_pairs(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.BertPreTokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=800, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = ("cls_token", "pad_token", "sep_token", "unk_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **dict(zip(names, special, strict=True)))


def bert(words: int) -> BertModel:
    return BertModel(BertConfig(vocab_size=words, **SMALL))


def roberta(words: int) -> RobertaModel:
    settings = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1}
    return RobertaModel(RobertaConfig(vocab_size=words, max_position_embeddings=130, **settings, **LARGER))


def deberta(words: int) -> DebertaV2Model:
    settings = {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 16,
        "type_vocab_size": 0,
    }
    return DebertaV2Model(DebertaV2Config(vocab_size=words, pad_token_id=0, **settings, **LARGER))


MAKERS: dict[str, tuple[Callable, Callable]] = {
    "bert": (word_pieces, bert),
    "roberta": (byte_pairs, roberta),
    "deberta": (word_pieces, deberta),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory, few_pairs: list[Pair]) -> dict[str, Path]:
    """A checkpoint of each family with fresh weights and an Arabic tokenizer."""
    torch.manual_seed(0)
    texts = [text for pair in few_pairs for text in (pair.quote, pair.claim)]
    folder = tmp_path_factory.mktemp("checkpoints")
    for family, (tokenizer_of, network_of) in MAKERS.items():
        tokenizer = tokenizer_of(texts)
        network_of(len(tokenizer)).save_pretrained(folder / family)
        tokenizer.save_pretrained(folder / family)
    return {family: folder / family for family in MAKERS}


def encoder_config(small: Config, checkpoint: Path, **model: object) -> Config:
    content = small.model_dump(mode="json")
    content["model"] = {
        "kind": "encoder",
        "checkpoint": str(checkpoint),
        "max_tokens": 64,
        "epochs": 1,
        "learning_rate": 1e-3,
        "lexicons": content["model"]["lexicons"][:1],
        **model,
    }
    return Config.model_validate(content)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A fine-tuned model: what was fitted, its exported bundle, what was reported step by step, and its checkpoints."""

    fitted: Fitted
    bundle: Path
    reported: list[tuple[dict[str, float], int]]
    checkpoints: Path

    @property
    def folder(self) -> Path:
        return self.bundle.parent


@pytest.fixture(scope="module")
def corpus(small_config: Config) -> LoadedCorpus:
    return load_corpus(small_config)


@pytest.fixture(scope="module")
def trained(
    checkpoints: dict[str, Path], small_config: Config, corpus: LoadedCorpus, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Trained]:
    """Each family fine-tuned on the small corpus; the BERT-like one exported with int8 weights, others with 32 bits."""
    models = {}
    for family, checkpoint in checkpoints.items():
        folder = tmp_path_factory.mktemp(family)
        more = {"precision": "int8", "layer_decay": 0.8, "focal_gamma": 1.0} if family == "bert" else {}
        config = encoder_config(small_config, checkpoint, **more)
        reported: list[tuple[dict[str, float], int]] = []
        workshop = Workshop(
            folder,
            folder / "kept",
            transformers=folder / "transformers",
            report=lambda figures, step, to=reported: to.append((figures, step)),
        )
        fitted = fit(config, corpus.splits["train"], corpus.splits["validation"], {}, workshop)
        write_bundle(fitted.bundle, folder / "bundle")
        models[family] = Trained(fitted, folder / "bundle", reported, folder / "kept")
    return models


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bundle_answers_as_the_model_that_was_fitted(
    trained: dict[str, Trained], corpus: LoadedCorpus, family: str
) -> None:
    predictor, fitted = Predictor.load(trained[family].bundle), trained[family].fitted
    data = corpus.splits["validation"]
    given = predictor.probabilities(list(data["quote"]), list(data["claim"]))
    assert given.sum(axis=1) == pytest.approx(1)
    np.testing.assert_allclose(given, fitted.probabilities, atol=0.05 if family == "bert" else 1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_scores_pairs_as_the_bundle_of_32_bits(
    trained: dict[str, Trained], corpus: LoadedCorpus, family: str
) -> None:
    model = trained[family]
    bundle = read_bundle(model.bundle)
    settings = {**bundle.manifest.settings, "precision": "fp32", "temperature": model.fitted.temperature}
    manifest = dataclasses.replace(bundle.manifest, settings=settings)
    exact = EncoderModel(EncoderBundle(manifest, model.folder / "fp32.onnx", bundle.tokenizer, bundle.lexicons))
    data = corpus.splits["validation"]
    quotes, claims = [*data["quote"], PAIR[0] * 30], [*data["claim"], PAIR[1] * 3]
    classify = pipeline("text-classification", model=str(model.folder / "transformers"), top_k=None, truncation=True)
    pairs = [{"text": claim, "text_pair": quote} for quote, claim in zip(quotes, claims, strict=True)]
    labels = manifest.labels
    given = [{each["label"]: each["score"] for each in scored} for scored in classify(pairs)]
    given = np.array([[scores[label] for label in labels] for scores in given])
    np.testing.assert_allclose(given, exact.probabilities(quotes, claims), atol=1e-4)
    assert np.ptp(given, axis=0).max() > 1e-4 * (1 if family == "bert" else 20), "pairs are told apart"
    encoded = classify.tokenizer(PAIR[1], PAIR[0])
    assert ("token_type_ids" in encoded and 1 in encoded["token_type_ids"]) == (family == "bert")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pair_scores_alike_alone_and_in_a_batch_of_longer_ones(
    trained: dict[str, Trained], few_pairs: list[Pair], family: str
) -> None:
    predictor = Predictor.load(trained[family].bundle)
    long = [(pair.quote, pair.claim) for pair in few_pairs[:40]]
    alone, among = predictor.predict([PAIR]), predictor.predict([*long, PAIR])
    # Quantised activations are scaled by what stands in the batch.
    tolerance = 0.02 if family == "bert" else 1e-5
    assert alone[0].confidence == pytest.approx(among[-1].confidence, abs=tolerance)


def test_only_a_family_with_token_types_is_given_them(trained: dict[str, Trained]) -> None:
    settings = {family: read_bundle(trained[family].bundle).manifest.settings for family in FAMILIES}
    assert {family: each["token_types"] for family, each in settings.items()} == {
        "bert": True,
        "roberta": False,
        "deberta": False,
    }
    assert (settings["bert"]["precision"], settings["roberta"]["precision"]) == ("int8", "fp32")
    assert (settings["roberta"]["pad_token"], settings["deberta"]["pad_token"]) == (1, 0)


def test_training_reports_loss_rate_and_validation_by_step_and_counts_what_was_cut(trained: dict[str, Trained]) -> None:
    names = {name for figures, _ in trained["bert"].reported for name in figures}
    assert {"train_loss", "learning_rate", "step_validation_macro_f1", "truncated_train_pairs"} <= names
    cut = next(figures for figures, _ in trained["bert"].reported if "truncated_train_pairs" in figures)
    assert cut["truncated_train_pairs"] > 0
    assert max(step for _, step in trained["bert"].reported) > 1


def test_a_long_pair_loses_tokens_of_its_longer_side(checkpoints: dict[str, Path]) -> None:
    text = (checkpoints["bert"] / LAYOUT.tokenizer).read_text(encoding="utf-8")
    whole, cut = PairTokenizer(text, 500, "pair"), PairTokenizer(text, 100, "pair")
    quote, claim = PAIR[0] * 9, PAIR[1]
    (full,), (short,) = whole([quote], [claim]), cut([quote], [claim])
    claim_tokens = full.type_ids.index(1)
    assert len(short.ids) == 100 and short.overflowing and not full.overflowing
    assert short.ids[:claim_tokens] == full.ids[:claim_tokens], "the claim comes first, and whole"


def test_a_bundle_needs_neither_torch_nor_transformers(trained: dict[str, Trained], root: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None; from claimstance import Predictor; "
        f"print(Predictor.load({str(trained['roberta'].bundle)!r}).predict([{PAIR!r}])[0].confidence)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    (prediction,) = Predictor.load(trained["roberta"].bundle).predict([PAIR])
    assert float(done.stdout) == pytest.approx(prediction.confidence, abs=1e-6)


def test_an_encoder_is_explained_by_occlusion(trained: dict[str, Trained]) -> None:
    predictor = Predictor.load(trained["roberta"].bundle)
    found = explain(predictor, *PAIR)
    assert not found.parts and [word.text for word in found.words[:2]] == ["نفى", "وزير"]
    with pytest.raises(ClaimstanceError, match="use occlusion"):
        explain(predictor, *PAIR, method="contributions")


def test_deeper_layers_learn_more_slowly_and_norms_do_not_decay(
    checkpoints: dict[str, Path], small_config: Config
) -> None:
    config = encoder_config(small_config, checkpoints["bert"])
    network, _ = load_checkpoint(config.model, config.labels.all)
    groups = parameter_groups(network, 1.0, 0.5, 0.01)
    rate = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    by_name = {name: (rate[id(value)], decay[id(value)]) for name, value in network.named_parameters()}
    assert by_name["classifier.weight"] == (1.0, 0.01) and by_name["classifier.bias"] == (1.0, 0.0)
    assert by_name["bert.encoder.layer.1.output.dense.weight"][0] == 0.5
    assert by_name["bert.encoder.layer.0.output.dense.weight"][0] == 0.25
    assert by_name["bert.embeddings.word_embeddings.weight"][0] == 0.125
    assert by_name["bert.encoder.layer.0.output.LayerNorm.weight"][1] == 0.0
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


@pytest.mark.parametrize(
    ("scores", "passes"),
    [(np.full((3, 4), 5e-5), True), (np.full((3, 4), 2e-4), False), (np.full((3, 4), np.nan), False)],
)
def test_a_graph_that_scores_otherwise_than_torch_is_refused(scores: np.ndarray, passes: bool) -> None:
    if passes:
        check_exact(np.zeros((3, 4)), scores)
        return
    with pytest.raises(ClaimstanceError, match="differs from the trained model"):
        check_exact(np.zeros((3, 4)), scores)


def test_int8_weights_that_cost_macro_f1_are_refused(small_config: Config) -> None:
    truth = np.tile(np.arange(4), 50)
    right = np.eye(4)[truth]
    check_close(small_config, truth, right, right)
    worse = right.copy()
    worse[:4] = np.roll(worse[:4], 1, axis=1)
    with pytest.raises(ClaimstanceError, match=r"export with model\.precision: fp32"):
        check_close(small_config, truth, right, worse)


def test_a_checkpoint_that_is_not_there_names_the_ways_out(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    for checkpoint in (tmp_path / "empty", Path("nobody/no-such-model")):
        config = encoder_config(small_config, checkpoint)
        with pytest.raises(ClaimstanceError) as caught:
            load_checkpoint(config.model, config.labels.all)
        for way_out in ("model.safetensors", "connect to the network", "configs/pair-linear.yaml"):
            assert way_out in str(caught.value)


def test_only_checkpoints_as_the_run_wrote_them_are_resumed_from(trained: dict[str, Trained], tmp_path: Path) -> None:
    assert last_checkpoint(None) is None and last_checkpoint(tmp_path) is None
    kept = trained["deberta"].checkpoints
    newest = last_checkpoint(kept)
    assert newest is not None and Path(newest).parent == kept
    (kept / "checkpoint-99999").mkdir()
    assert last_checkpoint(kept) == newest, "a folder that the run did not list is passed over"
    with open(Path(newest) / "optimizer.pt", "ab") as file:
        file.write(b"\0")
    with pytest.raises(ClaimstanceError, match="not as the run wrote it"):
        last_checkpoint(kept)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"max_tokens": 0}, "are not an encoder's"),
        ({"temperature": 0.0}, "are not an encoder's"),
        ({"precision": "int4"}, "are not an encoder's"),
        ({"speed": 2}, "are not an encoder's"),
    ],
)
def test_settings_that_no_encoder_has_are_refused(
    trained: dict[str, Trained], change: dict[str, object], expected: str
) -> None:
    bundle = read_bundle(trained["roberta"].bundle)
    manifest = dataclasses.replace(bundle.manifest, settings={**bundle.manifest.settings, **change})
    with pytest.raises(BundleError, match=expected):
        EncoderModel(EncoderBundle(manifest, bundle.network, bundle.tokenizer, bundle.lexicons))


@pytest.mark.parametrize("name", [LAYOUT.network, LAYOUT.tokenizer])
def test_a_broken_graph_or_tokenizer_is_named(trained: dict[str, Trained], tmp_path: Path, name: str) -> None:
    bundle = read_bundle(trained["roberta"].bundle)
    broken = tmp_path / name
    broken.write_text(json.dumps({"no": "model"}), encoding="utf-8")
    part = "network" if name == LAYOUT.network else "tokenizer"
    with pytest.raises(BundleError, match="export the model again"):
        EncoderModel(dataclasses.replace(bundle, **{part: broken}))
