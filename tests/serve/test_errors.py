"""What the real client raises for each kind of refusal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient
from openai import OpenAI

from burnish.errors import DataError
from burnish.serve.app import create_app
from burnish.serve.engine.request import EngineBusy, FinishReason, Piece, Ticket
from burnish.serve.errors import ApiError
from tests.serve.plain_backend import PlainBackend, live, settings

CHAT: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}


def failing_router() -> APIRouter:
    router = APIRouter()

    @router.get("/models_busy")
    def busy() -> None:
        raise EngineBusy(2.2)

    @router.get("/conflict")
    def conflict() -> None:
        raise ApiError("Not now.", status=409, kind="conflict")

    @router.get("/bad_data")
    def bad_data() -> None:
        raise DataError("rows.jsonl:1: no answer. Add one.")

    return router


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    folder = tmp_path_factory.mktemp("errors")
    backend = PlainBackend(folder, max_waiting=0)
    app = create_app(settings(folder, api_key="right"), backend, extra_routers=[failing_router()])
    with live(app) as url:
        yield OpenAI(base_url=url, api_key="right", max_retries=0)
    backend.engine.close()


@pytest.mark.parametrize(
    ("path", "kind", "status", "code"),
    [
        ("/models/gone", openai.NotFoundError, 404, "model_not_found"),
        ("/nowhere", openai.NotFoundError, 404, "unknown_url"),
        ("/models/", openai.NotFoundError, 404, None),
        ("/completions", openai.APIStatusError, 405, "method_not_allowed"),
        ("/models/broken", openai.InternalServerError, 500, None),
        ("/models_busy", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("/conflict", openai.ConflictError, 409, None),
        ("/bad_data", openai.BadRequestError, 400, None),
    ],
)
def test_each_refusal_has_its_class(client: OpenAI, path: str, kind: Any, status: int, code: str | None) -> None:
    with pytest.raises(kind) as fault:
        client.get(path, cast_to=object)
    assert fault.value.status_code == status
    assert code is None or fault.value.code == code
    assert fault.value.request_id.startswith("req_") and fault.value.body["message"]


def test_a_fault_of_our_own_tells_nothing_of_it(client: OpenAI, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(openai.InternalServerError) as fault:
        client.models.retrieve("broken")
    body: Any = fault.value.body
    assert body["type"] == "server_error" and "secret" not in fault.value.response.text
    assert "a secret of the server" in caplog.text and str(fault.value.request_id) in caplog.text


def test_a_wrong_key_is_an_authentication_error(client: OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as fault:
        client.with_options(api_key="wrong").models.list()
    assert fault.value.code == "invalid_api_key"


@pytest.mark.parametrize("stream", [False, True])
def test_a_full_engine_sends_its_clients_away(client: OpenAI, stream: bool) -> None:
    with pytest.raises(openai.RateLimitError, match="too many requests wait") as fault:
        client.chat.completions.create(**CHAT, stream=stream)
    assert fault.value.response.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"{", "not valid JSON"), (b"[1]", "no JSON object"), (b"", "no JSON object"), (b"[" * 100_000, "pars")],
)
def test_a_body_that_is_no_object_is_refused(tmp_path: Path, backend: PlainBackend, content: bytes, said: str) -> None:
    with TestClient(create_app(settings(tmp_path), backend), base_url="http://127.0.0.1") as client:
        reply = client.post("/v1/completions", content=content, headers={"content-type": "application/json"})
    assert reply.status_code == 400 and said in reply.json()["error"]["message"]


def test_a_slash_at_the_end_is_no_redirect(tmp_path: Path, backend: PlainBackend) -> None:
    with TestClient(create_app(settings(tmp_path), backend), base_url="http://127.0.0.1") as client:
        reply = client.post("/v1/completions/", json={}, follow_redirects=False)
    assert reply.status_code == 404 and reply.json()["error"]["code"] == "unknown_url"


class TestMidStream:
    class Breaking(PlainBackend):
        """Its engine says a little, and then breaks."""

        max_length = 512

        async def engine_for(self, model: Any) -> Any:
            return self

        def submit(self, request: Any) -> Ticket:
            ticket = Ticket()
            ticket.put(Piece("Hello", 1))
            ticket.put(DataError("the schema can no longer be followed") if request.stop else MemoryError("inside"))
            ticket.put(Piece("", 0, finish=FinishReason.STOP))
            return ticket

    @pytest.fixture(scope="class")
    def breaking(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
        folder = tmp_path_factory.mktemp("breaking")
        backend = self.Breaking(folder)
        with live(create_app(settings(folder), backend)) as url:
            yield OpenAI(base_url=url, api_key="any", max_retries=0)
        backend.engine.close()

    @pytest.mark.parametrize(
        ("stop", "kind", "said"), [("x", "invalid_request_error", "no longer"), (None, "server_error", "had an error")]
    )
    def test_the_stream_itself_tells(self, breaking: OpenAI, stop: Any, kind: str, said: str) -> None:
        texts = []
        with pytest.raises(openai.APIError, match=said) as fault:
            for chunk in breaking.chat.completions.create(**CHAT, stream=True, stop=stop):
                texts.append(chunk.choices[0].delta.content)
        assert "".join(filter(None, texts)) == "Hello" and fault.value.type == kind
        assert not isinstance(fault.value, openai.APIStatusError)

    def test_a_whole_reply_has_the_status(self, breaking: OpenAI) -> None:
        with pytest.raises(openai.InternalServerError):
            breaking.chat.completions.create(**CHAT)
        with pytest.raises(openai.BadRequestError):
            breaking.chat.completions.create(**CHAT, stop="x")
