"""The one function that turns a trained encoder into an ONNX graph; the exporter is experimental, so parity is checked."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import onnx_ir
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import PreTrainedModel
from transformers.exporters import OnnxConfig, OnnxExporter

_SAMPLE = (2, 16)


def export_onnx(network: PreTrainedModel, folder: Path, precision: str) -> Path:
    """Write the graph of a trained encoder, for any number of pairs of any length.

    Args:
        network: the encoder, on the CPU and in 32 bits.
        folder: where to write it.
        precision: ``fp32``, or ``int8`` for weights quantised once and activations as they come.

    Returns:
        The path of the graph, its weights inside.
    """
    path = folder / "fp32.onnx"
    network.eval()
    ids = torch.randint(0, network.config.vocab_size, _SAMPLE)
    sample = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    sample["attention_mask"][1, _SAMPLE[1] // 2 :] = 0
    if getattr(network.config, "type_vocab_size", 0) > 1:
        sample["token_type_ids"] = torch.zeros_like(ids)
    with _quiet():
        if not path.is_file():
            exported = OnnxExporter().export(network, sample, config=OnnxConfig(dynamic=True))
            onnx_ir.save(exported.program, str(path))
        if precision == "int8":
            quantised = folder / "int8.onnx"
            quantize_dynamic(path, quantised, weight_type=QuantType.QInt8)
            return quantised
    return path


@contextlib.contextmanager
def _quiet():
    """Keep the exporter's advice, of which a user can follow none, off the screen; what goes wrong is still raised."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
