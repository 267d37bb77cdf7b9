"""Encoders whose digests were made to fit: no weights from elsewhere, and no graph, tokenizer or settings of another model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from claimstance.manifest import LAYOUT

Forge, Refusal = Callable[..., None], Callable[..., str]
WEIGHTS = np.linspace(-1, 1, 4, dtype=np.float32).reshape(1, 4)


@pytest.fixture
def encoder(copied: Callable[[str], Path]) -> Path:
    return copied("encoder")


def outside(location: str) -> TensorProto:
    """Weights that lie in another file."""
    named = numpy_helper.from_array(WEIGHTS, "weights")
    named.ClearField("raw_data")
    named.data_location = TensorProto.EXTERNAL
    entry = named.external_data.add()
    entry.key, entry.value = "location", location
    return named


@pytest.mark.parametrize("location", ["../stranger.bin", "stranger.bin", "/etc/passwd", "member/../../stranger.bin"])
def test_a_graph_that_names_other_files_is_refused(
    encoder: Path, graph: Callable[..., bytes], forge: Forge, location: str, refusal: Refusal
) -> None:
    for folder in (encoder, encoder.parent):
        (folder / "stranger.bin").write_bytes(WEIGHTS.tobytes())
    (encoder / LAYOUT.network).write_bytes(graph(outside(location)))
    forge(encoder)
    assert "weights in another file" in refusal(encoder, encoder / LAYOUT.network)


def test_a_name_spelled_with_a_longer_length_is_still_seen(
    encoder: Path, graph: Callable[..., bytes], forge: Forge, refusal: Refusal
) -> None:
    whole = graph(outside("stranger.bin"))
    assert whole.count(b"\x08location") == 1
    # A length may be written in more bytes than it needs; the lengths around it then no longer fit, and are not looked at.
    (encoder / LAYOUT.network).write_bytes(whole.replace(b"\x08location", b"\x88\x80\x00location"))
    forge(encoder)
    assert "weights in another file" in refusal(encoder, encoder / LAYOUT.network)


NETWORKS: dict[str, Callable[[Callable[..., bytes]], bytes]] = {
    "of NaN": lambda graph: graph(WEIGHTS * np.float32(np.nan)),
    "of infinity": lambda graph: graph(np.full_like(WEIGHTS, np.inf)),
    "of fewer labels": lambda graph: graph(WEIGHTS[:, :3]),
    "of one label": lambda graph: graph(WEIGHTS[:, :1]),
    "of more labels": lambda graph: graph(np.repeat(WEIGHTS, 2, axis=1)),
    "of other inputs": lambda graph: graph(WEIGHTS, ("words", "mask")),
    "cut": lambda graph: graph(WEIGHTS)[:-9],
    "empty": lambda graph: b"",
    "of zeros": lambda graph: b"\0" * 1000,
}


@pytest.mark.parametrize("what", NETWORKS)
def test_a_graph_of_another_model_is_found_out_when_it_is_loaded(
    encoder: Path, forge: Forge, refusal: Refusal, graph: Callable[..., bytes], what: str
) -> None:
    (encoder / LAYOUT.network).write_bytes(NETWORKS[what](graph))
    forge(encoder)
    refusal(encoder, encoder / LAYOUT.network)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_tokens": 10**30},
        {"max_tokens": True},
        {"pad_token": 2**63},
        {"pad_token": -1},
        {"temperature": float("inf")},
        {"temperature": float("nan")},
        {"temperature": 1e-300},
        {"temperature": 0.0},
        {"token_types": 1},
        {"precision": ["fp32"]},
        {"provider": "cuda"},
    ],
)
def test_settings_that_no_encoder_has_are_refused(
    encoder: Path, forge: Forge, settings: dict[str, Any], refusal: Refusal
) -> None:
    forge(encoder, lambda body: body["settings"].update(settings))
    refusal(encoder)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"model": {"type": "BPE"}}', b"[" * 10**6])
def test_a_tokenizer_that_is_none_is_refused(encoder: Path, forge: Forge, content: bytes, refusal: Refusal) -> None:
    (encoder / LAYOUT.tokenizer).write_bytes(content)
    forge(encoder)
    refusal(encoder)
