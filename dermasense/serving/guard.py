"""Before and after each request: an id, the key, the rate, a place, a log line, safe headers."""

import hmac
import re
import time
import uuid
from collections import OrderedDict

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from dermasense.serving.limits import Limits
from dermasense.serving.problems import Problem, busy
from dermasense.serving.telemetry import Metrics, log

OPEN = ("/healthz", "/readyz")  # an orchestrator asks these, without a key and at any time
GUARDED = "/v1/"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
_CLIENTS = 10_000
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Guard(BaseHTTPMiddleware):
    """See the module.

    Args:
        app: what is guarded.
        limits: of the server.
        metrics: where requests are counted.
        api_key: asked for under /v1/ and /metrics where set: `X-API-Key`, or a bearer token.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Limits, metrics: Metrics, api_key: str | None
    ) -> None:
        super().__init__(app)
        self.limits, self.metrics, self.api_key = limits, metrics, api_key
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self.open = 0

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        given = request.headers.get("x-request-id", "")
        request.state.id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        began = time.monotonic()
        try:
            response = await self._answer(request, call_next)
        except Problem as problem:
            response = problem.response(request.state.id)
        except Exception:
            log.exception("fault", extra={"fields": {"request_id": request.state.id}})
            fault = Problem(500, "fault", "The server failed on this request.")
            response = fault.response(request.state.id)
        response.headers["X-Request-ID"] = request.state.id
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        self._note(request, response, time.monotonic() - began)
        return response

    async def _answer(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        path = request.url.path
        if path in OPEN:
            return await call_next(request)
        guarded = path.startswith(GUARDED)
        if guarded or path == "/metrics":
            self._check(request, counted=guarded)
        if not guarded:
            return await call_next(request)
        if self.open >= self.limits.requests:
            raise busy(1)
        self.open += 1
        self.metrics.open.set(self.open)
        try:
            return await call_next(request)
        finally:
            self.open -= 1
            self.metrics.open.set(self.open)

    def _check(self, request: Request, counted: bool) -> None:
        """Rate and key; a wrong key takes of the rate wherever it is sent, to slow guesses.

        A client has a bucket that holds a minute's requests and fills evenly; where it is empty the
        key is not looked at.
        """
        client = request.client.host if request.client else ""
        self._check_rate(client)
        right = self._has_key(request)
        if counted or not right:
            self._count(client)
        if not right:
            raise Problem(
                401,
                "key",
                "An API key is needed: send it as X-API-Key.",
                {"WWW-Authenticate": "Bearer"},
            )

    def _has_key(self, request: Request) -> bool:
        if not self.api_key:
            return True
        given = request.headers.get("x-api-key", "")
        bearer = request.headers.get("authorization", "")
        if not given and bearer.lower().startswith("bearer "):
            given = bearer[7:].strip()
        # As the bytes that were sent: a key may hold what ASCII has not.
        return hmac.compare_digest(given.encode("latin-1"), self.api_key.encode())

    def _check_rate(self, client: str) -> None:
        most = self.limits.per_minute
        tokens = self._tokens(client)
        if most and tokens < 1:
            wait = {"Retry-After": str(max(1, round((1 - tokens) * 60 / most)))}
            raise Problem(429, "rate", f"More than {most} requests a minute.", wait)

    def _tokens(self, client: str) -> float:
        """Requests that a client may make now."""
        most = float(self.limits.per_minute)
        tokens, last = self.buckets.get(client, (most, 0.0))
        return min(most, tokens + (time.monotonic() - last) * most / 60)

    def _count(self, client: str) -> None:
        if not self.limits.per_minute:
            return
        self.buckets[client] = (self._tokens(client) - 1, time.monotonic())
        self.buckets.move_to_end(client)
        while len(self.buckets) > _CLIENTS:
            self.buckets.popitem(last=False)

    def _note(self, request: Request, response: Response, seconds: float) -> None:
        route = request.scope.get("route")
        path = getattr(route, "path", "other")  # not what a client typed: labels must stay few
        self.metrics.requests.labels(path, str(response.status_code)).inc()
        self.metrics.seconds.labels(path).observe(seconds)
        if request.url.path in OPEN:
            return
        fields = {
            "request_id": request.state.id,
            "method": request.method,
            "path": path,
            "status": response.status_code,
            "ms": round(1000 * seconds, 1),
            **getattr(request.state, "noted", {}),
        }
        log.info("request", extra={"fields": fields})
