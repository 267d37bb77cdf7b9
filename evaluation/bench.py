"""``python -m evaluation.bench``: an exported model beside named peers in one run: speed, growth, start, size and memory.

Everything runs on one thread. Absolute figures differ by machine and hour: compare the ratios. The model learns words as it
meets them, so it is timed both fresh, with 20,000 pairs in which every word is new at first, and with all of them known.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.table import Table

from claimstance.cli import reporting_errors
from claimstance.console import console
from claimstance.predictor import Predictor
from claimstance.records import Pair, read_pairs

_PAIRS = 20_000
_REPEATS = 5
_HEADLINE_WORDS = 14
_STARTS = 5
_LARGEST = 1_000_000
_START = """
import sys, time
start = time.perf_counter()
from claimstance import Predictor
predictor = Predictor.load(sys.argv[1])
predictor.predict([("نفى الوزير وصول الشحنة", "وصلت الشحنة إلى المرفأ")])
print(time.perf_counter() - start)
"""
_FILE = """
import sys, time
from claimstance.batch import predict_file
if __name__ == "__main__":
    start = time.perf_counter()
    predict_file(*sys.argv[1:4], workers=int(sys.argv[4]))
    print(time.perf_counter() - start)
"""
_LOOP = """
import multiprocessing, sys, time

def work(_):
    total = 0
    for number in range(10_000_000):
        total += number * number & 7

if __name__ == "__main__":
    with multiprocessing.Pool(int(sys.argv[1])) as pool:
        pool.map(len, [[], []])
        start = time.perf_counter()
        pool.map(work, range(int(sys.argv[1])), chunksize=1)
        print(time.perf_counter() - start)
"""
_PEAK = """
# The peak of this program alone: getrusage would count the parent that it was forked from.
if __name__ == "__main__":
    with open("/proc/self/status", encoding="utf-8") as status:
        print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)
