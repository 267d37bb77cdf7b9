"""Threads that predict, so that the event loop stays free to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Result = TypeVar("_Result")


class Workers:
    """A bounded number of threads. Work waits here and not in the pool, so that a request that gave up leaves nothing behind;
    work that has begun is finished, and its thread is not free before.

    Args:
        threads: how many.
        name: what the threads are called.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = asyncio.Semaphore(threads)
        self.busy = 0
        """Threads at work now."""

    async def run(self, work: Callable[..., _Result], *arguments: object) -> _Result:
        """Return what ``work(*arguments)`` returns on a thread of its own, once one is free."""
        await self._free.acquire()
        self.busy += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def _done(self, future: asyncio.Future) -> None:
        self.busy -= 1
        self._free.release()
        if not future.cancelled():
            # Asked for, so that nothing is logged about the work of a request that gave up.
            future.exception()
