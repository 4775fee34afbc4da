"""Questions to the tiny model behind the wire."""

import json
import time
from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient

USER = [{"role": "user", "content": "hi"}]
CITY = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {**CITY, "additionalProperties": False}}}
    for name in ("look_up", "book")
]


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    reply = client.post("/v1/chat/completions", json={"model": "tiny", "messages": USER, "seed": 1, **body})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def text(client: TestClient, **body: Any) -> str:
    content: str = ask(client, **body)["choices"][0]["message"]["content"]
    return content


def streamed(client: TestClient, **body: Any) -> list[dict[str, Any]]:
    """The chunks of a stream; its end is checked."""
    asked = {"model": "tiny", "messages": USER, "seed": 1, "stream": True, **body}
    reply = client.post("/v1/chat/completions", json=asked)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, done, rest = reply.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events if not event.startswith(":")]


def refusal(client: TestClient, **body: Any) -> tuple[int, str | None, str | None, str]:
    content = json.dumps({"model": "tiny", "messages": USER, **body})  # httpx would not send half a character
    reply = client.post("/v1/chat/completions", content=content, headers={"content-type": "application/json"})
    error = reply.json()["error"]
    return reply.status_code, error["param"], error["code"], error["message"]


def wait_for(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
