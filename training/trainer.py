"""transformers' Trainer as this project runs it: its losses, learning rates by layer, evaluation and records."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_pt_utils import get_length_grouped_indices

from claimstance.encoder import EncoderSettings, padded
from evaluation import metrics
from training import processes
from training.checkpoints import RecordCheckpoints
from training.config import Config

_LOGGED_STEPS = 10
_EPOCHS = 10_000
"""More than any run has: the seed of each epoch is one of its own."""


class Collator:
    """Pads a batch as inference does."""

    def __init__(self, settings: EncoderSettings) -> None:
        self._settings = settings

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = padded([row["input_ids"] for row in rows], [row["token_type_ids"] for row in rows], self._settings)
        labels = torch.tensor([row["labels"] for row in rows])
        return {name: torch.from_numpy(array) for name, array in batch.items()} | {"labels": labels}


class StanceTrainer(Trainer):
    """A Trainer of one run.

    Args:
        config: the run; its model is an encoder.
        network: the network to train.
        collator: pads batches.
        train: encoded training pairs.
        held_out: encoded validation pairs.
        folder: where it keeps checkpoints.
        report: called with the figures of each step, in the main process.
    """

    def __init__(
        self,
        config: Config,
        network: PreTrainedModel,
        collator: Collator,
        train: list[dict[str, Any]],
        held_out: list[dict[str, Any]],
        folder: Path,
        report: Callable[[dict[str, float], int], None],
    ) -> None:
        self._config = config
        model = config.model
        if model.freeze_embeddings:
            network.get_input_embeddings().weight.requires_grad_(False)
        super().__init__(
            model=network,
            args=_arguments(config, len(train), folder),
            data_collator=collator,
            train_dataset=train,
            eval_dataset=held_out,
            compute_loss_func=loss_of(config, [row["labels"] for row in train]),
            compute_metrics=lambda given: {metrics.MACRO_F1: macro_f1_of(config, given.predictions, given.label_ids)},
            callbacks=[EarlyStoppingCallback(model.patience), _Report(report), RecordCheckpoints()],
        )
        # Of what it prints, the bar stays; the figures of every step are reported instead.
        self.remove_callback(ProgressCallback)
        self.remove_callback(PrinterCallback)
        if processes.is_main():
            self.add_callback(_Progress)

    def _get_train_sampler(self, train_dataset: list[dict[str, Any]] | None = None) -> ByLength:
        model = self._config.model
        return ByLength(
            [len(row["input_ids"]) for row in self.train_dataset],
            model.batch_size * model.accumulate * processes.count(),
            # A share of the epoch has passed where a run is resumed in its midst.
            lambda: self._config.seed * _EPOCHS + int((self.state.epoch or 0) + 1e-6),
        )

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Give each layer its learning rate: the head the whole, every layer below it ``layer_decay`` times as much."""
        if self.optimizer is None:
            arguments = self.args
            self.optimizer = torch.optim.AdamW(
                parameter_groups(
                    self.model, arguments.learning_rate, self._config.model.layer_decay, arguments.weight_decay
                ),
                lr=arguments.learning_rate,
            )
        return self.optimizer


class ByLength(torch.utils.data.Sampler[int]):
    """Draws pairs of like length together. The order follows from the seed alone, so that it is the same in every process, and
    again when a run is resumed.

    Args:
        lengths: tokens of each pair.
        batch: pairs of a weight update.
        seed: called for the seed of each epoch.
    """

    def __init__(self, lengths: list[int], batch: int, seed: Callable[[], int]) -> None:
        self._lengths, self._batch, self._seed = lengths, batch, seed

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed())
        return iter(get_length_grouped_indices(self._lengths, self._batch, generator=generator))


def parameter_groups(network: torch.nn.Module, rate: float, decay: float, weight_decay: float) -> list[dict[str, Any]]:
    """Return AdamW groups by layer: the head at ``rate``, the layers below it at ``rate · decay``, ``rate · decay²`` and so on,
    the embeddings lowest (Howard & Ruder, ACL 2018); biases and norms bear no weight decay."""
    depth = 1 + max(
        (layer for name, _ in network.named_parameters() if (layer := _layer_of(name)) is not None), default=-1
    )
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        layer = _layer_of(name)
        below = depth + 1 if "embedding" in name.lower() else 0 if layer is None else depth - layer
        decayed = parameter.ndim > 1
        group = groups.setdefault(
            (below, decayed),
            {"params": [], "lr": rate * decay**below, "weight_decay": weight_decay if decayed else 0.0},
        )
        group["params"].append(parameter)
    return list(groups.values())


