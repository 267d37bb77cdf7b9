"""The ASGI application: which request is answered with what."""

# No deferred annotations here: FastAPI reads the types of bodies, which are made for given limits, from the functions.
import asyncio
import contextlib
import copy
import os
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from claimstance.predictor import Prediction
from claimstance.service import schemas
from claimstance.service.articles import described, pairs_of, statements_of
from claimstance.service.current import CurrentModel, LoadedModel
from claimstance.service.gathering import Gathering
from claimstance.service.guard import Guard
from claimstance.service.limits import Limits
from claimstance.service.measures import CONTENT_TYPE, Measures
from claimstance.service.page_files import page_routes
from claimstance.service.refusals import JSON, Refusal, answer, encoded, refused, refused_body, refused_by_router
from claimstance.service.workers import Workers

_DESCRIPTION = (
    "Stances of quotes to claims: who asserts, denies or confirms a claim. Every answer names the model that gave it; "
    "every refusal says what was wrong, where, and what was expected."
)
_WORK = frozenset({"/predict", "/article"})
_REFUSALS = (
    "invalid_json",
    "slow_body",
    "body_too_large",
    "unsupported_media_type",
    "wrong_kind",
    "internal",
    "busy",
    "timeout",
)
_COUNTS = {200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": "claimstance_pairs_total 3.0\n"}}}}


class Service:
    """What an application holds: the model that answers, the threads that predict, its counts, and whether it is closing."""

    def __init__(self, bundle: str | os.PathLike[str], limits: Limits) -> None:
        self.limits = limits
        self.measures = Measures()
        self.current = CurrentModel(bundle, self.measures)
        self.workers = Workers(limits.threads, "claimstance-predict")
        self.gathering = Gathering(self.workers)
        self.closing = False

    def close(self) -> None:
        """Say that no more requests are wanted; may be called from a signal handler."""
        self.closing = True

    @property
    def busy(self) -> int:
        """Threads at work now."""
        return self.workers.busy + self.current.loader.busy


def build_app(bundle: str | os.PathLike[str], limits: Limits, reload_every: float) -> FastAPI:
    """Return the application; see :func:`claimstance.service.create_app`."""
    service = Service(bundle, limits)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.closing = False
        watch = asyncio.create_task(service.current.watch(reload_every))
        yield
        service.close()
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch

    app = FastAPI(
        title="claimstance",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        # The usual pages of documentation load their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            Refusal: refused,
            RequestValidationError: refused_body,
            HTTPException: refused_by_router,
        },
    )
    app.state.service = service
    _add_work(app, service)
    _add_watching(app, service)
    app.router.routes.extend(page_routes())
    app.openapi = _describing(app, service)
    paths = frozenset(route.path for route in app.routes)
    app.add_middleware(Guard, limits=limits, measures=service.measures, routes=paths, work=_WORK)
    return app


def _add_work(app: FastAPI, service: Service) -> None:
    bodies = schemas.bodies(service.limits)

    @app.post(
        "/predict", summary="Label pairs", responses=schemas.answers(schemas.PredictAnswer, "predict", *_REFUSALS)
    )
    async def predict(request: Request, body: bodies.predict) -> Response:
        """Label one pair, or several."""
        model = service.current.loaded
        many = getattr(body, "pairs", None)
        pairs = [body] if many is None else many
        for index, pair in enumerate(pairs):
            _check_claim(model, pair.claim, "body.claim" if many is None else f"body.pairs[{index}].claim")
        predictions = await service.gathering.predict(model, [(pair.quote, pair.claim or "") for pair in pairs])
        _count(service, request, predictions)
        shown = [prediction._asdict() for prediction in predictions]
        return answer({"model": model.described(), "predictions": shown})

    @app.post(
        "/article",
        summary="Label the statements of an article",
        responses=schemas.answers(schemas.ArticleAnswer, "article", *_REFUSALS),
    )
    async def article(request: Request, body: bodies.article) -> Response:
        """Split an article into statements, and hold each against every claim."""
        model = service.current.loaded
        statements = await service.workers.run(statements_of, body.text, model.predictor)
        by_claim = []
        # One claim after the other, so that other requests get their turn and one that gave up ends.
        for claim in body.claims:
            stances = await service.gathering.predict(model, pairs_of(statements, claim))
            _count(service, request, stances)
            by_claim.append(stances)

        def work() -> bytes:
            shown = [
                described(statement, [stances[index] for stances in by_claim])
                for index, statement in enumerate(statements)
            ]
            return encoded({"model": model.described(), "claims": body.claims, "statements": shown})

        return Response(await service.workers.run(work), media_type=JSON)


def _check_claim(model: LoadedModel, claim: str | None, where: str) -> None:
    if claim is None and "claim" in model.predictor.manifest.sides:
        message = f"{where.removeprefix('body.')} is missing, and this model reads pairs; expected a text"
        raise Refusal(422, "missing_field", message, where)


def _count(service: Service, request: Request, predictions: list[Prediction]) -> None:
    request.state.pairs = getattr(request.state, "pairs", 0) + len(predictions)
    service.measures.labelled(predictions)


def _add_watching(app: FastAPI, service: Service) -> None:
    @app.get("/health", summary="The process lives", responses=schemas.answers(schemas.HealthAnswer, "health"))
    async def health() -> Response:
        """Answer, whatever else is at work."""
        return answer({"status": "lives"})

    @app.get(
        "/ready",
        summary="A model is loaded",
        responses=schemas.answers(schemas.ReadyAnswer, "ready", "not_ready"),
    )
    async def ready() -> Response:
        """Name the model that answers; 503 once the service shuts down."""
        if service.closing:
            raise Refusal(503, "not_ready", "the service is shutting down", "")
        return answer({"status": "ready", "model": service.current.loaded.described()})

    @app.get(
        "/metrics",
        summary="Counts in Prometheus' text format",
        response_class=Response,
        responses=_COUNTS,
    )
    async def metrics() -> Response:
        """Return requests, times, pairs, stances and reloads since the start."""
        return Response(service.measures.text(), headers={"content-type": CONTENT_TYPE})


def _describing(app: FastAPI, service: Service):
    """Return what describes the application as it is now: whether a pair needs its claim is up to the model."""
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            made.update(
                get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            )
        shown = copy.deepcopy(made)
        if "claim" in service.current.loaded.predictor.manifest.sides:
            pair = shown["components"]["schemas"]["Pair"]
            pair["required"].append("claim")
            (pair["properties"]["claim"],) = [
                kind for kind in pair["properties"]["claim"]["anyOf"] if kind != {"type": "null"}
            ]
        return shown

    return openapi
