"""What the service answers when it refuses: one JSON shape that says what was wrong, where, and what was expected."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from claimstance.errors import did_you_mean
from claimstance.records import shown

JSON = "application/json"
PAGE_FILE = "file of the page"
"""What the routes of the page's parts are called, which nobody asks for by hand."""

UNION_TAGS = ("one pair", "many pairs")
"""What pydantic puts after ``body`` into the place of an error, and no client ever wrote."""

_TEXT, _LIST, _OBJECT = "a text", "a list", "a JSON object"
_KINDS = {
    "string_type": _TEXT,
    "list_type": _LIST,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dict_type": _OBJECT,
}
_PAIR = {"quote": _TEXT, "claim": _TEXT}
_PAIRS = {"pairs": _LIST}
_ARTICLE = {"text": _TEXT, "claims": _LIST}
_LONGEST_NAME = 40


class Refusal(Exception):
    """A request that is not answered: its HTTP ``status``, a ``code`` for programs, a ``message`` for people, ``where`` in the
    request the trouble is, and ``headers`` of the answer."""

    def __init__(
        self, status: int, code: str, message: str, where: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.where = status, code, message, where
        self.headers = dict(headers or {})

    @property
    def content(self) -> dict[str, dict[str, str]]:
        """The refusal as JSON has it."""
        return {"error": {"code": self.code, "message": self.message, "where": self.where}}

    def response(self) -> Response:
        return answer(self.content, self.status, self.headers)


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer in JSON."""
    return Response(encoded(content), status, headers, media_type=JSON)


def encoded(content: Any) -> bytes:
    """Return JSON in UTF-8; half a character, which UTF-8 has no bytes for, is escaped as JSON does."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def refused(request: Request, refusal: Refusal) -> Response:
    """Answer a Refusal that an endpoint raised."""
    return refusal.response()


def refused_body(request: Request, error: RequestValidationError) -> Response:
    """Answer a body that is not JSON, or not of the kind that was expected; the first thing wrong is named."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON and not kind.endswith("+json"):
        message = f"the content-type is {kind or 'left out'}, expected {JSON}"
        return Refusal(415, "unsupported_media_type", message, "headers.content-type").response()
    return _of_validation(error.errors()).response()


def refused_by_router(request: Request, error: HTTPException) -> Response:
    """Answer what the router refuses by itself: unknown paths, wrong methods, bodies that cannot be read."""
    path = request.scope["path"]
    if error.status_code == 404:
        paths = sorted({route.path for route in request.app.routes if route.name != PAGE_FILE})
        message = f"no such path, expected one of {', '.join(paths)}{did_you_mean(path, paths)}"
        return Refusal(404, "not_found", message, path).response()
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"{request.method} is not answered here, expected {allowed}"
        return Refusal(405, "wrong_method", message, path, error.headers).response()
    message = f"the body cannot be read, expected {JSON} in UTF-8, nested no deeper than the documented bodies"
    return Refusal(error.status_code, "invalid_json", message, "body", error.headers).response()


def _of_validation(errors: Sequence[Mapping[str, Any]]) -> Refusal:
    error = errors[0]
    if error["type"] == "missing":
        # A field under a wrong name is missing and unknown; the unknown one says what to mend.
        error = next((other for other in errors if other["type"] == "extra_forbidden"), error)
    kind, found, context = error["type"], error.get("input"), error.get("ctx", {})
    if kind == "json_invalid":
        message = f"broken JSON at character {error['loc'][-1]} ({context['error']}), expected {_OBJECT}"
        return Refusal(400, "invalid_json", message, "body")
    where = _place(error["loc"])
    name = where.removeprefix("body.") if where != "body" else "the body"
    match kind:
        case "missing":
            expected = _fields_at(error["loc"])[error["loc"][-1]] if where != "body" else _OBJECT
            code, message = "missing_field", f"{name} is missing, expected {expected}"
        case "extra_forbidden":
            fields = _fields_at(error["loc"])
            near = did_you_mean(error["loc"][-1][:_LONGEST_NAME], fields)
            code, message = "unknown_field", f"{name} is an unknown field, expected {', '.join(fields)}{near}"
        case "blank" | "string_too_short":
            code, message = "empty_text", f"{name} is empty, expected {_TEXT}"
        case "string_unicode":
            code, message = "invalid_text", f"{name} holds half a character (a lone surrogate), expected {_TEXT}"
        case "string_too_long":
            most = context["max_length"]
            code, message = "text_too_long", f"{name} has {len(found):,} characters, expected {most:,} at most"
        case "too_long":
            most = context["max_length"]
            code, message = "too_many", f"{name} has {len(found):,} entries, expected {most:,} at most"
        case "too_short":
            code, message = "too_few", f"{name} has no entry, expected {context['min_length']} at least"
        case _:
            expected = _KINDS.get(kind, error["msg"])
            code, message = "wrong_kind", f"{name} is {shown(found)}, expected {expected}"
    return Refusal(422, code, message, where)


def _place(steps: Sequence[str | int]) -> str:
    """Write a path into a body as ``body.pairs[3].quote``."""
    place = str(steps[0])
    for step in steps[2:] if len(steps) > 1 and steps[1] in UNION_TAGS else steps[1:]:
        place += f"[{step}]" if isinstance(step, int) else f".{step[:_LONGEST_NAME]}"
    return place


def _fields_at(steps: Sequence[str | int]) -> dict[str, str]:
    """Return the fields that may stand where a path into a body ends, each with what is expected in it."""
    _, many = UNION_TAGS
    if steps[1] not in UNION_TAGS:
        return _ARTICLE
    if len(steps) > len(("body", many, "pairs")):
        return _PAIR
    return _PAIRS if steps[1] == many else _PAIR | _PAIRS
