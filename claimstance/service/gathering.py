"""Pairs of requests that wait for the model are labelled together: it takes little longer for ten pairs than for one."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from claimstance.predictor import Prediction
from claimstance.service.current import LoadedModel
from claimstance.service.workers import Workers

_MOST_PAIRS = 256


@dataclass(eq=False)
class _Waiting:
    model: LoadedModel
    pairs: Sequence[tuple[str, str]]
    answer: asyncio.Future[list[Prediction]]


class Gathering:
    """Has the workers label pairs. What came while the model was at work is labelled at one go as soon as it is free; nothing
    waits for others to come.

    Args:
        workers: whose threads predict.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._queue: deque[_Waiting] = deque()
        self._labelling: asyncio.Task[None] | None = None

    async def predict(self, model: LoadedModel, pairs: Sequence[tuple[str, str]]) -> list[Prediction]:
        """Return exactly what ``model.predictor.predict(pairs)`` returns."""
        if not model.same_in_any_batch:
            return await self._workers.run(model.predictor.predict, pairs)
        waiting = _Waiting(model, pairs, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._labelling is None or self._labelling.done():
            self._labelling = asyncio.create_task(self._label())
        try:
            return await waiting.answer
        finally:
            if waiting in self._queue:
                self._queue.remove(waiting)

    async def _label(self) -> None:
        while self._queue:
            together = self._next()
            answers = await self._workers.run(_predictions, together)
            for waiting, answer in zip(together, answers, strict=True):
                if waiting.answer.done():
                    continue
                if isinstance(answer, Exception):
                    waiting.answer.set_exception(answer)
                else:
                    waiting.answer.set_result(answer)

    def _next(self) -> list[_Waiting]:
        """Take the longest waiting request, and those behind it that ask the same model while they are not too many."""
        together = [self._queue.popleft()]
        count = len(together[0].pairs)
        while self._queue and self._queue[0].model is together[0].model:
            count += len(self._queue[0].pairs)
            if count > _MOST_PAIRS:
                break
            together.append(self._queue.popleft())
        return together


def _predictions(together: Sequence[_Waiting]) -> list[list[Prediction] | Exception]:
    """Return the predictions of each request, or why there are none; a request that fails spoils no other's."""
    pairs = [pair for waiting in together for pair in waiting.pairs]
    try:
        every = iter(together[0].model.predictor.predict(pairs))
    except Exception as error:
        return [error] if len(together) == 1 else [_predictions([waiting])[0] for waiting in together]
    return [list(itertools.islice(every, len(waiting.pairs))) for waiting in together]
