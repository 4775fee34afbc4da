"""Tools: what may and what must be called."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openai import OpenAI

from burnish.serve.app import create_app
from tests.serve.wire.asking import TOOLS, USER, ask, streamed
from tests.serve.wire.plain_backend import CALL, SCHEMA, PlainBackend, live, settings, teach


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """A model that has learned to call a tool when it is asked about the weather."""
    folder = tmp_path_factory.mktemp("caller")
    backend = PlainBackend(folder, model=teach(CALL, "Weather?"))
    with live(create_app(settings(folder), backend)) as url:
        yield OpenAI(base_url=url, api_key="any", max_retries=0)
    backend.engine.close()


def test_a_call_is_read_out_of_the_answer(caller: OpenAI) -> None:
    asked: Any = {"model": "tiny", "messages": [{"role": "user", "content": "Weather?"}], "temperature": 0}
    plain = caller.chat.completions.create(**asked, max_tokens=100)
    assert plain.choices[0].message.content == CALL and plain.choices[0].finish_reason == "stop"
    reply = caller.chat.completions.create(**asked, max_tokens=100, tools=TOOLS)
    message = reply.choices[0].message
    assert reply.choices[0].finish_reason == "tool_calls" and message.content is None and message.tool_calls
    call: Any = message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("look_up", {"city": "Rome"})
    assert call.id.startswith("call_")
    none = caller.chat.completions.create(**asked, max_tokens=100, tools=TOOLS, tool_choice="none")
    assert none.choices[0].message.content == CALL


def test_a_stream_of_calls_is_joined_by_the_client(caller: OpenAI) -> None:
    asked: Any = {"model": "tiny", "messages": [{"role": "user", "content": "Weather?"}], "temperature": 0}
    with caller.chat.completions.stream(**asked, max_tokens=100, tools=TOOLS) as stream:
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None and choice.message.tool_calls
    assert [call.function.name for call in choice.message.tool_calls] == ["look_up"]
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Rome"}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "book"}}])
def test_a_call_that_must_be_made_is_made(client: TestClient, choice: Any) -> None:
    reply = ask(client, tools=TOOLS, tool_choice=choice, max_tokens=100)["choices"][0]
    assert reply["finish_reason"] == "tool_calls"
    function = reply["message"]["tool_calls"][0]["function"]
    assert function["name"] in (("look_up", "book") if choice == "required" else ("book",))
    assert json.loads(function["arguments"])["city"] in ("Rome", "Oslo")


@pytest.mark.parametrize("max_tokens", [100, 40, 12])
@pytest.mark.parametrize("is_legacy", [False, True])
def test_arguments_are_streamed_as_they_are_written(client: TestClient, max_tokens: int, is_legacy: bool) -> None:
    """The first chunk has id and name, the later ones are the plain answer's arguments; also where the limit cuts."""
    forced: dict[str, Any] = {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "book"}}}
    if is_legacy:
        forced = {"functions": [tool["function"] for tool in TOOLS], "function_call": {"name": "book"}}
    body = {**forced, "max_tokens": max_tokens, "temperature": 0}
    whole, chunks = ask(client, **body)["choices"][0], streamed(client, **body)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    parts = [
        d.get("function_call") or d["tool_calls"][0]["function"]
        for d in deltas
        if {"tool_calls", "function_call"} & {*d}
    ]
    if max_tokens == 12:  # the call has not begun
        assert not parts and whole["message"]["content"] == "".join(d.get("content") or "" for d in deltas) != ""
        return
    message = whole["message"]
    function = message["function_call"] if is_legacy else message["tool_calls"][0]["function"]
    assert parts[0] == {"name": "book", "arguments": ""} and not any("name" in part for part in parts[1:])
    assert "".join(part["arguments"] for part in parts) == function["arguments"]
    assert len(parts) > 5
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]
    if max_tokens == 100:
        assert json.loads(function["arguments"]) and whole["finish_reason"] in ("tool_calls", "function_call")
    else:
        assert whole["finish_reason"] == "length"
    if not is_legacy:
        heads = [d["tool_calls"][0] for d in deltas if "tool_calls" in d]
        assert {head["index"] for head in heads} == {0} and [head.get("id") is not None for head in heads].count(
            True
        ) == 1


def test_parameters_may_refer_to_their_own_definitions(client: TestClient) -> None:
    parameters = {
        "type": "object",
        "$defs": {"City": {"enum": ["Rome"]}},
        "properties": {"city": {"$ref": "#/$defs/City"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    tool = {"type": "function", "function": {"name": "go", "parameters": parameters}}
    reply = ask(client, tools=[tool], tool_choice="required", max_tokens=80)["choices"][0]
    assert json.loads(reply["message"]["tool_calls"][0]["function"]["arguments"]) == {"city": "Rome"}


def test_functions_are_answered_in_their_own_words(client: TestClient) -> None:
    functions = [tool["function"] for tool in TOOLS]
    body = {"functions": functions, "function_call": {"name": "book"}, "max_tokens": 100}
    reply = ask(client, **body)["choices"][0]
    assert reply["finish_reason"] == "function_call" and "tool_calls" not in reply["message"]
    assert reply["message"]["function_call"]["name"] == "book"
    deltas = [chunk["choices"][0]["delta"].get("function_call", {}) for chunk in streamed(client, **body)]
    assert "".join(delta.get("arguments", "") for delta in deltas) == reply["message"]["function_call"]["arguments"]


def test_allowed_tools_are_the_only_ones(client: TestClient) -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "look_up"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    reply = ask(client, tools=TOOLS, tool_choice=choice, max_tokens=100)["choices"][0]
    assert reply["message"]["tool_calls"][0]["function"]["name"] == "look_up"


def test_with_a_form_the_answer_is_a_call_or_in_that_form(client: TestClient) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    choices = ask(client, tools=TOOLS, response_format=form, n=8, max_tokens=100)["choices"]
    assert {choice["finish_reason"] for choice in choices} == {"stop", "tool_calls"}
    for choice in choices:
        assert choice["message"]["content"] is None or "urgent" in json.loads(choice["message"]["content"])


def test_a_conversation_with_calls_is_read(client: TestClient) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "book", "arguments": "{}"}}
    turns = [
        *USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "done"}]},
    ]
    assert ask(client, messages=turns, tools=TOOLS, max_tokens=1)["usage"]["prompt_tokens"] > 40
