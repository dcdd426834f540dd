"""The server as an ASGI application: routes, and how a picture finds its way to an answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from dermasense import __version__
from dermasense.data.preprocess import UnreadableImage
from dermasense.inference.model import Model
from dermasense.inference.prediction import DISCLAIMER, Prediction
from dermasense.serving.answers import About, AboutLimits, Answers, ErrorAnswer
from dermasense.serving.batching import MicroBatcher
from dermasense.serving.decoding import Decoding, most_pixels, told
from dermasense.serving.explaining import Explaining, add_explain
from dermasense.serving.guard import Guard
from dermasense.serving.limits import Limits
from dermasense.serving.problems import Problem, busy
from dermasense.serving.telemetry import Metrics, log
from dermasense.serving.uploads import FIELD, read_pictures

PAGE = {"/": "index.html"} | {f"/{name}": name for name in ("page.css", "page.mjs", "shown.mjs")}
TYPES = {"html": "text/html", "css": "text/css", "mjs": "text/javascript"}
_BASE64 = {"type": "string", "format": "byte"}
_NAMED = {
    "type": "object",
    "required": ["data"],
    "properties": {"name": {"type": "string"}, "data": _BASE64},
}
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {
                        "images": {
                            "type": "array",
                            "items": {"anyOf": [_BASE64, _NAMED]},
                            "minItems": 1,
                        }
                    },
                },
                "example": {"images": ["iVBORw0KGgo=", {"name": "b.png", "data": "iVBORw0KGgo="}]},
            },
        },
    }
}
_STATUSES = {
    400: "The body is malformed.",
    401: "The API key is missing or wrong.",
    408: "The body came too slowly.",
    413: "The body is too large, or holds too many pictures.",
    415: "The content type is neither multipart/form-data nor application/json.",
    422: "No picture could be read.",
    429: "Too many requests from this client.",
    500: "The server failed on this request.",
    503: "The server has as much to do as it takes on; see Retry-After.",
}
REFUSALS = {code: {"model": ErrorAnswer, "description": d} for code, d in _STATUSES.items()}
WITHOUT_BODY = {code: REFUSALS[code] for code in (401, 429, 500, 503)}
_MOST = 40  # characters of a client's value that are given back
# For the schema alone: Guard asks for the key, before anything of a request is read.
KEYS = [
    Security(APIKeyHeader(name="X-API-Key", auto_error=False)),
    Security(HTTPBearer(auto_error=False)),
]


class Service:
    """What the routes share.

    Args:
        model: of `dermasense.load`.
        limits: of the server.
        wait_seconds: how long an idle network waits for a batch to fill.
    """

    def __init__(self, model: Model, limits: Limits, wait_seconds: float = 0.0) -> None:
        limits = limits.within(most_pixels(model))
        self.model, self.limits, self.metrics = model, limits, Metrics()
        self.batcher = MicroBatcher(
            model.judge,
            size=model.predictor.batch_size,
            capacity=limits.queue,
            wait_seconds=wait_seconds,
            seen=self.metrics.saw_batch,
        )
        self.decoding = Decoding(model, limits.pixels)
        self.explaining = Explaining(model, limits, self.decoding)
        self.ready = False

    @property
    def name(self) -> str:
        """The model's backbone and the start of its checksum."""
        return f"{self.model.predictor.bundle.backbone}@{self.sha256[:8]}"

    @property
    def sha256(self) -> str:
        """Of the weights."""
        return str(self.model.info.get("sha256", ""))

    async def answers(self, pictures: list[tuple[str, bytes]]) -> list[Prediction | str]:
        """A prediction for each picture, or the sentence that says why there is none.

        Raises:
            Problem: 503 where the queue has no room, or the answer takes too long.
        """
        self.batcher.reserve(len(pictures))
        self.metrics.queue.set(self.batcher.depth)
        jobs = [asyncio.ensure_future(self._one(name, data)) for name, data in pictures]
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                return await asyncio.gather(*jobs)
        except TimeoutError:
            raise busy(self.limits.answer_seconds) from None
        finally:
            for job in jobs:
                job.cancel()
            self.metrics.queue.set(self.batcher.depth)

    async def _one(self, name: str, data: bytes) -> Prediction | str:
        loop = asyncio.get_running_loop()
        try:
            pixels = await loop.run_in_executor(
                self.decoding.threads, self.decoding.pixels, name, data
            )
        except BaseException as error:
            self.batcher.release(1)
            if not isinstance(error, UnreadableImage):
                raise
            self.metrics.images.labels("unreadable").inc()
            return told(error)
        prediction = await self.batcher.submit(pixels, name)
        warned = "warned" if prediction.warnings else "answered"
        self.metrics.images.labels(warned).inc()
        return prediction

    def warm_up(self) -> None:
        """Builds the engine before the first request asks for it."""
        import numpy as np

        size = self.model.spec.image_size
        grey = self.model.pixels(np.full((size, size, 3), 128, np.uint8))
        self.model.judge([grey])
        # Many pictures may go in pieces, for which ONNX Runtime opens a second session.
        self.model.judge([grey] * self.batcher.size)


