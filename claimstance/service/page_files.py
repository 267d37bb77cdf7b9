"""The page for people: files that lie beside this module, read once."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from claimstance.service.refusals import PAGE_FILE

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
_FRONT = "/"
_PATHS = {"index.html": (_FRONT,), "icon.svg": ("/icon.svg", "/favicon.ico")}
"""Where browsers find what is not asked for under its name; the icon of an answer in JSON is always ``/favicon.ico``."""


def page_routes() -> Iterator[Route]:
    """Yield the routes of every file of the page."""
    for file in files("claimstance.service").joinpath("page").iterdir():
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            page = _serving(file.read_bytes(), kind)
            for path in _PATHS.get(file.name, (f"/{file.name}",)):
                name = None if path == _FRONT else PAGE_FILE
                yield Route(path, page, methods=["GET"], name=name, include_in_schema=False)


def _serving(content: bytes, kind: str):
    async def page(request: Request) -> Response:
        return Response(content, headers={**_HEADERS, "content-type": kind})

    return page
