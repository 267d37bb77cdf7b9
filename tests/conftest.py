"""What several test files need: the repository, word lists, and small models really trained in-process."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from claimstance.bundle import Bundle, EncoderBundle, read_bundle, write_bundle
from claimstance.errors import BundleError
from claimstance.features import FAMILIES as FEATURE_FAMILIES
from claimstance.features import SLOTS, FeatureExtractor
from claimstance.files import sha256
from claimstance.lexicon import Lexicon
from claimstance.manifest import ENCODER, LAYOUT, checksum
from claimstance.meanings import Thesaurus, compile_thesaurus
from claimstance.predictor import Predictor
from claimstance.records import Pair, read_pairs, write_json_lines
from tests.batch_fixtures import source, whole  # noqa: F401, fixtures
from tests.page_fixtures import browser, chromium, service, stub, tab  # noqa: F401, fixtures
from training.config import Config
from training.corpus import LoadedCorpus, load_corpus
from training.models import Workshop, fit
from training.preparation import read_lexicons, read_thesaurus

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = {"overlap": 0.4, "cues": 1.0, "polarity": 1.0, "words": 0.3, "swaps": 0.3, "grams": 0.3, "outline": 1.0}
MEMBERS = [{"families": {"overlap": 0.4, "cues": 1.0}}, {"families": {"polarity": 1.0, "bag": 0.1}, "C": 0.1}]


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
def loaded_corpus(small_config: Config) -> LoadedCorpus:
    """The small corpus, loaded."""
    return load_corpus(small_config)


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
def forge() -> Callable[..., None]:
    """Rewrite a manifest, with a change, so that it fits what lies in its folder, as one who knows the format could."""

    def rewrite(folder: Path, change: Callable[[dict[str, Any]], object] = lambda body: None) -> None:
        path = folder / LAYOUT.manifest
        body = json.loads(path.read_text(encoding="utf-8"))
        del body["checksum"]
        for name, entry in body["files"].items():
            entry.update(bytes=(folder / name).stat().st_size, sha256=sha256(folder / name))
        change(body)
        body["checksum"] = checksum(body)
        text = json.dumps(body, ensure_ascii=False, indent=2) + "\n"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))

    return rewrite


@pytest.fixture(scope="session")
def predictor(model_folder: Path) -> Predictor:
    """The small model, loaded."""
    return Predictor.load(model_folder)


@pytest.fixture(scope="session")
def small_encoder(small_config: Config, tiny_checkpoint: Path) -> Config:
    """A run of a tiny encoder over the small corpus; it reads quotes, and is tracked nowhere."""
    content = small_config.model_dump(mode="json")
    content["model"] = {
        "kind": "encoder",
        "checkpoint": str(tiny_checkpoint),
        "inputs": "quote",
        "max_tokens": 32,
        "epochs": 1,
        "learning_rate": 3e-3,
        "bf16": False,
        "lexicons": content["model"]["lexicons"][:1],
    }
    return Config.model_validate(content)


@pytest.fixture(scope="session")
def steady_encoder(small_encoder: Config, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The tiny encoder with nothing that drops out, so that equal updates give equal weights."""
    checkpoint = shutil.copytree(small_encoder.model.checkpoint, tmp_path_factory.mktemp("steady") / "checkpoint")
    settings = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    settings |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (checkpoint / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    content = small_encoder.model_dump(mode="json")
    content["model"]["checkpoint"] = str(checkpoint)
    return Config.model_validate(content)


@pytest.fixture(scope="session")
def ensemble_config(small_config: Config) -> Callable[..., Config]:
    """Make a run of an ensemble over the small corpus; parts named ``model__x`` are keys of its model."""

    def make(members: list[dict[str, Any]], **parts: Any) -> Config:
        content = small_config.model_dump(mode="json")
        keys = {name.removeprefix("model__"): parts.pop(name) for name in list(parts) if name.startswith("model__")}
        content["model"] = {
            "kind": "ensemble",
            "members": members,
            "lexicons": content["model"]["lexicons"],
            "mismatched": 0.2,
            **keys,
        }
        return Config.model_validate({**content, "name": "joined", **parts})

    return make


@pytest.fixture(scope="session")
def export_ensemble(loaded_corpus: LoadedCorpus) -> Callable[[Config, Path], Path]:
    """Fit an ensemble and export it into a folder; what it answers there is what it answered when it was fitted."""

    def export(config: Config, folder: Path) -> Path:
        train, validation = loaded_corpus.splits["train"], loaded_corpus.splits["validation"]
        trained_on = loaded_corpus.trained_on(config.name)
        fitted = fit(config, train, validation, trained_on, Workshop(folder / "files"))
        write_bundle(fitted.bundle, folder / "bundle")
        given = Predictor.load(folder / "bundle").probabilities(list(validation["quote"]), list(validation["claim"]))
        np.testing.assert_allclose(given, fitted.probabilities, atol=1e-4)
        return folder / "bundle"

    return export


@pytest.fixture(scope="session")
def average(
    ensemble_config: Callable[..., Config],
    export_ensemble: Callable[[Config, Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """An exported average, its first member of three times the weight; tests that change it work on a copy."""
    return export_ensemble(ensemble_config(MEMBERS, model__weights=[3, 1]), tmp_path_factory.mktemp("average"))


@pytest.fixture(scope="session")
def stack(
    ensemble_config: Callable[..., Config],
    export_ensemble: Callable[[Config, Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """An exported stack of the same members; tests that change it work on a copy."""
    config = ensemble_config(MEMBERS, model__rule="stack", model__folds=3)
    return export_ensemble(config, tmp_path_factory.mktemp("stack"))


@pytest.fixture(params=["average", "stack"])
def ensemble_folder(request: pytest.FixtureRequest) -> Path:
    """An exported ensemble of each rule."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def every_family(model_folder: Path, lexicon: Lexicon, thesaurus: Thesaurus) -> Predictor:
    """A model of every feature family, with the project's word sets and weights that no training chose."""
    known, generator = read_bundle(model_folder), np.random.default_rng(0)
    families = dict.fromkeys(FEATURE_FAMILIES, 0.3)
    width = FeatureExtractor(lexicon, known.idf, families, thesaurus)([""], [""]).dense.shape[1]
    dense, sparse = (generator.normal(0, 0.1, (rows, 4)).astype(np.float32) for rows in (width + 1, SLOTS))
    manifest = replace(known.manifest, families=families)
    return Predictor(Bundle(manifest, dense, sparse, known.idf, known.lexicons, thesaurus.table))


@pytest.fixture(scope="session")
def graph() -> Callable[..., bytes]:
    """Make the smallest graph that scores pairs: how many tokens a pair has, times a weight a label."""
    from onnx import TensorProto, helper, numpy_helper

    def make(weights: TensorProto | np.ndarray, inputs: tuple[str, ...] = ("input_ids", "attention_mask")) -> bytes:
        kept = weights if isinstance(weights, TensorProto) else numpy_helper.from_array(weights, "weights")
        nodes = [
            helper.make_node("ReduceSum", [inputs[-1], "axis"], ["tokens"], keepdims=1),
            helper.make_node("Cast", ["tokens"], ["count"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["count", "weights"], ["logits"]),
        ]
        body = helper.make_graph(
            nodes,
            "stances",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["pairs", "width"]) for name in inputs],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["pairs", None])],
            [numpy_helper.from_array(np.array([1]), "axis"), kept],
        )
        model = helper.make_model(body, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
        return model.SerializeToString()

    return make


@pytest.fixture(scope="session")
def every_kind(
    model_folder: Path, stack: Path, graph: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A bundle of each kind: ``linear``, with a thesaurus; ``ensemble``, a stack; ``encoder``, which no training made."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("kinds")
    linear = read_bundle(model_folder)
    table = compile_thesaurus([("t", ["ارتفع/يرتفع، صعود | انخفض/ينخفض، هبوط", "أقال/يقيل، إقالة، عزل"])])
    write_bundle(replace(linear, thesaurus=table), folder / "linear")
    (folder / "network").write_bytes(graph(np.linspace(-1, 1, 4, dtype=np.float32)[None]))
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[PAD]": 1, "نفى": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokens"))
    settings = {"max_tokens": 32, "pad_token": 1, "token_types": False, "temperature": 1.0, "precision": "fp32"}
    manifest = replace(linear.manifest, kind=ENCODER, settings=settings, families={})
    write_bundle(EncoderBundle(manifest, folder / "network", folder / "tokens", linear.lexicons), folder / "encoder")
    return {"linear": folder / "linear", "ensemble": stack, "encoder": folder / "encoder"}


@pytest.fixture
def copied(every_kind: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """Copy a bundle of a kind that a test may spoil."""
    return lambda kind: Path(shutil.copytree(every_kind[kind], tmp_path / "copy"))


@pytest.fixture(scope="session")
def refusal() -> Callable[..., str]:
    """Return what is said against a bundle, which has to name the file (or the folder) in one line."""

    def of(folder: Path, named: Path | None = None) -> str:
        with pytest.raises(BundleError) as caught:
            Predictor.load(folder)
        said = str(caught.value)
        assert str(named or folder) in said
        assert "\n" not in said and len(said) < 600
        return said

    return of


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty database with MLflow's tables, made once; MLflow's own settings are put back at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_LOGGING_LEVEL", "ERROR")
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        import mlflow

        path = tmp_path_factory.mktemp("migrated") / "mlflow.db"
        with pytest.MonkeyPatch.context() as meanwhile:
            meanwhile.chdir(path.parent)
            mlflow.MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}").search_experiments()
        yield path
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
        os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(autouse=True)
def same_signals_after() -> Iterator[None]:
    """The command takes over SIGTERM; give it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def uri(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of the test's own; what MLflow writes beside it lands in the test's folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(migrated, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
