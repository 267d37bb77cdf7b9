"""What the service reads and answers; its OpenAPI description is made of these models and examples."""

# No deferred annotations here: the models of bodies are made for given limits, and name their local types.
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import Body
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from claimstance.service.limits import MOST_CLAIMS, Limits
from claimstance.service.refusals import JSON, UNION_TAGS, Refusal

_QUOTE, _CLAIM = "نفى الوزير وصول أي شحنة ملوثة إلى المرفأ.", "وصلت شحنة ملوثة إلى المرفأ."
_NOT_BLANK = r"[^\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
"""What ``str.strip`` leaves, spelled out: languages differ in what ``\\s`` is."""

_OTHER = "أكد مدير المختبر أن الشحنة التي وصلت ملوثة."


class Bodies(NamedTuple):
    """The types of the bodies of ``/predict`` and of ``/article``."""

    predict: Any
    article: Any


class ModelAnswer(BaseModel):
    """The model that gave an answer: ``digest`` is the SHA-256 of its bundle."""

    name: str
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    labels: list[str]
    stances: list[str]


class PredictionAnswer(BaseModel):
    """What the model says of one pair; ``stance`` is null where it abstains."""

    stance: str | None
    confidence: float = Field(ge=0, le=1)
    probabilities: dict[str, float]


class PredictAnswer(BaseModel):
    """The predictions of a request, in the order of its pairs."""

    model: ModelAnswer
    predictions: list[PredictionAnswer]


class StatementAnswer(BaseModel):
    """A statement of an article: ``start`` and ``stop`` count code points; ``stances`` has one entry a claim."""

    text: str
    start: int = Field(ge=0)
    stop: int = Field(ge=0)
    speaker: str
    stances: list[PredictionAnswer]


class ArticleAnswer(BaseModel):
    """The statements of an article, in their order."""

    model: ModelAnswer
    claims: list[str]
    statements: list[StatementAnswer]


class HealthAnswer(BaseModel):
    """The process lives."""

    status: str


class ReadyAnswer(BaseModel):
    """A model is loaded and answers."""

    status: str
    model: ModelAnswer


class ErrorPart(BaseModel):
    """What was wrong: ``code`` for programs, ``message`` for people, ``where`` in the request."""

    code: str
    message: str
    where: str


class ErrorAnswer(BaseModel):
    """Why a request is not answered."""

    error: ErrorPart


def bodies(limits: Limits) -> Bodies:
    """Return the models of the bodies that a service of these limits reads."""
    short, long = _text_of(limits.max_characters), _text_of(limits.max_article)
    closed = ConfigDict(extra="forbid")

    class Pair(BaseModel):
        """A quote met with a claim; the claim may be left out where the model reads quotes alone."""

        model_config = closed
        quote: short
        claim: short | None = None

    class Pairs(BaseModel):
        """Several pairs."""

        model_config = closed
        pairs: Annotated[list[Pair], Field(min_length=1, max_length=limits.max_pairs)]

    class Article(BaseModel):
        """An article, and the claims to hold its statements against."""

        model_config = closed
        text: long
        claims: Annotated[list[short], Field(max_length=MOST_CLAIMS)]

    one, many = UNION_TAGS

    def which(body: Any) -> str:
        return many if isinstance(body, Mapping) and "pairs" in body else one

    either = Annotated[Annotated[Pair, Tag(one)] | Annotated[Pairs, Tag(many)], Discriminator(which)]
    return Bodies(
        Annotated[either, Body(openapi_examples=_EXAMPLES["predict"])],
        Annotated[Article, Body(openapi_examples=_EXAMPLES["article"])],
    )


def _text_of(most: int) -> Any:
    described = Field(min_length=1, max_length=most, json_schema_extra={"pattern": _NOT_BLANK})
    return Annotated[str, described, AfterValidator(_not_blank)]


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "empty")
    return text


def answers(kind: type[BaseModel], example: str, *codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI descriptions of an answer and of the refusals that may stand in its place, named by their codes."""
    described: dict[int | str, dict[str, Any]] = {
        200: {"model": kind, "content": {JSON: {"examples": {"answer": {"value": _ANSWERS[example]}}}}}
    }
    for code in codes:
        status, what, message, where = _REFUSALS[code]
        value = Refusal(status, code, message, where).content
        described[status] = {
            "model": ErrorAnswer,
            "description": what,
            "content": {JSON: {"examples": {code: {"value": value}}}},
        }
        if code == "busy":
            wait = {"description": "Seconds to wait", "schema": {"type": "integer"}}
            described[status]["headers"] = {"retry-after": wait}
    return described


_EXAMPLES = {
    "predict": {
        "one pair": {"value": {"quote": _QUOTE, "claim": _CLAIM}},
        "several pairs": {"value": {"pairs": [{"quote": _QUOTE, "claim": _CLAIM}, {"quote": _OTHER, "claim": _CLAIM}]}},
    },
    "article": {
        "two claims": {"value": {"text": f"{_QUOTE} {_OTHER}", "claims": [_CLAIM, "الشحنة سليمة."]}},
        "statements alone": {"value": {"text": f"{_QUOTE} {_OTHER}", "claims": []}},
    },
}
_MODEL = {
    "name": "pair-linear",
    "digest": "5f3c" * 16,
    "labels": ["assert", "deny", "confirm", "none"],
    "stances": ["assert", "deny", "confirm"],
}
_PREDICTION = {
    "stance": "deny",
    "confidence": 0.75,
    "probabilities": {"assert": 0.125, "deny": 0.75, "confirm": 0.0625, "none": 0.0625},
}
_STATEMENT = {"text": _QUOTE, "start": 0, "stop": len(_QUOTE), "speaker": "الوزير", "stances": [_PREDICTION]}
_ANSWERS: dict[str, Any] = {
    "predict": {"model": _MODEL, "predictions": [_PREDICTION]},
    "article": {"model": _MODEL, "claims": [_CLAIM], "statements": [_STATEMENT]},
    "health": {"status": "lives"},
    "ready": {"status": "ready", "model": _MODEL},
}
_REFUSALS = {
    "invalid_json": (400, "No JSON", "broken JSON at character 9 (Expecting value), expected a JSON object", "body"),
    "slow_body": (408, "Body too slow", "the body did not arrive in time, expected at most 10 seconds", "body"),
    "body_too_large": (
        413,
        "Body too large",
        "the body is longer than 2,097,152 bytes, expected at most that; send less at once",
        "body",
    ),
    "unsupported_media_type": (
        415,
        "Not sent as JSON",
        "the content-type is text/plain, expected application/json",
        "headers.content-type",
    ),
    "wrong_kind": (
        422,
        "Not what was expected",
        "pairs[3].quote is a number, expected a text",
        "body.pairs[3].quote",
    ),
    "internal": (500, "An error of the service", "an error of the service itself; its log says more", ""),
    "busy": (503, "Busy", "64 requests are at work or waiting, as many as may; send this one again", ""),
    "not_ready": (503, "Shutting down", "the service is shutting down", ""),
    "timeout": (504, "No answer in time", "no answer in time, expected at most 10 seconds; send less at once", "body"),
}
