"""The page for people: files that lie beside this module, read once."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_FRONT = "index.html"


def page_routes() -> Iterator[Route]:
    """Yield a route for every file of the page: ``/`` for the first, ``/NAME`` for the others."""
    for file in files("claimstance.service").joinpath("page").iterdir():
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            path = "/" if file.name == _FRONT else f"/{file.name}"
            yield Route(path, _serving(file.read_bytes(), kind), methods=["GET"], include_in_schema=False)


def _serving(content: bytes, kind: str):
    async def page(request: Request) -> Response:
        return Response(content, headers={**_HEADERS, "content-type": kind})

    return page
