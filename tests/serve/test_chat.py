"""Chat: what is answered, whole and as a stream, and what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from openai import LengthFinishReasonError, OpenAI
from pydantic import BaseModel

from burnish.conversation import Role, build_conversation
from burnish.serve.app import create_app
from burnish.serve.engine.request import GenerationRequest, SamplingParams
from tests.serve.plain_backend import (
    CALL,
    CHAT,
    EXTRACTOR,
    LABELLER,
    LABELS,
    SCHEMA,
    SOLVER,
    PlainBackend,
    live,
    settings,
    teach,
)

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


class TestWhole:
    def test_the_answer_is_the_engine_s(self, client: TestClient, backend: PlainBackend) -> None:
        prompt = tuple(backend.renderer.prompt_ids(build_conversation(None, (Role.USER, "hi"))))
        sampling = SamplingParams(temperature=0.7, top_p=0.9, seed=5, logit_bias={97: 3.0})
        wanted = GenerationRequest(prompt_ids=prompt, max_new_tokens=9, sampling=sampling)
        said = "".join(piece.text for piece in backend.engine.pieces(backend.model, wanted))
        settings = {"temperature": 0.7, "top_p": 0.9, "seed": 5, "logit_bias": {"97": 3, "foo": 0}}
        assert text(client, max_tokens=9, **settings) == said.strip() != ""

    def test_the_shape_is_openai_s(self, client: TestClient) -> None:
        reply = ask(client, max_tokens=3)
        assert reply["object"] == "chat.completion" and reply["id"].startswith("chatcmpl-")
        (choice,) = reply["choices"]
        assert choice["finish_reason"] == "length" and choice["logprobs"] is None
        assert choice["message"]["role"] == "assistant" and choice["message"]["refusal"] is None
        assert reply["usage"] == {
            "prompt_tokens": 21,
            "completion_tokens": 3,
            "total_tokens": 24,
            "prompt_tokens_details": {"cached_tokens": 0},
        }

    def test_equal_seeds_get_equal_answers_and_choices_differ(self, client: TestClient) -> None:
        first = [choice["message"]["content"] for choice in ask(client, seed=-7, n=3)["choices"]]
        again = [choice["message"]["content"] for choice in ask(client, seed=-7, n=3)["choices"]]
        assert first == again and len(set(first)) == 3
        assert text(client, seed=-6) == first[1]

    def test_the_fingerprint_changes_with_the_adapter_only(self, client: TestClient) -> None:
        prints = [ask(client, model=model, max_tokens=1)["system_fingerprint"] for model in ("tiny", "tiny", CHAT)]
        assert prints[0] == prints[1] != prints[2]

    def test_stop_texts_end_the_answer_and_are_no_part_of_it(self, client: TestClient) -> None:
        whole = text(client, temperature=0, logit_bias={str(i): 100 for i in range(33, 60)})
        reply = ask(client, temperature=0, logit_bias={str(i): 100 for i in range(33, 60)}, stop=["~~", whole[3:5]])
        assert reply["choices"][0]["message"]["content"] == whole[: whole.index(whole[3:5])]
        assert reply["choices"][0]["finish_reason"] == "stop"

    def test_no_tokens_wanted_is_an_empty_answer(self, client: TestClient) -> None:
        choices = ask(client, max_tokens=0, max_completion_tokens=0, n=2)["choices"]
        assert [(c["message"]["content"], c["finish_reason"]) for c in choices] == [("", "length")] * 2

    def test_penalties_forbid_what_was_said(self, client: TestClient) -> None:
        """With a bias towards two letters, the penalty of one makes the other one's turn come."""
        two = {"temperature": 0, "logit_bias": {"64": 100, "65": 99}, "max_tokens": 8}
        assert len(set(text(client, **two))) == 1
        assert len(set(text(client, **two, frequency_penalty=2, presence_penalty=2))) == 2

    def test_probabilities_come_with_their_bytes(self, client: TestClient, backend: PlainBackend) -> None:
        reply = ask(client, logprobs=True, top_logprobs=2, max_tokens=6)["choices"][0]
        items = reply["logprobs"]["content"]
        assert len(items) == 6
        said = b"".join(bytes(item["bytes"]) for item in items)
        assert said.decode(errors="replace").strip() == reply["message"]["content"]
        for item in items:
            first, second = (top["logprob"] for top in item["top_logprobs"])
            assert 0 > first >= second and item["logprob"] <= first
        assert ask(client, logprobs=True, max_tokens=1)["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []


class TestModels:
    def test_a_specialist_has_its_own_system_and_is_greedy(self, client: TestClient) -> None:
        own = text(client, model=CHAT, seed=1)
        assert own == text(client, model=CHAT, seed=2)
        system = {"role": "developer", "content": "Be brief."}
        assert text(client, model=CHAT, messages=[system, *USER]) == own
        assert text(client, model=CHAT, messages=[{**system, "content": "Be long."}, *USER]) != own
        assert ask(client, model=CHAT)["usage"]["completion_tokens"] <= 12

    @pytest.mark.parametrize("model", [LABELLER, SOLVER])
    def test_labels_come_with_their_confidence(self, client: TestClient, model: str) -> None:
        reply = ask(client, model=model, n=2, logprobs=True)
        first, second = reply["choices"]
        assert first["message"]["content"] in LABELS and second["message"] == first["message"]
        assert 0 < first["burnish"]["confidence"] <= 1
        assert first["finish_reason"] == "stop"
        assert first["logprobs"]["content"][0]["token"] == first["message"]["content"]
        chunks = streamed(client, model=model)
        assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == first["message"]["content"]
        assert chunks[-1]["choices"][0]["burnish"] == first["burnish"]

    def test_a_schema_of_the_model_is_kept(self, client: TestClient) -> None:
        assert set(json.loads(text(client, model=EXTRACTOR))) == set(SCHEMA["properties"])  # type: ignore[call-overload]

    def test_the_answer_of_a_label_model_has_no_other_form(self, client: TestClient) -> None:
        assert refusal(client, model=LABELLER, response_format={"type": "json_object"})[:2] == (400, "response_format")
        assert refusal(client, model=LABELLER, tools=TOOLS, tool_choice="required")[:2] == (400, "tool_choice")


class TestForm:
    def test_json_object_gives_an_object_or_says_that_it_was_cut(self, client: TestClient) -> None:
        choices = ask(client, response_format={"type": "json_object"}, max_tokens=5, n=6)["choices"]
        assert {choice["finish_reason"] for choice in choices} == {"stop", "length"}
        for choice in choices:
            content = choice["message"]["content"]
            assert content.startswith("{")
            assert choice["finish_reason"] == "length" or isinstance(json.loads(content), dict)

    def test_a_schema_that_cannot_be_followed_is_refused(self, client: TestClient) -> None:
        schema = {"name": "x", "schema": {"type": "array", "uniqueItems": True}}
        status, param, _, message = refusal(client, response_format={"type": "json_schema", "json_schema": schema})
        assert (status, param) == (400, "response_format") and "cannot be followed" in message

    def test_parse_gives_the_model_s_own_class(self, openai: OpenAI) -> None:
        class Inner(BaseModel):
            size: bool

        class Outer(BaseModel):
            inner: Inner
            other: Inner | None

        asked: Any = {"model": "tiny", "messages": USER, "response_format": Outer, "seed": 3}
        reply = openai.chat.completions.parse(**asked, max_tokens=80)
        assert isinstance(reply.choices[0].message.parsed, Outer)
        with openai.chat.completions.stream(**asked, max_tokens=80) as stream:
            assert stream.get_final_completion().choices[0].message.parsed == reply.choices[0].message.parsed
        with pytest.raises(LengthFinishReasonError):
            openai.chat.completions.parse(**asked, max_tokens=5)


class TestStream:
    @pytest.mark.parametrize("more", [{}, {"stop": "e", "n": 3}, {"logprobs": True, "top_logprobs": 1}])
    def test_it_says_what_the_whole_reply_says(self, client: TestClient, more: dict[str, Any]) -> None:
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

    def test_choices_appear_first_in_their_order(self, client: TestClient) -> None:
        indices = [chunk["choices"][0]["index"] for chunk in streamed(client, n=3, max_tokens=2)]
        assert list(dict.fromkeys(indices)) == [0, 1, 2] and indices[:3] == [0, 1, 2]

    def test_usage_is_told_only_where_it_is_asked_for(self, client: TestClient) -> None:
        assert not any("usage" in chunk for chunk in streamed(client, max_tokens=2))
        ask(client, max_tokens=1, stream=False, stream_options={"include_usage": True})

    def test_the_real_client_joins_it(self, openai: OpenAI) -> None:
        asked: Any = {"model": "tiny", "messages": USER, "seed": 8, "n": 2, "max_tokens": 200, "logit_bias": {"256": 5}}
        whole = openai.chat.completions.create(**asked)
        with openai.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            joined = stream.get_final_completion()
        assert [c.message.content for c in joined.choices] == [c.message.content for c in whole.choices]
        assert joined.usage == whole.usage

    def test_whoever_leaves_is_not_waited_for(self, openai: OpenAI, backend: PlainBackend) -> None:
        num_before, steps = len(backend.engine.finished), backend.engine.stats().num_steps
        asked: Any = {"model": "tiny", "messages": USER, "max_tokens": 400, "seed": 1, "temperature": 0}
        bias: Any = {"256": -100}
        with openai.chat.completions.create(**asked, stream=True, logit_bias=bias) as stream:
            next(iter(stream))
        wait_for(lambda: len(backend.engine.finished) > num_before)
        assert backend.engine.finished[-1].is_cancelled
        assert backend.engine.stats().num_steps - steps < 400

    def test_nor_is_whoever_leaves_a_whole_reply(self, openai: OpenAI, backend: PlainBackend) -> None:
        num_before, steps = len(backend.engine.finished), backend.engine.stats().num_steps
        body = {"model": "tiny", "messages": USER, "max_tokens": 400, "logit_bias": {"256": -100}}
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{openai.base_url}chat/completions", json=body, timeout=0.15)
        wait_for(lambda: len(backend.engine.finished) > num_before)
        assert backend.engine.finished[-1].is_cancelled
        assert backend.engine.stats().num_steps - steps < 400


class TestTools:
    @pytest.fixture(scope="class")
    def caller(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
        """A model that has learned to call a tool when it is asked about the weather."""
        folder = tmp_path_factory.mktemp("caller")
        backend = PlainBackend(folder, model=teach(CALL, "Weather?"))
        with live(create_app(settings(folder), backend)) as url:
            yield OpenAI(base_url=url, api_key="any", max_retries=0)
        backend.engine.close()

    def test_a_call_is_read_out_of_the_answer(self, caller: OpenAI) -> None:
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

    def test_a_stream_of_calls_is_joined_by_the_client(self, caller: OpenAI) -> None:
        asked: Any = {"model": "tiny", "messages": [{"role": "user", "content": "Weather?"}], "temperature": 0}
        with caller.chat.completions.stream(**asked, max_tokens=100, tools=TOOLS) as stream:
            choice = stream.get_final_completion().choices[0]
        assert choice.finish_reason == "tool_calls" and choice.message.content is None and choice.message.tool_calls
        assert [call.function.name for call in choice.message.tool_calls] == ["look_up"]
        assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Rome"}

    @pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "book"}}])
    def test_a_call_that_must_be_made_is_made(self, client: TestClient, choice: Any) -> None:
        reply = ask(client, tools=TOOLS, tool_choice=choice, max_tokens=100)["choices"][0]
        assert reply["finish_reason"] == "tool_calls"
        function = reply["message"]["tool_calls"][0]["function"]
        assert function["name"] in (("look_up", "book") if choice == "required" else ("book",))
        assert json.loads(function["arguments"])["city"] in ("Rome", "Oslo")

    def test_parameters_may_refer_to_their_own_definitions(self, client: TestClient) -> None:
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

    def test_functions_are_answered_in_their_own_words(self, client: TestClient) -> None:
        functions = [tool["function"] for tool in TOOLS]
        body = {"functions": functions, "function_call": {"name": "book"}, "max_tokens": 100}
        reply = ask(client, **body)["choices"][0]
        assert reply["finish_reason"] == "function_call" and "tool_calls" not in reply["message"]
        assert reply["message"]["function_call"]["name"] == "book"
        deltas = [chunk["choices"][0]["delta"].get("function_call", {}) for chunk in streamed(client, **body)]
        assert "".join(delta.get("arguments", "") for delta in deltas) == reply["message"]["function_call"]["arguments"]

    def test_allowed_tools_are_the_only_ones(self, client: TestClient) -> None:
        allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "look_up"}}]}
        choice = {"type": "allowed_tools", "allowed_tools": allowed}
        reply = ask(client, tools=TOOLS, tool_choice=choice, max_tokens=100)["choices"][0]
        assert reply["message"]["tool_calls"][0]["function"]["name"] == "look_up"

    def test_with_a_form_the_answer_is_a_call_or_in_that_form(self, client: TestClient) -> None:
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
        choices = ask(client, tools=TOOLS, response_format=form, n=8, max_tokens=100)["choices"]
        assert {choice["finish_reason"] for choice in choices} == {"stop", "tool_calls"}
        for choice in choices:
            assert choice["message"]["content"] is None or "urgent" in json.loads(choice["message"]["content"])

    def test_a_conversation_with_calls_is_read(self, client: TestClient) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "book", "arguments": "{}"}}
        turns = [
            *USER,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "done"}]},
        ]
        assert ask(client, messages=turns, tools=TOOLS, max_tokens=1)["usage"]["prompt_tokens"] > 40


