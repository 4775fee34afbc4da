"""What a client is told when its request cannot be served, in OpenAI's shape."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from burnish.errors import DataError
from burnish.serve.engine.request import EngineBusy, EngineClosed

UNKNOWN_ROUTE = ("Not Found", "Method Not Allowed")
"""What starlette says of its own accord."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CLOSED_RETRY_S = 10.0
UNKNOWN_PARAMETER = "unknown_parameter"
CLIENT_GONE = 499
"""The status in the log where nobody waits for the reply; the usual number for it."""


class ErrorBody(BaseModel):
    """What is wrong, and where."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    """The body of every refusal."""

    error: ErrorBody


class ApiError(Exception):
    """A request that is refused: `{"error": {"message", "type", "param", "code"}}` with an HTTP status."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.kind, self.param, self.code = message, status, kind, param, code
        self.retry_after_s = retry_after_s

    def to_dict(self) -> dict[str, Any]:
        """The body of the reply."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def not_found(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """What was asked for is not there (404)."""
    return ApiError(message, status=404, param=param, code=code)


def unknown_parameter(param: str, remedy: str) -> ApiError:
    """A field that the request has and burnish does not know (400)."""
    return ApiError(f"Unknown parameter: '{param}'. {remedy}", param=param, code=UNKNOWN_PARAMETER)


def first_problem(problems: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The one of pydantic's to tell: an unknown field if there is one, as unions of types tell more for each branch."""
    return next((each for each in problems if each["type"] == UNKNOWN_PARAMETER), problems[0])


def server_error() -> ApiError:
    """A fault of our own (500); what it was stands in the server's log."""
    return ApiError("The server had an error. Its log says which.", status=500, kind="server_error")


def error_response(error: ApiError) -> JSONResponse:
    """The reply that tells a client of `error`."""
    headers = {} if error.retry_after_s is None else {"retry-after": str(math.ceil(error.retry_after_s))}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(error.to_dict(), error.status, headers)


def as_api_error(error: Exception) -> ApiError:
    """Any exception as what a client may know of it."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, EngineBusy):
        message = f"The server is busy: {error}."
        return ApiError(
            message,
            status=429,
            kind="rate_limit_exceeded",
            code="rate_limit_exceeded",
            retry_after_s=max(1.0, error.retry_after_s),
        )
    if isinstance(error, EngineClosed):
        message = "The server is stopping. Ask again when it is back."
        return ApiError(message, status=503, kind="server_error", retry_after_s=CLOSED_RETRY_S)
    if isinstance(error, RequestValidationError):
        return _of_validation(error)
    if isinstance(error, HTTPException):
        kind = "invalid_request_error" if error.status_code < 500 else "server_error"
        return ApiError(str(error.detail), status=error.status_code, kind=kind)
    if isinstance(error, DataError):
        return ApiError(str(error))
    return server_error()


def install_error_handlers(app: FastAPI) -> None:
    """Have every refusal and fault told in OpenAI's shape, and no slash redirects: they lose the bodies of uploads."""

    async def tell(request: Request, error: Exception) -> Response:
        known = as_api_error(error)
        if known.status in (404, 405) and isinstance(error, HTTPException) and error.detail in UNKNOWN_ROUTE:
            known = ApiError(f"Unknown request URL: {request.method} {request.url.path}.", status=known.status)
            known.code = "unknown_url" if known.status == 404 else "method_not_allowed"
        response = error_response(known)
        if isinstance(error, HTTPException):
            response.headers.update(error.headers or {})
        if known.status == 405:
            response.headers["allow"] = ", ".join(_allowed(request))
        return response

    async def note_that_client_left(request: Request, error: Exception) -> Response:
        return Response(status_code=CLIENT_GONE)  # in the log only: nobody reads it

    app.add_exception_handler(ClientDisconnect, note_that_client_left)
    for kind in (ApiError, EngineBusy, EngineClosed, RequestValidationError, HTTPException, DataError, Exception):
        app.add_exception_handler(kind, tell)
    app.router.redirect_slashes = False


def _allowed(request: Request) -> list[str]:
    """The methods of all routes at this path; starlette itself tells those of the first one only."""
    routes = request.app.router.routes
    scopes = [{**request.scope, "method": method} for method in METHODS]
    return [scope["method"] for scope in scopes if any(route.matches(scope)[0] is Match.FULL for route in routes)]


def _of_validation(error: RequestValidationError) -> ApiError:
    """The first fault of a body or query, with the place as clients write it: `messages[0].content`."""
    first = first_problem(error.errors())
    if first["type"] == "json_invalid":
        return ApiError("The body is not valid JSON. Check quotes, commas and brackets.", code="invalid_json")
    place = [part for part in first["loc"][1:] if isinstance(part, int) or _is_field(part)]
    if first["type"] == UNKNOWN_PARAMETER and not _is_field(first["loc"][-1]):
        place.append(first["loc"][-1])  # a name that the client made
    param = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".") or None
    if first["type"] == UNKNOWN_PARAMETER:
        return unknown_parameter(param or "", str(first["msg"]))
    message = str(first["msg"]).removeprefix("Value error, ")
    if tuple(first["loc"]) == ("body",) and first["type"] in ("missing", "model_attributes_type"):
        message = "the body is no JSON object. Send one, with content-type: application/json"
    where = f"'{param}': " if param else ""
    return ApiError(f"Invalid request: {where}{message}.".replace("..", "."), param=param, code=str(first["type"]))


def _is_field(part: str) -> bool:
    """Whether part of a place is one of the request's words, not a branch of a union of types."""
    return part.isidentifier() and part.islower() and part not in ("str", "int", "float", "bool")
