"""Streams of chat: they say what whole replies say, and end when nobody listens."""

import http.client
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openai import OpenAI

from tests.serve.wire.asking import USER, ask, streamed, wait_for
from tests.serve.wire.plain_backend import PlainBackend


@pytest.mark.parametrize("more", [{}, {"stop": "e", "n": 3}, {"logprobs": True, "top_logprobs": 1}])
def test_it_says_what_the_whole_reply_says(client: TestClient, more: dict[str, Any]) -> None:
    whole = ask(client, **more)
    chunks = streamed(client, **more, stream_options={"include_usage": True})
    for choice in whole["choices"]:
        own = [c["choices"][0] for c in chunks[:-1] if c["choices"][0]["index"] == choice["index"]]
        assert "".join(o["delta"].get("content", "") for o in own) == choice["message"]["content"]
        assert own[-1]["delta"] == {} and own[-1]["finish_reason"] == choice["finish_reason"]
        told = [item for o in own if o["logprobs"] for item in o["logprobs"]["content"]]
        assert told == (choice["logprobs"]["content"] if choice["logprobs"] else [])
        assert [o["finish_reason"] for o in own[:-1]] == [None] * (len(own) - 1)
        assert [("role" in o["delta"]) for o in own] == [True] + [False] * (len(own) - 1)
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"] == whole["usage"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert len({(c["id"], c["created"], c["system_fingerprint"], c["object"]) for c in chunks}) == 1


def test_choices_appear_first_in_their_order(client: TestClient) -> None:
    indices = [chunk["choices"][0]["index"] for chunk in streamed(client, n=3, max_tokens=2)]
    assert list(dict.fromkeys(indices)) == [0, 1, 2] and indices[:3] == [0, 1, 2]


def test_usage_is_told_only_where_it_is_asked_for(client: TestClient) -> None:
    assert not any("usage" in chunk for chunk in streamed(client, max_tokens=2))
    ask(client, max_tokens=1, stream=False, stream_options={"include_usage": True})


def test_the_real_client_joins_it(openai: OpenAI) -> None:
    asked: Any = {"model": "tiny", "messages": USER, "seed": 8, "n": 2, "max_tokens": 200, "logit_bias": {"256": 5}}
    whole = openai.chat.completions.create(**asked)
    with openai.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
        joined = stream.get_final_completion()
    assert [c.message.content for c in joined.choices] == [c.message.content for c in whole.choices]
    assert joined.usage == whole.usage


def test_whoever_leaves_is_not_waited_for(openai: OpenAI, backend: PlainBackend) -> None:
    num_before, steps = len(backend.engine.finished), backend.engine.stats().num_steps
    asked: Any = {"model": "tiny", "messages": USER, "max_tokens": 400, "seed": 1, "temperature": 0}
    bias: Any = {"256": -100}
    with openai.chat.completions.create(**asked, stream=True, logit_bias=bias) as stream:
        next(iter(stream))
    wait_for(lambda: len(backend.engine.finished) > num_before)
    assert backend.engine.finished[-1].is_cancelled
    assert backend.engine.stats().num_steps - steps < 400


def test_nor_is_whoever_leaves_a_whole_reply(openai: OpenAI, backend: PlainBackend) -> None:
    num_before, steps = len(backend.engine.tickets), backend.engine.stats().num_steps
    body = {"model": "tiny", "messages": USER, "max_tokens": 400, "logit_bias": {"256": -100}}
    connection = http.client.HTTPConnection(openai.base_url.host, openai.base_url.port)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    wait_for(lambda: len(backend.engine.tickets) > num_before)
    connection.close()
    ticket = backend.engine.tickets[-1]
    wait_for(lambda: ticket in backend.engine.finished)
    assert ticket.is_cancelled and backend.engine.stats().num_steps - steps < 400