class TestRefused:
    @pytest.mark.parametrize(
        ("body", "status", "param", "code", "said"),
        [
            ({"model": "gone"}, 404, "model", "model_not_found", "The model `gone` does not exist"),
            ({"messages": []}, 400, "messages", "too_short", "at least 1 item"),
            ({"messages": [{"role": "king", "content": ""}]}, 400, "messages[0].role", "literal_error", "'developer'"),
            ({"messages": [{"role": "user"}]}, 400, "messages[0].content", None, "content is missing"),
            ({"temperature": 3}, 400, "temperature", "less_than_equal", "less than or equal to 2"),
            ({"n": 129}, 400, "n", "less_than_equal", "128"),
            ({"stop": ["a"] * 5}, 400, "stop", "too_long", "at most 4"),
            ({"top_logprobs": 3}, 400, "top_logprobs", None, "needs logprobs"),
            ({"logit_bias": {"999": 1}}, 400, "logit_bias", None, "no token of this model, which has 258"),
            ({"tool_choice": "required"}, 400, "tool_choice", None, "Send tools."),
            ({"tool_choice": "maybe", "tools": TOOLS}, 400, "tool_choice", None, "no choice"),
            ({"messages": [{"role": "user", "content": "a" * 600}]}, 400, "messages", "context_length_exceeded", "512"),
            ({"model": "tiny-encoder"}, 400, "model", None, "makes embeddings"),
            ({"messages": [{"role": "user", "content": "\ud83d"}]}, 400, None, "value_error", "half of a character"),
            ({"response_format": {"type": "json_schema"}}, 400, "response_format", "value_error", "is missing"),
        ],
    )
    def test_it_says_what_is_wrong_and_where(
        self, client: TestClient, body: Any, status: int, param: str | None, code: str | None, said: str
    ) -> None:
        found = refusal(client, **body)
        assert found[:3] == (status, param, code)
        assert said in found[3]

    def test_pictures_cannot_be_read(self, client: TestClient) -> None:
        part = {"type": "image_url", "image_url": {"url": "data:,"}}
        status, param, _, message = refusal(client, messages=[{"role": "user", "content": [part]}])
        assert (status, param) == (400, "messages[0].content") and "'image_url' cannot be read" in message

    def test_what_the_template_refuses_is_told(self, tmp_path: Path) -> None:
        backend = PlainBackend(tmp_path)
        backend.renderer.tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
        with TestClient(create_app(settings(tmp_path), backend), base_url="http://127.0.0.1") as client:
            status, param, _, message = refusal(client)
        backend.engine.close()
        assert (status, param) == (400, "messages") and "roles must alternate" in message

    def test_unknown_fields_are_ignored(self, client: TestClient) -> None:
        ask(client, max_tokens=1, audio={"voice": "alloy"}, verbosity="low", made_up=[1], store=True, user="me")


def wait_for(is_true: Any) -> None:
    import time

    end = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
