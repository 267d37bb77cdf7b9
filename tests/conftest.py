"""What several test files need: the repository, word lists, and one small model really trained in-process."""

from __future__ import annotations

from pathlib import Path

import pytest

from claimstance.bundle import write_bundle
from claimstance.lexicon import Lexicon
from claimstance.meanings import Thesaurus
from claimstance.predictor import Predictor
from claimstance.records import Pair, read_pairs, write_json_lines
from training.config import Config
from training.corpus import load_corpus
from training.models import fit
from training.preparation import read_lexicons, read_thesaurus

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = {"overlap": 0.4, "cues": 1.0, "polarity": 1.0, "words": 0.3, "swaps": 0.3, "grams": 0.3, "outline": 1.0}


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def lexicon() -> Lexicon:
    """The project's own word lists."""
    return Lexicon(read_lexicons([str(ROOT / "data/lexicons/ar.yaml"), str(ROOT / "data/lexicons/en.yaml")]))


@pytest.fixture(scope="session")
def thesaurus() -> Thesaurus:
    """The project's own word sets."""
    return read_thesaurus([str(ROOT / "data/thesaurus")])


@pytest.fixture(scope="session")
def few_pairs() -> list[Pair]:
    """The first pairs of the training corpus, about 25 events in Arabic."""
    return read_pairs(ROOT / "data/train.jsonl")[:300]


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory, few_pairs: list[Pair]) -> Path:
    """A folder with train.jsonl and validation.jsonl of few pairs, no event in both."""
    folder = tmp_path_factory.mktemp("corpus")
    events = sorted({pair.event for pair in few_pairs})
    held_out = set(events[::4])
    for name, inside in (("train", False), ("validation", True)):
        rows = [pair.to_dict() for pair in few_pairs if (pair.event in held_out) == inside]
        write_json_lines(folder / f"{name}.jsonl", rows)
    return folder


@pytest.fixture(scope="session")
def small_config(small_corpus: Path) -> Config:
    """A run over the small corpus that is tracked nowhere."""
    return Config.model_validate(
        {
            "name": "small",
            "description": "a small model for tests",
            "corpus": {name: str(small_corpus / f"{name}.jsonl") for name in ("train", "validation")},
            "model": {
                "families": FAMILIES,
                "lexicons": [str(ROOT / "data/lexicons/ar.yaml"), str(ROOT / "data/lexicons/en.yaml")],
                "thesaurus": [str(ROOT / "data/thesaurus")],
            },
            "tracking": {"uri": None},
        }
    )


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory, few_pairs: list[Pair]) -> Path:
    """A checkpoint of one small BERT layer with fresh weights, and a tokenizer of whole words."""
    from transformers import BertConfig, BertModel, BertTokenizerFast
    from transformers.trainer_utils import set_seed

    folder = tmp_path_factory.mktemp("tiny")
    words = sorted({word for pair in few_pairs for word in (pair.quote + " " + pair.claim).split()})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *words]), encoding="utf-8")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=False)
    set_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    # Larger weights than usual: with so few units the usual ones tell no pair from another.
    network = BertModel(BertConfig(vocab_size=len(tokenizer), initializer_range=0.3, **shape))
    network.save_pretrained(folder / "checkpoint")
    tokenizer.save_pretrained(folder / "checkpoint")
    return folder / "checkpoint"


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, small_config: Config) -> Path:
    """An exported bundle of the small model; tests that change it work on a copy."""
    corpus = load_corpus(small_config)
    fitted = fit(small_config, corpus.splits["train"], corpus.splits["validation"], {"corpus_sha256": corpus.digest})
    folder = tmp_path_factory.mktemp("exports") / "small"
    write_bundle(fitted.bundle, folder)
    return folder


@pytest.fixture(scope="session")
def predictor(model_folder: Path) -> Predictor:
    """The small model, loaded."""
    return Predictor.load(model_folder)
