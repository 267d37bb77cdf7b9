"""``python -m evaluation.bench``: speed, start, size and memory of an exported model beside named peers, in one run.

Everything runs on one thread over the same pairs. Absolute figures differ by machine and hour: compare the ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Table

from claimstance.cli import reporting_errors
from claimstance.console import console
from claimstance.predictor import Predictor
from claimstance.records import Pair, read_pairs

_PAIRS = 20_000
_REPEATS = 3
_HEADLINE_WORDS = 14
_COLD_STARTS = 5
_COLD_START = """
import sys, time
start = time.perf_counter()
from claimstance import Predictor
predictor = Predictor.load(sys.argv[1])
predictor.predict([("نفى الوزير وصول الشحنة", "وصلت الشحنة إلى المرفأ")])
seconds = time.perf_counter() - start
# The peak of this program alone: getrusage would count the parent that it was forked from.
with open("/proc/self/status", encoding="utf-8") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(seconds, peak / 1024)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.bench", description=__doc__)
    parser.add_argument("--model", required=True, metavar="DIR", help="exported model")
    parser.add_argument("--pairs", required=True, metavar="FILE", help="JSONL file of annotated pairs")
    options = parser.parse_args(arguments)
    return reporting_errors(lambda: _bench(options.model, options.pairs), "bench")


def _bench(model: str, path: str) -> None:
    pairs = read_pairs(path)
    short = [pair for pair in pairs if len(pair.quote.split()) <= _HEADLINE_WORDS]
    predictor = Predictor.load(model)
    peers = {"claimstance": predictor.predict, **_scikit_learn(pairs), **_fasttext(pairs)}
    screen = console()
    for title, chosen in (("headline-length pairs", short), ("all pairs", pairs)):
        # The peers see one text a pair; joining it is part of their work.
        texts = [(pair.quote, pair.claim) for pair in (chosen * (_PAIRS // len(chosen) + 1))[:_PAIRS]]
        characters = sum(len(quote) + len(claim) for quote, claim in texts) / len(texts)
        speeds = {name: _pairs_per_second(predict, texts) for name, predict in peers.items()}
        table = Table(title=f"{title}: {characters:.0f} characters each, {_PAIRS:,} of them", title_justify="left")
        for column in ("predictor", "pairs per second", "claimstance is"):
            table.add_column(column, justify="left" if column == "predictor" else "right")
        for name, speed in speeds.items():
            ratio = "" if name == "claimstance" else f"{speeds['claimstance'] / speed:.2f} × as fast"
            table.add_row(name, f"{speed:,.0f}", ratio)
        screen.print(table)
    one = [(short[0].quote, short[0].claim)]
    alone = statistics.median(_seconds(lambda: predictor.predict(one)) for _ in range(200))
    starts = [_cold_start(model) for _ in range(_COLD_STARTS)]
    size = sum(file.stat().st_size for file in Path(model).rglob("*") if file.is_file())
    print(f"one pair alone: {1000 * alone:.2f} ms")
    print(f"import, load and first prediction: {statistics.median(start for start, _ in starts):.2f} s")
    print(f"peak memory of that process: {statistics.median(memory for _, memory in starts):.0f} MB")
    print(f"bundle: {size / 1e6:.2f} MB")


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _pairs_per_second(predict: Callable[[list[tuple[str, str]]], object], texts: list[tuple[str, str]]) -> float:
    predict(texts[:1024])
    return len(texts) / min(_seconds(lambda: predict(texts)) for _ in range(_REPEATS))


def _cold_start(model: str) -> tuple[float, float]:
    process = subprocess.run(
        [sys.executable, "-c", _COLD_START, model], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    seconds, megabytes = process.stdout.split()
    return float(seconds), float(megabytes)


def _scikit_learn(pairs: Sequence[Pair]) -> dict[str, Callable[[list[tuple[str, str]]], object]]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)), LogisticRegression(max_iter=200))
    pipeline.fit([f"{pair.quote} {pair.claim}" for pair in pairs], [pair.stance for pair in pairs])
    return {"scikit-learn, char_wb 2–4": lambda texts: pipeline.predict([f"{quote} {claim}" for quote, claim in texts])}


def _fasttext(pairs: Sequence[Pair]) -> dict[str, Callable[[list[tuple[str, str]]], object]]:
    import fasttext

    def line(quote: str, claim: str) -> str:
        return f"{quote} {claim}".replace("\n", " ")

    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.writelines(f"__label__{pair.stance} {line(pair.quote, pair.claim)}\n" for pair in pairs)
        file.flush()
        model = fasttext.train_supervised(file.name, epoch=10, wordNgrams=2, minn=2, maxn=4, thread=1, verbose=0)
    return {"fastText, supervised": lambda texts: model.predict([line(quote, claim) for quote, claim in texts])}


if __name__ == "__main__":
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    sys.exit(main())