"""

Texts = list[tuple[str, str]]
Predict = Callable[[Texts], object]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.bench", description=__doc__)
    parser.add_argument("--model", required=True, metavar="DIR", help="exported model")
    parser.add_argument("--pairs", required=True, metavar="FILE", help="JSONL file of annotated pairs")
    parser.add_argument("--largest", type=int, default=_LARGEST, metavar="N", help="rows of the largest file")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    options = parser.parse_args(arguments)
    return reporting_errors(lambda: _bench(options), "bench")


def _bench(options: argparse.Namespace) -> None:
    pairs = read_pairs(options.pairs)
    headlines = [(" ".join(pair.quote.split()[:_HEADLINE_WORDS]), pair.claim) for pair in pairs]
    peers = {} if options.alone else {**_fasttext(pairs), **_scikit_learn(pairs)}
    count = min(_PAIRS, options.largest)
    for title, texts in (
        (f"quotes of {_HEADLINE_WORDS} words at most", headlines),
        ("whole quotes", [(pair.quote, pair.claim) for pair in pairs]),
    ):
        _show_speed(title, options.model, peers, list(itertools.islice(itertools.cycle(texts), count)))
    _show_growth(options.model, headlines, options.largest)
    first, again = _alone(options.model, headlines)
    print(
        f"one pair alone, median of {len(headlines):,}: {again:.2f} ms, and {first:.2f} ms when it is the first of its words"
    )
    starts = [_program(_START, options.model) for _ in range(_STARTS)]
    size = sum(file.stat().st_size for file in Path(options.model).rglob("*") if file.is_file())
    print(f"import, load and first prediction: {statistics.median(start for start, _ in starts):.2f} s")
    print(f"peak memory of that process: {statistics.median(memory for _, memory in starts):.0f} MB")
    print(f"bundle: {size / 1e6:.2f} MB")


def _show_speed(title: str, model: str, peers: dict[str, Predict], texts: Texts) -> None:
    known = Predictor.load(model)
    known.predict(texts)
    timed: dict[str, Callable[[], Predict]] = {
        "claimstance": lambda: Predictor.load(model).predict,
        "claimstance, words known": lambda: known.predict,
        **{name: (lambda predict=predict: predict) for name, predict in peers.items()},
    }
    seconds = {name: float("inf") for name in timed}
    # All take turns, so that an hour in which the machine is slow is slow for all.
    for _, (name, make) in itertools.product(range(_REPEATS), timed.items()):
        predict = make()
        seconds[name] = min(seconds[name], _seconds(lambda predict=predict: predict(texts)))
    characters = sum(len(quote) + len(claim) for quote, claim in texts) / len(texts)
    table = Table(title=f"{title}: {len(texts):,} pairs of {characters:.0f} characters", title_justify="left")
    for column in ("predictor", "pairs per second", "claimstance is"):
        table.add_column(column, justify="left" if column == "predictor" else "right")
    for name, taken in seconds.items():
        ratio = f"{taken / seconds['claimstance']:.2f} × as fast" if name in peers else ""
        table.add_row(name, f"{len(texts) / taken:,.0f}", ratio)
    console().print(table)


def _show_growth(model: str, texts: Texts, largest: int) -> None:
    """Label files of more and more rows as ``claimstance predict`` does."""
    table = Table(
        title="files: JSONL in and out, read, labelled and written in a process of its own", title_justify="left"
    )
    for column in ("rows", "workers", "seconds", "rows per second", "peak memory, MB"):
        table.add_column(column, justify="right")
    sizes = [(rows, 1) for rows in (1_000, 10_000, 100_000, 1_000_000) if rows <= largest]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "pairs.jsonl", Path(folder) / "labelled.jsonl"
        for rows, workers in [*sizes, (sizes[-1][0], 2)]:
            with open(source, "w", encoding="utf-8") as file:
                file.writelines(_lines(texts, rows))
            seconds, peak = _program(_FILE, model, source, target, workers)
            memory = f"{peak:.0f}" if workers == 1 else "–"
            table.add_row(f"{rows:,}", str(workers), f"{seconds:.2f}", f"{rows / seconds:,.0f}", memory)
    console().print(table)
    alone, both = (_program(_LOOP, workers)[0] for workers in (1, 2))
    print(f"what two processors of this machine give, by a plain loop in two processes: {2 * alone / both:.2f} × one")


def _lines(texts: Texts, rows: int) -> Iterator[str]:
    for quote, claim in itertools.islice(itertools.cycle(texts), rows):
        yield json.dumps({"quote": quote, "claim": claim}, ensure_ascii=False) + "\n"


def _alone(model: str, texts: Texts) -> tuple[float, float]:
    """Return the median milliseconds of one pair alone, in the first pass over different pairs and in the second."""
    predictor = Predictor.load(model)
    passes = ([_seconds(lambda pair=pair: predictor.predict([pair])) for pair in texts] for _ in range(2))
    first, second = (1000 * statistics.median(seconds) for seconds in passes)
    return first, second


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _program(program: str, *arguments: object) -> tuple[float, float]:
    """Run a program that prints seconds; return them and the megabytes that it needed at its peak."""
    with tempfile.TemporaryDirectory() as folder:
        # A file and not -c, since the processes that it starts read it again.
        script = Path(folder) / "program.py"
        script.write_text(program + _PEAK, encoding="utf-8")
        command = [sys.executable, str(script), *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


def _scikit_learn(pairs: Sequence[Pair]) -> dict[str, Predict]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def fitted(**settings: object) -> Predict:
        pipeline = make_pipeline(TfidfVectorizer(**settings), LogisticRegression(max_iter=200))
        pipeline.fit([f"{pair.quote} {pair.claim}" for pair in pairs], [pair.stance for pair in pairs])
        return lambda texts: pipeline.predict([f"{quote} {claim}" for quote, claim in texts])

    return {
        "scikit-learn, words 1–2": fitted(ngram_range=(1, 2)),
        "scikit-learn, char_wb 2–4": fitted(analyzer="char_wb", ngram_range=(2, 4)),
    }


def _fasttext(pairs: Sequence[Pair]) -> dict[str, Predict]:
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
