"""A fine-tuned encoder as a folder that ``transformers.pipeline("text-classification", …)`` loads, with its model card."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from claimstance.bundle import Manifest
from claimstance.encoder import EncoderSettings
from claimstance.errors import ClaimstanceError
from claimstance.records import NONE
from evaluation import metrics
from evaluation.report import Report
from training.config import Config

CARD = "README.md"
CONTENTS = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", CARD)
"""Names of the files in the folder; what holds others is not replaced."""

_MEANINGS = {
    "assert": "the quote states, in its own voice or its speaker's, what the claim says",
    "deny": "the quote says that the claim is false, or what cannot be true beside it",
    "confirm": "the quote answers a claim that is already made, and says that it is true",
    NONE: "the quote takes no stance to the claim: a hedge, a condition, a question, or another matter",
}
_FIGURES = (metrics.MACRO_F1, metrics.ACCURACY, metrics.COVERAGE, metrics.CALIBRATION_ERROR, metrics.BRIER)


def write_checkpoint(network: PreTrainedModel, tokenizer: str, settings: EncoderSettings, folder: Path) -> None:
    """Write network and tokenizer, so that softmax over the scores gives calibrated probabilities.

    Args:
        network: the trained encoder, on the CPU; it is left as it is.
        tokenizer: the text of ``tokenizer.json``.
        settings: how the encoder is run; the last layer is divided by its temperature.
        folder: where to write.
    """
    calibrated = copy.deepcopy(network)
    head = _last_layer(calibrated)
    with torch.no_grad():
        head.weight /= settings.temperature
        if head.bias is not None:
            head.bias /= settings.temperature
    calibrated.save_pretrained(folder)
    backend = Tokenizer.from_str(tokenizer)
    names = ["input_ids", *(["token_type_ids"] if settings.token_types else []), "attention_mask"]
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=settings.max_tokens,
        # Without their names the types of a pair's tokens are left out without a word.
        model_input_names=names,
        pad_token=backend.id_to_token(settings.pad_token),
    ).save_pretrained(folder)


def check_folder(folder: Path) -> None:
    """Make sure, before anything is trained, that the folder holds nothing but an earlier one of its kind.

    Raises:
        ClaimstanceError: it is a file, or something else is in it.
    """
    if folder.exists() and (not folder.is_dir() or not {file.name for file in folder.iterdir()} <= set(CONTENTS)):
        raise ClaimstanceError(
            f"{folder}: holds something else than a model for transformers; name another folder in model.transformers"
        )


def write_card(config: Config, report: Report, folder: Path) -> None:
    """Write the model card: the task, its labels, how to call the model, its data, its figures on validation and its limits."""
    (folder / CARD).write_text("\n".join(_card(config, report)) + "\n", encoding="utf-8")


def _last_layer(network: PreTrainedModel) -> torch.nn.Linear:
    layers = [
        layer
        for layer in network.modules()
        if isinstance(layer, torch.nn.Linear) and layer.out_features == network.config.num_labels
    ]
    if not layers:
        raise ClaimstanceError(
            f"{type(network).__name__} does not end in a linear layer, so its temperature cannot be folded in; "
            f"set model.transformers to null"
        )
    return layers[-1]


def _card(config: Config, report: Report) -> Iterator[str]:
    manifest, model = report.manifest, config.model
    yield from (
        "---",
        "library_name: transformers",
        "pipeline_tag: text-classification",
        "---",
        "",
        f"# {config.name}",
        "",
    )
    yield from (f"{config.description}.", "", "## Task and labels", "")
    yield from (_task(manifest), "", *_labels(manifest), "", "## How to call it", "", *_call(manifest), "")
    yield "Probabilities are calibrated on validation: the temperature is folded into the last layer. The claimstance bundle of"
    yield f"the same training takes a stance where the likeliest one has at least {manifest.threshold:.2f}, and abstains below."
    yield from ("", "## Training data", "")
    yield from (f"- {name.replace('_', ' ')}: `{value}`" for name, value in manifest.trained_on.items())
    yield from ("", f"## Figures on validation ({len(report.pairs)} pairs)", "", "| figure | |", "|---|---|")
    low, high = report.scores.interval[metrics.MACRO_F1]
    figures = [*_FIGURES, *(metrics.of_label("f1", label) for label in manifest.labels)]
    yield from (f"| {name} | {report.figures[name]:.3f} |" for name in figures if name in report.figures)
    yield f"| 95 % interval of {metrics.MACRO_F1}, by event | {low:.3f} to {high:.3f} |"
    if model.precision == "int8":
        yield from ("", "They are the bundle's, whose weights are int8; those of this folder have 32 bits.")
    yield from ("", "## Limits", "")
    yield "Temperature, threshold and the best epoch were chosen on these very pairs, so expect less elsewhere. A pair of more"
    yield f"than {model.max_tokens} tokens loses tokens of its longer side. The model knows the two texts alone:"
    yield "a stance is what the quote says, not what is true."
    yield from ("", "## Licence", "")
    revision = f", revision {model.revision}" if model.revision else ""
    yield f"The weights derive from `{model.checkpoint}`{revision}, whose licence holds for them too:"
    yield "read it before you pass them on."


def _task(manifest: Manifest) -> str:
    read = {
        "pair": "Which stance a quote takes to a claim. It reads the claim first (`text`), the quote second (`text_pair`).",
        "quote": "Which stance a quote takes. It reads the quote alone (`text`).",
        "claim": "Which stance quotes take to a claim. It reads the claim alone (`text`).",
    }
    return read[manifest.inputs]


def _labels(manifest: Manifest) -> Iterator[str]:
    for label in manifest.labels:
        meaning = _MEANINGS.get(label, "takes no stance" if label == manifest.abstain_label else "")
        yield f"- `{label}`" + (f": {meaning}" if meaning else "")


def _call(manifest: Manifest) -> Iterator[str]:
    pair = manifest.inputs == "pair"
    yield from ("```python", "from transformers import pipeline", "")
    yield 'classify = pipeline("text-classification", model="FOLDER", top_k=None, truncation=True)'
    yield 'classify([{"text": claim, "text_pair": quote}])' if pair else "classify([text])"
    yield "```"
    yield ""
    yield "`truncation=True` cuts long texts as in training; without it they are not cut at all."
