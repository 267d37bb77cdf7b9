"""What stands before the application: bounds of body, time and number of requests, and a line and a count for each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from claimstance.service.limits import Limits
from claimstance.service.measures import Measures
from claimstance.service.refusals import Refusal

_log = logging.getLogger("claimstance.service")

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[MutableMapping[str, Any], _Receive, _Send], Awaitable[None]]

RETRY_AFTER_S = 1
_LINGER_BYTES = 64 * 1024 * 1024
_LINGER_S = 5.0
_LONGEST_LENGTH = 18
"""Digits of a content-length that are still read as a number."""


class _ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class Guard:
    """ASGI middleware of the service.

    Args:
        app: what answers.
        limits: the bounds.
        measures: what counts.
        routes: the paths that are counted by name; others count as ``unknown``.
        work: those whose POST requests read a body and predict, and so are bounded in number and time.
    """

    def __init__(
        self, app: _App, limits: Limits, measures: Measures, routes: frozenset[str], work: frozenset[str]
    ) -> None:
        self._app, self._limits, self._measures = app, limits, measures
        self._routes, self._work = routes, work
        self._at_work = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def watched(message: _Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        path = scope["path"].removeprefix(scope.get("root_path", ""))
        try:
            with self._measures.in_flight.track_inprogress():
                if scope["method"] == "POST" and path in self._work:
                    await self._bounded(scope, receive, watched)
                else:
                    await self._app(scope, receive, watched)
        except _ClientGone:
            pass
        except Exception:
            _log.exception("a request failed")
            if status:
                raise
            await _refuse(Refusal(500, "internal", "an error of the service itself; its log says more", ""), watched)
        finally:
            if status:
                seconds = time.perf_counter() - started
                self._measures.answered(path if path in self._routes else "unknown", status, seconds)
                pairs = scope.get("state", {}).get("pairs", 0)
                # As it came, percent-encoded: a decoded path could hold the end of a line.
                shown = scope.get("raw_path", b"?").decode("ascii", "backslashreplace")
                _log.info("%s %s %d %.1f ms %d pairs", scope["method"], shown, status, 1000 * seconds, pairs)

    async def _bounded(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        limits = self._limits
        if self._at_work >= limits.max_requests:
            message = f"{limits.max_requests} requests are at work or waiting, as many as may; send this one again"
            busy = Refusal(503, "busy", message, "", {"retry-after": str(RETRY_AFTER_S)})
            await _refuse_unread(busy, scope, receive, send)
            return
        self._at_work += 1
        body = None
        try:
            async with asyncio.timeout(limits.timeout) as deadline:
                body = await self._body(scope, receive)
                await self._app(scope, _replaying(body, receive), send)
        except Refusal as refusal:
            await _refuse_unread(refusal, scope, receive, send)
        except TimeoutError:
            if not deadline.expired():
                raise
            asked = f"expected at most {limits.timeout:g} seconds"
            if body is None:
                message = f"the body did not arrive in time, {asked}"
                await _refuse_unread(Refusal(408, "slow_body", message, "body"), scope, receive, send)
            else:
                message = f"no answer in time, {asked}; send less at once"
                await _refuse(Refusal(504, "timeout", message, "body"), send)
        finally:
            self._at_work -= 1

    async def _body(self, scope: MutableMapping[str, Any], receive: _Receive) -> bytes:
        """Return the whole body; what it says of its length is believed only where that is too much."""
        most = self._limits.max_body
        message = f"the body is longer than {most:,} bytes, expected at most that; send less at once"
        too_large = Refusal(413, "body_too_large", message, "body")
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if said.isdigit() and (len(said) > _LONGEST_LENGTH or int(said) > most):
            raise too_large
        body = bytearray()
        more = True
        while more:
            chunk, more = await _next_chunk(receive)
            body += chunk
            if len(body) > most:
                raise too_large
        return bytes(body)


async def _next_chunk(receive: _Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise _ClientGone
    return message.get("body", b""), message.get("more_body", False)


def _replaying(body: bytes, receive: _Receive) -> _Receive:
    """Return a ``receive`` that gives the whole body first, and then what the client does."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> _Message:
        return waiting.pop() if waiting else await receive()

    return replay


async def _refuse(refusal: Refusal, send: _Send, *, more_body: bool = False) -> None:
    response = refusal.response()
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": more_body})


async def _refuse_unread(refusal: Refusal, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
    """Refuse a request whose body is not read to its end, and close its connection.

    What still comes is thrown away for a while, since a client that is cut off while it writes never reads the answer.
    """
    refusal.headers["connection"] = "close"
    # Who asks before sending a body is answered by the refusal; reading would tell it to send.
    more = b"expect" not in dict(scope["headers"])
    await _refuse(refusal, send, more_body=True)
    thrown = 0
    with contextlib.suppress(TimeoutError, _ClientGone):
        async with asyncio.timeout(_LINGER_S):
            while more and thrown < _LINGER_BYTES:
                chunk, more = await _next_chunk(receive)
                thrown += len(chunk)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