def create_app(
    model: Model,
    limits: Limits | None = None,
    *,
    api_key: str | None = None,
    wait_seconds: float = 0.0,
    trusted_proxies: Sequence[str] = (),
) -> FastAPI:
    """The application of one model.

    Args:
        model: of `dermasense.load`.
        limits: what it takes on.
        api_key: asked for under /v1/ and /metrics; None asks for none.
        wait_seconds: how long an idle network waits for a batch to fill.
        trusted_proxies: addresses and networks whose X-Forwarded-For says who the client is, which
            nobody else's does; "*" for all.

    Raises:
        DermaSenseError: limits.pixels are more than the bundle takes.
    """
    service = Service(model, limits or Limits(), wait_seconds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.warm_up)
        service.batcher.start()
        service.ready = True
        log.info("ready", extra={"fields": {"model": service.name}})
        yield
        service.ready = False
        await service.batcher.stop()
        service.decoding.stop()
        service.explaining.stop()
        log.info("stopped")

    app = FastAPI(
        title="DermaSense",
        version=__version__,
        description=f"Classifies pictures of skin lesions. {DISCLAIMER}",
        lifespan=lifespan,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    app.add_middleware(Guard, limits=service.limits, metrics=service.metrics, api_key=api_key)
    if trusted_proxies:  # added last, so that Guard is told of the client
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(trusted_proxies))
    _add_errors(app)
    asks = KEYS if api_key else []
    _add_health(app, service, asks)
    _add_model(app, service, asks)
    add_explain(app, service, REFUSALS, _UPLOAD, asks)
    _add_page(app)
    return app


def _add_model(app: FastAPI, service: Service, asks: list) -> None:
    @app.post(
        "/v1/predict",
        response_model=Answers,
        responses=REFUSALS,
        openapi_extra=_UPLOAD,
        dependencies=asks,
        summary="Answers for one or many pictures",
    )
    async def predict(request: Request) -> Any:
        pictures = await read_pictures(request, service.limits)
        found = await service.answers(pictures)
        request.state.noted = {"images": len(found), "bytes": sum(len(d) for _, d in pictures)}
        rows = []
        for (name, _), answer in zip(pictures, found, strict=True):
            if isinstance(answer, Prediction):
                rows.append({**answer.as_dict(), "image": name})
            else:
                rows.append({"image": name, "error": answer})
        if not any(isinstance(answer, Prediction) for answer in found):
            words = "; ".join(f"{row['image']}: {row['error']}" for row in rows)
            raise Problem(422, "unreadable", words)
        return {"predictions": rows, "model": service.name, "request_id": request.state.id}

    @app.get(
        "/v1/model",
        response_model=About,
        responses=WITHOUT_BODY,
        dependencies=asks,
        summary="The model and the limits",
    )
    async def about() -> Any:
        info, limits = service.model.info, service.limits
        return {
            "name": service.name,
            "sha256": service.sha256,
            "classes": list(service.model.class_names),
            "input_px": service.model.spec.image_size,
            "training_data": info.get("training_data"),
            "licence": info.get("licence"),
            "protocol": info.get("protocol"),
            "note": info.get("note") or None,
            "calibrated": service.model.decision.is_calibrated,
            "detects_unlike_pictures": service.model.novelty is not None,
            "views": service.model.predictor.views,
            "limits": {key: getattr(limits, key) for key in AboutLimits.model_fields},
        }


def _add_health(app: FastAPI, service: Service, asks: list) -> None:
    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", summary="Whether the process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.head("/readyz", include_in_schema=False)
    @app.get("/readyz", summary="Whether it takes requests", responses={503: {}})
    async def readyz() -> Response:
        status = "ready" if service.ready else "not ready"
        return JSONResponse({"status": status}, 200 if service.ready else 503)

    @app.get(
        "/metrics",
        responses={code: REFUSALS[code] for code in (401, 429, 500)},
        dependencies=asks,
        summary="For Prometheus",
        response_class=PlainTextResponse,
    )
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


def _add_page(app: FastAPI) -> None:
    folder = files("dermasense.serving") / "page"
    for path, name in PAGE.items():
        body = (folder / name).read_bytes()
        kind = TYPES[name.rpartition(".")[2]]

        def page(body: bytes = body, kind: str = kind) -> Response:
            return Response(body, media_type=f"{kind}; charset=utf-8")

        methods = ["GET", "HEAD"]
        app.add_api_route(path, _no_arguments(page), methods=methods, include_in_schema=False)


def _no_arguments(page):
    async def route() -> Response:
        return page()

    return route


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        request.state.noted = {"code": error.code}
        return error.response(request.state.id)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        made = Problem(error.status_code, "http", str(error.detail), error.headers)
        return made.response(request.state.id)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        words = "; ".join(_wrong(each) for each in error.errors())
        return Problem(422, "invalid", f"{words}.").response(request.state.id)


def _wrong(error: dict[str, Any]) -> str:
    """What pydantic says of a field: its name, what was given, what is valid."""
    given, valid = str(error.get("input"))[:_MOST], error.get("ctx", {}).get("expected")
    return f"{error['loc'][-1]}={given}: " + (f"valid: {valid}" if valid else error["msg"])
