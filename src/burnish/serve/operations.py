"""What operators need: whether it lives, whether it is ready, how it does, and who asked what when."""

import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TextIO

from fastapi import APIRouter
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from burnish.errors import BurnishError
from burnish.serve.engine.request import EngineStats
from burnish.serve.errors import METHODS, error_response, server_error
from burnish.serve.metrics import Counter, Histogram, Labels, sample_lines

log = logging.getLogger("burnish.serve")
request_log = logging.getLogger("burnish.serve.requests")
NO_ROUTE = "unmatched"
SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
"""Of every reply, for browsers: no other page frames, loads or reads it, and it loads nothing. A page has its own
content policy."""

ENGINE_METRICS = (
    ("burnish_engine_running", "gauge", "Requests that are being answered.", "num_running"),
    ("burnish_engine_waiting", "gauge", "Requests that wait for a place.", "num_waiting"),
    ("burnish_engine_steps_total", "counter", "Passes through the model.", "num_steps"),
    ("burnish_prompt_tokens_total", "counter", "Tokens of prompts.", "prompt_tokens"),
    ("burnish_cached_tokens_total", "counter", "Tokens of prompts that were kept from earlier ones.", "cached_tokens"),
    ("burnish_generated_tokens_total", "counter", "Tokens that were generated.", "new_tokens"),
    ("burnish_adapter_bytes", "gauge", "Memory of loaded adapters.", "adapter_bytes"),
    ("burnish_prefix_bytes", "gauge", "Memory of kept prompts.", "prefix_bytes"),
)


class ServerMetrics:
    """The numbers of this server."""

    def __init__(
        self, engine_stats: Callable[[], Mapping[str, EngineStats]], jobs: Callable[[], Mapping[str, int]] = dict
    ) -> None:
        self._engine_stats, self._jobs = engine_stats, jobs
        self.requests = Counter("burnish_requests_total", "Requests by route, method and status.")
        self.latency = Histogram("burnish_request_seconds", "Seconds to the end of the reply, by route.")
        self.first_token = Histogram("burnish_first_token_seconds", "Seconds to the first token.")

    def page(self) -> str:
        """All of them in Prometheus' text format."""
        lines = [*self.requests.lines(), *self.latency.lines(), *self.first_token.lines()]
        stats = self._engine_stats()
        for name, kind, help_text, field in ENGINE_METRICS:
            told = {base: getattr(found, field) for base, found in stats.items()}
            values: dict[Labels, float] = {
                (("base", base),): value for base, value in told.items() if value is not None
            }
            lines += sample_lines(name, kind, help_text, values)
        jobs: dict[Labels, float] = {(("status", status),): count for status, count in self._jobs().items()}
        lines += sample_lines("burnish_jobs", "gauge", "Fine-tuning jobs by status.", jobs)
        return "\n".join(lines) + "\n"


def build_router(metrics: ServerMetrics, is_ready: Callable[[], bool]) -> APIRouter:
    """`/healthz`, `/readyz` and `/metrics`."""
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", response_model=None)
    async def healthz() -> Response:
        """Whether the process answers."""
        return JSONResponse({"status": "ok"})

    @router.get("/readyz", response_model=None)
    async def readyz() -> Response:
        """Whether requests should be sent here: not before it has started, nor once it is closing."""
        ready = is_ready()
        return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)

    @router.get("/metrics", response_model=None, responses={200: {"content": {"text/plain": {}}}})
    def show_metrics() -> Response:
        """Prometheus' text format."""
        return PlainTextResponse(metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


class Operations:
    """Around every request: an id, its time, its line in the log, its place in the metrics.

    What nobody else has caught becomes a 500 whose body tells no more than that; the log has the traceback.
    """

    def __init__(self, app: ASGIApp, *, metrics: ServerMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, start, status = f"req_{uuid.uuid4().hex}", time.perf_counter(), 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["openai-processing-ms"] = str(round((time.perf_counter() - start) * 1000))
                headers["openai-version"] = "2020-10-01"
                for name, value in SAFE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except Exception as error:
            # What the operator can mend says so itself; anything else is a fault of ours.
            log.error("%s: %s", request_id, error, exc_info=not isinstance(error, BurnishError))
            if status:  # the reply has begun: only a broken connection can tell
                raise
            await error_response(server_error())(scope, receive, send_marked)
        finally:
            self._record(scope, request_id, status, time.perf_counter() - start)

    def _record(self, scope: Scope, request_id: str, status: int, elapsed_s: float) -> None:
        """A route counts by its pattern: paths hold ids, of which there is no end."""
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        self._metrics.requests.add(route=route, method=_method(scope), status=str(status))
        self._metrics.latency.observe(elapsed_s, route=route)
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": request_id,
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "elapsed_ms": round(elapsed_s * 1000, 1),
            "client": (scope.get("client") or (None,))[0],
            "user_agent": Headers(scope=scope).get("user-agent"),
        }
        request_log.info("%s", json.dumps(line, ensure_ascii=False))


def log_requests(stream: TextIO) -> None:
    """Have each request written to `stream` as a line of JSON, without its body."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    request_log.handlers = [handler]
    request_log.setLevel(logging.INFO)
    request_log.propagate = False


def _method(scope: Scope) -> str:
    """A client may send any word, but each new one would be a metric for good."""
    method = str(scope["method"])
    return method if method in METHODS else "other"
