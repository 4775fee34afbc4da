"""What a client is told when its request cannot be served, in OpenAI's shape."""

from typing import Any


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
