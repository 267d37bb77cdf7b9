"""``python -m evaluation.load_test``: what the service answers under load, in requests and pairs a second.

The service runs as its own process on this machine's loopback; the clients share another one, each with a connection that is
kept, and send the next request when the last is answered. Requests are made before the clock runs, and of an answer only its
status and length are read, so that the service is what is measured: HTTP, JSON and checks as well as the model. What the
model does alone, called in this process without a service, stands beside it. Absolute figures differ by machine and hour.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.table import Table

from claimstance.cli import reporting_errors
from claimstance.console import console
from claimstance.errors import ClaimstanceError
from claimstance.predictor import Predictor
from claimstance.records import read_pairs

BATCHES = (1, 64)
"""Pairs in a request."""

_REQUESTS = 200
_WARM_UP_S = 0.3
_LONGEST_ANSWER_S = 30.0
_STOP_S = 15.0


@dataclass
class Load:
    """What came back: the time to each answer (seconds), how many requests failed, and over how many seconds."""

    times: list[float] = field(default_factory=list)
    errors: int = 0
    seconds: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the load test; returns the exit code: 1 where a request failed."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.load_test", description=__doc__)
    parser.add_argument("--model", required=True, metavar="DIR", help="exported model")
    parser.add_argument("--pairs", default="data/validation.jsonl", metavar="FILE", help="pairs to send")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each load lasts (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=8, help="requests at once (default: %(default)s)")
    options = parser.parse_args(arguments)
    failed = 0

    def work() -> None:
        nonlocal failed
        failed = _load_test(options.model, options.pairs, options.seconds, options.clients)

    return reporting_errors(work, "load_test") or int(failed > 0)


def _load_test(model: str, path: str, seconds: float, clients: int) -> int:
    if seconds <= 0 or clients < 1:
        raise ClaimstanceError("--seconds and --clients are bounds of the load, expected numbers above 0")
    texts = [(pair.quote, pair.claim) for pair in read_pairs(path)]
    table = Table(title=f"{model} under load: {clients} clients, {seconds:g} seconds each", title_justify="left")
    table.add_column("pairs a request")
    for column in ("requests/s", "pairs/s", "p50 ms", "p99 ms", "errors", "model alone, pairs/s"):
        table.add_column(column, justify="right")
    failed = 0
    predictor = Predictor.load(model)
    for size in BATCHES:
        batches = list(itertools.islice(_batches(texts, size), _REQUESTS))
        alone = _alone(predictor, batches, min(seconds, 2.0))
        with serving(model, clients) as port:
            load = asyncio.run(_drive(port, [_request(batch) for batch in batches], clients, seconds))
        rate = len(load.times) / load.seconds
        cuts = (
            statistics.quantiles(load.times, n=100, method="inclusive") if len(load.times) > 1 else [float("nan")] * 99
        )
        table.add_row(
            str(size),
            f"{rate:,.0f}",
            f"{rate * size:,.0f}",
            f"{1000 * cuts[49]:.1f}",
            f"{1000 * cuts[98]:.1f}",
            str(load.errors),
            f"{alone:,.0f}",
        )
        failed += load.errors
    console().print(table)
    return failed


def _batches(texts: Sequence[tuple[str, str]], size: int) -> Iterator[list[tuple[str, str]]]:
    endless = itertools.cycle(texts)
    while True:
        yield list(itertools.islice(endless, size))


def _request(batch: Sequence[tuple[str, str]]) -> bytes:
    pairs = [{"quote": quote, "claim": claim} for quote, claim in batch]
    body = json.dumps(pairs[0] if len(pairs) == 1 else {"pairs": pairs}, ensure_ascii=False).encode()
    head = (
        "POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _alone(predictor: Predictor, batches: Sequence[list[tuple[str, str]]], seconds: float) -> float:
    done, started = 0, time.perf_counter()
    for batch in itertools.cycle(batches):
        predictor.predict(batch)
        done += len(batch)
        if (taken := time.perf_counter() - started) > seconds:
            return done / taken
    raise AssertionError("a cycle has no end")


@contextlib.contextmanager
def serving(model: str, clients: int) -> Iterator[int]:
    """Run the service in a process of its own; yield its port, and stop it at the end.

    Raises:
        ClaimstanceError: the service does not start.
    """
    command = [sys.executable, "-m", "claimstance", "serve", model, "--port", "0", "--quiet"]
    process = subprocess.Popen([*command, "--max-requests", str(clients + 1)], stdout=subprocess.PIPE, encoding="utf-8")
    try:
        first = process.stdout.readline()
        if not first.startswith("serving at "):
            raise ClaimstanceError("the service did not start; what it printed stands above")
        yield int(first.split("/ ")[0].rpartition(":")[2])
    finally:
        process.terminate()
        try:
            process.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


async def _drive(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    await asyncio.gather(*(_client(port, requests, first, _WARM_UP_S, Load()) for first in range(clients)))
    load = Load()
    started = time.perf_counter()
    await asyncio.gather(*(_client(port, requests, first, seconds, load) for first in range(clients)))
    load.seconds = time.perf_counter() - started
    return load


async def _client(port: int, requests: Sequence[bytes], first: int, seconds: float, load: Load) -> None:
    """Send requests one after the other over one connection, beginning with the given one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    until = time.perf_counter() + seconds
    for request in itertools.cycle([*requests[first:], *requests[:first]]):
        started = time.perf_counter()
        if started > until:
            break
        try:
            async with asyncio.timeout(_LONGEST_ANSWER_S):
                writer.write(request)
                status = await _answer(reader)
        except (OSError, EOFError, TimeoutError):
            load.errors += 1
            break
        if status == 200:
            load.times.append(time.perf_counter() - started)
        else:
            load.errors += 1
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    """Read an answer to its end; return its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    return int(head.split(b" ", 2)[1])


if __name__ == "__main__":
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    sys.exit(main())