def _layer_of(name: str) -> int | None:
    parts = name.split(".")
    for before, number in itertools.pairwise(parts):
        if before in ("layer", "layers", "h", "block") and number.isdigit():
            return int(number)
    return None


def macro_f1_of(config: Config, scores: np.ndarray, truth: np.ndarray) -> float:
    """Return macro-F1 over the stances of the likeliest label."""
    labels = config.labels.all
    confusion = metrics.confusion_matrix(truth, scores.argmax(axis=1), len(labels))
    return metrics.macro_f1(confusion, [labels.index(label) for label in config.labels.stances])


def _arguments(config: Config, pairs: int, folder: Path) -> TrainingArguments:
    model = config.model
    # Trainer divides the batches of an epoch among processes by itself; only the steps between evaluations are ours to count.
    updates = max(1, math.ceil(pairs / (model.batch_size * model.accumulate * processes.count())))
    between = max(1, updates // model.evaluations)
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=model.epochs,
        per_device_train_batch_size=model.batch_size,
        per_device_eval_batch_size=64,
        gradient_accumulation_steps=model.accumulate,
        learning_rate=model.learning_rate,
        weight_decay=model.weight_decay,
        warmup_steps=model.warmup,
        lr_scheduler_type="linear",
        bf16=has_bf16() if model.bf16 is None else model.bf16,
        eval_strategy="steps",
        eval_steps=between,
        save_strategy="steps",
        save_steps=between,
        save_total_limit=None,  # RecordCheckpoints removes them
        load_best_model_at_end=True,
        metric_for_best_model=metrics.MACRO_F1,
        greater_is_better=True,
        logging_steps=min(_LOGGED_STEPS, between),
        seed=config.seed,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        ddp_find_unused_parameters=False,
        report_to="none",
        remove_unused_columns=False,
        label_names=["labels"],
    )


def has_bf16() -> bool:
    """Say whether this machine multiplies bfloat16 in hardware; where it is emulated, it is slower than 32 bits."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # The instructions that oneDNN multiplies with: AVX-512 or AMX on x86, NEON or SVE on ARM.
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def loss_of(config: Config, truth: Sequence[int]):
    """Return the loss of a run: cross-entropy or focal, over weighed labels, a mean over the pairs of an update."""
    labels = len(config.labels.all)
    counts = np.bincount(truth, minlength=labels)
    weights = torch.ones(labels)
    if config.model.class_weight == "balanced":
        weights = torch.tensor(len(truth) / (labels * np.maximum(counts, 1)), dtype=torch.float32)
    gamma = config.model.focal_gamma

    def loss(outputs: Any, truth: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None) -> torch.Tensor:
        logits = outputs["logits"].float()
        log_likelihood = torch.log_softmax(logits, dim=-1).gather(1, truth[:, None])[:, 0]
        surprise = -log_likelihood * (1 - log_likelihood.exp()) ** gamma
        weighed = surprise * weights.to(logits.device)[truth]
        return weighed.sum() / (num_items_in_batch if num_items_in_batch is not None else truth.numel())

    return loss


class _Progress(ProgressCallback):
    """The Trainer's progress bar with the time that is left, and no figures between."""

    def on_log(self, *arguments: Any, **others: Any) -> None:
        """Print nothing."""


class _Report(TrainerCallback):
    """Reports every figure that the Trainer logs, with its step."""

    def __init__(self, report: Callable[[dict[str, float], int], None]) -> None:
        self._report = report

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **others: Any) -> None:
        if state.is_world_process_zero:
            names = {
                "loss": "train_loss",
                "learning_rate": "learning_rate",
                "grad_norm": "gradient_norm",
                "epoch": "epoch",
            }
            names |= {
                name: name.replace("eval_", "step_validation_") for name in ("eval_loss", f"eval_{metrics.MACRO_F1}")
            }
            figures = {ours: float(logs[theirs]) for theirs, ours in names.items() if logs and theirs in logs}
            self._report(figures, state.global_step)
