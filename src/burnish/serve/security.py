"""Who may ask, how much, and how often: pure ASGI, so that streams pass as they come.

CORS stays off: no page of another origin reads a reply, and `origins` keeps such pages from changing anything. Without
a key only this machine is served, and only under its own names and those that the operator allows.
"""

import hashlib
import hmac
import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from burnish.errors import BurnishError
from burnish.serve.errors import ApiError, error_response
from burnish.serve.origins import (
    check_allowed_hosts,
    check_content_type,
    check_host,
    check_origin,
    is_form,
    is_loopback,
)
from burnish.serve.settings import ServeSettings

OPEN_PATHS = ("/", "/healthz", "/readyz", "/docs", "/openapi.json")
"""They tell nothing of what is served."""
MAX_BUCKETS = 10_000
POLICY_VIOLATION = 1008
"""Of RFC 6455: no web socket is served."""


class Security:
    """Lets in what may come in; all else gets 401, 403, 413, 415 or 429.

    Raises:
        BurnishError: the settings would serve other machines without a key.
    """

    def __init__(self, app: ASGIApp, *, settings: ServeSettings, clock: Callable[[], float] = time.monotonic) -> None:
        check_exposure(settings)
        self._app = app
        self._key_hash = bytes.fromhex(settings.api_key_sha256) if settings.api_key_sha256 else None
        self._allowed_hosts = settings.allowed_hosts
        self._max_body, self._max_file = settings.max_body_bytes, settings.max_file_bytes
        self._rate_limit = RateLimit(settings.requests_per_minute, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            limit = self._check(scope)
        except ApiError as error:
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, _limited(receive, limit), send)

    def _check(self, scope: Scope) -> int:
        """How long the body may be.

        Raises:
            ApiError: the request may not come in.
        """
        headers = Headers(scope=scope)
        if self._key_hash is None:
            check_host(headers, self._allowed_hosts)
        check_origin(scope["method"], scope.get("scheme", "http"), headers, self._allowed_hosts)
        if scope["path"] not in OPEN_PATHS:
            self._check_client(headers.get("authorization", ""), (scope.get("client") or ("unknown", 0))[0])
        check_content_type(scope["method"], scope["path"], headers)
        limit = self._max_body + (self._max_file if is_form(headers) else 0)  # a form has other fields beside the file
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            raise ApiError(_too_large(limit), status=413, code="request_too_large")
        return limit

    def _check_client(self, authorization: str, address: str) -> None:
        """Count the request: of its key, or of its address where it has none, or a wrong one."""
        scheme, _, key = authorization.partition(" ")
        found = hashlib.sha256(key.strip().encode("latin-1")).digest()  # as headers come decoded
        has_key = scheme.lower() == "bearer" and hmac.compare_digest(found, self._key_hash or b"")
        self._rate_limit.take(found.hex() if has_key else address)
        if self._key_hash is not None and not has_key:
            raise ApiError(
                "The API key is missing or wrong. Send the key of this server as: Authorization: Bearer KEY.",
                status=401,
                code="invalid_api_key",
            )


class RateLimit:
    """A bucket of tokens for each client, filled evenly over the minute; a request takes one."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, client: str) -> None:
        """Count a request.

        Raises:
            ApiError: the client has made too many (429).
        """
        if not self._per_minute:
            return
        now, per_second = self._clock(), self._per_minute / 60
        tokens, since = self._buckets.get(client, (float(self._per_minute), now))
        tokens = min(self._per_minute, tokens + (now - since) * per_second)
        if tokens < 1:
            self._buckets[client] = tokens, now
            raise ApiError(
                f"More than {self._per_minute} requests a minute. Wait as long as retry-after says.",
                status=429,
                kind="rate_limit_exceeded",
                code="rate_limit_exceeded",
                retry_after_s=(1 - tokens) / per_second,
            )
        self._buckets[client] = tokens - 1, now
        if len(self._buckets) > MAX_BUCKETS:
            self._forget_full(now)

    def _forget_full(self, now: float) -> None:
        """After a minute every bucket is full again, so says nothing."""
        self._buckets = {client: held for client, held in self._buckets.items() if now - held[1] < 60}


def check_exposure(settings: ServeSettings) -> None:
    """Refuse to serve other machines without a key, and to allow what is not a host.

    Raises:
        BurnishError: the settings ask for it.
    """
    check_allowed_hosts(settings.allowed_hosts)
    if settings.api_key_sha256 is None and not is_loopback(settings.host):
        raise BurnishError(
            f"{settings.host}: other machines could reach the server, and no API key is set. "
            "Set one, or listen on 127.0.0.1."
        )


def _limited(receive: Receive, limit: int) -> Receive:
    """The body's parts as they come, up to `limit` bytes: not every client tells the length beforehand."""
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, _too_large(limit))
        return message

    return receive_limited


def _too_large(limit: int) -> str:
    return f"The body is larger than the limit of {limit} bytes. Send less, or send files by /v1/files."
