"""Blocks of a file labelled by this process or by several others, in order either way."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import NamedTuple

from claimstance.errors import ClaimstanceError
from claimstance.labelling import Job, Labelled, label
from claimstance.predictor import Predictor
from claimstance.tables import Block

_AHEAD = 2
"""Blocks that each worker has at most: the one that it labels, and the next, so that it never waits for one."""


def labelled_blocks(job: Job, blocks: Iterable[Block], workers: int) -> Iterator[tuple[Block, Labelled]]:
    """Yield every block with what became of it, in order. Memory holds few blocks at a time.

    Args:
        job: what to do.
        blocks: the blocks of the file.
        workers: 1 labels in this process; more start as many processes, each of which loads the model.

    Raises:
        ClaimstanceError: a worker failed or was killed. No process outlives the iterator, nor this process.
    """
    if workers == 1:
        predictor = Predictor.load(job.model)
        for block in blocks:
            yield block, label(predictor, job, block)
        return
    crew: list[_Worker] = []
    try:
        _start(crew, job, workers)
        pending: deque[tuple[_Worker, Block]] = deque()
        for worker, block in zip(itertools.cycle(crew), blocks, strict=False):
            if len(pending) == _AHEAD * workers:
                yield _result(*pending.popleft())
            with _reporting_death(worker):
                worker.connection.send(block)
            pending.append((worker, block))
        while pending:
            yield _result(*pending.popleft())
    finally:
        for worker in crew:
            worker.process.kill()
            worker.connection.close()
        for worker in crew:
            worker.process.join()


class _Worker(NamedTuple):
    process: multiprocessing.process.BaseProcess
    connection: Connection


def _start(crew: list[_Worker], job: Job, workers: int) -> None:
    context = multiprocessing.get_context("spawn")
    # The tracker is started with the first process, and would let signals through again.
    resource_tracker.ensure_running()
    # Ctrl-C reaches all processes of a terminal; workers inherit this mask, and are stopped by us.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, job), daemon=True)
            process.start()
            # Else the end of the worker would not close the pipe.
            theirs.close()
            crew.append(_Worker(process, ours))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _result(worker: _Worker, block: Block) -> tuple[Block, Labelled]:
    with _reporting_death(worker):
        result = worker.connection.recv()
    if isinstance(result, str):
        raise ClaimstanceError(result)
    return block, result


@contextlib.contextmanager
def _reporting_death(worker: _Worker) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode
        how = f"was killed by signal {-code}; is there enough memory?" if code < 0 else f"ended with exit code {code}"
        raise ClaimstanceError(f"a worker process {how}") from None


def _work(connection: Connection, job: Job) -> None:
    waiting: queue.SimpleQueue[Block] = queue.SimpleQueue()
    # Reading must not wait until a result is written: both ends could then wait for each other.
    threading.Thread(target=_receive, args=(connection, waiting), daemon=True).start()
    number = job.table.start.number
    try:
        predictor = Predictor.load(job.model)
        while True:
            block = waiting.get()
            number = block.start.number
            connection.send(label(predictor, job, block))
    except ClaimstanceError as error:
        connection.send(str(error))
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        connection.send(f"{job.table.path}:{number}: a worker process failed in the rows from here on ({what})")
    # Whoever sends blocks has to read the error, and would take an end for a death.
    threading.Event().wait()


def _receive(connection: Connection, waiting: queue.SimpleQueue[Block]) -> None:
    try:
        while True:
            waiting.put(connection.recv())
    except (EOFError, OSError):
        # Whoever sent blocks is gone.
        os._exit(1)
