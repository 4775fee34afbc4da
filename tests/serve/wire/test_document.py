"""The OpenAPI document says what the server does, and a client that leaves is no fault."""

import asyncio
from pathlib import Path

import pytest
from fastapi import APIRouter, Request
from fastapi.testclient import TestClient
from starlette.types import Message

from burnish.serve.app import create_app
from burnish.serve.errors import ApiError, error_response
from tests.serve.wire.plain_backend import PlainBackend, settings


def test_every_route_tells_of_errors_in_openais_shape(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for methods in document["paths"].values():
        for operation in methods.values():
            assert "422" not in operation["responses"]
            shape = operation["responses"]["4XX"]["content"]["application/json"]["schema"]
            assert shape == {"$ref": "#/components/schemas/ErrorReply"}
    assert document["components"]["schemas"]["ErrorBody"]["required"] == ["message", "type", "param", "code"]
    assert ApiError("No.").to_dict()["error"].keys() == {"message", "type", "param", "code"}
    assert error_response(ApiError("No.")).status_code == 400


def test_what_is_no_json_is_told_as_such(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert "text/plain" in paths["/metrics"]["get"]["responses"]["200"]["content"]
    for path in ("/v1/chat/completions", "/v1/completions"):
        kinds = paths[path]["post"]["responses"]["200"]["content"].keys()
        assert kinds == {"application/json", "text/event-stream"}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v1/models/tiny", {"GET", "DELETE"}), ("/v1/chat/completions", {"POST"}), ("/healthz", {"GET"})],
)
def test_a_method_that_is_not_allowed_is_told_those_that_are(client: TestClient, path: str, allowed: set[str]) -> None:
    reply = client.put(path)
    assert (reply.status_code, set(reply.headers["allow"].split(", "))) == (405, allowed)


def test_a_client_that_leaves_in_its_body_is_no_fault(
    backend: PlainBackend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    router = APIRouter()

    @router.post("/read")
    async def read(request: Request) -> None:
        async for _ in request.stream():
            pass

    app = create_app(settings(tmp_path), backend, extra_routers=[router])
    sent: list[Message] = []
    messages: list[Message] = [
        {"type": "http.request", "body": b"half", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/read",
        "raw_path": b"/v1/read",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1),
    }
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 499
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
